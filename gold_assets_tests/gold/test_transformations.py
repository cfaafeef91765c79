"""The transformations, as functions from DataFrame to DataFrame."""

import math
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame

from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.transactions import transformations as t
from gold_assets_tests.small_silver import MONDAY, TUESDAY, row, write_silver


def silver_of(lake: Lake, engine: Engine, rows: list[dict[str, Any]]) -> DataFrame:
    return engine.read(write_silver(lake, rows))


LIMIT = float(t.HIGH_RISK_RATIO)
JUST_BELOW = math.nextafter(LIMIT, 0)


@pytest.mark.parametrize(
    ("risk_level", "ratio", "flagged"),
    [
        ("high", JUST_BELOW, True),
        ("high", 0.0, True),
        ("high", -1.0, True),
        ("high", LIMIT, False),
        ("high", None, False),
        ("medium", 0.1, False),
        ("low", 0.1, False),
        (None, 0.1, False),
        (None, None, False),
    ],
)
def test_high_risk_is_risk_level_high_and_a_ratio_below_the_limit_and_never_null(
    lake: Lake, engine: Engine, risk_level: str | None, ratio: float | None, flagged: bool
) -> None:
    silver = silver_of(lake, engine, [row(risk_level=risk_level, usage_cost_ratio=ratio)])
    (only,) = t.flag_high_risk_txns(silver).collect()
    assert only["is_high_risk"] is flagged
    assert t.high_risk_txns(silver).count() == flagged


def test_high_risk_keeps_each_duplicate_and_all_of_silvers_columns(lake: Lake, engine: Engine) -> None:
    risky = row(risk_level="high", usage_cost_ratio=0.1)
    silver = silver_of(lake, engine, [risky, risky, row()])
    found = [dict(row.asDict()) for row in t.high_risk_txns(silver).collect()]
    assert found == [risky | {"is_high_risk": True}] * 2


def test_spend_is_one_exact_sum_per_user_and_date(lake: Lake, engine: Engine) -> None:
    silver = silver_of(
        lake,
        engine,
        [
            *(row(amount=0.1) for _ in range(10)),
            row(amount=-0.25, event_date=TUESDAY),
            row(user_id=" ann", amount=7.0),
            row(user_id="ANN", amount=8.0),
        ],
    )
    spend = {tuple(row) for row in t.user_spend_summary(silver).collect()}
    assert spend == {
        ("ann", Decimal("1.0000"), 10, MONDAY),
        ("ann", Decimal("-0.2500"), 1, TUESDAY),
        (" ann", Decimal("7.0000"), 1, MONDAY),
        ("ANN", Decimal("8.0000"), 1, MONDAY),
    }


def test_an_average_is_over_the_rows_that_have_a_ratio(lake: Lake, engine: Engine) -> None:
    silver = silver_of(
        lake,
        engine,
        [
            row(usage_cost_ratio=0.5),
            row(usage_cost_ratio=None),
            row(usage_cost_ratio=0.25),
            row(product_id="milk", usage_cost_ratio=None),
        ],
    )
    usage = {tuple(row) for row in t.product_usage_metrics(silver).collect()}
    assert usage == {("tea", 0.375, 2, 3, MONDAY), ("milk", None, 0, 1, MONDAY)}
