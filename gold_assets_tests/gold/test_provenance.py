"""Which Silver a date was made from, and what the checks make of it when that is old, unknown or gone."""

import datetime as dt
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from deltalake import DeltaTable

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.provenance import made_from
from gold_assets.gold.refresh import refresh
from gold_assets.gold.tables import USER_SPEND_SUMMARY
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, write_silver

DATES = (MONDAY, TUESDAY, WEDNESDAY)
SPEND = USER_SPEND_SUMMARY.name


@pytest.fixture
def gold(lake: Lake, engine: Engine) -> Lake:
    write_silver(lake, [change for date in DATES for change in (row(event_date=date), high_risk_row(event_date=date))])
    refresh(lake, engine, DATES)
    return lake


def versions(lake: Lake, dates: Sequence[dt.date] = DATES) -> dict[dt.date | None, int]:
    found = made_from(DeltaTable(lake.places[SPEND]), dates)
    return {date: source.silver_version for date, source in found.items()}


def findings(lake: Lake, name: str, table: str = SPEND, dates: Sequence[dt.date] = DATES) -> list[Finding]:
    checks = [check for check in all_checks(lake.tables) if check.name == name and check.table == table]
    return list(run(checks, Inspection(lake, dates, Limits(MONDAY, WEDNESDAY))))


def passed(lake: Lake, name: str, table: str = SPEND) -> list[bool]:
    return [finding.passed for finding in findings(lake, name, table)]


def late_on_tuesday(lake: Lake) -> None:
    write_silver(lake, [row(event_date=TUESDAY, user_id="late")])


def forget_silver_before(lake: Lake, version: int) -> None:
    """What log clean-up and VACUUM leave: no commit and no file of the versions before."""
    table = DeltaTable(lake.silver)
    table.create_checkpoint()
    kept = {Path(uri).name for uri in table.file_uris()}
    for file in Path(lake.silver).rglob("*.parquet"):
        if file.name not in kept and "_delta_log" not in file.parts:
            file.unlink()
    for number in range(version):
        (Path(lake.silver) / "_delta_log" / f"{number:020}.json").unlink()


def test_each_date_tells_the_silver_of_its_last_refresh(gold: Lake, engine: Engine) -> None:
    assert versions(gold) == dict.fromkeys(DATES, 0)
    late_on_tuesday(gold)
    refresh(gold, engine, [TUESDAY])
    assert versions(gold) == {MONDAY: 0, TUESDAY: 1, WEDNESDAY: 0}
    assert versions(gold, [dt.date(2024, 1, 9)]) == {}


def test_a_restore_takes_back_what_came_after(gold: Lake, engine: Engine) -> None:
    made = DeltaTable(gold.places[SPEND]).version()
    late_on_tuesday(gold)
    refresh(gold, engine, [TUESDAY])
    DeltaTable(gold.places[SPEND]).restore(made)
    assert versions(gold) == dict.fromkeys(DATES, 0)
    assert passed(gold, "reconciles") == [True, True, True]
    assert passed(gold, "one_silver_version") == [True, False, True]


def test_compaction_hides_no_refresh(gold: Lake) -> None:
    DeltaTable(gold.places[SPEND]).optimize.z_order(["user_id"])
    assert versions(gold) == dict.fromkeys(DATES, 0)
    assert passed(gold, "reconciles") == [True, True, True]


def test_gold_behind_silver_is_true_to_the_version_it_was_made_from(gold: Lake) -> None:
    late_on_tuesday(gold)
    assert passed(gold, "reconciles") == [True, True, True]
    [follows] = findings(gold, "gold_follows", "silver_transactions")
    assert not follows.passed
    assert [found["event_date"] for found in follows.rows] == [TUESDAY]
    DeltaTable(gold.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    assert passed(gold, "reconciles") == [True, False, True]


def test_where_that_version_is_gone_only_equality_with_the_newest_passes(gold: Lake) -> None:
    late_on_tuesday(gold)
    DeltaTable(gold.silver).optimize.compact()
    forget_silver_before(gold, DeltaTable(gold.silver).version())
    found = findings(gold, "reconciles")
    assert [finding.passed for finding in found] == [True, False, True]
    assert "cannot be" in found[1].summary
    assert "newest" in found[1].summary


def test_a_date_whose_refresh_is_not_in_the_log_is_held_against_the_newest_silver(gold: Lake) -> None:
    log = Path(gold.places[SPEND]) / "_delta_log"
    DeltaTable(gold.places[SPEND]).create_checkpoint()
    for commit in log.glob("*.json"):
        commit.unlink()
    assert versions(gold) == {}
    found = findings(gold, "reconciles")
    assert [finding.passed for finding in found] == [True, True, True]
    assert "does not tell" in found[0].summary
    assert passed(gold, "one_silver_version") == [False, False, False]
    late_on_tuesday(gold)
    assert passed(gold, "reconciles") == [True, False, True]


def test_tables_at_different_versions_agree_where_silver_did_not_change_between(gold: Lake, engine: Engine) -> None:
    late_on_tuesday(gold)
    refresh(gold, engine, DATES, tables=[USER_SPEND_SUMMARY])
    assert passed(gold, "one_silver_version") == [True, False, True]


def test_another_silver_in_the_same_place_is_not_the_one_that_gold_was_made_from(gold: Lake) -> None:
    shutil.rmtree(gold.silver)
    write_silver(gold, [row(event_date=date, amount=9.0) for date in DATES])
    found = findings(gold, "reconciles")
    assert not any(finding.passed for finding in found)
    assert "another Silver table" in found[0].summary
    assert passed(gold, "gold_follows", "silver_transactions") == [False]


def test_every_check_passes_on_gold_that_this_engine_made(gold: Lake, engine: Engine) -> None:
    late_on_tuesday(gold)
    write_silver(gold, [row(event_date=TUESDAY, amount=amount) for amount in (None, float("nan"), 1e14)])
    refresh(gold, engine, DATES)
    inspection = Inspection(gold, DATES, Limits(MONDAY, WEDNESDAY, quarantined_share=1.0))
    assert [finding for finding in run(all_checks(gold.tables), inspection) if not finding.passed] == []
