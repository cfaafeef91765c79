"""The contract: every Silver row is valid or quarantined, never both, never neither."""

import math
from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame

from gold_assets.engines import Engine
from gold_assets.lakehouse import contract
from gold_assets.lakehouse.refresh import Lake
from gold_assets_tests.silver import MONDAY, SCHEMA, TUESDAY, WEDNESDAY, row, with_type, write_silver

NAN, INF = math.nan, math.inf


def silver_of(lake: Lake, engine: Engine, rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA) -> DataFrame:
    return engine.read(lake.silver, write_silver(lake, rows, schema=schema).version())


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
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
    ],
    ids=str,
)
def test_a_row_that_breaks_one_rule_is_quarantined_under_its_name(
    lake: Lake, engine: Engine, changes: dict[str, Any], rule: str
) -> None:
    silver = silver_of(lake, engine, [row(**changes), row()])
    assert [bad["violations"] for bad in contract.quarantined_rows(silver).collect()] == [[rule]]
    assert contract.valid_rows(silver).count() == 1


def test_a_row_that_breaks_every_rule_names_them_all_in_order(lake: Lake, engine: Engine) -> None:
    nothing = row(user_id=None, product_id=" ", amount=NAN, usage_cost_ratio=INF, risk_level="?", event_date=None)
    silver = silver_of(lake, engine, [nothing])
    (quarantined,) = contract.quarantined_rows(silver).collect()
    assert quarantined["violations"] == [rule.name for rule in contract.RULES]
    assert len(contract.RULES) == 6


@pytest.mark.parametrize(
    "changes",
    [
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
    ],
    ids=lambda changes: ascii(changes)[:40],
)
def test_an_odd_row_that_breaks_no_rule_is_valid(lake: Lake, engine: Engine, changes: dict[str, Any]) -> None:
    silver = silver_of(lake, engine, [row(**changes)])
    assert contract.valid_rows(silver).count() == 1
    assert contract.quarantined_rows(silver).count() == 0


LIMIT = Decimal("99999999999999.9999")


@pytest.mark.parametrize(
    ("amount", "fits"),
    [
        (LIMIT, True),
        (-LIMIT, True),
        (LIMIT + Decimal("0.0000499"), True),
        (LIMIT + Decimal("0.00005"), False),
        (-LIMIT - Decimal("0.00005"), False),
        (Decimal(10) ** 14, False),
        (Decimal(10) ** 20, False),
        (Decimal("0.00005"), True),
        (None, False),
    ],
)
def test_a_decimal_amount_fits_where_it_rounds_into_decimal_18_4(
    lake: Lake, engine: Engine, amount: Decimal | None, fits: bool
) -> None:
    silver = silver_of(lake, engine, [row(amount=amount)], with_type("amount", pa.decimal128(38, 8)))
    assert contract.valid_rows(silver).count() == fits
    assert contract.quarantined_rows(silver).count() == (not fits)


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
    valid = Counter(row["event_date"] for row in contract.valid_rows(silver).collect())
    quarantined = Counter(row["event_date"] for row in contract.quarantined_rows(silver).collect())
    assert valid + quarantined == every_date
    assert valid == {MONDAY: 4, TUESDAY: 1, WEDNESDAY: 1}


def test_the_split_is_the_same_where_the_broken_dates_are_known(lake: Lake, engine: Engine) -> None:
    silver = silver_of(
        lake, engine, [row(), row(amount=None), row(event_date=TUESDAY), row(event_date=None), row(user_id="\t")]
    )
    broken = contract.broken_dates(silver)
    assert broken == {MONDAY}
    for split in (contract.valid_rows, contract.quarantined_rows):
        assert Counter(map(str, split(silver, broken).collect())) == Counter(map(str, split(silver).collect()))


def test_there_are_no_broken_dates_where_every_row_is_valid(lake: Lake, engine: Engine) -> None:
    silver = silver_of(lake, engine, [row(), row(event_date=TUESDAY)])
    assert contract.broken_dates(silver) == set()
    assert contract.valid_rows(silver, set()).count() == 2
    assert contract.quarantined_rows(silver, set()).count() == 0


def test_a_row_without_a_date_is_never_valid_though_no_date_is_broken(lake: Lake, engine: Engine) -> None:
    silver = silver_of(lake, engine, [row(event_date=None)])
    assert contract.broken_dates(silver) == set()
    assert contract.valid_rows(silver, set()).count() == 0
    assert contract.quarantined_rows(silver, set()).count() == 1


@pytest.mark.parametrize(
    ("amount", "money"),
    [
        (2.5, "2.5000"),
        (0.00005, "0.0001"),
        (-0.00005, "-0.0001"),
        (0.00015, "0.0001"),  # the double is 0.000149999999999999993
        (0.00025, "0.0003"),
        (0.00004999999999999999, "0.0000"),
        (1234567.00005, "1234567.0001"),
        (0.1 + 0.2, "0.3000"),
        (-0.0, "0.0000"),
        (5e-324, "0.0000"),
        (99_999_999_999_999.98, "99999999999999.9872"),
        (-99_999_999_999_999.98, "-99999999999999.9872"),
    ],
)
def test_a_double_is_rounded_half_away_from_zero_at_the_fourth_decimal(
    lake: Lake, engine: Engine, amount: float, money: str
) -> None:
    silver = silver_of(lake, engine, [row(amount=amount)])
    (only,) = silver.select(contract.money(silver).alias("money")).collect()
    assert only["money"] == Decimal(money)


@pytest.mark.parametrize(
    ("amount", "money"), [("1.00005", "1.0001"), ("-1.00005", "-1.0001"), ("1.00004999", "1.0000"), ("7", "7.0000")]
)
def test_a_decimal_is_rounded_half_away_from_zero_at_the_fourth_decimal(
    lake: Lake, engine: Engine, amount: str, money: str
) -> None:
    silver = silver_of(lake, engine, [row(amount=Decimal(amount))], with_type("amount", pa.decimal128(38, 8)))
    (only,) = silver.select(contract.money(silver).alias("money")).collect()
    assert only["money"] == Decimal(money)
