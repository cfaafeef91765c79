"""Where the tables live: made up front, grown with Silver, and never over something else."""

import datetime as dt
import decimal
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets import transactions
from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.delta.errors import UserError
from gold_assets.delta.types import type_name
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.small_silver import MONDAY, SCHEMA, TUESDAY, high_risk_row, row, with_type, write_silver
from gold_assets_tests.truth import GOLD, QUARANTINE, assert_gold_is_true, rows_of

BAD_ROW = row(amount=None)
KEEP_SILVER = ("high_risk_txns", QUARANTINE)


def columns_of(uri: str) -> dict[str, str]:
    return {field.name: type_name(field) for field in DeltaTable(uri).schema().fields}


def error_of_refresh(lake: Lake, engine: Engine) -> str:
    """The sentence that a refresh fails with, having changed nothing."""
    before = {path: _files(path) for path in lake.places.values()}
    with pytest.raises(UserError) as error:
        refresh(lake, engine, [MONDAY])
    assert {path: _files(path) for path in lake.places.values()} == before
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


def _files(path: str) -> dict[str, int]:
    place = Path(path)
    return {str(file): file.stat().st_mtime_ns for file in [place, *place.rglob("*")] if file.is_file()}


def test_tables_have_the_declared_columns_partition_and_retention(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(note="a")], schema=with_type("note", pa.string()))
    refresh(lake, engine, [MONDAY])
    silver = {
        "user_id": "string",
        "product_id": "string",
        "amount": "double",
        "usage_cost_ratio": "double",
        "risk_level": "string",
        "note": "string",
    }
    expected = {
        "user_spend_summary": {"user_id": "string", "total_spend": "decimal(28,4)", "transaction_count": "long"},
        "product_usage_metrics": {
            "product_id": "string",
            "avg_usage_cost_ratio": "double",
            "rated_count": "long",
            "transaction_count": "long",
        },
        "high_risk_txns": {**silver, "is_high_risk": "boolean"},
        QUARANTINE: {**silver, "violations": "array<string>"},
    }
    for name, uri in lake.places.items():
        assert list(columns_of(uri).items()) == [*expected[name].items(), ("event_date", "date")]
        metadata = DeltaTable(uri).metadata()
        assert metadata.name == name
        assert metadata.partition_columns == ["event_date"]
        assert metadata.configuration["delta.deletedFileRetentionDuration"] == "interval 168 hours"
        assert metadata.configuration["delta.logRetentionDuration"] == "interval 720 hours"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_place_with_other_files_is_refused_and_left_alone(lake: Lake, engine: Engine, table: Any) -> None:
    write_silver(lake, [row()])
    place = Path(lake.places[table.name])
    place.mkdir()
    (place / "letters.txt").write_text("mine")
    sentence = error_of_refresh(lake, engine)
    assert "letters.txt" in sentence
    assert table.path_setting in sentence


def test_a_place_with_parquet_of_another_tool_is_refused(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    place = Path(lake.places["user_spend_summary"]) / "event_date=2024-01-01"
    place.mkdir(parents=True)
    pq.write_table(pa.table({"user_id": ["ann"]}), place / "part-0.parquet")
    assert "event_date=2024-01-01" in error_of_refresh(lake, engine)


def test_a_place_that_is_a_file_is_refused(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    Path(lake.places["high_risk_txns"]).write_text("mine")
    assert "GOLD_WRITE_PATH_HIGH_RISK_TXNS" in error_of_refresh(lake, engine)


def test_a_place_below_a_file_is_refused(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "file").write_text("mine")
    sound = lake_in(tmp_path)
    write_silver(sound, [row()])
    lake = Lake(
        transactions.project,
        sound.silver,
        {**sound.places, "high_risk_txns": str(tmp_path / "file" / "high_risk_txns")},
    )
    with pytest.raises(UserError, match="GOLD_WRITE_PATH_HIGH_RISK_TXNS"):
        refresh(lake, engine, [MONDAY])


def test_an_empty_folder_is_a_fine_place(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    for place in lake.places.values():
        Path(place).mkdir()
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)


@pytest.mark.parametrize(
    ("schema", "partition_by", "expected"),
    [
        ([("user_id", pa.string()), ("event_date", pa.date32())], [], "is partitioned by nothing"),
        ([("user_id", pa.string()), ("event_date", pa.date32())], ["user_id"], "is partitioned by"),
        (
            [("user_id", pa.string()), ("event_date", pa.date32())],
            ["event_date"],
            "has the columns user_id, event_date",
        ),
        ([("user_id", pa.int64()), ("event_date", pa.date32())], ["event_date"], "Column user_id"),
        ([("user_id", pa.string()), ("event_date", pa.string())], ["event_date"], "Column event_date"),
    ],
)
def test_another_delta_table_in_the_place_is_refused_and_left_alone(
    lake: Lake, engine: Engine, schema: list[Any], partition_by: list[str], expected: str
) -> None:
    write_silver(lake, [row()])
    DeltaTable.create(
        lake.places["user_spend_summary"], schema=pa.schema(schema), partition_by=partition_by, name="another"
    )
    sentence = error_of_refresh(lake, engine)
    assert expected in sentence
    assert "GOLD_WRITE_PATH_SPEND_SUMMARY" in sentence


def test_a_column_too_many_in_an_aggregate_is_refused(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    refresh(lake, engine, [MONDAY])
    with_note = rows_of(lake.places["user_spend_summary"]).append_column("note", pa.array(["mine"]))
    write_deltalake(lake.places["user_spend_summary"], with_note, mode="append", schema_mode="merge")
    assert "note" in error_of_refresh(lake, engine)


def test_silver_in_the_place_of_a_gold_table_is_refused(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    place = lake.places["user_spend_summary"]
    shutil.copytree(lake.silver, place)
    assert "product_id" in error_of_refresh(lake, engine)
    assert rows_of(place) == rows_of(lake.silver)


@pytest.mark.parametrize("name", KEEP_SILVER)
def test_silver_in_the_place_of_a_table_that_keeps_its_columns_is_refused(
    lake: Lake, engine: Engine, name: str
) -> None:
    write_silver(lake, [row()])
    shutil.copytree(lake.silver, lake.places[name])
    error_of_refresh(lake, engine)
    assert rows_of(lake.places[name]) == rows_of(lake.silver)


def test_one_place_for_two_tables_is_refused(lake: Lake) -> None:
    with pytest.raises(UserError, match="high_risk_txns"):
        Lake(transactions.project, lake.silver, {**lake.places, "user_spend_summary": lake.places["high_risk_txns"]})


def test_an_added_silver_column_travels_to_high_risk_and_quarantine(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row(), BAD_ROW])
    refresh(lake, engine, [MONDAY])
    added = with_type("note", pa.string())
    write_silver(lake, [high_risk_row(note="new", event_date=TUESDAY), BAD_ROW | {"note": "bad"}], schema=added)
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert_gold_is_true(lake)
    for name in KEEP_SILVER:
        assert "note" in columns_of(lake.places[name])
    assert rows_of(lake.places["high_risk_txns"]).sort_by("event_date")["note"].to_pylist() == [None, "new"]
    assert "note" not in columns_of(lake.places["user_spend_summary"])


FANCY: dict[str, tuple[pa.DataType, Any]] = {
    "a_struct": (pa.struct([("a", pa.int32()), ("b", pa.list_(pa.string()))]), {"a": 1, "b": ["x", None]}),
    "structs": (pa.list_(pa.struct([("a", pa.string())])), [{"a": "x"}, None]),
    "a_map": (pa.map_(pa.string(), pa.float64()), [("k", 1.5)]),
    "bytes": (pa.binary(), b"\x00\xff"),
    "price": (pa.decimal128(38, 18), decimal.Decimal("1.000000000000000001")),
    "tiny": (pa.int8(), -128),
    "small": (pa.int16(), 7),
    "whole": (pa.int32(), 7),
    "big": (pa.int64(), 2**62),
    "single": (pa.float32(), 0.1),
    "yes": (pa.bool_(), True),
    "day": (pa.date32(), dt.date(1899, 12, 31)),
    "at": (pa.timestamp("us", tz="UTC"), dt.datetime(2024, 1, 1, 1, 2, 3, 4, tzinfo=dt.timezone.utc)),
    "local_at": (pa.timestamp("us"), dt.datetime(2024, 1, 1, 1, 2, 3, 4)),
    "dotted.name": (pa.string(), "x"),
    "naïve": (pa.string(), "ü"),
}


@pytest.mark.parametrize("name", FANCY)
def test_a_silver_column_of_any_type_travels_and_may_go_away(lake: Lake, engine: Engine, name: str) -> None:
    type, value = FANCY[name]
    schema = with_type(name, type)
    write_silver(lake, [high_risk_row(**{name: value}), high_risk_row(**{name: None}), BAD_ROW], schema=schema)
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)

    write_silver(lake, [high_risk_row(), BAD_ROW], mode="overwrite")
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)
    for kept in KEEP_SILVER:
        assert rows_of(lake.places[kept])[name].to_pylist() == [None]


A, AZ = pa.field("a", pa.int32()), [pa.field("a", pa.int64()), pa.field("z", pa.string())]
WIDENED: dict[str, tuple[pa.DataType, Any, pa.DataType, Any, Any]] = {
    "integer": (pa.int32(), 7, pa.int64(), 2**40, 7),
    "decimal": (pa.decimal128(10, 2), decimal.Decimal("1.25"), pa.decimal128(14, 4), decimal.Decimal("0.0001"), None),
    "float": (pa.float32(), 0.5, pa.float64(), 0.1, 0.5),
    "struct with a field more": (
        pa.struct([A]),
        {"a": 1},
        pa.struct([A, AZ[1]]),
        {"a": 2, "z": "x"},
        {"a": 1, "z": None},
    ),
    "array of structs with a field more": (
        pa.list_(pa.struct([A])),
        [{"a": 1}],
        pa.list_(pa.struct([A, AZ[1]])),
        [{"a": 2, "z": "x"}],
        [{"a": 1, "z": None}],
    ),
    "struct with a wider field": (
        pa.struct([A]),
        {"a": 1},
        pa.struct(AZ),
        {"a": 2**40, "z": "x"},
        {"a": 1, "z": None},
    ),
}
"""By name, a type and a value of it; a wider type and a value; and the first value by the wider type, where it looks otherwise."""


@pytest.mark.parametrize("name", WIDENED)
def test_a_column_that_silver_widens_is_widened_and_keeps_its_values(lake: Lake, engine: Engine, name: str) -> None:
    before, value, after, wider, kept = WIDENED[name]
    write_silver(lake, [row(amount=None, note=value)], schema=with_type("note", before))
    refresh(lake, engine, [MONDAY])
    properties = DeltaTable(lake.places[QUARANTINE]).metadata().configuration
    rows = [row(amount=None, note=kept or value), row(amount=None, note=wider, event_date=TUESDAY)]
    write_silver(lake, rows, schema=with_type("note", after), mode="overwrite")
    refresh(lake, engine, [TUESDAY])
    quarantined = rows_of(lake.places[QUARANTINE]).sort_by("event_date")
    assert quarantined["note"].to_pylist() == [kept or value, wider]
    metadata = DeltaTable(lake.places[QUARANTINE]).metadata()
    assert (metadata.configuration, metadata.partition_columns) == (properties, ["event_date"])
    inspection = Inspection(lake, [MONDAY, TUESDAY], Limits(MONDAY, TUESDAY, quarantined_share=1.0))
    checks = [check for check in all_checks(lake.project) if check.name in ("reconciles", "schema")]
    assert [found.summary for found in run(checks, inspection) if not found.passed] == []
    if not pa.types.is_nested(before):
        refresh(lake, engine, [MONDAY], silver_version=0)
        assert rows_of(lake.places[QUARANTINE]).sort_by("event_date")["note"].to_pylist() == [kept or value, wider]


def test_a_key_that_silver_widens_is_widened(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(user_id=7)], schema=with_type("user_id", pa.int32()))
    refresh(lake, engine, [MONDAY])
    rows = [row(user_id=7), row(user_id=2**40, event_date=TUESDAY)]
    write_silver(lake, rows, schema=with_type("user_id", pa.int64()), mode="overwrite")
    refresh(lake, engine, [TUESDAY])
    assert_gold_is_true(lake)


def test_a_further_column_of_another_type_stops_its_own_travel_and_no_table(
    lake: Lake, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    write_silver(lake, [row(amount=None, note="a")], schema=with_type("note", pa.string()))
    refresh(lake, engine, [MONDAY])
    rows = [row(amount=None, note=1), row(event_date=TUESDAY), row(amount=None, note=2, event_date=TUESDAY)]
    write_silver(lake, rows, schema=with_type("note", pa.int64()), mode="overwrite")
    refresh(lake, engine, [TUESDAY])
    said = "note is NULL in what is made from now on, for it is long in Silver now and string in the table"
    assert said in caplog.text
    assert rows_of(lake.places[QUARANTINE]).sort_by("event_date")["note"].to_pylist() == ["a", None]
    assert_gold_is_true(lake, tables=["user_spend_summary"])
    inspection = Inspection(lake, [MONDAY, TUESDAY], Limits(MONDAY, TUESDAY, quarantined_share=1.0))
    checks = [check for check in all_checks(lake.project) if check.name in ("reconciles", "schema")]
    red = [found for found in run(checks, inspection) if not found.passed]
    assert {(found.check.name, found.severity) for found in red} == {("schema", "warning")}
    assert all(said in found.summary for found in red)


def test_a_silver_amount_that_became_decimal_is_one_sentence_and_changes_no_gold(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row()])
    refresh(lake, engine, [MONDAY])
    schema = with_type("amount", pa.decimal128(18, 4))
    write_silver(lake, [high_risk_row(amount=decimal.Decimal(1))], schema=schema, mode="overwrite")
    assert "Column amount" in error_of_refresh(lake, engine)


def test_a_silver_column_renamed_only_in_case_is_one_sentence(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row(note="a")], schema=with_type("note", pa.string()))
    refresh(lake, engine, [MONDAY])
    write_silver(lake, [high_risk_row(Note="a")], schema=with_type("Note", pa.string()), mode="overwrite")
    sentence = error_of_refresh(lake, engine)
    assert "note" in sentence
    assert "Note" in sentence


def test_silver_columns_that_must_not_be_null_travel_to_tables_that_do_not_ask(lake: Lake, engine: Engine) -> None:
    strict = pa.schema(
        [pa.field(field.name, field.type, nullable=field.name == "usage_cost_ratio") for field in SCHEMA]
    )
    DeltaTable.create(lake.silver, schema=strict, partition_by=["event_date"])
    write_deltalake(lake.silver, pa.Table.from_pylist([high_risk_row(), row()], schema=strict), mode="append")
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)


def test_tables_that_several_writers_make_at_once_are_made_once(tmp_path: Path, engine: Engine) -> None:
    for attempt in range(3):
        lake = lake_in(tmp_path / f"lake {attempt}")
        write_silver(lake, [row(), high_risk_row(), BAD_ROW])
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _, lake=lake: refresh(lake, engine, [MONDAY]), range(3)))
        assert_gold_is_true(lake)


@pytest.mark.parametrize(
    "name",
    [
        "with spaces",
        'it\'s "quoted"',
        "100% off",
        "größe-日本-é",
        "a+b&c=d;e,f",
        "tick`tick",
        "hash#tag",
        "q?{c}*<>@!$()",
    ],
)
def test_a_path_may_have_any_letter(tmp_path: Path, engine: Engine, name: str) -> None:
    lake = lake_in(tmp_path / name)
    write_silver(lake, [row(), high_risk_row(), BAD_ROW, row(event_date=TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert_gold_is_true(lake)
    write_silver(lake, [row(user_id="bob")])
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)
    assert [place.name for place in tmp_path.iterdir()] == [name]
    assert {place.name for place in (tmp_path / name).iterdir()} == {"silver", *GOLD, QUARANTINE}


@pytest.mark.parametrize("name", ["100%20", "[b]", "a|b", "a^b"])
def test_a_place_that_delta_rs_would_not_find_again_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="delta-rs cannot address"):
        lake_in(tmp_path / name)
    with pytest.raises(UserError, match="delta-rs cannot address"):
        Lake(transactions.project, f"s3://bucket/{name.replace('100%20', 'a#b?')}/silver", lake_in(tmp_path).places)


def test_a_relative_path_is_fine(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake(transactions.project, "data/silver", {table.name: f"data/{table.name}" for table in TABLES})
    write_silver(lake, [row(), high_risk_row(), BAD_ROW])
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)


def test_a_file_uri_is_fine(tmp_path: Path, engine: Engine) -> None:
    folder = (tmp_path / "größe & more").as_uri()
    lake = Lake(transactions.project, f"{folder}/silver", {table.name: f"{folder}/{table.name}" for table in TABLES})
    write_silver(lake, [row(), high_risk_row(), BAD_ROW])
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)
    assert {place.name for place in (tmp_path / "größe & more").iterdir()} == {"silver", *GOLD, QUARANTINE}
