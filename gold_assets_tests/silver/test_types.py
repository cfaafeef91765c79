"""Silver's values mean the same in Gold, whatever types its writer gave them in the table and in its files."""

import datetime as dt
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import few_rows
from gold_assets_tests.small_silver import MONDAY, SCHEMA, rename_columns, rewrite_files, row, with_type, write_silver
from gold_assets_tests.truth import rows_of

copied_or_not = pytest.mark.parametrize(
    "few", [0, pytest.param(100, marks=pytest.mark.sail)], ids=["read by the engine", "copied"]
)


def red(lake: Lake, dates: Collection[dt.date]) -> list[str]:
    """What checks of the tables' columns and rows find."""
    inspection = Inspection(lake, dates, Limits(min(dates), max(dates), quarantined_share=1.0))
    checks = [check for check in all_checks(lake.project) if check.name in ("reconciles", "schema")]
    return [found.summary for found in run(checks, inspection) if not found.passed]


@copied_or_not
def test_a_timestamp_is_the_same_moment_whatever_type_its_file_gives_it(lake: Lake, engine: Engine, few: int) -> None:
    moments = [
        dt.datetime(1, 1, 1, tzinfo=dt.timezone.utc),
        dt.datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=dt.timezone.utc),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.timezone.utc),
    ]
    schema = with_type("event_date", pa.timestamp("us", "UTC"), with_type("valid_to", pa.timestamp("us", "UTC")))
    rows = [row(amount=amount, event_date=moment, valid_to=moment) for moment in moments for amount in (1.0, None)]
    write_silver(lake, rows, schema=schema, partition_by=())
    how = {"use_deprecated_int96_timestamps": True, "store_schema": False}
    rewrite_files(Path(lake.silver), lambda rows: rows, **how)
    dates = [moment.date() for moment in moments]
    with few_rows(engine, few):
        refresh(lake, engine, dates)
    quarantined = rows_of(lake.places["quarantined_txns"])
    assert sorted(quarantined["valid_to"].to_pylist()) == moments
    assert sorted(quarantined["event_date"].to_pylist()) == dates
    assert sorted(rows_of(lake.places["user_spend_summary"])["event_date"].to_pylist()) == dates
    assert red(lake, dates) == []


def char(name: str, type: str = "char(8)") -> pa.Field:
    """A column as Spark declares a CHAR or VARCHAR."""
    return pa.field(name, pa.string(), metadata={"__CHAR_VARCHAR_TYPE_STRING": type})


@copied_or_not
def test_blanks_at_the_end_of_a_char_do_not_count(lake: Lake, engine: Engine, few: int) -> None:
    schema = pa.schema([char(field.name) if field.type == pa.string() else field for field in SCHEMA])
    schema = schema.append(char("note")).append(char("as_it_is", "varchar(8)"))
    stored = row(risk_level="high", note="a", as_it_is="a ", amount=1.0)
    padded = stored | {"user_id": "ann     ", "product_id": "tea     ", "risk_level": "high    ", "note": "a       "}
    bad = padded | {"amount": None}
    write_silver(lake, [stored, padded, bad, bad | {"amount": 1.0, "user_id": "        "}], schema=schema)
    with few_rows(engine, few):
        refresh(lake, engine, [MONDAY])
    [spent] = rows_of(lake.places["user_spend_summary"]).to_pylist()
    assert (spent["user_id"], spent["total_spend"]) == ("ann", 2)
    columns = rows_of(lake.places["quarantined_txns"]).select(["user_id", "risk_level", "note", "as_it_is"]).columns
    quarantined = sorted(zip(*(column.to_pylist() for column in columns), strict=True))
    assert quarantined == [("", "high", "a", "a "), ("ann", "high", "a", "a ")]
    assert red(lake, [MONDAY]) == []


def test_a_char_that_optimize_pads_is_the_same_row(lake: Lake, engine: Engine) -> None:
    schema = pa.schema([char(field.name) if field.name == "user_id" else field for field in SCHEMA])
    write_silver(lake, [row(), row(amount=None)], schema=schema)
    refresh(lake, engine, [MONDAY])

    def padded(rows: pa.Table) -> pa.Table:
        at = rows.column_names.index("user_id")
        return rows.set_column(at, "user_id", pc.utf8_rpad(rows["user_id"], 8))

    rewrite_files(Path(lake.silver), padded)
    assert red(lake, [MONDAY]) == []


NESTED: dict[str, tuple[pa.DataType, Any]] = {
    "struct": (pa.struct([("a", pa.int32()), ("b", pa.struct([("c", pa.string())]))]), {"a": 1, "b": {"c": "x"}}),
    "array of structs": (pa.list_(pa.struct([("a", pa.string())])), [{"a": "x"}]),
    "map": (pa.map_(pa.string(), pa.struct([("a", pa.float64())])), [("k", {"a": 1.5})]),
}


@copied_or_not
@pytest.mark.parametrize("name", NESTED)
def test_a_nested_column_travels_from_a_silver_with_mapped_columns(
    lake: Lake, engine: Engine, name: str, few: int
) -> None:
    type, value = NESTED[name]
    schema = with_type("nested", type)
    write_silver(lake, [row(), row(amount=None, nested=value)], schema=schema)
    rename_columns(Path(lake.silver), {"nested": "renamed"})
    with few_rows(engine, few):
        refresh(lake, engine, [MONDAY])
    assert rows_of(lake.places["quarantined_txns"])["renamed"].to_pylist() == [value]
    assert red(lake, [MONDAY]) == []


def declare(folder: Path, **types: Any) -> None:
    """Give the table columns of these types, as its log writes them, that no file has."""
    log = folder / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "metaData" in action:
            schema = json.loads(action["metaData"]["schemaString"])
            schema["fields"] += [
                {"name": name, "type": type, "nullable": True, "metadata": {}} for name, type in types.items()
            ]
            action["metaData"]["schemaString"] = json.dumps(schema)
    log.write_text("\n".join(map(json.dumps, actions)))


@copied_or_not
def test_a_column_that_holds_nothing_stays_in_silver_until_it_has_a_type(
    lake: Lake, engine: Engine, few: int, caplog: pytest.LogCaptureFixture
) -> None:
    write_silver(lake, [row(), row(amount=None)])
    nothing = {"name": "a", "type": "void", "nullable": True, "metadata": {}}
    declare(Path(lake.silver), nothing="void", within={"type": "struct", "fields": [nothing]})
    with few_rows(engine, few):
        refresh(lake, engine, [MONDAY])
    assert "nothing stays there: it has the type VOID" in caplog.text
    assert not {"nothing", "within"} & set(rows_of(lake.places["quarantined_txns"]).column_names)
    assert red(lake, [MONDAY]) == []


@pytest.mark.parametrize("type", [pa.struct([("file_name", pa.string())]), pa.string()], ids=["struct", "string"])
def test_a_column_called_as_one_that_spark_hides_is_silvers_own(lake: Lake, engine: Engine, type: pa.DataType) -> None:
    schema = with_type("_metadata", type)
    value = "in.csv" if type == pa.string() else {"file_name": "in.csv"}
    write_silver(lake, [row(_metadata=value)], schema=schema)
    refresh(lake, engine, [MONDAY])
    write_silver(lake, [row(_metadata=value), row(amount=None, _metadata=value)], schema=schema)
    done = refresh(lake, engine, [MONDAY], how="patch")
    assert {dates[MONDAY].step.how for dates in done.dates.values()} == {"patched"}
    assert rows_of(lake.places["user_spend_summary"])["transaction_count"].to_pylist() == [2]
    assert rows_of(lake.places["quarantined_txns"])["_metadata"].to_pylist() == [value]
