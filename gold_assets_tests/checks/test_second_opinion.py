"""The second opinion judges rows as the contract does, where engines and files are known to trip."""

import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import publish
from gold_assets.delta.dates import FIRST_DAY, LAST_DAY
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import PRODUCT_USAGE_METRICS
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.small_silver import MONDAY, SCHEMA, TUESDAY, high_risk_row, row, with_type, write_silver
from gold_assets_tests.truth import rows_of

USAGE = PRODUCT_USAGE_METRICS.name
NAN, INFINITY = float("nan"), float("inf")


def red(lake: Lake) -> set[str]:
    limits = Limits(MONDAY, TUESDAY, quarantined_share=1.0)
    inspection = Inspection(lake, [MONDAY, TUESDAY], limits)
    return {
        f"{found.check.table}:{found.check.name}"
        for found in run(all_checks(lake.project), inspection)
        if not found.passed
    }


@pytest.mark.parametrize(
    "rows",
    [
        # The statistics of these files say 0.1 to 0.1, or 2.5 to 2.5, and nothing of the rest.
        [high_risk_row(), high_risk_row(usage_cost_ratio=NAN)],
        [row(usage_cost_ratio=0.1), row(usage_cost_ratio=-NAN, product_id="gin")],
        [row(), row(amount=NAN, product_id="gin"), row(amount=-NAN, user_id="bob")],
        [row(amount=INFINITY), row(amount=-INFINITY, user_id="bob"), row(usage_cost_ratio=-INFINITY)],
        [
            row(user_id=blank, product_id=f"p{number}")
            for number, blank in enumerate(["", " ", "\t\r\n ", "\x0b", "\u00a0"])
        ],
        [
            row(amount=amount, user_id=str(amount))
            for amount in (0.00005, -0.00005, 0.00015, 2.675, 1e14, -1e14, 99999999999999.98)
        ],
        [row(risk_level=level, product_id=str(level)) for level in ("HIGH", "", None, "low")],
        [row(product_id="gin", user_id=f"u{n}", amount=99999999999999.0) for n in range(20)],
    ],
    ids=["NaN beside 0.1", "NaN ratio", "NaN amount", "infinite", "blank", "rounding", "risk", "a sum beyond 64 bits"],
)
def test_it_agrees_with_gold_on_doubles_and_text(lake: Lake, engine: Engine, rows: list[dict[str, Any]]) -> None:
    write_silver(lake, rows)
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert red(lake) == set()


@pytest.mark.sail
def test_the_average_of_many_rows_does_not_depend_on_their_order(tmp_path: Path, engine: Engine) -> None:
    lake = lake_in(tmp_path, (PRODUCT_USAGE_METRICS,))
    one = pa.Table.from_pylist([row(usage_cost_ratio=ratio) for ratio in (0.2, 0.7)], schema=SCHEMA)
    write_silver(lake, [row(event_date=TUESDAY)])
    for _ in range(2):
        write_deltalake(lake.silver, one.take(pa.array([0, 1] * 60_000)), mode="append")
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert {found["avg_usage_cost_ratio"] for found in rows_of(lake.places[USAGE]).to_pylist()} == {0.45, 0.5}
    copies = "silver_transactions:no_duplicate_rows"
    assert red(lake) == {copies}
    DeltaTable(lake.places[USAGE]).update(
        {"avg_usage_cost_ratio": "0.450000000001"}, predicate=f"event_date = '{MONDAY}'"
    )
    assert red(lake) == {copies, f"{USAGE}:reconciles"}


@pytest.mark.sail
@pytest.mark.parametrize("sign", [1, -1])
def test_an_average_of_the_largest_doubles_is_finite_however_it_is_made(
    tmp_path: Path, engine: Engine, sign: int
) -> None:
    lake, largest = lake_in(tmp_path, (PRODUCT_USAGE_METRICS,)), sys.float_info.max
    write_silver(lake, [row(usage_cost_ratio=largest), row(event_date=TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    write_silver(lake, [row(usage_cost_ratio=sign * largest, user_id=user) for user in ("bob", "eve")])
    expected = largest if sign == 1 else -largest / 3
    for how in ("patch", "recompute"):
        refresh(lake, engine, [MONDAY], how=how)
        [found] = [each for each in rows_of(lake.places[USAGE]).to_pylist() if each["event_date"] == MONDAY]
        assert found["avg_usage_cost_ratio"] == pytest.approx(expected, rel=1e-15)
        assert red(lake) == set()
    DeltaTable(lake.places[USAGE]).update({"avg_usage_cost_ratio": "42.0"}, predicate=f"event_date = '{MONDAY}'")
    assert red(lake) == {f"{USAGE}:reconciles"}


@pytest.mark.parametrize(
    ("precision", "scale", "amounts"),
    [
        (38, 18, ["99999999999999.99994", "0.00005", "-0.00005", "-99999999999999.99995", "99999999999999.99995"]),
        (38, 0, ["99999999999999", "100000000000000", "-99999999999999999999999999999999999999"]),
        (10, 2, ["1.25", "-99999999.99"]),
        (5, 5, ["0.12345", "0.12355", "-0.99995"]),
    ],
)
def test_it_agrees_with_gold_on_decimals(
    lake: Lake, engine: Engine, precision: int, scale: int, amounts: list[str]
) -> None:
    schema = with_type("amount", pa.decimal128(precision, scale))
    write_silver(
        lake, [row(amount=Decimal(text), user_id=text) for text in amounts] + [row(amount=None)], schema=schema
    )
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert red(lake) == set()


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (pa.struct([("a", pa.int64())]), {"a": 1}),
        (pa.list_(pa.string()), ["a", None]),
        (pa.map_(pa.string(), pa.int64()), [("k", 1)]),
        (pa.float64(), NAN),
    ],
    ids=["struct", "list", "map", "double"],
)
def test_rows_are_compared_in_every_further_column_whatever_its_type(
    lake: Lake, engine: Engine, type: pa.DataType, value: Any
) -> None:
    schema = with_type('Odd "name', type, SCHEMA)
    extra = {'Odd "name': value}
    write_silver(lake, [high_risk_row(**extra), high_risk_row(), row(amount=None, **extra)], schema=schema)
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert red(lake) == set()
    for table in ("high_risk_txns", "quarantined_txns"):
        DeltaTable(lake.places[table]).update({'"Odd ""name"': "NULL"})
    assert red(lake) == {"high_risk_txns:reconciles", "quarantined_txns:reconciles"}


def test_a_date_outside_the_window_that_has_no_rows_left_is_none(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(), row(event_date=MONDAY.replace(year=1970)), row(event_date=None)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert red(lake) == {"silver_transactions:dates_in_window"}
    DeltaTable(lake.silver).delete("event_date IS NULL OR event_date = DATE '1970-01-01'")
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert red(lake) == set()


@pytest.mark.parametrize("partition_by", [["event_date"], []])
def test_rows_on_days_that_python_does_not_know_are_named_and_every_other_date_goes_on(
    lake: Lake, engine: Engine, partition_by: list[str]
) -> None:
    write_silver(lake, [row()], partition_by=partition_by)
    for days, user in ((6_668_000, "far"), (-800_000, "long ago"), (6_668_001, "farther")):
        rows = pa.Table.from_pylist([row(user_id=user)], schema=SCHEMA)
        dates = pa.array([days], pa.int32()).cast(pa.date32())
        write_deltalake(lake.silver, rows.set_column(5, "event_date", dates), mode="append")
    refresh(lake, engine, [MONDAY, TUESDAY])
    write_silver(lake, [row(user_id="new")])
    refresh(lake, engine, [MONDAY], how="patch")
    limits = Limits(MONDAY, TUESDAY)
    found = {check.check.name: check for check in run(all_checks(lake.project), Inspection(lake, None, limits))}
    assert [name for name, each in found.items() if not each.passed and each.severity == "error"] == ["dates_in_window"]
    said = "3 rows on 2 dates outside the window 2024-01-01 to 2024-01-02: 0001-01-01 and earlier, 9999-12-31 and later"
    assert said in found["dates_in_window"].summary
    assert lake_plan(lake, lake.tables, [MONDAY, TUESDAY]).to_do == []
    far = [FIRST_DAY, LAST_DAY]  # as the stream does, which knows no window
    assert {date: made.rows for date, made in refresh(lake, engine, far).dates["user_spend_summary"].items()} == {
        FIRST_DAY: 1,
        LAST_DAY: 2,
    }
    on_far = run(all_checks(lake.project), Inspection(lake, far, limits))
    assert {each.check.name for each in on_far if not each.passed and each.severity == "error"} == {"dates_in_window"}
    assert publish(replace(lake, published=f"{lake.silver}_published"), limits).summary.startswith("Published")


def test_high_risk_rows_without_their_mark_are_not_sound(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row(), row(event_date=TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    place = lake.places["high_risk_txns"]
    unmarked = DeltaTable(place).to_pyarrow_table().drop_columns(["is_high_risk"])
    write_deltalake(place, unmarked, mode="overwrite", schema_mode="overwrite", partition_by=["event_date"])
    assert {"high_risk_txns:schema", "high_risk_txns:sound_rows"} <= red(lake)


def test_it_works_whatever_silvers_columns_are_called(lake: Lake, engine: Engine) -> None:
    names = [
        "s",
        "g",
        "fault",
        "agrees",
        "number",
        "rows",
        "rule",
        "copies",
        "n",
        "silver",
        "gold",
        "silver_rows",
        "gold_rows",
        "gold_fault",
        "rows_table",
    ]
    schema = SCHEMA
    for name in names:
        schema = with_type(name, pa.string(), schema)
    more = dict.fromkeys(names, "x")
    write_silver(lake, [high_risk_row(**more), row(**more), row(**more, user_id=None)], schema=schema)
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert red(lake) == set()
    DeltaTable(lake.places["high_risk_txns"]).update({"rows": "'y'"})
    assert red(lake) == {"high_risk_txns:reconciles"}
    inspection = Inspection(lake, [MONDAY], Limits(MONDAY, TUESDAY))
    findings = {(each.check.table, each.check.name): each for each in run(all_checks(lake.project), inspection)}
    examples = findings["high_risk_txns", "reconciles"].rows
    assert sorted(each["rows"] for each in examples) == ["x", "y"]
    [bad] = findings["quarantined_txns", "share"].rows
    assert (bad["rule"], bad["rows"], bad["column rows"], bad["s"]) == ("user_id_is_missing", 1, "x", "x")
