"""Which dates of Silver changed, told by the logs of real tables."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable, Field

from gold_assets.gold.lake import Lake, gold_dates
from gold_assets.silver.changes import SilverChanges, silver_changes
from gold_assets_tests.small_silver import MONDAY, SCHEMA, TUESDAY, WEDNESDAY, row, write_silver


@pytest.fixture
def silver(lake: Lake) -> DeltaTable:
    """Version 0: two rows on Monday, one on Tuesday."""
    return write_silver(lake, [row(), row(user_id="bob"), row(event_date=TUESDAY)])


def log_file(lake: Lake, version: int, kind: str = "json") -> Path:
    return Path(lake.silver) / "_delta_log" / f"{version:020}.{kind}"


def append_commit(lake: Lake, version: int, *actions: dict) -> None:
    log_file(lake, version).write_text("\n".join(map(json.dumps, actions)))


def test_each_date_has_the_newest_version_that_changed_it(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=TUESDAY)])
    write_silver(lake, [row(event_date=WEDNESDAY), row()])
    changes = silver_changes(lake.pin())
    assert changes == SilverChanges(after=-1, to=2, since=-1, last={MONDAY: 2, TUESDAY: 1, WEDNESDAY: 2})
    assert changes.complete


def test_only_commits_after_the_given_version_count(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=TUESDAY)])
    write_silver(lake, [row(event_date=WEDNESDAY)])
    assert silver_changes(lake.pin(), after=1).last == {WEDNESDAY: 2}
    assert silver_changes(lake.pin(), after=2) == SilverChanges(2, 2, 2, {})


def test_commits_after_the_loaded_version_do_not_count(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=WEDNESDAY)])
    assert silver_changes(lake.pin(0)) == SilverChanges(-1, 0, -1, {MONDAY: 0, TUESDAY: 0})


def test_an_update_changes_its_date(lake: Lake, silver: DeltaTable) -> None:
    silver.update(predicate="user_id = 'bob'", updates={"amount": "9.0"})
    assert silver_changes(lake.pin(), after=0).last == {MONDAY: 1}


def test_a_delete_of_every_row_of_a_date_changes_it(lake: Lake, silver: DeltaTable) -> None:
    silver.delete("event_date = '2024-01-02'")
    assert silver_changes(lake.pin(), after=0).last == {TUESDAY: 1}


def test_a_row_that_moves_changes_both_dates(lake: Lake, silver: DeltaTable) -> None:
    silver.update(predicate="user_id = 'bob'", updates={"event_date": "DATE '2024-01-03'"})
    assert silver_changes(lake.pin(), after=0).last == {MONDAY: 1, WEDNESDAY: 1}


def test_an_overwrite_and_a_restore_change_what_they_take_away(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=WEDNESDAY)], mode="overwrite")
    silver = DeltaTable(lake.silver)
    assert silver_changes(lake.pin(), after=0).last == {MONDAY: 1, TUESDAY: 1, WEDNESDAY: 1}
    silver.restore(0)
    assert silver_changes(lake.pin(), after=1).last == {MONDAY: 2, TUESDAY: 2, WEDNESDAY: 2}


def test_optimize_vacuum_and_checkpoints_change_nothing(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row()])
    silver = DeltaTable(lake.silver)
    assert silver.optimize.z_order(["user_id"])["numFilesAdded"] > 0
    silver.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    silver.create_checkpoint()
    assert silver.version() > 1
    changes = silver_changes(lake.pin(), after=1)
    assert changes.last == {}
    assert changes.complete


def test_a_new_column_alone_changes_no_date(lake: Lake, silver: DeltaTable) -> None:
    silver.alter.add_columns(Field("store", "string"))
    assert silver_changes(lake.pin(), after=0).last == {}


def test_rows_without_a_date_are_under_none(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=None)])
    assert silver_changes(lake.pin(), after=0).last == {None: 1}
    assert lake.pin().dates() == {MONDAY, TUESDAY, None}


def test_a_deletion_vector_changes_the_date_of_its_file(lake: Lake, silver: DeltaTable) -> None:
    lines = log_file(lake, 0).read_text().splitlines()
    added = next(file for line in lines if (file := json.loads(line).get("add")) and "01-01" in file["path"])
    vector = {"storageType": "i", "pathOrInlineDv": "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L"}
    vector |= {"sizeInBytes": 40, "cardinality": 1}
    remove = {"path": added["path"], "dataChange": True, "deletionTimestamp": 0, "partitionValues": None}
    append_commit(lake, 1, {"remove": remove}, {"add": added | {"deletionVector": vector}})
    assert silver_changes(lake.pin(), after=0).last == {MONDAY: 1}


@pytest.mark.parametrize(
    ("path", "date"),
    [("event_date=2024-01-02/x.parquet", TUESDAY), ("event_date=__HIVE_DEFAULT_PARTITION__/x.parquet", None)],
)
def test_a_remove_without_partition_values_is_told_by_its_path(
    lake: Lake, silver: DeltaTable, path: str, date: dt.date | None
) -> None:
    append_commit(lake, 1, {"remove": {"path": path, "dataChange": True, "deletionTimestamp": 0}})
    assert silver_changes(lake.pin(), after=0).last == {date: 1}


def test_where_an_action_does_not_tell_its_date_any_date_may_have_changed(lake: Lake, silver: DeltaTable) -> None:
    append_commit(lake, 1, {"remove": {"path": "7f/x.parquet", "dataChange": True, "deletionTimestamp": 0}})
    write_silver(lake, [row(event_date=WEDNESDAY)])
    changes = silver_changes(lake.pin(), after=0)
    assert not changes.complete
    gap = "neither the log nor the file tells which dates 7f/x.parquet holds, which version 1 added or removed"
    assert changes == SilverChanges(after=0, to=2, since=1, last={WEDNESDAY: 2}, gap=gap)


def test_an_empty_partition_value_is_null(lake: Lake, silver: DeltaTable) -> None:
    file = {"path": "x/x.parquet", "partitionValues": {"event_date": ""}, "dataChange": True, "deletionTimestamp": 0}
    append_commit(lake, 1, {"remove": file})
    assert silver_changes(lake.pin(), after=0).last == {None: 1}


def test_a_log_that_no_longer_reaches_back_says_how_far_it_does(lake: Lake, silver: DeltaTable) -> None:
    for date in (TUESDAY, WEDNESDAY, MONDAY):
        write_silver(lake, [row(event_date=date)])
    DeltaTable(lake.silver, version=2).create_checkpoint()
    for version in (0, 1):
        log_file(lake, version).unlink()
    gap = "the log no longer has version 1"
    cut = SilverChanges(after=0, to=3, since=1, last={MONDAY: 3, WEDNESDAY: 2}, gap=gap)
    assert silver_changes(lake.pin(), after=0) == cut
    assert not cut.complete
    assert silver_changes(lake.pin(), after=1).complete


def test_a_table_with_nothing_but_a_checkpoint_tells_nothing_and_says_so(lake: Lake, silver: DeltaTable) -> None:
    silver.create_checkpoint()
    log_file(lake, 0).unlink()
    changes = silver_changes(lake.pin())
    assert changes == SilverChanges(after=-1, to=0, since=0, last={}, gap="the log no longer has version 0")
    assert not changes.complete


def test_no_more_commits_are_read_than_asked_for(lake: Lake, silver: DeltaTable) -> None:
    for date in (TUESDAY, WEDNESDAY):
        write_silver(lake, [row(event_date=date)])
    changes = silver_changes(lake.pin(), most_commits=2)
    gap = "only the newest 2 commits are looked at"
    assert changes == SilverChanges(after=-1, to=2, since=0, last={TUESDAY: 1, WEDNESDAY: 2}, gap=gap)
    assert not changes.complete


def test_many_commits_are_read_whole_and_in_order(lake: Lake, silver: DeltaTable) -> None:
    for version in range(1, 101):
        date = str(MONDAY + dt.timedelta(days=version % 7))
        file = {"path": "x", "partitionValues": {"event_date": date}, "dataChange": True, "deletionTimestamp": 0}
        append_commit(lake, version, {"remove": file})
    changes = silver_changes(lake.pin(), after=0)
    assert changes.last == {MONDAY + dt.timedelta(days=v % 7): v for v in range(94, 101)}
    assert changes.complete


def test_a_line_longer_than_what_is_read_at_once_is_whole(lake: Lake, silver: DeltaTable) -> None:
    file = {"path": "x" * 3_000_000, "partitionValues": {"event_date": "2024-01-03"}, "dataChange": True}
    append_commit(lake, 1, {"remove": file | {"deletionTimestamp": 0}}, {"commitInfo": {"operation": "WRITE"}})
    assert silver_changes(lake.pin(), after=0).last == {WEDNESDAY: 1}


def test_a_table_made_anew_starts_from_its_own_beginning(lake: Lake, silver: DeltaTable) -> None:
    old = silver.metadata().id
    shutil.rmtree(lake.silver)
    silver = write_silver(lake, [row(event_date=WEDNESDAY)])
    assert silver.metadata().id != old
    assert silver_changes(lake.pin()).last == {WEDNESDAY: 0}


def test_gold_dates_are_those_of_all_tables_that_are_there(lake: Lake) -> None:
    assert gold_dates(lake) == set()
    write_silver(Lake(lake.places["user_spend_summary"], {}, tables=()), [row()], schema=SCHEMA)
    write_silver(Lake(lake.places["quarantined_txns"], {}, tables=()), [row(event_date=TUESDAY), row(event_date=None)])
    assert gold_dates(lake) == {MONDAY, TUESDAY}
