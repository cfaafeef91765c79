"""Maintenance changes files, never content, and only those that need it. The same on both engines."""

import dataclasses
import datetime as dt
import json
import os
import shutil
import time
from collections.abc import Collection, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.checks.findings import Limits
from gold_assets.checks.publishing import publish
from gold_assets.delta.commit_races import CommitConflict
from gold_assets.delta.errors import UserError
from gold_assets.engines import ROWS_A_ROW_GROUP, Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.maintenance import Maintained, MaintenanceFailed, dates_out_of_order, maintain
from gold_assets.gold.publication import Publication, Publications
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import USER_SPEND_SUMMARY
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.small_silver import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    ask_readers_for,
    high_risk_row,
    rename_columns,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true, rows_of

SPEND = "user_spend_summary"
LATER = dt.date(2024, 2, 1)
A_MONTH_AGO = 32 * 86_400


def three_dates(lake: Lake, engine: Engine) -> None:
    write_three_dates(lake)
    refresh(lake, engine, [MONDAY, TUESDAY, WEDNESDAY])


@pytest.fixture
def gold(copy_of: CopyOf) -> Lake:
    """Three dates of every table, users in no order."""
    return copy_of(three_dates)


def write_three_dates(lake: Lake) -> None:
    names = [f"user {n * 37 % 100:02}" for n in range(100)]
    rows = [high_risk_row(user_id=name, event_date=date) for date in (MONDAY, TUESDAY, WEDNESDAY) for name in names]
    write_silver(lake, [*rows, row(user_id=None), row(event_date=None)])


def refresh_again(lake: Lake, engine: Engine, *dates: dt.date) -> None:
    refresh(lake, engine, dates, tables=[USER_SPEND_SUMMARY])


def assert_content_is_true(lake: Lake) -> None:
    assert_gold_is_true(lake, tables=[SPEND])


def spend(lake: Lake) -> DeltaTable:
    return DeltaTable(lake.places[SPEND])


def files_of(lake: Lake, date: dt.date, name: str = SPEND) -> set[str]:
    return set(DeltaTable(lake.places[name]).file_uris(file_pruning_predicate=[("event_date", "=", date)]))


def stored(lake: Lake, name: str = SPEND) -> set[Path]:
    return set(Path(lake.places[name]).glob("event_date=*/*.parquet"))


def out_of_order(lake: Lake) -> set[dt.date]:
    return dates_out_of_order(spend(lake), USER_SPEND_SUMMARY.zorder_by)


def order(lake: Lake, engine: Engine, **asked: Any) -> Maintained:
    """What OPTIMIZE did to the one table."""
    return maintain(lake, engine, [USER_SPEND_SUMMARY], **{"today": LATER, "vacuum": False, **asked})[SPEND]


def vacuum(lake: Lake, engine: Engine, **asked: Any) -> Maintained:
    """What VACUUM did to the one table."""
    return maintain(lake, engine, [USER_SPEND_SUMMARY], **{"zorder": False, **asked})[SPEND]


def age_files(lake: Lake, name: str = SPEND) -> None:
    """Let every file look a month old, and the log say that those removed were removed then."""
    table = Path(lake.places[name])
    long_ago = time.time() - A_MONTH_AGO
    for path in table.rglob("*.parquet"):
        os.utime(path, (long_ago, long_ago))
    for commit in (table / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        for action in actions:
            if "remove" in action:
                action["remove"]["deletionTimestamp"] = int(long_ago * 1000)
            if "commitInfo" in action:
                action["commitInfo"]["timestamp"] = int(long_ago * 1000)
        commit.write_text("\n".join(json.dumps(action) for action in actions) + "\n")
        (commit.parent / f".{commit.name}.crc").unlink(missing_ok=True)
        os.utime(commit, (long_ago, long_ago))


def test_every_table_keeps_its_content(gold: Lake, engine: Engine) -> None:
    before = {name: rows_of(uri).num_rows for name, uri in gold.places.items()}
    done = maintain(gold, engine, today=LATER)
    assert set(done) == {table.name for table in gold.tables}
    assert {name: rows_of(uri).num_rows for name, uri in gold.places.items()} == before
    assert_gold_is_true(gold)


def test_columns_of_every_type_keep_their_values(lake: Lake, engine: Engine) -> None:
    schema = with_type("event_ts", pa.timestamp("us", tz="UTC"), with_type("amount", pa.decimal128(20, 6)))
    schema = with_type("tags", pa.list_(pa.string()), with_type("is_refund", pa.bool_(), schema))
    noon = dt.datetime(2024, 1, 1, 12, 0, 0, 1, tzinfo=dt.timezone.utc)
    more = {"event_ts": noon, "tags": ["a", None, ""], "is_refund": True, "amount": Decimal("1.000001")}
    empty = {"event_ts": None, "tags": None, "is_refund": None, "amount": None}
    write_silver(lake, [high_risk_row(**more), row(**empty), row(**{**more, "user_id": None})], schema=schema)
    refresh(lake, engine, [MONDAY])
    schemas = {name: rows_of(uri).schema for name, uri in lake.places.items()}
    done = maintain(lake, engine, today=LATER)
    assert all(table.ordered == (MONDAY,) for table in done.values())
    assert {name: rows_of(uri).schema for name, uri in lake.places.items()} == schemas
    assert_gold_is_true(lake)


def test_rows_are_in_the_order_of_the_zorder_columns(gold: Lake, engine: Engine) -> None:
    assert pq.read_table(*files_of(gold, MONDAY))["user_id"].to_pylist() != sorted(users(gold))
    order(gold, engine)
    assert pq.read_table(*files_of(gold, MONDAY))["user_id"].to_pylist() == sorted(users(gold))


def users(lake: Lake) -> list[str]:
    return [each["user_id"] for each in rows_of(lake.places[SPEND]).to_pylist() if each["event_date"] == MONDAY]


def test_many_files_of_a_date_become_one(gold: Lake, engine: Engine) -> None:
    rows = rows_of(gold.places[SPEND])
    for n in range(5):
        write_deltalake(gold.places[SPEND], rows.slice(n, 1), mode="append")
    refreshed = rows_of(gold.places[SPEND]).num_rows
    done = order(gold, engine)
    assert (done.files_before, done.files_after) == (8, 3)
    assert done.bytes_after < done.bytes_before
    assert rows_of(gold.places[SPEND]).num_rows == refreshed


def test_without_columns_to_order_by_the_files_of_a_date_become_one_and_are_left_alone(
    gold: Lake, engine: Engine
) -> None:
    plain, rows = dataclasses.replace(USER_SPEND_SUMMARY, zorder_by=()), rows_of(gold.places[SPEND])
    for n in range(5):
        write_deltalake(gold.places[SPEND], rows.slice(n, 1), mode="append")
    refreshed = rows_of(gold.places[SPEND]).num_rows
    done = maintain(gold, engine, [plain], today=LATER, vacuum=False)[SPEND]
    assert (done.files_before, done.files_after) == (8, 3)
    assert rows_of(gold.places[SPEND]).num_rows == refreshed
    version = spend(gold).version()
    assert maintain(gold, engine, [plain], today=LATER, vacuum=False)[SPEND].ordered == ()
    assert spend(gold).version() == version


def test_a_look_up_of_a_key_reads_one_small_row_group(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(user_id=f"user {n * 7_919 % 20_000:05}") for n in range(20_000)])
    refresh_again(lake, engine, MONDAY)
    order(lake, engine)
    [file] = files_of(lake, MONDAY)
    metadata = pq.read_metadata(file)
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    assert max(group.num_rows for group in groups) <= ROWS_A_ROW_GROUP
    users = [group.column(0).statistics for group in groups]
    assert sum(user.min <= "user 01000" <= user.max for user in users) == 1


def test_a_second_run_finds_nothing_to_do_and_rewrites_nothing(gold: Lake, engine: Engine) -> None:
    first = order(gold, engine, vacuum=True)
    assert first.ordered == (MONDAY, TUESDAY, WEDNESDAY)
    files = set(spend(gold).file_uris())
    second = order(gold, engine, vacuum=True)
    assert second.ordered == ()
    assert second.skipped == (MONDAY, TUESDAY, WEDNESDAY)
    assert set(spend(gold).file_uris()) == files


def test_only_the_dates_whose_files_changed_are_ordered_again(gold: Lake, engine: Engine) -> None:
    order(gold, engine)
    untouched = files_of(gold, MONDAY) | files_of(gold, WEDNESDAY)
    refresh_again(gold, engine, TUESDAY)
    assert order(gold, engine).ordered == (TUESDAY,)
    assert files_of(gold, MONDAY) | files_of(gold, WEDNESDAY) == untouched


def test_todays_date_and_later_ones_are_left_alone_until_they_have_passed(gold: Lake, engine: Engine) -> None:
    files = files_of(gold, TUESDAY) | files_of(gold, WEDNESDAY)
    done = order(gold, engine, today=TUESDAY)
    assert done.ordered == (MONDAY,)
    assert done.skipped == (TUESDAY, WEDNESDAY)
    assert files_of(gold, TUESDAY) | files_of(gold, WEDNESDAY) == files
    assert order(gold, engine, today=WEDNESDAY).ordered == (TUESDAY,)
    assert order(gold, engine).ordered == (WEDNESDAY,)


def test_dates_that_were_not_asked_for_stay_due(gold: Lake, engine: Engine) -> None:
    assert order(gold, engine, dates=[TUESDAY]).ordered == (TUESDAY,)
    assert out_of_order(gold) == {MONDAY, WEDNESDAY}
    assert order(gold, engine).ordered == (MONDAY, WEDNESDAY)


def test_an_optimize_of_somebody_else_undoes_the_order(gold: Lake, engine: Engine) -> None:
    order(gold, engine)
    write_deltalake(gold.places[SPEND], rows_of(gold.places[SPEND]).slice(0, 0), mode="append")
    assert out_of_order(gold) == set()
    spend(gold).optimize.z_order(["total_spend"], partition_filters=[("event_date", "=", MONDAY)])
    assert out_of_order(gold) == {MONDAY}


def test_other_zorder_columns_make_every_date_due(gold: Lake, engine: Engine) -> None:
    order(gold, engine)
    assert dates_out_of_order(spend(gold), ["total_spend"]) == {MONDAY, TUESDAY, WEDNESDAY}


def test_a_commit_that_came_in_between_is_not_taken_for_ordered(gold: Lake, engine: Engine) -> None:
    stale = spend(gold)
    stamp = {"zorder_by": ["user_id"], "version": stale.version(), "out_of_order": [[str(MONDAY), str(TUESDAY)]]}
    wednesdays = pa.Table.from_pylist(
        [each for each in rows_of(gold.places[SPEND]).to_pylist() if each["event_date"] == WEDNESDAY]
    )
    write_deltalake(gold.places[SPEND], wednesdays.cast(rows_of(gold.places[SPEND]).schema), mode="append")
    engine.optimize(stale, [MONDAY, TUESDAY], ["user_id"], json.dumps({"gold_assets": {"maintenance": stamp}}))
    assert out_of_order(gold) == {WEDNESDAY}


def test_the_state_outlives_the_log_before_the_last_maintenance(gold: Lake, engine: Engine) -> None:
    order(gold, engine, dates=[MONDAY])
    cut_log(gold, before=spend(gold).version())
    assert out_of_order(gold) == {TUESDAY, WEDNESDAY}


def test_where_the_log_is_cut_after_the_last_maintenance_every_date_is_due(gold: Lake, engine: Engine) -> None:
    order(gold, engine)
    refresh_again(gold, engine, MONDAY)
    cut_log(gold, before=spend(gold).version())
    assert out_of_order(gold) == {MONDAY, TUESDAY, WEDNESDAY}
    assert order(gold, engine).ordered == (MONDAY, TUESDAY, WEDNESDAY)
    assert out_of_order(gold) == set()


def cut_log(lake: Lake, before: int) -> None:
    spend(lake).create_checkpoint()
    for commit in (Path(lake.places[SPEND]) / "_delta_log").glob("*.json"):
        if int(commit.name[:20]) < before:
            commit.unlink()


def test_a_reader_of_the_version_before_reads_on(gold: Lake, engine: Engine) -> None:
    reader = spend(gold).to_pyarrow_dataset().to_batches(batch_size=1)
    first = next(reader)
    old = spend(gold).version()
    order(gold, engine, vacuum=True)
    assert first.num_rows + sum(batch.num_rows for batch in reader) == 300
    assert rows_of(gold.places[SPEND], old).num_rows == 300


@pytest.mark.sail
def test_vacuum_deletes_what_no_version_of_the_last_week_needs(gold: Lake, engine: Engine) -> None:
    removed_before_this_week = {Path(uri) for uri in files_of(gold, MONDAY)}
    refresh_again(gold, engine, MONDAY)
    age_files(gold)
    recently_removed = {Path(uri) for uri in files_of(gold, MONDAY)}
    refresh_again(gold, engine, MONDAY)
    recently_removed |= {Path(uri) for uri in files_of(gold, MONDAY)}
    refresh_again(gold, engine, MONDAY)
    live = {Path(uri) for uri in spend(gold).file_uris()}
    [oldest] = set(removed_before_this_week)
    size = oldest.stat().st_size
    done = vacuum(gold, engine)
    assert [Path(gold.places[SPEND]) / path for path in done.deleted] == [oldest]
    assert done.bytes_freed == size
    # Monday's second and third file were of the newest version a moment ago.
    assert stored(gold) == live | recently_removed
    assert_content_is_true(gold)


@pytest.mark.sail
def test_vacuum_deletes_what_a_killed_writer_left(gold: Lake, engine: Engine) -> None:
    for name, age in {"old": A_MONTH_AGO, "new": 0}.items():
        path = Path(gold.places[SPEND], f"event_date={MONDAY}", f"part-{name}.parquet")
        path.write_bytes(b"half a file")
        os.utime(path, (time.time() - age,) * 2)
    done = vacuum(gold, engine)
    assert done.deleted == (f"event_date={MONDAY}/part-old.parquet",)
    assert done.bytes_freed == 11


def test_a_dry_run_says_what_it_would_do_and_does_nothing(gold: Lake, engine: Engine) -> None:
    refresh_again(gold, engine, MONDAY)
    age_files(gold)
    before = (spend(gold).version(), stored(gold))
    would = order(gold, engine, vacuum=True, dry_run=True)
    assert (spend(gold).version(), stored(gold)) == before
    done = order(gold, engine, vacuum=True)
    assert would.dry_run and not done.dry_run
    assert would.ordered == done.ordered == (MONDAY, TUESDAY, WEDNESDAY)
    assert would.deleted == done.deleted
    assert len(done.deleted) == 1
    assert would.bytes_freed == done.bytes_freed > 0


@pytest.mark.sail
@pytest.mark.parametrize("hours", [0, 1, 167, -1])
def test_a_retention_below_a_week_is_refused_before_anything_is_done(gold: Lake, engine: Engine, hours: int) -> None:
    version = spend(gold).version()
    with pytest.raises(UserError, match=f"retention_hours is {hours}, expected 168 or more"):
        vacuum(gold, engine, retention_hours=hours)
    assert spend(gold).version() == version


@pytest.mark.sail
def test_a_retention_below_a_week_is_kept_to_where_it_is_allowed_loudly(
    gold: Lake, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    refresh_again(gold, engine, MONDAY)
    assert vacuum(gold, engine, retention_hours=1, allow_short_retention=True).deleted == ()
    done = vacuum(gold, engine, retention_hours=0, allow_short_retention=True)
    assert len(done.deleted) == 1
    assert "VACUUM keeps 0 hours, and readers of older versions fail" in caplog.text
    assert spend(gold).metadata().configuration["delta.deletedFileRetentionDuration"] == "interval 168 hours"
    assert_content_is_true(gold)


@pytest.mark.sail
def test_a_longer_retention_is_promised_by_the_tables_properties_and_kept_to(gold: Lake, engine: Engine) -> None:
    refresh_again(gold, engine, MONDAY)
    age_files(gold)
    assert vacuum(gold, engine, retention_hours=1000).deleted == ()
    properties = spend(gold).metadata().configuration
    assert properties["delta.deletedFileRetentionDuration"] == "interval 1000 hours"
    assert properties["delta.logRetentionDuration"] == "interval 1000 hours"
    done = vacuum(gold, engine)
    assert (done.retention_hours, done.deleted) == (1000, ())


@pytest.mark.sail
def test_vacuum_keeps_what_the_newest_publication_needs_however_old_it_is_and_says_so(
    gold: Lake, engine: Engine
) -> None:
    publication = published(gold)
    refresh_again(gold, engine, MONDAY)
    age_files(gold)
    refresh_again(gold, engine, MONDAY)
    done = vacuum(gold, engine)
    assert done.deleted == ()
    assert done.held_back.startswith(
        f"VACUUM keeps the files of version {publication.versions[SPEND]}, which readers still go by"
    )
    assert publication.tables[SPEND].open().to_pyarrow_table().num_rows == 300
    published(gold)
    assert vacuum(gold, engine).held_back == ""


@pytest.mark.sail
def test_a_short_retention_keeps_what_publications_of_the_last_week_need_and_nothing_else(
    gold: Lake, engine: Engine
) -> None:
    first = published(gold)
    refresh_again(gold, engine, MONDAY)
    [unpublished] = files_of(gold, MONDAY)
    refresh_again(gold, engine, MONDAY)
    published(gold)
    done = vacuum(gold, engine, retention_hours=0, allow_short_retention=True)
    assert [str(Path(gold.places[SPEND]) / path) for path in done.deleted] == [unpublished]
    assert first.tables[SPEND].open().to_pyarrow_table().num_rows == 300


def let_logs_grow_old(lake: Lake) -> None:
    """Let all that the tables' logs hold be older than it is kept."""
    for place in lake.places.values():
        for entry in (Path(place) / "_delta_log").iterdir():
            os.utime(entry, (time.time() - A_MONTH_AGO,) * 2)


@pytest.mark.sail
def test_the_log_keeps_the_newest_publication_s_version_or_says_so_and_goes_on(gold: Lake, engine: Engine) -> None:
    publication = published(gold)
    refresh_again(gold, engine, MONDAY)
    let_logs_grow_old(gold)
    refresh_again(gold, engine, MONDAY)
    spend(gold).create_checkpoint()
    refresh_again(gold, engine, MONDAY)
    spend(gold).create_checkpoint()
    done = order(gold, engine)
    assert f"The log of {SPEND} is not cleaned, for readers still go by version" in done.held_back
    assert done.ordered == (MONDAY, TUESDAY, WEDNESDAY)
    assert publication.tables[SPEND].open().to_pyarrow_table().num_rows == 300
    published(gold)
    forget_publications_but_the_newest(gold)
    assert order(gold, engine).held_back == ""
    assert not (Path(gold.places[SPEND]) / "_delta_log" / f"{0:020}.json").exists()


def forget_publications_but_the_newest(lake: Lake) -> None:
    """As a week does."""
    newest = Publications(str(lake.published)).newest()
    assert newest is not None
    shutil.rmtree(str(lake.published))
    Publications(str(lake.published)).append(newest)


@pytest.mark.sail
def test_vacuum_goes_on_where_a_published_version_cannot_be_opened_any_more_and_says_so(
    gold: Lake, engine: Engine
) -> None:
    publication = published(gold)
    refresh_again(gold, engine, MONDAY)
    age_files(gold)
    cut_log(gold, before=spend(gold).version())
    done = vacuum(gold, engine)
    assert len(done.deleted) == 1
    assert f"Version {publication.versions[SPEND]} of {SPEND}, which is published, cannot be opened" in done.held_back


@pytest.mark.sail
def test_a_publication_moves_on_with_commits_that_change_no_row(gold: Lake, engine: Engine) -> None:
    before = published(gold)
    maintain(gold, engine, today=LATER)
    after = Publications(str(gold.published), gold.places).newest()
    assert after is not None
    assert after.versions == {name: DeltaTable(uri).version() for name, uri in gold.places.items()} != before.versions
    assert (after.silver_version, after.dates_verified) == (before.silver_version, 0)
    refresh_again(gold, engine, MONDAY)
    order(gold, engine)
    unverified = Publications(str(gold.published), gold.places).newest()
    assert unverified is not None and unverified.versions == after.versions


@pytest.mark.sail
def test_vacuum_deletes_nothing_where_another_table_lies_below(gold: Lake, engine: Engine) -> None:
    below = Path(gold.places[SPEND]) / "another"
    write_deltalake(below, rows_of(gold.places[SPEND]))
    long_ago = time.time() - A_MONTH_AGO
    before = set(Path(gold.places[SPEND]).rglob("*"))
    for path in before:
        os.utime(path, (long_ago, long_ago))
    with pytest.raises(MaintenanceFailed, match=r"A Delta table lies at another below .*, and nothing was deleted"):
        vacuum(gold, engine)
    assert set(Path(gold.places[SPEND]).rglob("*")) >= before


@pytest.mark.sail
def test_a_table_that_cannot_be_ordered_is_vacuumed_and_says_why(gold: Lake, engine: Engine) -> None:
    rename_columns(Path(gold.places[SPEND]), {})
    write_half_a_file(gold)
    done = maintain(gold, engine, today=LATER)
    assert "its columns are mapped" in done[SPEND].not_ordered
    assert (done[SPEND].ordered, len(done[SPEND].deleted)) == ((), 1)
    assert done["high_risk_txns"].not_ordered == "" and len(done["high_risk_txns"].ordered) == 3


@pytest.mark.sail
def test_a_table_with_deletion_vectors_allowed_is_ordered(gold: Lake, engine: Engine) -> None:
    ask_readers_for(Path(gold.places[SPEND]), "deletionVectors")
    assert order(gold, engine).ordered == (MONDAY, TUESDAY, WEDNESDAY)
    assert_content_is_true(gold)


def write_half_a_file(lake: Lake) -> None:
    """What a writer leaves that is killed, a month ago."""
    path = Path(lake.places[SPEND], f"event_date={MONDAY}", "part-old.parquet")
    path.write_bytes(b"half a file")
    os.utime(path, (time.time() - A_MONTH_AGO,) * 2)


def published(lake: Lake) -> Publication:
    publication = publish(lake, Limits(MONDAY, WEDNESDAY)).publication
    assert publication is not None and publication.tables[SPEND].version == spend(lake).version()
    return publication


def test_a_table_that_fails_does_not_stop_the_others_and_the_run_fails(gold: Lake, engine: Engine) -> None:
    [file] = files_of(gold, MONDAY)
    Path(file).unlink()
    with pytest.raises(MaintenanceFailed, match=rf"failed for 1 of {len(gold.tables)} tables: {SPEND} \(") as failed:
        maintain(gold, engine, today=LATER)
    assert "\n" not in str(failed.value)
    others = [table for table in gold.tables if table.name != SPEND]
    assert set(failed.value.maintained) == {table.name for table in others}
    assert not any(dates_out_of_order(DeltaTable(gold.places[table.name]), table.zorder_by) for table in others)


def test_a_table_that_is_not_made_yet_is_left_out(lake: Lake, engine: Engine) -> None:
    assert maintain(lake, engine) == {}


def test_an_empty_table_is_maintained(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    refresh_again(lake, engine, TUESDAY)
    done = order(lake, engine)
    assert (done.files_before, done.files_after, done.ordered, done.skipped) == (0, 0, (), ())


class Overtaken:
    """An engine that another writer overtakes: as often as told, a refresh of the same dates commits first."""

    def __init__(self, engine: Engine, lake: Lake, times: int) -> None:
        self._engine, self._lake, self._times = engine, lake, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def optimize(self, table: DeltaTable, dates: Collection[dt.date], by: Sequence[str], stamp: str) -> None:
        if self._times:
            self._times -= 1
            refresh_again(self._lake, self._engine, *dates)
            if type(self._engine).__name__ == "SparkEngine":  # it reads the newest version itself, and loses no race
                raise CommitConflict("overtaken")
        self._engine.optimize(table, dates, by, stamp)


def test_a_lost_race_is_run_again(gold: Lake, engine: Engine) -> None:
    done = order(gold, Overtaken(engine, gold, times=2))  # type: ignore[arg-type]
    assert done.ordered == (MONDAY, TUESDAY, WEDNESDAY)
    assert out_of_order(gold) == set()
    assert_content_is_true(gold)


@pytest.mark.sail
def test_the_file_of_a_date_that_another_writer_replaced_is_a_conflict(gold: Lake, engine: Engine) -> None:
    stale = spend(gold)
    refresh_again(gold, engine, MONDAY)
    with pytest.raises(CommitConflict):
        engine.optimize(stale, [MONDAY], ["user_id"], "{}")
    assert_content_is_true(gold)


def test_a_long_log_gets_a_checkpoint_and_loses_its_expired_entries(gold: Lake, engine: Engine) -> None:
    log = Path(gold.places[SPEND]) / "_delta_log"
    nothing = rows_of(gold.places[SPEND]).slice(0, 0)
    spend(gold).create_checkpoint()
    checkpoint = spend(gold).version()
    for _ in range(10):
        write_deltalake(gold.places[SPEND], nothing, mode="append")
    long_ago = time.time() - A_MONTH_AGO
    for entry in log.iterdir():
        if entry.name[:20] <= f"{checkpoint + 1:020}":
            os.utime(entry, (long_ago, long_ago))
    order(gold, engine, zorder=False)
    assert json.loads((log / "_last_checkpoint").read_text())["version"] == spend(gold).version()
    commits = [int(path.name[:20]) for path in log.glob("*.json")]
    assert 0 not in commits
    assert DeltaTable(gold.places[SPEND], version=checkpoint + 2).version() == checkpoint + 2
    assert_content_is_true(gold)


def test_a_short_log_is_left_alone(gold: Lake, engine: Engine) -> None:
    order(gold, engine, zorder=False)
    assert not (Path(gold.places[SPEND]) / "_delta_log" / "_last_checkpoint").exists()
