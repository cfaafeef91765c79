"""Dates that Silver's owner has deleted, and a person has kept, outlive all that Silver and its log ever told of them."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets import transactions
from gold_assets.assets.outcomes import failing_checks
from gold_assets.delta.dates import days
from gold_assets.gold.lake import Lake
from gold_assets_tests import silver_changes
from gold_assets_tests.alerts.test_alerts import SILENT, Chat, Watched
from gold_assets_tests.life.passing_time import in_cursor, let_time_pass
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true, rows_of

pytestmark = pytest.mark.sail

DATES = days(MONDAY, MONDAY.replace(day=4))
OLD, NEW = DATES[:3], DATES[3]


@pytest.fixture
def project(lake: Lake, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setenv("GOLD_ALERT_URLS", chat.url)
    monkeypatch.setenv("GOLD_PARTITIONS_START", str(DATES[0]))
    monkeypatch.setenv("GOLD_PARTITIONS_END", str(DATES[-1]))
    rows = [row(event_date=date, user_id=f"user {n}") for date in DATES for n in range(100)]
    write_silver(lake, [*rows, *(make(event_date=date) for date in DATES for make in (high_risk_row, broken_row))])
    with dg.DagsterInstance.ephemeral() as instance:
        project = Watched(lake, instance)
        assert all(project.attempt())
        project.look()
        yield project


def broken_row(**changes: object) -> dict[str, object]:
    return row(amount=None, **changes)


def do(project: Watched, job: str, **config: object) -> None:
    ops = {"ops": {f"{job}_held_dates": {"config": config}}} if config else {}
    done = project.repository.get_job(job).execute_in_process(
        instance=project.instance, resources=project.resources, run_config={**SILENT, **ops}, raise_on_error=False
    )
    assert done.success, job


def of_old_dates(lake: Lake) -> dict[str, list[str]]:
    return {
        name: sorted(str(each) for each in rows_of(place).to_pylist() if each["event_date"] in OLD)
        for name, place in lake.places.items()
    }


def pass_days(project: Watched, number: int) -> None:
    """And nights, whose jobs run at the end of them. Silver's owner goes on, and keeps of its past what it needs."""
    root, by = Path(project.lake.silver).parent, dt.timedelta(days=number)
    fingerprints = let_time_pass(root, by)
    assert project.cursor
    project.cursor = in_cursor(project.cursor, fingerprints, by)
    write_silver(project.lake, [row(event_date=NEW, user_id=f"late {number}")])
    silver_changes.vacuum(project.lake)
    silver = DeltaTable(project.lake.silver)
    silver.create_checkpoint()
    silver.cleanup_metadata()
    assert all(project.attempt())
    for job in ("maintenance", "compare_patched_dates", "run_metadata_checks", "run_checks"):
        do(project, job)


def test_a_kept_date_is_there_after_400_days_whose_nights_took_all_that_silver_told_of_it(
    project: Watched, chat: Chat
) -> None:
    lake = project.lake
    before = of_old_dates(lake)
    DeltaTable(lake.silver).delete(f"event_date < '{NEW}'")
    assert all(project.attempt())
    project.look()
    project.look()
    [told] = chat.heard()
    assert told.startswith("silver_transactions failed nothing_is_held on 2024-01-01 to 2024-01-03: ")
    assert [(check.name, dates) for check, dates in failing_checks(project.instance, transactions.project)] == [
        ("nothing_is_held", set(OLD))
    ]
    do(project, "keep", dates=f"{OLD[0]} to {OLD[-1]}", by="ann", reason="Silver keeps a day")
    assert all(project.attempt())
    project.look()
    [over] = chat.heard()
    assert over.startswith("Over: silver_transactions passes nothing_is_held on 2024-01-01 to 2024-01-03.")
    for passed in (31, 369):
        pass_days(project, passed)
        newest = lake.publications().newest()
        assert newest is not None and newest.dates_kept == tuple(OLD)
        assert newest.silver_version == DeltaTable(lake.silver).version()
    project.look()
    assert chat.heard() == []
    assert list(failing_checks(project.instance, transactions.project)) == []
    there = {int(commit.stem) for commit in Path(lake.silver, "_delta_log").glob("*.json")}
    assert min(there) > 1 and not any("2024-01-01" in uri for uri in DeltaTable(lake.silver).file_uris())
    assert not list(Path(lake.silver, "event_date=2024-01-01").glob("*.parquet"))
    assert of_old_dates(lake) == before
    assert_gold_is_true(lake, [NEW])
