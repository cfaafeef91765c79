"""Silver that is not what it must be is one clear sentence, before anything is written."""

import dataclasses
import gc
import math
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import few_rows, lake_in, new_engine
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    SILVER_WITH_DELETION_VECTORS,
    TUESDAY,
    ask_readers_for,
    rewrite_files,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true, rows_of


def error_of_refresh(lake: Lake, engine: Engine, silver_version: int | None = None) -> str:
    """The sentence that a refresh fails with, having made no table."""
    with pytest.raises(UserError) as error:
        refresh(lake, engine, [MONDAY], silver_version)
    assert not any(Path(path).exists() for path in lake.places.values()), "something was written"
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


def test_a_missing_silver_is_one_sentence_that_names_the_setting(lake: Lake, engine: Engine) -> None:
    sentence = error_of_refresh(lake, engine)
    assert lake.silver in sentence
    assert "GOLD_SOURCE_PATH" in sentence
    assert not Path(lake.silver).exists()


def test_a_silver_that_is_no_delta_table_is_one_sentence(lake: Lake, engine: Engine) -> None:
    Path(lake.silver).mkdir()
    pq.write_table(pa.table({"user_id": ["ann"]}), Path(lake.silver) / "rows.parquet")
    assert "no Delta table" in error_of_refresh(lake, engine)


def test_a_silver_that_is_a_file_is_one_sentence(lake: Lake, engine: Engine) -> None:
    Path(lake.silver).write_text("not a table")
    assert lake.silver in error_of_refresh(lake, engine)


def test_a_silver_with_a_broken_log_is_one_sentence(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    (Path(lake.silver) / "_delta_log" / f"{0:020}.json").write_text("{broken")
    assert lake.silver in error_of_refresh(lake, engine)


@pytest.mark.parametrize("column", [name for name in SCHEMA.names if name != "event_date"])
def test_a_missing_column_is_named_with_its_type(lake: Lake, engine: Engine, column: str) -> None:
    schema = pa.schema([field for field in SCHEMA if field.name != column])
    write_silver(lake, [{name: value for name, value in row().items() if name != column}], schema=schema)
    sentence = error_of_refresh(lake, engine)
    assert f"no column {column}, expected " in sentence
    assert "GOLD_SILVER_COLUMNS" in sentence


def test_a_missing_event_date_is_named(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()], schema=pa.schema([f for f in SCHEMA if f.name != "event_date"]), partition_by=[])
    assert "no column event_date, expected date or timestamp" in error_of_refresh(lake, engine)


@pytest.mark.parametrize(
    ("column", "type", "value", "expected"),
    [
        ("event_date", pa.string(), "2024-01-01", "Silver's column event_date is string, expected date or timestamp"),
        ("amount", pa.string(), "2.5", "Silver's column amount is string, expected decimal, double, float"),
        ("user_id", pa.float64(), 7.0, "Silver's column user_id is double, expected string or integer"),
        ("product_id", pa.date32(), MONDAY, "Silver's column product_id is date, expected string or integer"),
        (
            "usage_cost_ratio",
            pa.int64(),
            0,
            "Silver's column usage_cost_ratio is long, expected double, float or decimal",
        ),
        ("risk_level", pa.list_(pa.string()), ["low"], "Silver's column risk_level is array<string>, expected string"),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else None,
)
def test_a_wrong_type_is_named_with_what_was_found_and_expected(
    lake: Lake, engine: Engine, column: str, type: pa.DataType, value: object, expected: str
) -> None:
    write_silver(lake, [row(**{column: value})], schema=with_type(column, type))
    assert expected in error_of_refresh(lake, engine)


@pytest.mark.sail
@pytest.mark.parametrize(
    "feature", ["ofAYearToCome", "catalogManaged", "catalogOwned-preview", "redirectReaderWriter-preview"]
)
def test_a_silver_that_needs_what_no_reader_here_knows_is_one_sentence(
    lake: Lake, engine: Engine, feature: str
) -> None:
    write_silver(lake, [row()])
    ask_readers_for(Path(lake.silver), feature)
    assert _names_the_feature(error_of_refresh(lake, engine), feature)


@pytest.mark.sail
def test_a_silver_that_is_refused_at_reading_only_is_the_same_sentence(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    ask_readers_for(Path(lake.silver), "variantShredding-preview")
    with few_rows(engine, 100), pytest.raises(UserError) as error:
        refresh(lake, engine, [MONDAY])
    assert _names_the_feature(str(error.value), "variantShredding-preview")


def _names_the_feature(sentence: str, feature: str) -> bool:
    found, to_do = sentence.split("): ")
    return f"{feature}" in found and "which delta-rs does not know" in found and to_do.startswith("drop the feature")


@pytest.mark.sail
def test_a_log_with_a_gap_is_one_sentence_that_names_what_is_missing(lake: Lake) -> None:
    for _ in range(4):
        write_silver(lake, [row()])
    (Path(lake.silver) / "_delta_log" / f"{2:020}.json").unlink()
    with pytest.raises(UserError) as error:
        lake.pin()
    assert str(error.value) == (
        f"Silver at {lake.silver} cannot be read at its newest version (its log has version 1 and version 3 and none between "
        "them): put the commits that are missing in _delta_log back, or make the table anew."
    )


@pytest.mark.sail
def test_a_version_that_log_clean_up_has_taken_is_not_a_table_that_is_missing(lake: Lake) -> None:
    for _ in range(3):
        write_silver(lake, [row()])
    DeltaTable(lake.silver).create_checkpoint()
    for version in range(2):
        (Path(lake.silver) / "_delta_log" / f"{version:020}.json").unlink()
    with pytest.raises(UserError, match=r"cannot be read at version 1, of which log clean-up .*: ask for a newer"):
        lake.pin(1)


def test_a_version_that_silver_never_had_is_one_sentence(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    assert "version 7" in error_of_refresh(lake, engine, silver_version=7)


def test_a_silver_column_whose_name_and_whose_new_name_are_taken_is_one_sentence(lake: Lake, engine: Engine) -> None:
    schema = with_type("silver_Is_High_Risk", pa.bool_(), with_type("Is_High_Risk", pa.bool_()))
    write_silver(lake, [row(Is_High_Risk=True)], schema=schema)
    assert "has the columns Is_High_Risk and silver_Is_High_Risk, of which" in error_of_refresh(lake, engine)


def test_a_column_that_the_settings_name_and_silver_lacks_is_one_sentence(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    renamed = dataclasses.replace(lake, silver_columns={"user_id": "customer"})
    sentence = error_of_refresh(renamed, engine)
    assert (
        "has no column customer, which its declaration or GOLD_SILVER_COLUMNS gives for user_id: correct it (found: user_id,"
        in sentence
    )


@pytest.mark.parametrize("partition_by", [["event_date"], []])
def test_a_silver_whose_files_are_gone_is_one_sentence_and_changes_no_gold(
    lake: Lake, engine: Engine, partition_by: list[str]
) -> None:
    write_silver(lake, [row()], partition_by=partition_by)
    refresh(lake, engine, [MONDAY])
    before = {path: rows_of(path) for path in lake.places.values()}
    write_silver(lake, [row(user_id="bob")])
    for file in Path(lake.silver).rglob("*.parquet"):
        file.unlink()
    with pytest.raises(UserError, match=r"Silver at .* cannot be read at version 1") as error:
        refresh(lake, engine, [MONDAY])
    assert "\n" not in str(error.value)
    found, to_do = str(error.value).split("): ")
    assert re.search(r"the file \S+\.parquet is not there$", found)
    assert to_do.startswith("run again, for a VACUUM may have taken it")
    assert {path: rows_of(path) for path in lake.places.values()} == before


def test_an_empty_silver_leaves_empty_tables_and_is_a_success(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [])
    done = refresh(lake, engine, [MONDAY])
    assert {name: dates[MONDAY].rows for name, dates in done.dates.items()} == dict.fromkeys(lake.places, 0)
    assert_gold_is_true(lake)


def test_a_date_without_rows_ends_empty_and_is_a_success(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    done = refresh(lake, engine, [MONDAY, TUESDAY])
    assert done.dates["user_spend_summary"][MONDAY].rows == 1
    assert done.dates["user_spend_summary"][TUESDAY].rows == 0
    assert_gold_is_true(lake)


def test_silver_is_read_at_the_version_that_was_asked_for_however_old_it_is(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    month_ago = time.time() - 30 * 24 * 60 * 60  # beyond delta.deletedFileRetentionDuration, a week
    os.utime(Path(lake.silver) / "_delta_log" / f"{0:020}.json", (month_ago, month_ago))
    write_silver(lake, [row(user_id="bob")])
    assert refresh(lake, engine, [MONDAY], silver_version=0).silver_version == 0
    assert_gold_is_true(lake, silver_version=0)
    assert refresh(lake, engine, [MONDAY]).silver_version == 1
    assert_gold_is_true(lake, silver_version=1)


def test_the_rows_of_each_date_are_known_from_the_log_alone(lake: Lake) -> None:
    write_silver(lake, [row(), row(), row(event_date=TUESDAY), row(event_date=None)])
    write_silver(lake, [row()])
    assert lake.pin().file_dates.rows() == {MONDAY: 3, TUESDAY: 1, None: 1}


def test_rows_are_known_where_columns_have_no_statistics(lake: Lake) -> None:
    write_silver(lake, [row()])
    DeltaTable(lake.silver).alter.set_table_properties({"delta.dataSkippingNumIndexedCols": "0"})
    write_deltalake(lake.silver, pa.Table.from_pylist([row(event_date=TUESDAY)], schema=SCHEMA), mode="append")
    assert lake.pin().file_dates.rows() == {MONDAY: 1, TUESDAY: 1}


def test_a_silver_with_checkpoints_is_read_at_each_version_that_is_left(lake: Lake, engine: Engine) -> None:
    for number in range(12):
        write_silver(lake, [row(user_id=f"user {number}"), row(amount=math.nan), row(), row(event_date=None)])
        if number in (4, 8):
            DeltaTable(lake.silver).create_checkpoint()
    silver = DeltaTable(lake.silver)
    silver.delete("user_id = 'user 2'")
    silver.update({"amount": "7.0"}, predicate="user_id = 'user 3'")
    silver.optimize.compact()
    for version in (2, 4, 6, 8, 12, 14):
        refresh(lake, engine, [MONDAY, TUESDAY], silver_version=version)
        assert_gold_is_true(lake, silver_version=version)
    for version in range(8):
        (Path(lake.silver) / "_delta_log" / f"{version:020}.json").unlink()
    for version in (9, 14):
        refresh(lake, engine, [MONDAY, TUESDAY], silver_version=version)
        assert_gold_is_true(lake, silver_version=version)
    with pytest.raises(UserError, match="cannot be read at version 5"):
        refresh(lake, engine, [MONDAY, TUESDAY], silver_version=5)
    assert_gold_is_true(lake, silver_version=14)


def test_rows_hidden_by_deletion_vectors_before_a_checkpoint_do_not_count(lake: Lake, engine: Engine) -> None:
    shutil.copytree(SILVER_WITH_DELETION_VECTORS, lake.silver)
    DeltaTable(lake.silver).create_checkpoint()
    for version in (0, 2, 3, 4):
        refresh(lake, engine, [MONDAY, TUESDAY], silver_version=version)
        assert_gold_is_true(lake, silver_version=version)


def test_no_scratch_is_left_in_the_temporary_folder(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        write_silver(lake, [row(), row(amount=None)])
    DeltaTable(lake.silver).create_checkpoint()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    engine = new_engine()
    refresh(lake, engine, [MONDAY], silver_version=1)
    refresh(lake, engine, [MONDAY])
    [folder] = scratch.iterdir()
    give_up = time.monotonic() + 10  # what other threads still hold goes once they have let go of it
    while any(folder.iterdir()) and time.monotonic() < give_up:
        gc.collect()
        time.sleep(0.1)
    assert list(folder.rglob("*")) == []
    assert folder.stat().st_mode & 0o077 == 0  # nobody else's to read
    engine.close()
    assert list(scratch.iterdir()) == []


@pytest.mark.sail
@pytest.mark.parametrize("few", [0, 100], ids=["read by the engine", "copied"])
def test_bytes_that_are_no_text_are_one_sentence_that_names_the_column(lake: Lake, engine: Engine, few: int) -> None:
    schema = with_type("note", pa.string(), with_type("fine", pa.string()))
    write_silver(lake, [row(amount=None, note="a", fine="b"), row()], schema=schema)

    def no_text(rows: pa.Table) -> pa.Table:
        note = pa.array([b"\xff", b"a"]).view(pa.string())
        return rows.set_column(rows.column_names.index("note"), "note", note)

    rewrite_files(Path(lake.silver), no_text)
    with few_rows(engine, few), pytest.raises(UserError) as error:
        refresh(lake, engine, [MONDAY])
    assert "Silver's column note at" in str(error.value)
    assert "has bytes that are no text, as UTF-8 has it, on 2024-01-01: write them again" in str(error.value)


@pytest.mark.sail
def test_a_lake_is_read_whatever_it_and_the_temporary_folder_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tmp # \u00e9"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    lake = lake_in(tmp_path / "a lake")
    write_silver(lake, [row(), row(amount=None)])
    engine = new_engine()
    try:
        refresh(lake, engine, [MONDAY])
    finally:
        engine.close()
    assert_gold_is_true(lake)
