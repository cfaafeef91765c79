"""The promises hold on an object store as they do in a folder."""

import datetime as dt
import shutil
import threading
import time
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from gold_assets.checks.catalogue import all_checks, gold_checks
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import publish
from gold_assets.commands.checks import examine
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError
from gold_assets.delta.log import DeltaLog
from gold_assets.engines import Engine
from gold_assets.gold.held import decide
from gold_assets.gold.lake import Lake
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.refresh import refresh
from gold_assets.gold.safeguards import Safeguards
from gold_assets.transactions.tables import TABLES, USER_SPEND_SUMMARY
from gold_assets_tests.corruptions import good_lake
from gold_assets_tests.micro_batches.daemon import Daemon
from gold_assets_tests.object_store.conftest import ODD_KEY, new_lake
from gold_assets_tests.object_store.s3_server import S3Server
from gold_assets_tests.silver.test_any_silver import (
    Step,
    doubles,
    follow,
    in_shops,
    layouts,
    silver_rows,
    steps,
    with_shops,
)
from gold_assets_tests.small_silver import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    ask_readers_for,
    commit,
    high_risk_row,
    row,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true, rows_of

pytestmark = [pytest.mark.sail, pytest.mark.s3]

THREE_DAYS = days(MONDAY, WEDNESDAY)
LIMITS = Limits(first_date=MONDAY, last_date=WEDNESDAY)


@settings(max_examples=3)
@given(
    first=silver_rows(doubles, most=12),
    history=st.lists(steps, min_size=2, max_size=5),
    layout=layouts,
    data=st.data(),
)
def test_gold_equals_the_truth_after_each_step_of_any_history(
    first: list[dict[str, Any]],
    history: list[Step],
    layout: tuple[str, ...],
    data: st.DataObject,
    engine: Engine,
    s3: S3Server,
) -> None:
    lake = new_lake(s3)
    write_silver(lake, in_shops(first), schema=with_shops, partition_by=layout)
    follow(history, data, lake, engine)


def test_every_check_is_green_on_a_good_lake_which_is_published_and_a_changed_digit_is_found_and_is_not(
    lake: Lake, engine: Engine
) -> None:
    good_lake(lake, engine)
    assert examine(Inspection(lake, THREE_DAYS, LIMITS), all_checks(lake.project)).exit_code == 0
    published = publish(lake, LIMITS).publication
    DeltaTable(lake.places["user_spend_summary"]).update(
        {"total_spend": "total_spend + 0.0001"}, predicate="event_date = '2024-01-02' AND user_id = 'ann'"
    )
    report = examine(Inspection(lake, THREE_DAYS, LIMITS), all_checks(lake.project))
    failed = {(found.check.table, found.check.name, found.date) for found in report.failed("error")}
    assert ("user_spend_summary", "reconciles", TUESDAY) in failed
    assert report.exit_code == 1
    held = publish(lake, LIMITS)
    assert held.is_held and held.publication == published and published is not None
    assert (
        published.tables["user_spend_summary"].open().version()
        < DeltaTable(lake.places["user_spend_summary"]).version()
    )


def test_a_date_that_silver_loses_is_held_until_somebody_decides(lake: Lake, engine: Engine) -> None:
    lake = replace(lake, safeguards=Safeguards(least_rows=1))
    write_silver(lake, [row(event_date=date) for date in (MONDAY, TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert publish(lake, LIMITS).publication is not None
    DeltaTable(lake.silver).delete("event_date = DATE '2024-01-01'")
    held = refresh(lake, engine, [MONDAY, TUESDAY], how="patch").held["user_spend_summary"]
    assert held.keys() == {MONDAY} and rows_of(lake.places["user_spend_summary"]).num_rows == 2
    decide(lake, "approve", [MONDAY], "ann", "the shop has closed")
    assert [decision.by for decision in lake.decisions()] == ["ann"]
    refresh(lake, engine, [MONDAY, TUESDAY], how="patch")
    assert_gold_is_true(lake)


@pytest.mark.parametrize("features", [(), ("vacuumProtocolCheck",)], ids=["plain", "refused by delta-rs"])
def test_what_silver_gains_is_added_and_checked(
    lake: Lake, engine: Engine, s3: S3Server, features: tuple[str, ...]
) -> None:
    write_silver(lake, [row(), high_risk_row(), row(user_id=None), row(event_date=TUESDAY)])
    if features:
        ask_readers_for(s3.folder(lake.silver), *features)
    refresh(lake, engine, THREE_DAYS)
    name = "00000-new.parquet"
    written = new_lake(s3)
    write_silver(written, [row(), high_risk_row(user_id="new"), row(user_id=" ")])
    [add] = [action["add"] for action in DeltaLog(written.silver).actions(0) if "add" in action]
    shutil.copy(s3.folder(written.silver) / add["path"], s3.folder(lake.silver) / "event_date=2024-01-01" / name)
    commit(s3.folder(lake.silver), {"add": add | {"path": f"event_date=2024-01-01/{name}"}})
    done = refresh(lake, engine, THREE_DAYS, how="patch")
    assert {dates[MONDAY].step.how for dates in done.dates.values()} == {"patched"}
    if not features:
        assert_gold_is_true(lake)
    inspection = Inspection(lake, [MONDAY], Limits(MONDAY, WEDNESDAY, quarantined_share=1.0), patches=True)
    found = examine(inspection, gold_checks(lake.tables)).findings
    assert {each.numbers["compared"] for each in found if each.check.name == "reconciles"} == {"the newest patch"}
    assert all(each.passed for each in found if each.severity == "error")


def test_a_silver_of_any_layout_that_delta_rs_refuses_is_followed_and_checked(
    lake: Lake, engine: Engine, s3: S3Server
) -> None:
    for n in range(2):
        rows = [row(user_id=f"{n}", event_date=date) for date in THREE_DAYS]
        write_silver(lake, [*rows, high_risk_row(user_id=f"{n}"), row(event_date=None)], partition_by=[])
    ask_readers_for(s3.folder(lake.silver), "vacuumProtocolCheck")
    daemon = Daemon(lake, dg.DagsterInstance.ephemeral())
    daemon.tick()
    assert daemon.asked_for() == [(str(MONDAY), str(WEDNESDAY))]
    refresh(lake, engine, THREE_DAYS)
    assert red(lake) == {"silver_transactions:dates_in_window"}


def test_under_a_key_that_uris_escape_maintenance_keeps_the_content_and_deletes_what_nobody_needs(
    engine: Engine, s3: S3Server
) -> None:
    lake = new_lake(s3, ODD_KEY)
    for name in ("ann", "bob", "eve"):
        write_silver(lake, [high_risk_row(user_id=name, event_date=date) for date in THREE_DAYS] + [row(user_id=" ")])
        refresh(lake, engine, THREE_DAYS)
    spend = lake.places["user_spend_summary"]
    stored = s3.objects(spend)
    done = maintain(lake, engine, today=dt.date(2024, 2, 1), retention_hours=0, allow_short_retention=True)
    assert done["user_spend_summary"].ordered == tuple(THREE_DAYS)
    assert len({name for name in s3.objects(spend) if name.endswith(".parquet")}) == len(THREE_DAYS) < len(stored)
    assert_gold_is_true(lake)
    again = maintain(lake, engine, today=dt.date(2024, 2, 1))
    assert not any(table.ordered for table in again.values())


def test_a_store_that_goes_away_in_the_middle_of_a_refresh_loses_nothing(
    lake: Lake, engine: Engine, s3: S3Server
) -> None:
    month = days(MONDAY, MONDAY + dt.timedelta(days=30))
    write_silver(lake, [row(event_date=date) for date in month] + [high_risk_row(), row(user_id=None)])
    refresh(lake, engine, month)
    write_silver(lake, [row(user_id="late", event_date=date) for date in month])
    started = time.monotonic()
    killer = threading.Timer(0.25, s3.kill)
    killer.start()
    try:
        with pytest.raises(UserError) as raised:
            while True:  # until it is hit
                refresh(lake, engine, month)
        killer.join()
    finally:
        killer.join()
        s3.start()
    assert "\n" not in str(raised.value)
    assert time.monotonic() - started < 120
    refresh(lake, engine, month)
    assert_gold_is_true(lake)


def test_racing_writers_lose_nothing(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    writers = [
        threading.Thread(target=write_silver, args=(lake, [row(user_id=f"user {n}", event_date=TUESDAY)]))
        for n in range(8)
    ]
    for writer in writers:
        writer.start()
    refreshes = [threading.Thread(target=refresh, args=(lake, engine, [MONDAY, TUESDAY])) for _ in range(3)]
    for each in refreshes:
        each.start()
    for thread in (*writers, *refreshes):
        thread.join()
    assert rows_of(lake.silver).num_rows == 9
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert_gold_is_true(lake)


def test_the_requests_of_a_refresh_and_of_a_tick_do_not_grow_with_silvers_history(
    lake: Lake, engine: Engine, s3: S3Server
) -> None:
    daemon = Daemon(lake, dg.DagsterInstance.ephemeral())

    def requests_of_refresh_and_tick() -> tuple[int, int]:
        before = s3.requests()
        refresh(lake, engine, [MONDAY])
        between = s3.requests()
        daemon.tick()
        return between - before, s3.requests() - between

    def grow(commits: int) -> None:
        for n in range(commits):
            write_silver(lake, [row(user_id=f"user {n}", event_date=TUESDAY)])
        DeltaTable(lake.silver).create_checkpoint()

    write_silver(lake, [row()])
    grow(5)
    refresh(lake, engine, [MONDAY, TUESDAY])
    daemon.tick()
    daemon.end_all()
    daemon.tick()
    few = requests_of_refresh_and_tick()
    grow(40)
    daemon.tick()
    daemon.end_all()
    daemon.tick()
    many = requests_of_refresh_and_tick()
    # The tables' own logs have grown by a commit each, up to their next checkpoint.
    assert many[0] <= few[0] + 8 * len(TABLES)
    assert many[1] <= few[1] + 2


def test_a_place_that_holds_something_else_is_not_written_to(lake: Lake, engine: Engine, s3: S3Server) -> None:
    write_silver(lake, [row()])
    write_deltalake(lake.places["high_risk_txns"], rows_of(lake.silver))
    before = s3.objects(lake.places["high_risk_txns"])
    with pytest.raises(UserError, match="high_risk_txns"):
        refresh(lake, engine, [MONDAY], tables=TABLES)
    assert s3.objects(lake.places["high_risk_txns"]) == before
    assert not s3.objects(lake.places[USER_SPEND_SUMMARY.name])


def red(lake: Lake) -> set[str]:
    report = examine(Inspection(lake, THREE_DAYS, LIMITS), all_checks(lake.project))
    return {f"{found.check.table}:{found.check.name}" for found in report.findings if not found.passed} | set(
        map(str, report.not_run.values())
    )
