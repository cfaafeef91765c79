"""Silver's owner deletes old dates beside a real daemon: Gold keeps them, one person is told once, and decides by a command."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets import transactions
from gold_assets.assets.outcomes import failing_checks
from gold_assets.delta.dates import days
from gold_assets.gold.publication import Publication, Publications
from gold_assets_tests.alerts.test_alerts import Chat
from gold_assets_tests.end_to_end.command_line import run
from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import GOLD, QUARANTINE, assert_gold_is_true, rows_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail, pytest.mark.timeout(1_200)]

DATES = days(MONDAY, MONDAY.replace(day=6))
OLD, KEPT_BY_SILVER = DATES[:4], DATES[4:]
_ALERTED = [(("silver_transactions", "nothing_is_held"), set(OLD))]


@pytest.fixture
def dev(tmp_path: Path, chat: Chat) -> Iterator[DagsterDev]:
    window = {"GOLD_PARTITIONS_START": str(DATES[0]), "GOLD_PARTITIONS_END": str(DATES[-1])}
    dev = DagsterDev(tmp_path, GOLD_ALERT_URLS=chat.url, **window)
    rows = [row(event_date=date, user_id=f"user {n}") for date in DATES for n in range(120)]
    write_silver(dev.lake, [*rows, *(high_risk_row(event_date=date, amount=None) for date in DATES)])
    with dev:
        yield dev
    assert not dev.processes()


def all_rows(dev: DagsterDev) -> dict[str, list[str]]:
    return {name: sorted(map(str, rows_of(dev.lake.places[name]).to_pylist())) for name in (*GOLD, QUARANTINE)}


def publication(dev: DagsterDev) -> Publication | None:
    return Publications(str(dev.lake.published), dev.lake.places).newest()


def is_published(dev: DagsterDev) -> bool:
    newest = publication(dev)
    return newest is not None and newest.silver_version == DeltaTable(dev.lake.silver).version()


def failing(instance: dg.DagsterInstance) -> list[tuple[tuple[str, str], set[object] | None]]:
    found = failing_checks(instance, transactions.project)
    return [((check.table, check.name), None if dates is None else set(dates)) for check, dates in found]


def test_a_retention_of_silver_takes_no_row_of_gold_and_is_told_once(dev: DagsterDev, chat: Chat) -> None:
    dev.wait_for("Gold is published", 240, lambda: is_published(dev))
    assert_gold_is_true(dev.lake)
    before = all_rows(dev)
    with dev.instance() as instance:
        DeltaTable(dev.lake.silver).delete(f"event_date < '{KEPT_BY_SILVER[0]}'")
        dev.wait_for("the check fails", 300, lambda: failing(instance) == _ALERTED)
        dev.wait_for("somebody is told", 300, lambda: chat.bodies)
        assert all_rows(dev) == before
        newest = publication(dev)
        assert newest is not None and newest.dates_kept == tuple(OLD) and is_published(dev)

        listed = run("gold", "held", "--json", "-", env=dev.env)
        assert listed.returncode == 1
        assert [each["date"] for each in json.loads(listed.stdout)] == list(map(str, OLD))
        asked = ("--from", str(OLD[0]), "--to", str(OLD[-1]))
        kept = run("gold", "keep", *asked, "--reason", "Silver keeps two days", "--by", "ann", env=dev.env)
        assert kept.returncode == 0, kept.stderr
        dev.wait_for("the check passes", 300, lambda: failing(instance) == [])
        write_silver(dev.lake, [row(event_date=DATES[-1], user_id="late")])
        dev.wait_for("Gold is published", 300, lambda: is_published(dev))
        assert all(each.status == dg.DagsterRunStatus.SUCCESS for each in instance.get_runs() if each.is_finished)
    assert_gold_is_true(dev.lake, KEPT_BY_SILVER)
    left = [each for each in all_rows(dev)["user_spend_summary"] if any(repr(date) in each for date in OLD)]
    assert left == [each for each in before["user_spend_summary"] if any(repr(date) in each for date in OLD)]
    dev.wait_for("it is over", 200, lambda: len(chat.bodies) == 2)
    time.sleep(0.2)
    first, over = chat.heard()
    # It may be told while the dates after the first are still being written.
    assert "silver_transactions failed nothing_is_held on 2024-01-01" in first
    assert over.startswith("Over: silver_transactions passes nothing_is_held on 2024-01-01")
