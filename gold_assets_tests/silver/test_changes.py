"""Which dates of Silver changed, told by the logs of real tables."""

import datetime as dt
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.silver.changes import SilverChanges
from gold_assets_tests.conftest import NO_TABLES
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    TUESDAY,
    WEDNESDAY,
    commit,
    rename_columns,
    row,
    with_type,
    write_silver,
)


@pytest.fixture
def silver(lake: Lake) -> DeltaTable:
    """Version 0: two rows on Monday, one on Tuesday."""
    return write_silver(lake, [row(), row(user_id="bob"), row(event_date=TUESDAY)])


def changed(lake: Lake, after: int = -1, version: int | None = None) -> dict[dt.date | None, int | None]:
    """By date, the newest commit of Silver after a version that changed its rows."""
    changes = SilverChanges(lake.pin(version))
    assert not changes.every_date_after(after)
    return {date: changes.last_after(date, after) for date in changes.dates_after(after)}


def log_file(lake: Lake, version: int, kind: str = "json") -> Path:
    return Path(lake.silver) / "_delta_log" / f"{version:020}.{kind}"


def append_commit(lake: Lake, version: int, *actions: dict[str, Any]) -> None:
    log_file(lake, version).write_text("\n".join(map(json.dumps, actions)))


def test_each_date_has_the_newest_version_that_changed_it(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=TUESDAY)])
    write_silver(lake, [row(event_date=WEDNESDAY), row()])
    assert changed(lake) == {MONDAY: 2, TUESDAY: 1, WEDNESDAY: 2}
    changes = SilverChanges(lake.pin())
    assert [changes.first_after(MONDAY, after) for after in (-1, 0, 1, 2)] == [0, 2, 2, None]
    assert [changes.changed_after(TUESDAY, after) for after in (-1, 0, 1, 2)] == [True, True, False, False]


def test_only_commits_after_the_given_version_count(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=TUESDAY)])
    write_silver(lake, [row(event_date=WEDNESDAY)])
    assert changed(lake, after=1) == {WEDNESDAY: 2}
    assert changed(lake, after=2) == {}


def test_commits_after_the_loaded_version_do_not_count(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=WEDNESDAY)])
    assert changed(lake, version=0) == {MONDAY: 0, TUESDAY: 0}


def test_an_update_changes_its_date(lake: Lake, silver: DeltaTable) -> None:
    silver.update(predicate="user_id = 'bob'", updates={"amount": "9.0"})
    assert changed(lake, after=0) == {MONDAY: 1}


def test_a_delete_of_every_row_of_a_date_changes_it(lake: Lake, silver: DeltaTable) -> None:
    silver.delete("event_date = '2024-01-02'")
    assert changed(lake, after=0) == {TUESDAY: 1}


def test_a_row_that_moves_changes_both_dates(lake: Lake, silver: DeltaTable) -> None:
    silver.update(predicate="user_id = 'bob'", updates={"event_date": "DATE '2024-01-03'"})
    assert changed(lake, after=0) == {MONDAY: 1, WEDNESDAY: 1}


def test_an_overwrite_and_a_restore_change_what_they_take_away(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=WEDNESDAY)], mode="overwrite")
    silver = DeltaTable(lake.silver)
    assert changed(lake, after=0) == {MONDAY: 1, TUESDAY: 1, WEDNESDAY: 1}
    silver.restore(0)
    assert changed(lake, after=1) == {MONDAY: 2, TUESDAY: 2, WEDNESDAY: 2}


def test_optimize_vacuum_and_checkpoints_change_nothing(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row()])
    silver = DeltaTable(lake.silver)
    assert silver.optimize.z_order(["user_id"])["numFilesAdded"] > 0
    silver.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    silver.create_checkpoint()
    assert silver.version() > 1
    assert changed(lake, after=1) == {}


def test_a_new_column_alone_changes_no_date(lake: Lake, silver: DeltaTable) -> None:
    silver.alter.add_columns(Field("store", PrimitiveType("string")))
    assert changed(lake, after=0) == {}


def test_rows_without_a_date_are_under_none(lake: Lake, silver: DeltaTable) -> None:
    write_silver(lake, [row(event_date=None)])
    assert changed(lake, after=0) == {None: 1}
    assert lake.pin().file_dates.dates() == {MONDAY, TUESDAY, None}


def test_a_deletion_vector_changes_the_date_of_its_file(lake: Lake, silver: DeltaTable) -> None:
    lines = log_file(lake, 0).read_text().splitlines()
    added = next(file for line in lines if (file := json.loads(line).get("add")) and "01-01" in file["path"])
    vector: dict[str, Any] = {
        "storageType": "i",
        "pathOrInlineDv": "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
    }
    vector |= {"sizeInBytes": 40, "cardinality": 1}
    remove = {"path": added["path"], "dataChange": True, "deletionTimestamp": 0, "partitionValues": None}
    append_commit(lake, 1, {"remove": remove}, {"add": added | {"deletionVector": vector}})
    assert changed(lake, after=0) == {MONDAY: 1}


@pytest.mark.parametrize(
    ("path", "date"),
    [("event_date=2024-01-02/x.parquet", TUESDAY), ("event_date=__HIVE_DEFAULT_PARTITION__/x.parquet", None)],
)
def test_a_remove_without_partition_values_is_told_by_its_path(
    lake: Lake, silver: DeltaTable, path: str, date: dt.date | None
) -> None:
    append_commit(lake, 1, {"remove": {"path": path, "dataChange": True, "deletionTimestamp": 0}})
    assert changed(lake, after=0) == {date: 1}


def test_where_an_action_does_not_tell_its_date_any_date_may_have_changed(lake: Lake, silver: DeltaTable) -> None:
    append_commit(lake, 1, {"remove": {"path": "7f/x.parquet", "dataChange": True, "deletionTimestamp": 0}})
    write_silver(lake, [row(event_date=WEDNESDAY)])
    changes = SilverChanges(lake.pin())
    why = "neither the log nor the file tells which dates 7f/x.parquet holds, which version 1 added or removed"
    assert changes.every_date_after(0) == why
    assert [changes.last_after(date, 0) for date in (MONDAY, WEDNESDAY, None)] == [1, 2, 1]
    assert changes.every_date_after(1) == ""
    assert [changes.changed_after(date, 1) for date in (MONDAY, WEDNESDAY)] == [False, True]


def test_an_empty_partition_value_is_null(lake: Lake, silver: DeltaTable) -> None:
    file = {"path": "x/x.parquet", "partitionValues": {"event_date": ""}, "dataChange": True, "deletionTimestamp": 0}
    append_commit(lake, 1, {"remove": file})
    assert changed(lake, after=0) == {None: 1}


def test_a_log_that_no_longer_reaches_back_says_how_far_it_does(lake: Lake, silver: DeltaTable) -> None:
    for date in (TUESDAY, WEDNESDAY, MONDAY):
        write_silver(lake, [row(event_date=date)])
    DeltaTable(lake.silver, version=2).create_checkpoint()
    for version in (0, 1):
        log_file(lake, version).unlink()
    changes = SilverChanges(lake.pin())
    assert changes.gap_after(0) == changes.every_date_after(0) == "the log no longer has version 1"
    assert changes.dates_after(0) == {MONDAY, WEDNESDAY}
    assert [changes.changed_after(date, 0) for date in (MONDAY, TUESDAY)] == [True, None]
    assert changes.oldest_known(0) == 1
    assert changes.gap_after(1) == ""
    assert [changes.changed_after(date, 1) for date in (MONDAY, TUESDAY)] == [True, False]


def test_a_table_with_nothing_but_a_checkpoint_tells_nothing_and_says_so(lake: Lake, silver: DeltaTable) -> None:
    silver.create_checkpoint()
    log_file(lake, 0).unlink()
    changes = SilverChanges(lake.pin())
    assert changes.gap_after(-1) == "the log no longer has version 0"
    assert changes.dates_after(-1) == set()


def test_a_window_of_commits_is_read_alone(lake: Lake, silver: DeltaTable) -> None:
    for date in (TUESDAY, WEDNESDAY, MONDAY):
        write_silver(lake, [row(event_date=date)])
    log_file(lake, 3).unlink()  # which is not asked for
    changes = SilverChanges(lake.pin(2), to=1)
    assert changes.dates_after(0) == {TUESDAY}
    assert changes.changed_after(WEDNESDAY, 0) is False


def test_however_many_commits_are_read_whole_and_in_order(lake: Lake, silver: DeltaTable) -> None:
    for version in range(1, 2_101):
        date = str(MONDAY + dt.timedelta(days=version % 7))
        file = {"path": "x", "partitionValues": {"event_date": date}, "dataChange": True, "deletionTimestamp": 0}
        append_commit(lake, version, {"remove": file})
    assert changed(lake, after=0) == {MONDAY + dt.timedelta(days=v % 7): v for v in range(2_094, 2_101)}


def test_a_line_longer_than_what_is_read_at_once_is_whole(lake: Lake, silver: DeltaTable) -> None:
    file = {"path": "x" * 3_000_000, "partitionValues": {"event_date": "2024-01-03"}, "dataChange": True}
    append_commit(lake, 1, {"remove": file | {"deletionTimestamp": 0}}, {"commitInfo": {"operation": "WRITE"}})
    assert changed(lake, after=0) == {WEDNESDAY: 1}


def test_a_table_made_anew_starts_from_its_own_beginning(lake: Lake, silver: DeltaTable) -> None:
    old = silver.metadata().id
    shutil.rmtree(lake.silver)
    silver = write_silver(lake, [row(event_date=WEDNESDAY)])
    assert silver.metadata().id != old
    assert changed(lake) == {WEDNESDAY: 0}


def test_the_dates_of_a_lake_are_those_of_silver_and_of_all_tables_that_are_there(lake: Lake) -> None:
    write_silver(lake, [row(event_date=WEDNESDAY)])
    assert Moment(lake).dates == {WEDNESDAY}
    write_silver(Lake(NO_TABLES, lake.places["user_spend_summary"], {}), [row()], schema=SCHEMA)
    write_silver(Lake(NO_TABLES, lake.places["quarantined_txns"], {}), [row(event_date=TUESDAY), row(event_date=None)])
    assert Moment(lake).dates == {MONDAY, TUESDAY, WEDNESDAY, None}


# What rows mean


PLACE = pa.struct([("city", pa.string()), ("shops", pa.list_(pa.struct([("name", pa.string())])))])
Schema = dict[str, Any]


def redefine(lake: Lake, edit: Callable[[Schema], object]) -> None:
    """A commit of metadata alone, in whose schema, a column by its name, ``edit`` has changed something."""
    table = DeltaTable(lake.silver)
    columns = {column["name"]: column for column in json.loads(table.schema().to_json())["fields"]}
    edit(columns)
    metadata = {
        "id": str(table.metadata().id),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": list(columns.values())}),
        "partitionColumns": table.metadata().partition_columns,
        "configuration": table.metadata().configuration,
    }
    commit(Path(lake.silver), {"metaData": metadata})


@pytest.fixture
def mapped(lake: Lake) -> Lake:
    """Version 0: rows on two dates with a note and a struct. Version 1: the same, with columns that are mapped by name."""
    note = with_type("place", PLACE, with_type("note", pa.string()))
    place = {"city": "Bath", "shops": [{"name": "x"}]}
    write_silver(lake, [row(event_date=date, note="x", place=place) for date in (MONDAY, TUESDAY)], schema=note)
    rename_columns(Path(lake.silver), {})
    return lake


def shop(columns: Schema) -> Schema:
    found: Schema = columns["place"]["type"]["fields"][1]["type"]["elementType"]["fields"][0]
    return found


IN_FILES = {"delta.columnMapping.id": 99, "delta.columnMapping.physicalName": "col-99"}
NEW = {"name": "new", "type": "string", "nullable": True, "metadata": IN_FILES}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda columns: columns["note"].update(name="remark"), "renamed or dropped the column note"),
        (lambda columns: columns.pop("note"), "renamed or dropped the column note"),
        (lambda columns: columns["note"].update(type="binary"), "gave the column note another type"),
        (
            lambda columns: columns["note"]["metadata"].update({"delta.columnMapping.physicalName": "col-7"}),
            "put another column in the place of note",
        ),
        (
            lambda columns: columns["user_id"]["metadata"].update({"__CHAR_VARCHAR_TYPE_STRING": "char(8)"}),
            "gave the column user_id another type",
        ),
        (lambda columns: shop(columns).update(name="title"), "renamed or dropped the column place.shops.name"),
        (lambda columns: shop(columns).update(type="binary"), "gave the column place.shops.name another type"),
    ],
)
def test_a_column_renamed_dropped_retyped_or_put_elsewhere_changes_every_date(
    mapped: Lake, edit: Callable[[Schema], object], said: str
) -> None:
    redefine(mapped, edit)
    changes = SilverChanges(mapped.pin())
    assert changes.every_date_after(1) == f"version 2 {said}"
    assert [changes.changed_after(date, 1) for date in (MONDAY, WEDNESDAY, None)] == [True] * 3
    assert changes.dates_after(1) == set()
    assert (changes.first_after(MONDAY, 1), changes.last_after(MONDAY, -1)) == (2, 2)
    assert changes.changed_after(MONDAY, 2) is False


@pytest.mark.parametrize(
    "edit",
    [
        lambda columns: columns.update(new=NEW),
        lambda columns: columns["place"]["type"]["fields"].append(NEW),
        lambda columns: columns["note"].update(nullable=False),
        lambda columns: columns["note"]["metadata"].update(comment="what it is"),
        lambda columns: columns["amount"]["metadata"].update({"delta.identity.highWaterMark": 7}),
        lambda columns: columns["amount"]["metadata"].update({"delta.invariants": "{}"}),
    ],
    ids=["a column", "a field", "NOT NULL", "a comment", "an identity column", "a constraint"],
)
def test_metadata_that_leaves_names_types_and_places_as_they_are_changes_no_date(
    mapped: Lake, edit: Callable[[Schema], object]
) -> None:
    redefine(mapped, edit)
    assert changed(mapped, after=0) == {}, "column mapping alone changes none either"


def test_a_property_a_constraint_and_a_feature_change_no_date(lake: Lake, silver: DeltaTable) -> None:
    silver.alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})
    silver.alter.add_constraint({"positive": "amount > 0"})
    commit(Path(lake.silver), {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}})
    assert changed(lake, after=0) == {}


@pytest.mark.parametrize("commits", [1, 20])
def test_what_a_column_was_before_is_found_however_long_ago_it_was_said(mapped: Lake, commits: int) -> None:
    for _ in range(commits):
        commit(Path(mapped.silver), {"commitInfo": {"operation": "WRITE"}})
    redefine(mapped, lambda columns: columns["note"].update(name="remark"))
    version = 2 + commits
    assert (
        SilverChanges(mapped.pin()).every_date_after(version - 1)
        == f"version {version} renamed or dropped the column note"
    )
    redefine(mapped, lambda columns: columns["remark"].update(nullable=False))
    assert SilverChanges(mapped.pin()).every_date_after(version) == ""


def test_metadata_of_which_nobody_knows_what_it_was_before_changes_every_date(mapped: Lake) -> None:
    redefine(mapped, lambda columns: columns["note"].update(nullable=False))
    DeltaTable(mapped.silver).create_checkpoint()
    for version in (0, 1):
        log_file(mapped, version).unlink()
    said = SilverChanges(mapped.pin()).every_date_after(1)
    assert said.startswith("version 2 may have renamed columns or changed their types: ")


def test_other_partition_columns_change_every_date(lake: Lake, silver: DeltaTable) -> None:
    write_deltalake(
        silver,
        pa.Table.from_pylist([row()], schema=SCHEMA),
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=["product_id"],
    )
    assert SilverChanges(lake.pin()).every_date_after(0) == "version 1 partitioned Silver by other columns"


def test_whoever_asks_while_another_reads_gets_the_whole_answer(lake: Lake, silver: DeltaTable) -> None:
    rows = silver.to_pyarrow_table()
    write_deltalake(silver, rows, mode="overwrite", schema_mode="overwrite", partition_by=["user_id"])
    pinned = lake.pin()
    for _ in range(5):
        changes = SilverChanges(pinned)

        def told_after(moments: int, changes: SilverChanges = changes) -> str:
            time.sleep(moments / 2_000)
            return changes.every_date_after(0)

        with ThreadPoolExecutor(8) as tables:
            assert set(tables.map(told_after, range(8))) == {"version 1 partitioned Silver by other columns"}
