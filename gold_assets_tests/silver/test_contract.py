"""The contract: every Silver row is valid or quarantined, never both, never neither."""

import decimal
import math
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets.declaring.column import (
    Column,
    decimal_sum,
    is_below,
    is_readable,
    readable_sql,
    value,
    value_sql,
)
from gold_assets.delta.query import query
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.transactions.source import AMOUNT, RATIO, source
from gold_assets.transactions.tables import HIGH_RISK_TXNS
from gold_assets.transactions.transformations import HIGH_RISK_RATIO
from gold_assets_tests.small_silver import MONDAY, SCHEMA, TUESDAY, WEDNESDAY, row, with_type, write_silver

NAN, INF = math.nan, math.inf


def silver_of(lake: Lake, engine: Engine, rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA) -> DataFrame:
    return engine.read(write_silver(lake, rows, schema=schema))


def judged(
    lake: Lake, engine: Engine, cases: list[dict[str, Any]], schema: pa.Schema = SCHEMA
) -> list[tuple[bool, list[str] | None]]:
    """Of a row with each of these changes, whether it is valid, and which violations the quarantine tells of it."""
    numbered = [row(**changes, case=number) for number, changes in enumerate(cases)]
    silver = silver_of(lake, engine, numbered, with_type("case", pa.int64(), schema))
    valid = {found["case"] for found in source.valid_rows(silver).collect()}
    quarantined = {found["case"]: found["violations"] for found in source.quarantined_rows(silver).collect()}
    return [(number in valid, quarantined.get(number)) for number in range(len(cases))]


def test_a_row_that_breaks_one_rule_is_quarantined_under_its_name(lake: Lake, engine: Engine) -> None:
    broken: list[tuple[dict[str, Any], str]] = [
        ({"user_id": None}, "user_id_is_missing"),
        ({"user_id": ""}, "user_id_is_missing"),
        ({"user_id": "  "}, "user_id_is_missing"),
        ({"user_id": " \t\r\n "}, "user_id_is_missing"),
        ({"product_id": None}, "product_id_is_missing"),
        ({"product_id": "\n"}, "product_id_is_missing"),
        ({"amount": None}, "amount_is_not_money"),
        ({"amount": NAN}, "amount_is_not_money"),
        ({"amount": INF}, "amount_is_not_money"),
        ({"amount": -INF}, "amount_is_not_money"),
        ({"amount": 1e14}, "amount_is_not_money"),
        ({"amount": -1e14}, "amount_is_not_money"),
        ({"amount": 1.7e308}, "amount_is_not_money"),
        ({"usage_cost_ratio": NAN}, "usage_cost_ratio_is_not_finite"),
        ({"usage_cost_ratio": INF}, "usage_cost_ratio_is_not_finite"),
        ({"usage_cost_ratio": -INF}, "usage_cost_ratio_is_not_finite"),
        ({"risk_level": "HIGH"}, "risk_level_is_unknown"),
        ({"risk_level": ""}, "risk_level_is_unknown"),
        ({"risk_level": "high "}, "risk_level_is_unknown"),
        ({"event_date": None}, "event_date_is_missing"),
    ]
    found = judged(lake, engine, [changes for changes, _ in broken])
    assert list(zip(broken, found, strict=True)) == [((changes, rule), (False, [rule])) for changes, rule in broken]


def test_a_row_that_breaks_every_rule_names_them_all_in_order(lake: Lake, engine: Engine) -> None:
    nothing = row(user_id=None, product_id=" ", amount=NAN, usage_cost_ratio=INF, risk_level="?", event_date=None)
    silver = silver_of(lake, engine, [nothing])
    (quarantined,) = source.quarantined_rows(silver).collect()
    assert quarantined["violations"] == [rule.name for rule in source.rules]
    assert len(source.rules) == 6


def test_an_odd_row_that_breaks_no_rule_is_valid(lake: Lake, engine: Engine) -> None:
    odd: list[dict[str, Any]] = [
        {"usage_cost_ratio": None},
        {"risk_level": None},
        {"usage_cost_ratio": None, "risk_level": None},
        {"usage_cost_ratio": -1.7e308},
        {"usage_cost_ratio": 5e-324},
        {"amount": -0.0},
        {"amount": -5.0},
        {"amount": 99_999_999_999_999.98},
        {"user_id": " ann "},
        {"user_id": "\tann"},
        {"user_id": "!"},
        {"user_id": "\x0b"},
        {"user_id": "\u00a0"},
        {"user_id": "日本"},
        {"user_id": "NULL"},
        {"product_id": "x" * 10_000},
    ]
    found = judged(lake, engine, odd)
    assert list(zip(odd, found, strict=True)) == [(changes, (True, None)) for changes in odd]


LIMIT = Decimal("99999999999999.9999")


def test_a_decimal_amount_fits_where_it_rounds_into_decimal_18_4(lake: Lake, engine: Engine) -> None:
    fits = {
        LIMIT: True,
        -LIMIT: True,
        LIMIT + Decimal("0.0000499"): True,
        LIMIT + Decimal("0.00005"): False,
        -LIMIT - Decimal("0.00005"): False,
        Decimal(10) ** 14: False,
        Decimal(10) ** 20: False,
        Decimal("0.00005"): True,
        None: False,
    }
    found = judged(lake, engine, [{"amount": amount} for amount in fits], with_type("amount", pa.decimal128(38, 8)))
    expected = [(fit, None if fit else ["amount_is_not_money"]) for fit in fits.values()]
    assert list(zip(fits, found, strict=True)) == list(zip(fits, expected, strict=True))


def test_each_date_has_its_silver_rows_once_valid_or_quarantined(lake: Lake, engine: Engine) -> None:
    silver = silver_of(
        lake,
        engine,
        [
            *(
                row(usage_cost_ratio=ratio, risk_level=risk)
                for ratio in (None, NAN, 0.1)
                for risk in (None, "high", "?")
            ),
            *(row(amount=amount, event_date=TUESDAY) for amount in (None, NAN, 1.0)),
            row(event_date=WEDNESDAY),
            row(event_date=None),
        ],
    )
    every_date = Counter(row["event_date"] for row in silver.collect())
    valid = Counter(row["event_date"] for row in source.valid_rows(silver).collect())
    quarantined = Counter(row["event_date"] for row in source.quarantined_rows(silver).collect())
    assert valid + quarantined == every_date
    assert valid == {MONDAY: 4, TUESDAY: 1, WEDNESDAY: 1}


def test_the_split_is_the_same_where_the_broken_dates_are_known(lake: Lake, engine: Engine) -> None:
    silver = silver_of(
        lake, engine, [row(), row(amount=None), row(event_date=TUESDAY), row(event_date=None), row(user_id="\t")]
    )
    broken = source.broken_dates(silver)
    assert broken == {MONDAY, None}
    for split in (source.valid_rows, source.quarantined_rows):
        assert Counter(map(str, split(silver, broken).collect())) == Counter(map(str, split(silver).collect()))


def test_where_every_row_is_valid_no_date_is_broken_and_the_quarantine_reads_nothing(
    lake: Lake, engine: Engine
) -> None:
    silver = silver_of(lake, engine, [row(), row(event_date=TUESDAY)])
    assert source.broken_dates(silver) == set()
    assert source.valid_rows(silver, set()).count() == 2
    for file in Path(lake.silver).rglob("*.parquet"):
        file.unlink()
    assert source.quarantined_rows(silver, set()).count() == 0


def test_a_row_without_a_date_is_never_valid_though_no_date_is_broken(lake: Lake, engine: Engine) -> None:
    silver = silver_of(lake, engine, [row(event_date=None)])
    assert source.broken_dates(silver) == {None}
    assert source.valid_rows(silver, {None}).count() == 0
    assert source.quarantined_rows(silver, {None}).count() == 1


def sums(lake: Lake, engine: Engine, amounts: list[Any], schema: pa.Schema = SCHEMA) -> dict[Any, Decimal]:
    """The sum of each amount alone."""
    silver = silver_of(lake, engine, [row(amount=amount, user_id=repr(amount)) for amount in amounts], schema)
    found = silver.groupBy("user_id").agg(decimal_sum(AMOUNT, silver).alias("money")).collect()
    by_name = {one["user_id"]: one["money"] for one in found}
    return {amount: by_name[repr(amount)] for amount in amounts}


def test_a_double_is_rounded_half_away_from_zero_at_the_fourth_decimal(lake: Lake, engine: Engine) -> None:
    money = {
        2.5: "2.5000",
        0.00005: "0.0001",
        -0.00005: "-0.0001",
        0.00015: "0.0001",  # the double is 0.000149999999999999993
        0.00025: "0.0003",
        -0.00025: "-0.0003",
        0.00004999999999999999: "0.0000",
        -0.00004999999999999999: "0.0000",
        1234567.00005: "1234567.0001",
        -1234567.00005: "-1234567.0001",
        0.1 + 0.2: "0.3000",
        -0.0: "0.0000",
        5e-324: "0.0000",
        99_999_999_999_999.98: "99999999999999.9872",
        -99_999_999_999_999.98: "-99999999999999.9872",
    }
    assert sums(lake, engine, list(money)) == {amount: Decimal(text) for amount, text in money.items()}


def test_a_decimal_is_rounded_half_away_from_zero_at_the_fourth_decimal(lake: Lake, engine: Engine) -> None:
    money = {"1.00005": "1.0001", "-1.00005": "-1.0001", "1.00004999": "1.0000", "7": "7.0000"}
    found = sums(lake, engine, list(map(Decimal, money)), with_type("amount", pa.decimal128(38, 8)))
    assert found == {Decimal(amount): Decimal(text) for amount, text in money.items()}


def test_the_largest_amounts_add_up_to_the_last_digit(lake: Lake, engine: Engine) -> None:
    largest = 99_999_999_999_999.98
    amounts = [largest] * 300 + [-largest] * 100 + [0.0001] * 7
    silver = silver_of(lake, engine, [row(amount=amount) for amount in amounts])
    (only,) = silver.agg(decimal_sum(AMOUNT, silver).alias("money")).collect()
    assert only["money"] == 200 * Decimal("99999999999999.9872") + Decimal("0.0007")


@pytest.mark.sail
@pytest.mark.parametrize(
    ("type", "money"),
    [
        (
            "decimal(8,2)",
            {0.005: "0.01", -2.675: "-2.68", 999_999.994: "999999.99", 999_999.995: None, 1e6: None, NAN: None},
        ),
        ("decimal(5,0)", {0.5: "1", -1.49: "-1", 99_999.4: "99999", 99_999.5: None, -1e5: None, INF: None}),
    ],
)
@pytest.mark.parametrize("stored", ["double", "decimal(20,6)"])
def test_a_decimal_of_other_digits_is_read_alike_in_pyspark_and_in_sql(
    lake: Lake, engine: Engine, type: str, money: dict[float, str | None], stored: str
) -> None:
    amounts = [amount for amount in money if stored == "double" or math.isfinite(amount)]
    schema: pa.Schema = SCHEMA
    values: list[float | Decimal] = list(amounts)
    if stored != "double":
        schema, values = with_type("amount", pa.decimal128(20, 6)), [Decimal(repr(amount)) for amount in amounts]
    delta = write_silver(lake, [row(amount=value, user_id=repr(at)) for at, value in enumerate(values)], schema=schema)
    column, silver = Column("amount", type, "Money."), engine.read(delta)
    fits = silver.filter(is_readable(column, silver))
    by_spark = fits.groupBy("user_id").agg(decimal_sum(column, silver).alias("sum")).collect()
    by_sql = query(
        f"SELECT user_id, max({value_sql(column, stored)}) AS value FROM silver "
        f"WHERE {readable_sql(column, stored)} GROUP BY 1",
        silver=delta,
    )
    expected = {repr(at): Decimal(text) for at, amount in enumerate(amounts) if (text := money[amount]) is not None}
    assert {found["user_id"]: found["sum"] for found in by_spark} == expected
    assert {found["user_id"]: found["value"] for found in by_sql} == expected


SCALES = (0, 1, 17, 24, 25, 30, 32, 38)


def decimal_ratios(scale: int) -> list[Decimal]:
    """DECIMAL(38, scale): around 0.2, around the middle between two doubles, and the ends."""
    with decimal.localcontext(prec=80):
        unit = Decimal(1).scaleb(-scale)
        fifth = HIGH_RISK_RATIO.quantize(unit, decimal.ROUND_CEILING)
        middle = (Decimal.from_float(0.1) + Decimal.from_float(math.nextafter(0.1, 1))) / 2
        middle = middle.quantize(unit, decimal.ROUND_FLOOR)
        near = [value + n * unit for value in (fifth, middle) for n in (-1, 0, 1)]
        most = (10**38 - 1) * unit
        return [*near, most, -most, 7 * unit, 1234567890123456789 * unit, 12345678901234567890123456789 * unit]


@pytest.fixture
def ratios(tmp_path: Path) -> DeltaTable:
    """A column of decimals for each of the scales, and NULLs."""
    columns = {f"scale_{scale}": pa.array([*decimal_ratios(scale), None], pa.decimal128(38, scale)) for scale in SCALES}
    write_deltalake(tmp_path / "ratios", pa.table({"number": range(len(columns["scale_0"])), **columns}))
    return DeltaTable(tmp_path / "ratios")


def expected(scale: int) -> list[tuple[float | None, bool]]:
    """Of each ratio the nearest double, and whether it is below 0.2."""
    return [*((float(ratio), ratio < HIGH_RISK_RATIO) for ratio in decimal_ratios(scale)), (None, False)]


def test_a_decimal_ratio_is_compared_as_a_decimal_and_becomes_the_nearest_double(
    ratios: DeltaTable, engine: Engine
) -> None:
    rows = engine.read(ratios)
    made = [F.col("number")]
    for scale in SCALES:
        silver = rows.select(F.col(f"scale_{scale}").alias("usage_cost_ratio"))
        of_scale = (value(RATIO, silver), F.coalesce(is_below(RATIO, HIGH_RISK_RATIO, silver), F.lit(False)))
        rows = rows.withColumn("usage_cost_ratio", F.col(f"scale_{scale}"))
        rows = rows.withColumns({f"ratio_{scale}": of_scale[0], f"below_{scale}": of_scale[1]})
        made += [F.col(f"ratio_{scale}"), F.col(f"below_{scale}")]
    found = rows.select(*made).orderBy("number").collect()
    for scale in SCALES:
        assert [(row[f"ratio_{scale}"], row[f"below_{scale}"]) for row in found] == expected(scale), scale


@pytest.mark.sail
def test_the_second_opinion_on_decimal_ratios_is_exact(ratios: DeltaTable) -> None:
    for scale in SCALES:
        type = f"decimal(38,{scale})"
        is_below_sql = HIGH_RISK_TXNS.select.conditions({"usage_cost_ratio": type, "risk_level": "string"})[
            f"usage_cost_ratio < {HIGH_RISK_RATIO}"
        ]
        found = query(
            f"SELECT {value_sql(RATIO, type)} AS ratio, coalesce({is_below_sql}, false) AS below "
            f"FROM (SELECT number, scale_{scale} AS usage_cost_ratio FROM ratios) ORDER BY number",
            ratios=ratios,
        )
        assert [(row["ratio"], row["below"]) for row in found] == expected(scale), scale
