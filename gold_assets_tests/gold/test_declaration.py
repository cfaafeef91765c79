"""A table's declaration is held against the SQL that it is compared with, when the project loads."""

import dataclasses
from typing import Any

import pytest

from gold_assets.delta.errors import UserError
from gold_assets.gold.declaration import Aggregate, KeysTwin, Table, Value
from gold_assets.gold.tables import HIGH_RISK_TXNS, PRODUCT_USAGE_METRICS, USER_SPEND_SUMMARY
from gold_assets.silver.contract import Column

pytestmark = pytest.mark.sail


def with_value(sql: str, **column: Any) -> Table:
    """The table of users with one value more, ``found``."""
    twin = USER_SPEND_SUMMARY.twin
    assert isinstance(twin, KeysTwin)
    return dataclasses.replace(
        USER_SPEND_SUMMARY,
        columns=(*USER_SPEND_SUMMARY.columns, Column("found", "double", "What was found.", **column)),
        twin=KeysTwin({**twin.values, "found": Value(sql, "max(found)", counted_by="transaction_count")}),
    )


@pytest.mark.parametrize(
    ("sql", "adds"),
    [
        ("max(amount)", "sum"),
        ("MAX (amount)", "min"),
        ("sum(amount)", "max"),
        ("avg(amount)", "sum"),
        ("count(DISTINCT product_id)", "count"),
        ("sum(DISTINCT amount)", "sum"),
        ("count(*) FILTER (WHERE risk_level = 'high')", "max"),
    ],
)
def test_a_column_that_adds_up_otherwise_than_its_sql_is_refused(sql: str, adds: Any) -> None:
    with pytest.raises(UserError, match=r'^user_spend_summary.found is declared with adds="') as refused:
        with_value(sql, adds=adds)
    assert sql in str(refused.value)


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        ("max(amount)", {"adds": "max"}),
        ("min(amount)", {"adds": "min"}),
        ("count(*) FILTER (WHERE risk_level = ')')", {"adds": "sum"}),
        ("avg(amount)", {"adds": "average", "counted_by": "transaction_count"}),
        ("max(amount) - min(amount)", {}),
        ("max(amount)", {}),
    ],
)
def test_a_column_that_says_what_its_sql_says_or_nothing_is_taken(sql: str, column: Any) -> None:
    assert with_value(sql, **column).adds_up is bool(column)


@pytest.mark.parametrize("counted_by", ["", "total_spend", "nothing"])
def test_an_average_names_the_column_that_counts_it(counted_by: str) -> None:
    with pytest.raises(UserError, match='the columns with adds="count" are transaction_count'):
        with_value("avg(amount)", adds="average", counted_by=counted_by)


def test_an_average_that_its_sql_counts_otherwise_is_refused() -> None:
    columns = tuple(
        dataclasses.replace(column, counted_by="transaction_count") if column.adds == "average" else column
        for column in PRODUCT_USAGE_METRICS.columns
    )
    with pytest.raises(UserError, match="counted by transaction_count, and the SQL it is compared with by rated_count"):
        dataclasses.replace(PRODUCT_USAGE_METRICS, columns=columns)


def test_a_table_with_a_key_does_not_append() -> None:
    with pytest.raises(UserError, match="has a key and appends"):
        dataclasses.replace(HIGH_RISK_TXNS, key=("user_id", "event_date"))


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("sum(a)", ("sum", "a")),
        (" Count( * ) ", ("count", " * ")),
        ("sum(coalesce(a, (b)))", ("sum", "coalesce(a, (b))")),
        ("max(')')", ("max", "')'")),
        ("max(DISTINCT a)", ("max", "DISTINCT a")),
        ("count(distinct a)", ("count distinct", "distinct a")),
        ("avg(a) FILTER (WHERE b = ')')", ("avg", "CASE WHEN  b = ')' THEN a END")),
        ("sum(a) * CAST('0.0001' AS DECIMAL(4, 4))", ("sum", "a")),
        ("sum(a) / 2", None),
        ("avg(a) * CAST('0.0001' AS DECIMAL(4, 4))", None),
        ("sum(a) + sum(b)", None),
        ("sum(a) OVER (PARTITION BY b)", None),
        ("median(a)", None),
        ("coalesce(sum(a), 0)", None),
    ],
)
def test_sql_is_one_aggregate_or_it_is_not_known_how_it_adds_up(sql: str, found: Any) -> None:
    aggregate = Aggregate.in_sql(sql)
    assert (None if aggregate is None else (aggregate.function, aggregate.of)) == found
