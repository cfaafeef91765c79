"""The sensor as a state machine: real Silver, a real instance, real run records."""

import dataclasses
import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.events import DagsterEventType
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError
from gold_assets.delta.log import DeltaLog
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.gold.safeguards import Safeguards
from gold_assets.micro_batches.asked_runs import ATTEMPT_TAG, MOST_RUNS, TABLE_TAG, VERSIONS_TAG, bridged, no_more_than
from gold_assets.micro_batches.cursor import Asked
from gold_assets.partitions import touched_dates
from gold_assets_tests.conftest import NO_TABLES
from gold_assets_tests.micro_batches.daemon import WINDOW, Daemon, dates_of, micro_batch
from gold_assets_tests.silver_changes import swap_two_columns
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    TUESDAY,
    WEDNESDAY,
    commit,
    row,
    short_id,
    with_type,
    write_silver,
)

FAILED, CANCELED = DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED
MON, TUE, WED = (str(date) for date in (MONDAY, TUESDAY, WEDNESDAY))


@pytest.fixture
def daemon(lake: Lake) -> Daemon:
    return Daemon(lake, dg.DagsterInstance.ephemeral())


@pytest.fixture
def idle(daemon: Daemon) -> Daemon:
    """Silver is at version 0 with rows on Monday and Tuesday, Gold has it."""
    write_silver(daemon.lake, [row(), row(event_date=TUESDAY)])
    daemon.tick()
    daemon.end_all()
    daemon.tick()
    assert daemon.remembered.followed == 0
    return daemon


def append(daemon: Daemon, *dates: dt.date | None) -> None:
    write_silver(daemon.lake, [row(event_date=date) for date in dates])


def later(day: int) -> dt.date:
    return MONDAY + dt.timedelta(days=day - 1)


# What is asked for


def test_without_a_silver_the_tick_says_so_and_waits(daemon: Daemon) -> None:
    assert daemon.tick() == f"There is no Silver table at {daemon.lake.silver} yet."
    write_silver(daemon.lake, [row()])
    assert daemon.tick() == ""


def test_a_silver_that_is_not_what_it_must_be_fails_the_tick_with_one_sentence(daemon: Daemon) -> None:
    write_silver(daemon.lake, [row(risk_level=[])], schema=with_type("risk_level", pa.list_(pa.string())))
    with pytest.raises(UserError, match="risk_level is array<string>, expected string"):
        daemon.tick()


def test_another_table_in_a_gold_tables_place_fails_the_tick_with_one_sentence(daemon: Daemon) -> None:
    append(daemon, MONDAY)
    write_deltalake(daemon.lake.places["user_spend_summary"], pa.table({"n": [1]}))
    with pytest.raises(UserError, match="is partitioned by nothing, user_spend_summary expects event_date"):
        daemon.tick()


def test_the_first_window_asks_for_every_date_of_silver(daemon: Daemon) -> None:
    append(daemon, MONDAY)
    append(daemon, TUESDAY, WEDNESDAY)
    daemon.tick()
    assert daemon.asked_for() == [(MON, WED)]


def test_the_first_window_also_asks_for_dates_that_only_gold_has(daemon: Daemon) -> None:
    append(daemon, MONDAY)
    write_silver(Lake(NO_TABLES, daemon.lake.places["high_risk_txns"], {}), [row(event_date=later(9))])
    daemon.tick()
    assert daemon.asked_for() == [(MON, MON), ("2024-01-09", "2024-01-09")]


def test_a_commit_asks_for_exactly_the_dates_it_touches(idle: Daemon) -> None:
    append(idle, WEDNESDAY, later(4), later(8))
    assert idle.tick() == ""
    assert idle.asked_for() == [(WED, "2024-01-04"), ("2024-01-08", "2024-01-08")]


def test_an_emptied_date_is_asked_for(idle: Daemon) -> None:
    DeltaTable(idle.lake.silver).delete(f"event_date = '{TUE}'")
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE)]


def test_both_dates_of_a_row_that_moves_are_asked_for(idle: Daemon) -> None:
    DeltaTable(idle.lake.silver).update(predicate=f"event_date = '{TUE}'", updates={"event_date": "DATE '2024-01-09'"})
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE), ("2024-01-09", "2024-01-09")]


def test_with_nothing_new_the_tick_says_that_gold_has_it(idle: Daemon) -> None:
    assert idle.tick() == "Silver is at version 0, Gold has it."


def test_a_tick_with_nothing_new_opens_no_table(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.tick()
    idle.end_all()
    idle.tick()
    (Path(idle.lake.silver) / "_delta_log" / f"{0:020}.json").unlink()
    with pytest.raises(UserError, match="cannot be read at its newest version"):
        idle.lake.pin()
    assert idle.tick() == "Silver is at version 1, Gold has it."


def test_optimize_and_vacuum_ask_for_nothing_and_change_no_data_version(idle: Daemon) -> None:
    append(idle, MONDAY)
    idle.tick()
    idle.end_all()
    idle.tick()
    silver = DeltaTable(idle.lake.silver)
    silver.optimize.compact()
    silver.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    silver.alter.add_columns(Field("store", PrimitiveType("string")))
    version = DeltaTable(idle.lake.silver).version()
    assert version > 1
    assert (
        idle.tick() == f"Silver is at version {version}: no row of Gold's dates changed since version 1, Gold has it."
    )
    assert idle.remembered.followed == version
    assert not idle.in_flight()
    assert idle.data_version(MONDAY) == f"1@{short_id(idle.lake)}"


def test_runs_carry_the_silver_table_its_versions_and_the_attempt(idle: Daemon) -> None:
    append(idle, WEDNESDAY)
    append(idle, WEDNESDAY)
    idle.tick()
    [run] = idle.in_flight()
    table_id = DeltaTable(idle.lake.silver).metadata().id
    assert {tag: run.tags[tag] for tag in (TABLE_TAG, VERSIONS_TAG, ATTEMPT_TAG)} == {
        TABLE_TAG: table_id,
        VERSIONS_TAG: "1-2",
        ATTEMPT_TAG: "1",
    }
    assert run.tags["dagster/run_key"] == f"{table_id} 1-2 attempt 1 {WED}...{WED}"


def test_no_tag_and_no_key_of_a_run_grows_with_its_dates(idle: Daemon) -> None:
    workdays = [date for date in days(dt.date(2016, 1, 1), dt.date(2025, 12, 31)) if date.weekday() < 5]
    files = [
        {"path": f"event_date={date}/a.parquet", "partitionValues": {"event_date": str(date)}, "size": 1}
        for date in workdays
    ]
    commit(Path(idle.lake.silver), *({"add": file | {"modificationTime": 0, "dataChange": True}} for file in files))
    idle.window = (workdays[0], workdays[-1])
    requests = idle.evaluate().run_requests or []
    touched = [touched_dates(dg.DagsterRun("gold", run_config=request.run_config)) or set() for request in requests]
    assert set().union(*touched) == set(workdays)
    assert max(len(text) for request in requests for text in (request.run_key or "", *request.tags.values())) < 200


def test_many_ranges_become_few_by_filling_the_smallest_gaps(idle: Daemon) -> None:
    append(idle, *(later(day) for day in (1, 5, 6, 9, 11, 20, 22, 31)))
    idle.tick()
    asked = idle.asked_for()
    assert [f"{first[-2:]}-{last[-2:]}" for first, last in asked] == ["01-01", "05-11", "20-22", "31-31"]
    assert len(asked) == MOST_RUNS


@pytest.mark.parametrize("most", [1, 2, 3, 4, 9])
def test_bridging_covers_every_date_with_no_more_ranges_than_allowed(most: int) -> None:
    dates = {later(day) for day in (1, 2, 5, 9, 14, 20, 21)}
    ranges = bridged(dates, most)
    assert len(ranges) == min(most, 5)
    assert all(any(first <= date <= last for first, last in ranges) for date in dates)
    assert all(first in dates and last in dates for first, last in ranges)
    assert bridged([], most) == []


# Dates without a partition


def test_dates_outside_the_partition_window_are_named_in_every_tick_and_not_asked_for(idle: Daemon) -> None:
    append(idle, later(40))
    outside = f" Silver has rows outside the partition window {WINDOW[0]} to {WINDOW[1]}, which are not asked for: 2024-02-09."
    assert (
        idle.tick() == f"Silver is at version 1: no row of Gold's dates changed since version 0, Gold has it.{outside}"
    )
    assert idle.tick() == f"Silver is at version 1, Gold has it.{outside}"
    assert not idle.in_flight()
    assert idle.data_version(later(40)) is None


def test_a_tick_that_asks_for_runs_names_the_dates_outside_in_its_log(idle: Daemon) -> None:
    append(idle, later(40), WEDNESDAY)
    assert idle.tick() == ""
    assert "not asked for: 2024-02-09" in idle.log.text


def test_a_date_that_enters_the_partition_window_is_asked_for_then(idle: Daemon) -> None:
    append(idle, later(32), later(33))
    idle.tick()
    idle.window = (WINDOW[0], later(32))
    assert idle.tick() == ""
    assert idle.asked_for() == [("2024-02-01", "2024-02-01")]
    assert idle.data_version(later(32)) is not None
    idle.end_all()
    assert "not asked for: 2024-02-02" in idle.tick()
    idle.window = (WINDOW[0], later(33))
    idle.tick()
    assert idle.asked_for() == [("2024-02-02", "2024-02-02")]


def test_rows_without_a_date_reach_the_quarantine_with_the_newest_date(idle: Daemon) -> None:
    append(idle, None)
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE)]
    idle.end_all()
    assert idle.tick() == "Silver is at version 1, Gold has it."


# One window in flight


def test_while_a_run_is_in_flight_nothing_is_asked_for_and_what_lands_joins_the_next_window(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.tick()
    append(idle, WEDNESDAY)
    append(idle, later(9))
    [run] = idle.in_flight()
    assert idle.tick().startswith(f"Waiting for Gold to get Silver's version 1: run {run.run_id[:8]} for {TUE}, for ")
    assert [run] == idle.in_flight()
    idle.end_all()
    assert idle.tick() == ""
    assert idle.asked_for() == [(WED, WED), ("2024-01-09", "2024-01-09")]
    assert {run.tags[VERSIONS_TAG] for run in idle.in_flight()} == {"2-3"}


def test_what_is_asked_for_is_remembered_until_its_run_has_succeeded(idle: Daemon) -> None:
    append(idle, MONDAY, WEDNESDAY)
    idle.tick()
    first, second = idle.in_flight()
    idle.end(first)
    idle.tick()
    assert [str(asked.dates[0]) for asked in idle.remembered.asked] == [second.tags["dagster/partition"]]
    idle.end(second)
    idle.tick()
    assert idle.remembered.asked == ()


def test_a_queued_run_is_waited_for_however_long_it_takes(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.tick()
    idle.late = 100_000
    assert idle.tick().startswith("Waiting for Gold to get Silver's version 1")
    assert len(idle.in_flight()) == 1


# What does not succeed


@pytest.mark.parametrize(("how", "what"), [(FAILED, "failed"), (CANCELED, "was cancelled")])
def test_a_window_whose_run_did_not_succeed_is_asked_for_again_and_the_tick_says_so(
    idle: Daemon, how: DagsterEventType, what: str
) -> None:
    append(idle, TUESDAY)
    idle.tick()
    [run] = idle.in_flight()
    idle.end(run, how)
    assert idle.tick() == (
        f"Gold does not have Silver's version 1 yet: run {run.run_id[:8]} for {TUE} {what}, attempt 2 follows in 10 s."
    )
    assert not idle.in_flight()
    idle.late = 11
    assert idle.tick() == ""
    [again] = idle.in_flight()
    assert again.tags[ATTEMPT_TAG] == "2"
    assert again.tags[VERSIONS_TAG] == "1-1"
    idle.end_all()
    idle.tick()
    assert idle.remembered.followed == 1


def test_a_pause_is_no_longer_because_a_clock_is_put_back(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.late = 30 * 86_400
    idle.tick()
    idle.end_all(FAILED)
    idle.tick()
    idle.late = 0
    assert "attempt 2 follows in 600 s" in idle.tick()
    idle.late = 601
    assert idle.tick() == ""


def test_a_deleted_run_is_asked_for_again(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.tick()
    [run] = idle.in_flight()
    idle.instance.delete_run(run.run_id)
    assert f"the run for {TUE} is gone" in idle.tick()
    idle.late = 11
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE)]


def test_a_run_that_a_crashed_daemon_never_launched_is_asked_for_again(idle: Daemon) -> None:
    append(idle, TUESDAY)
    result = idle.evaluate()
    [request] = result.run_requests or []
    tags = {**request.tags, "dagster/partition": str(request.partition_key)}
    idle.instance.create_run_for_job(micro_batch, tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)
    idle.cursor = result.cursor
    assert idle.tick().startswith("Waiting")
    idle.late = 301
    assert "was never launched" in idle.tick()
    idle.late = 312
    idle.tick()
    assert [run.tags[ATTEMPT_TAG] for run in idle.in_flight()] == ["1", "2"]


def test_the_pause_grows_with_every_attempt_up_to_ten_minutes_and_there_is_always_another(idle: Daemon) -> None:
    append(idle, TUESDAY)
    pauses = []
    for attempt in range(1, 11):
        assert idle.tick() == ""
        [run] = idle.in_flight()
        assert run.tags[ATTEMPT_TAG] == str(attempt)
        idle.end(run, FAILED)
        said = idle.tick()
        pauses.append(int(said.split(" follows in ")[1].split(" s.")[0]))
        idle.late += pauses[-1] - 3
        assert f"attempt {attempt + 1} follows in" in idle.tick()
        idle.late += 4
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]


def test_only_the_ranges_that_did_not_succeed_are_asked_for_again(idle: Daemon) -> None:
    append(idle, MONDAY, WEDNESDAY, later(9))
    idle.tick()
    first, second, third = sorted(idle.in_flight(), key=lambda run: run.tags["dagster/partition"])
    idle.end(second, FAILED)
    assert "failed" in idle.tick()
    idle.end(first)
    idle.end(third, CANCELED)
    said = idle.tick()
    assert "failed" in said
    assert "was cancelled" in said
    idle.late = 11
    idle.tick()
    assert idle.asked_for() == [(WED, WED), ("2024-01-09", "2024-01-09")]
    idle.end_all()
    assert idle.tick() == "Silver is at version 1, Gold has it."


def test_a_failed_run_that_a_person_re_executes_counts(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.tick()
    [run] = idle.in_flight()
    idle.end(run, FAILED)
    idle.tick()
    by_hand = idle.instance.create_run_for_job(micro_batch, tags=run.tags, status=dg.DagsterRunStatus.STARTED)
    assert idle.tick().startswith("Waiting")
    idle.end(by_hand)
    assert idle.tick() == "Silver is at version 1, Gold has it."


def test_what_lands_while_a_window_fails_is_not_lost(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.tick()
    idle.end_all(FAILED)
    idle.tick()
    append(idle, WEDNESDAY)
    idle.tick()
    assert idle.asked_for() == [(WED, WED)]
    idle.end_all()
    idle.late = 11
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE)]


def test_a_date_that_cannot_be_made_waits_by_itself_while_all_others_are_followed(idle: Daemon) -> None:
    append(idle, TUESDAY)
    for attempt in range(1, 6):
        idle.tick()
        idle.end_all(FAILED)
        append(idle, TUESDAY, later(5 + attempt))
        idle.tick()
        assert idle.asked_for() == [(str(later(5 + attempt)),) * 2]
        idle.end_all()
        said = idle.tick()
        assert said.startswith("Gold does not have Silver's version 1 yet: run ")
        assert f" for {TUE} failed, attempt {attempt + 1} follows in " in said
        assert said.endswith(f" It has all else, up to version {attempt + 1}.")
        idle.late += 5 * 2**attempt
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE)]
    idle.end_all()
    assert idle.tick() == "Silver is at version 6, Gold has it."


def test_of_many_dates_in_one_run_the_one_that_cannot_be_made_is_found_by_parts(idle: Daemon) -> None:
    append(idle, *(later(day) for day in range(1, 29)))
    bad = "2024-01-17"
    made: set[dt.date] = set()
    for _ in range(4):
        idle.tick()
        for run in idle.in_flight():
            first, last = dates_of(run)
            if first <= bad <= last:
                idle.end(run, FAILED)
            else:
                made |= touched_dates(run) or set()
                idle.end(run)
        idle.tick()
        idle.late += 1000
    idle.tick()
    assert idle.asked_for() == [(bad, bad)]
    assert made == {later(day) for day in range(1, 29)} - {dt.date.fromisoformat(bad)}


def test_dates_that_a_waiting_run_leaves_alone_are_followed(idle: Daemon) -> None:
    append(idle, *(later(day) for day in (1, 3, 5, 7, 9, 20)))
    idle.tick()
    assert ("2024-01-01", "2024-01-05") in idle.asked_for()
    idle.end_all(FAILED)
    append(idle, later(2), later(3))
    idle.tick()
    assert idle.asked_for() == [("2024-01-02", "2024-01-02")]


def test_more_ranges_than_there_is_room_for_wait_together_and_none_is_lost() -> None:
    waiting = [
        Asked(
            (1, 1), (later(2 * n + 5 * (n // 10)), later(2 * n + 5 * (n // 10))), attempt=n, again_at=n, run_id=str(n)
        )
        for n in range(30)
    ]
    few = no_more_than(waiting, 3)
    assert [each.dates for each in few] == [(waiting[n].dates[0], waiting[n + 9].dates[1]) for n in (0, 10, 20)]
    assert [(each.attempt, each.again_at, each.run_id) for each in few] == [(n, n, None) for n in (9, 19, 29)]
    assert no_more_than(waiting, 30) == waiting


def test_what_waits_outside_a_window_that_was_moved_is_asked_for_no_more(idle: Daemon) -> None:
    append(idle, MONDAY, TUESDAY, later(10), later(31))
    idle.tick()
    idle.end_all(FAILED)
    idle.tick()
    idle.late = 11
    idle.window = (TUESDAY, later(20))
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE), ("2024-01-10", "2024-01-10")]
    idle.end_all(FAILED)
    idle.tick()
    idle.window = (later(15), later(20))
    assert "Gold has it." in idle.tick()


# Crashes and mistakes


def test_a_daemon_that_dies_before_it_stores_the_cursor_asks_for_no_run_twice(idle: Daemon) -> None:
    append(idle, TUESDAY, later(9))
    result = idle.evaluate()
    idle.observe(result)
    idle.launch(result)
    before = {run.run_id for run in idle.in_flight()}
    idle.tick()
    assert {run.run_id for run in idle.in_flight()} == before
    idle.end_all()
    assert idle.tick() == "Silver is at version 1, Gold has it."


def test_a_daemon_that_dies_between_two_runs_of_a_window_creates_the_other_after_its_restart(idle: Daemon) -> None:
    append(idle, TUESDAY, later(9))
    result = idle.evaluate()
    idle.launch(result._replace(run_requests=(result.run_requests or [])[:1]))
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE), ("2024-01-09", "2024-01-09")]


def test_a_cursor_reset_by_a_person_asks_for_everything_once_more(idle: Daemon) -> None:
    for attempt in ("2", "3"):
        idle.cursor = None
        assert idle.tick() == ""
        [run] = idle.in_flight()
        assert (run.tags[VERSIONS_TAG], run.tags[ATTEMPT_TAG]) == ("0-0", attempt)
        idle.end_all()
        assert idle.tick() == "Silver is at version 0, Gold has it."


@pytest.mark.parametrize("cursor", ["", "17", "not JSON", "[]", '{"applied": "x"}', '{"requested": {"to": 1}}'])
def test_a_cursor_that_makes_no_sense_asks_for_everything(idle: Daemon, cursor: str) -> None:
    idle.cursor = cursor
    assert idle.tick() == ""
    assert idle.asked_for() == [(MON, TUE)]


def test_two_sensors_by_mistake_both_come_to_rest(idle: Daemon) -> None:
    other = Daemon(idle.lake, idle.instance)
    other.cursor = idle.cursor
    append(idle, TUESDAY)
    for sensor in (idle, other):
        sensor.tick()
    idle.end_all()
    for sensor in (idle, other):
        assert sensor.tick() == "Silver is at version 1, Gold has it."


def test_a_manual_run_of_the_same_dates_takes_nothing_from_the_window(idle: Daemon) -> None:
    append(idle, TUESDAY)
    by_hand = idle.instance.create_run_for_job(
        micro_batch, tags={"dagster/partition": TUE}, status=dg.DagsterRunStatus.STARTED
    )
    idle.end(by_hand)
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE)]


# Gold itself


@pytest.mark.sail
@pytest.mark.parametrize("how", ["from a backup of its files", "by a RESTORE", "lost"])
def test_gold_that_is_put_back_to_an_older_state_is_asked_for_where_it_is_behind(
    idle: Daemon, engine: Engine, how: str
) -> None:
    refresh(idle.lake, engine, [MONDAY, TUESDAY])
    assert idle.tick() == "Silver is at version 0, Gold has it."
    versions = {place: DeltaTable(place).version() for place in idle.lake.places.values()}
    for place in versions:
        shutil.copytree(place, f"{place}-backup")
    append(idle, TUESDAY)
    idle.tick()
    refresh(idle.lake, engine, [TUESDAY], how="patch")
    idle.end_all()
    assert idle.tick() == "Silver is at version 1, Gold has it."
    for place, version in versions.items():
        if how == "by a RESTORE":
            DeltaTable(place).restore(version)
            continue
        shutil.rmtree(place)
        if how == "from a backup of its files":
            shutil.move(f"{place}-backup", place)
    idle.tick()
    assert idle.asked_for() == [(MON, TUE) if how == "lost" else (TUE, TUE)]
    idle.end_all()
    assert idle.tick() == "Silver is at version 1, Gold has it."


@pytest.mark.sail
def test_gold_that_is_put_back_before_the_next_look_after_its_run_is_asked_for(idle: Daemon, engine: Engine) -> None:
    refresh(idle.lake, engine, [MONDAY, TUESDAY])
    idle.tick()
    append(idle, TUESDAY)
    idle.tick()
    for name, place in idle.lake.places.items():
        told = {"table_version": DeltaTable(place).version() + 1}
        idle.instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=TUE, metadata=told))
    idle.end_all()
    idle.tick()
    assert idle.asked_for() == [(TUE, TUE)]


@pytest.mark.sail
def test_what_people_do_to_gold_asks_for_nothing(idle: Daemon, engine: Engine) -> None:
    for _ in range(2):
        refresh(idle.lake, engine, [MONDAY, TUESDAY])
        assert idle.tick() == "Silver is at version 0, Gold has it."


# Silver itself


def test_a_silver_made_anew_starts_over_from_its_beginning(idle: Daemon) -> None:
    for _ in range(3):
        append(idle, TUESDAY)
    idle.tick()
    idle.end_all()
    idle.tick()
    write_silver(Lake(NO_TABLES, idle.lake.places["user_spend_summary"], {}), [row(event_date=MONDAY)])
    shutil.rmtree(idle.lake.silver)
    append(idle, TUESDAY)
    idle.tick()
    assert idle.asked_for() == [(MON, TUE)]
    idle.end_all()
    assert idle.tick() == "Silver is at version 0, Gold has it."
    # Though the old table's version 3 was observed.
    assert idle.data_version(TUESDAY) == f"0@{short_id(idle.lake)}"


def test_a_silver_made_anew_while_a_window_is_in_flight_drops_the_window(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.tick()
    idle.end_all(FAILED)
    idle.tick()
    shutil.rmtree(idle.lake.silver)
    append(idle, WEDNESDAY)
    idle.tick()
    assert idle.asked_for() == [(WED, WED)]


def test_a_silver_put_back_to_an_older_version_starts_over(idle: Daemon) -> None:
    backup = f"{idle.lake.silver}-backup"
    shutil.copytree(idle.lake.silver, backup)
    append(idle, WEDNESDAY)
    idle.tick()
    idle.end_all()
    idle.tick()
    shutil.rmtree(idle.lake.silver)
    shutil.copytree(backup, idle.lake.silver)
    idle.tick()
    assert idle.asked_for() == [(MON, TUE)]


def test_a_row_on_a_day_that_python_does_not_know_stops_no_other(idle: Daemon) -> None:
    far = pa.Table.from_pylist([row()], schema=SCHEMA)
    far = far.set_column(5, "event_date", pa.array([6_668_000], pa.int32()).cast(pa.date32()))
    write_deltalake(idle.lake.silver, far, mode="append")
    append(idle, WEDNESDAY)
    idle.tick()
    assert idle.asked_for() == [(WED, WED)]


def test_where_the_log_no_longer_reaches_back_every_date_is_asked_for(idle: Daemon) -> None:
    append(idle, WEDNESDAY)
    append(idle, later(4))
    cut_log(idle.lake, 2)
    assert not (Path(idle.lake.silver) / "_delta_log" / f"{1:020}.json").exists()
    idle.tick()
    assert idle.asked_for() == [(MON, "2024-01-04")]
    assert "Every date is asked for, because the log no longer has version 1." in idle.log.text


def test_a_log_of_more_commits_than_a_tick_reads_is_read_on_in_the_next(
    idle: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gold_assets.micro_batches.micro_batch._COMMITS", 100)
    log, added = Path(idle.lake.silver) / "_delta_log", {150: TUESDAY, 240: WEDNESDAY}
    for version in range(1, 251):
        action: dict[str, object] = {"commitInfo": {"operation": "WRITE", "timestamp": version}}
        if version in added:
            date = str(added[version])
            add = {"path": f"event_date={date}/a.parquet", "partitionValues": {"event_date": date}, "size": 1}
            action = {"add": add | {"modificationTime": 0, "dataChange": True}}
        (log / f"{version:020}.json").write_text(json.dumps(action))
    assert idle.tick().startswith("Silver's log is read up to version 100 of 250, and on from there next time.")
    assert (idle.remembered.followed, idle.in_flight()) == (100, [])
    for version, date in ((200, TUE), (250, WED)):
        assert idle.tick() == ""
        assert (idle.remembered.followed, idle.asked_for()) == (version, [(date, date)])
        idle.end_all()
    assert idle.tick() == "Silver is at version 250, Gold has it."
    table = short_id(idle.lake)
    assert (idle.data_version(TUESDAY), idle.data_version(WEDNESDAY)) == (f"150@{table}", f"240@{table}")


def test_files_that_take_longer_to_ask_for_their_dates_than_a_tick_has_are_asked_on_in_the_next(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gold_assets.micro_batches.micro_batch._SECONDS", 0)
    write_silver(daemon.lake, [row(), row(event_date=WEDNESDAY)], partition_by=[])
    [file] = Path(daemon.lake.silver).glob("*.parquet")
    size = file.stat().st_size
    copies = [Path(shutil.copy(file, file.with_name(f"{n}.parquet"))).name for n in range(70)]
    add = {"partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": True}
    commit(Path(daemon.lake.silver), *({"add": add | {"path": name}} for name in copies))
    said = daemon.tick()
    assert said.endswith(
        " of Silver's files are still to be asked for their dates, and the next tick goes on with them."
    )
    assert 0 < int(said.split()[0]) < 70
    assert daemon.tick() == ""
    assert daemon.asked_for() == [(MON, MON), (WED, WED)]


def test_where_nothing_tells_the_dates_of_a_removed_file_every_date_is_asked_for_and_the_tick_says_so(
    idle: Daemon,
) -> None:
    commit(Path(idle.lake.silver), {"remove": {"path": "x.parquet", "dataChange": True, "deletionTimestamp": 0}})
    idle.tick()
    assert idle.asked_for() == [(MON, TUE)]
    assert "because neither the log nor the file tells which dates x.parquet holds, which version 1 " in idle.log.text


def test_columns_of_silver_that_take_each_others_names_ask_for_every_date_that_silver_or_gold_holds(
    idle: Daemon,
) -> None:
    write_silver(Lake(NO_TABLES, idle.lake.places["high_risk_txns"], {}), [row(event_date=WEDNESDAY)])
    swap_two_columns([row()])(idle.lake)
    idle.tick()
    assert idle.asked_for() == [(MON, WED)]
    assert "Every date is asked for, because version 2 put another column in the place of amount." in idle.log.text
    table = short_id(idle.lake)
    assert {idle.data_version(date) for date in (MONDAY, TUESDAY, WEDNESDAY)} == {f"2@{table}"}


def test_a_silver_without_partitions_is_asked_for_by_the_dates_of_its_files(daemon: Daemon) -> None:
    write_silver(daemon.lake, [row(), row(event_date=WEDNESDAY)], partition_by=[])
    daemon.tick()
    assert daemon.asked_for() == [(MON, MON), (WED, WED)]
    daemon.end_all()
    append(daemon, TUESDAY)
    daemon.tick()
    assert daemon.asked_for() == [(TUE, TUE)]
    daemon.end_all()
    DeltaTable(daemon.lake.silver).delete("event_date = '2024-01-03'")
    daemon.tick()
    assert daemon.asked_for() == [(MON, MON), (WED, WED)], "the file that was written anew holds both"


def test_log_clean_up_makes_no_old_date_look_changed(idle: Daemon) -> None:
    table = short_id(idle.lake)
    append(idle, WEDNESDAY)
    append(idle, later(4))
    cut_log(idle.lake, 2)
    idle.tick()
    assert [idle.data_version(date) for date in (MONDAY, TUESDAY)] == [f"0@{table}", f"0@{table}"]
    assert idle.data_version(WEDNESDAY) == f"1@{table}"  # the oldest version known: it was not observed before
    assert idle.data_version(later(4)) == f"2@{table}"


# Observations


def test_changed_dates_are_observed_at_the_version_that_changed_them_and_no_others(idle: Daemon) -> None:
    table = short_id(idle.lake)
    append(idle, TUESDAY)
    append(idle, WEDNESDAY)
    result = idle.evaluate()
    observed = [event for event in result.asset_events if isinstance(event, dg.AssetObservation)]
    assert {(event.partition, event.tags["dagster/data_version"]) for event in observed} == {
        (TUE, f"1@{table}"),
        (WED, f"2@{table}"),
    }


def test_a_repeated_tick_observes_nothing_twice(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.observe(idle.evaluate())
    assert idle.evaluate().asset_events == []


def cut_log(lake: Lake, oldest: int) -> None:
    """Leave a checkpoint and the commits from ``oldest`` on, as log clean-up does."""
    DeltaTable(lake.silver, version=oldest).create_checkpoint()
    for file in (Path(lake.silver) / "_delta_log").glob("*.json"):
        if int(file.stem) < oldest:
            file.unlink()


def test_the_cursor_is_json_that_a_person_can_read(idle: Daemon) -> None:
    append(idle, TUESDAY)
    idle.tick()
    remembered = json.loads(idle.cursor or "")
    assert remembered.pop("silver").keys() == {"version", "size", "modified"}
    assert remembered == {
        "table_id": DeltaTable(idle.lake.silver).metadata().id,
        "followed": 1,
        "commit": DeltaLog(idle.lake.silver).fingerprint(1),
        "gold": dict.fromkeys(idle.lake.places),
        "window": ["2024-01-01", "2024-01-31"],
        "outside": "",
        "asked": [{"versions": [1, 1], "dates": [TUE, TUE], "attempt": 1, "again_at": None, "run_id": None}],
        "held": [],
        "decisions": None,
        "safeguards": dataclasses.asdict(Safeguards()),
    }


def cursor_before(idle: Daemon, *ranges: tuple[str, str]) -> str:
    """That of the release before, after a window over these ranges was asked for."""
    log = DeltaLog(idle.lake.silver)
    asked = [list(ends) for ends in ranges]
    to = DeltaTable(idle.lake.silver).version()
    window = {
        "to": to,
        "commit": log.fingerprint(to),
        "attempt": 1,
        "ranges": asked,
        "touched": asked,
        "again_at": None,
    }
    before = {"table_id": idle.remembered.table_id, "applied": 0, "commit": log.fingerprint(0)}
    return json.dumps({**before, "window": list(map(str, WINDOW)), "requested": window if ranges else None})


def cursor_of_0_1_0(idle: Daemon, *ranges: tuple[str, str]) -> str:
    """The same of the first release, which told of no commit, and not which dates of a range were touched."""
    cursor = json.loads(cursor_before(idle, *ranges))
    del cursor["commit"]
    for name in ("commit", "touched") if ranges else ():
        del cursor["requested"][name]
    return json.dumps(cursor)


OF_EARLIER_RELEASES = pytest.mark.parametrize("cursor_of", [cursor_before, cursor_of_0_1_0])


@OF_EARLIER_RELEASES
def test_a_cursor_of_an_earlier_release_goes_on_with_what_it_had_asked_for(
    idle: Daemon, cursor_of: Callable[..., str]
) -> None:
    append(idle, TUESDAY, later(9))
    idle.tick()
    idle.cursor = cursor_of(idle, (TUE, TUE), ("2024-01-09", "2024-01-09"))
    assert idle.tick().startswith("Waiting for Gold to get Silver's version 1: run ")
    first, second = sorted(idle.in_flight(), key=lambda run: run.tags["dagster/partition"])
    idle.end(first)
    idle.end(second, FAILED)
    assert "for 2024-01-09 failed, attempt 2 follows in 10 s" in idle.tick()
    idle.late = 11
    idle.tick()
    assert idle.asked_for() == [("2024-01-09", "2024-01-09")]
    idle.end_all()
    assert idle.tick() == "Silver is at version 1, Gold has it."


@OF_EARLIER_RELEASES
def test_a_cursor_of_an_earlier_release_with_nothing_in_flight_follows_on(
    idle: Daemon, cursor_of: Callable[..., str]
) -> None:
    idle.cursor = cursor_of(idle)
    append(idle, WEDNESDAY)
    idle.tick()
    assert idle.asked_for() == [(WED, WED)]
