"""A second opinion on Gold: the contract and the tables once more, as SQL, run by DataFusion, which made neither side.

It reads through delta-rs, deletion vectors included, and needs no JVM. Every function takes a slice of dates that fits in
memory and gives an answer for each of them.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.query import query
from gold_assets.delta.types import type_name
from gold_assets.gold.tables import (
    HIGH_RISK_TXNS,
    PRODUCT_USAGE_METRICS,
    QUARANTINED_TXNS,
    USER_SPEND_SUMMARY,
    Table,
)

Number = int | float | Decimal

_EXAMPLES_A_DATE = 3

_IS_MONEY_AS_DOUBLE = "abs(amount * 1e4) < 1e18"  # NaN is larger than every number
_IS_MONEY_AS_DECIMAL = "abs(TRY_CAST(amount AS DECIMAL(38, 4))) < 100000000000000"
_SPEND_AS_DOUBLE = """CAST(sum(CAST(TRY_CAST(round(amount * 1e4) AS BIGINT) AS DECIMAL(20, 0))) AS DECIMAL(34, 0))
    * CAST('0.0001' AS DECIMAL(4, 4))"""
_SPEND_AS_DECIMAL = "sum(TRY_CAST(amount AS DECIMAL(38, 4)))"
_IS_HIGH_RISK = "risk_level = 'high' AND usage_cost_ratio < 0.2"
_NOT_HIGH_RISK = f"CASE WHEN {_IS_HIGH_RISK} AND is_high_risk THEN 0 ELSE 1 END"
_AVERAGES_AGREE_TO = "1e-12"
"""Relative to the mean size of what is averaged: the order of a floating-point sum is free."""


@dataclass(frozen=True)
class SilverCounts:
    """Silver's rows of a date, and how many of them break a rule of the contract."""

    rows: int = 0
    broken: int = 0


@dataclass(frozen=True)
class Comparison:
    """A date of a table beside what Silver says it must be: totals of both sides, and how many keys or rows differ.

    ``soundness`` is what ``soundness`` finds, where the comparison comes by it, else empty.
    """

    totals: Mapping[str, Number]
    differing: int
    soundness: Mapping[str, int] = field(default_factory=dict)


def silver_counts(silver: DeltaTable, dates: Collection[dt.date], *, undated: bool = False) -> dict[Any, SilverCounts]:
    """Rows and broken rows by date; where ``undated``, of the rows without a date, under None."""
    where = predicate(dates, and_null=undated)
    valid = f"count(*) FILTER (WHERE {_rules_hold(silver)})"
    rows = query(
        f"SELECT {EVENT_DATE}, count(*) AS n, {valid} AS valid FROM silver WHERE {where} GROUP BY 1", silver=silver
    )
    return {row[EVENT_DATE]: SilverCounts(row["n"], row["n"] - row["valid"]) for row in rows}


def row_counts(table: DeltaTable, dates: Collection[dt.date], *, undated: bool = False) -> dict[Any, int]:
    """Rows by date, as ``silver_counts``."""
    where = predicate(dates, and_null=undated)
    rows = query(f"SELECT {EVENT_DATE}, count(*) AS n FROM t WHERE {where} GROUP BY 1", t=table)
    return {row[EVENT_DATE]: row["n"] for row in rows}


def compare(
    table: Table,
    silver: DeltaTable,
    gold: DeltaTable,
    dates: Collection[dt.date],
    broken_dates: Collection[dt.date],
    *,
    undated: bool = False,
) -> dict[Any, Comparison]:
    """``table`` as it is in ``gold`` beside what ``silver`` says, by date; a date without rows on either side is not there.

    Every key is compared, to the last digit, in tables with a key; in the others every row, with all its columns.
    ``broken_dates`` names every date with a row that breaks the contract: the others are spared the test.
    """
    pairs = _pairs(table, silver, gold, predicate(dates, and_null=undated), broken_dates)
    totals, soundness = TOTALS[table.name], _soundness(table)
    select = ", ".join(f"{expression} AS {name}" for name, expression in {**totals, **soundness}.items())
    sql = f"SELECT {EVENT_DATE}, {select}, count(*) FILTER (WHERE NOT agrees) AS differing FROM ({pairs}) GROUP BY 1"
    return {
        row[EVENT_DATE]: Comparison(
            {name: row[name] for name in totals}, row["differing"], {name: row[name] for name in soundness}
        )
        for row in query(sql, silver=silver, gold=gold)
    }


def examples(
    table: Table,
    silver: DeltaTable,
    gold: DeltaTable,
    dates: Collection[dt.date],
    broken_dates: Collection[dt.date],
    *,
    undated: bool = False,
) -> dict[Any, list[dict[str, Any]]]:
    """A few keys or rows of each date that ``compare`` finds to differ, with both sides' values."""
    pairs = _pairs(table, silver, gold, predicate(dates, and_null=undated), broken_dates)
    differing = f"SELECT * FROM ({pairs}) WHERE NOT agrees"
    return _some_of_each_date(differing, silver=silver, gold=gold)


def soundness(table: Table, gold: DeltaTable, dates: Collection[dt.date]) -> dict[dt.date, dict[str, int]]:
    """By date, the rows of Gold, and how many keys and rows make no sense by themselves, by the name of what is wrong."""
    if table.key:
        key, senses = table.key[0], _senses(table)
        gold_rows = f"SELECT {EVENT_DATE}, {key}, count(*) AS gold_rows, {senses} FROM gold WHERE {predicate(dates)} GROUP BY 1, 2"
    else:
        gold_rows = f"SELECT {EVENT_DATE}, 1 AS gold_rows, {_NOT_HIGH_RISK} AS gold_not_high_risk FROM gold WHERE {predicate(dates)}"
    select = ", ".join(f"{expression} AS {name}" for name, expression in _soundness(table).items())
    rows = query(f"SELECT {EVENT_DATE}, {select} FROM ({gold_rows}) GROUP BY 1", gold=gold)
    return {row.pop(EVENT_DATE): row for row in rows}


def _senses(table: Table) -> str:
    """How many rows of a key break each sense."""
    return ", ".join(
        f"count(*) FILTER (WHERE NOT coalesce({sense}, false)) AS gold_{name}"
        for name, sense in _SENSES[table.name].items()
    )


def _soundness(table: Table) -> dict[str, str]:
    """Totals over the keys or rows of Gold: its rows, and by name what is wrong with how many."""
    if table is HIGH_RISK_TXNS:
        return {
            "rows": "coalesce(sum(gold_rows), 0)",
            "rows_not_high_risk": "coalesce(sum(gold_not_high_risk), 0)",
        }
    if not table.key:
        return {}
    return {
        "rows": "coalesce(sum(gold_rows), 0)",
        "keys_more_than_once": "count(*) FILTER (WHERE gold_rows > 1)",
        "keys_with_null": f"count(*) FILTER (WHERE gold_rows > 0 AND {table.key[0]} IS NULL)",
        **{name: f"coalesce(sum(gold_{name}), 0)" for name in _SENSES[table.name]},
    }


def broken_rules(quarantine: DeltaTable, dates: Collection[dt.date]) -> dict[dt.date, list[dict[str, Any]]]:
    """By date, the rules that quarantined rows break, how many rows break each, and an example row of each."""
    columns = ", ".join(_quoted(field.name) for field in quarantine.schema().fields if field.name != "violations")
    broken = f"SELECT unnest(violations) AS rule, {columns} FROM quarantine WHERE {predicate(dates)}"
    number = f"row_number() OVER (PARTITION BY {EVENT_DATE}, rule ORDER BY user_id, product_id)"
    count = f"count(*) OVER (PARTITION BY {EVENT_DATE}, rule)"
    rows = query(
        f"SELECT * FROM (SELECT {count} AS rows, {number} AS number, * FROM ({broken})) WHERE number = 1 ORDER BY rule",
        quarantine=quarantine,
    )
    return _by_date(rows)


def duplicate_rows(silver: DeltaTable, dates: Collection[dt.date]) -> dict[dt.date, int]:
    """By date, how many rows of Silver are a copy, in every column, of one before."""
    columns = ", ".join(_quoted(field.name) for field in _comparable(silver).values())
    counted = f"SELECT {columns}, count(*) AS copies FROM silver WHERE {predicate(dates)} GROUP BY {columns}"
    rows = query(f"SELECT {EVENT_DATE}, sum(copies) - count(*) AS n FROM ({counted}) GROUP BY 1", silver=silver)
    return {row[EVENT_DATE]: row["n"] for row in rows}


_SENSES = {
    USER_SPEND_SUMMARY.name: {
        "transaction_counts_below_one": "transaction_count >= 1",
        "totals_without_value": "total_spend IS NOT NULL",
    },
    PRODUCT_USAGE_METRICS.name: {
        "transaction_counts_below_one": "transaction_count >= 1",
        "rated_counts_out_of_range": "rated_count >= 0 AND rated_count <= transaction_count",
        "averages_without_reason": "(avg_usage_cost_ratio IS NULL) = (rated_count = 0)",
        "averages_not_finite": "avg_usage_cost_ratio IS NULL OR abs(avg_usage_cost_ratio) < CAST('Infinity' AS DOUBLE)",
    },
}
"""By table and name of what is wrong, what each row must meet. Where money is summed, refunds make negative totals legal."""


def _both(name: str) -> dict[str, str]:
    return {f"{side}_{name}": f"coalesce(sum({side}_{name}), 0)" for side in ("silver", "gold")}


TOTALS: Mapping[str, Mapping[str, str]] = {
    USER_SPEND_SUMMARY.name: {
        **_both("transaction_count"),
        **_both("total_spend"),
        "silver_users": "count(silver_transaction_count)",
        "gold_users": "count(gold_rows)",
    },
    PRODUCT_USAGE_METRICS.name: {
        **_both("transaction_count"),
        **_both("rated_count"),
        "silver_products": "count(silver_transaction_count)",
        "gold_products": "count(gold_rows)",
    },
    HIGH_RISK_TXNS.name: _both("rows"),
    QUARANTINED_TXNS.name: _both("rows"),
}

RECONCILED = tuple(TOTALS)
"""Names of the tables that can be compared."""


def _pairs(table: Table, silver: DeltaTable, gold: DeltaTable, where: str, broken_dates: Collection[dt.date]) -> str:
    """SQL over ``silver`` and ``gold``: a row for each key or distinct row, both sides' values, and whether they agree."""
    valid = f"({where})"
    if broken_dates:
        valid += f" AND {_unpruned(f'NOT ({predicate(broken_dates)}) OR {_is_valid(silver)}')}"
    make: Callable[[], str] = {
        USER_SPEND_SUMMARY.name: lambda: _spend_pairs(table, silver, where, valid),
        PRODUCT_USAGE_METRICS.name: lambda: _usage_pairs(table, where, valid),
        HIGH_RISK_TXNS.name: lambda: _row_pairs(silver, gold, table, where, f"{valid} AND {_unpruned(_IS_HIGH_RISK)}"),
        QUARANTINED_TXNS.name: lambda: _row_pairs(
            silver, gold, table, where, f"({where}) AND {_unpruned(f'NOT {_is_valid(silver)}')}"
        ),
    }[table.name]
    return make()


def _spend_pairs(table: Table, silver: DeltaTable, where: str, valid: str) -> str:
    spend = _SPEND_AS_DECIMAL if _is_decimal(silver) else _SPEND_AS_DOUBLE
    return _joined(
        table,
        f"{spend} AS total_spend, count(*) AS transaction_count",
        "sum(total_spend) AS total_spend, sum(transaction_count) AS transaction_count",
        "s.transaction_count = g.transaction_count AND s.total_spend = g.total_spend",
        ("transaction_count", "total_spend"),
        where,
        valid,
    )


def _usage_pairs(table: Table, where: str, valid: str) -> str:
    ratio = "usage_cost_ratio"
    tolerance = f"{_AVERAGES_AGREE_TO} * s.size"
    averages_agree = f"""(s.average = g.average OR abs(s.average - g.average) <= {tolerance}
        OR (s.average IS NULL AND g.average IS NULL))"""
    return _joined(
        table,
        f"avg({ratio}) AS average, avg(abs({ratio})) AS size, count({ratio}) AS rated_count, count(*) AS transaction_count",
        """max(avg_usage_cost_ratio) AS average, sum(rated_count) AS rated_count,
            sum(transaction_count) AS transaction_count""",
        f"s.transaction_count = g.transaction_count AND s.rated_count = g.rated_count AND {averages_agree}",
        ("transaction_count", "rated_count", "average"),
        where,
        valid,
    )


def _joined(table: Table, silver: str, gold: str, agree: str, shown: Iterable[str], where: str, valid: str) -> str:
    """Both sides aggregated by key and joined: a key that one side lacks, or Gold has twice, does not agree."""
    key = table.key[0]
    both = ", ".join(f"s.{name} AS silver_{name}, g.{name} AS gold_{name}" for name in shown)
    senses = ", ".join(f"g.gold_{name}" for name in _SENSES[table.name])
    return f"""
        SELECT coalesce(s.{EVENT_DATE}, g.{EVENT_DATE}) AS {EVENT_DATE}, coalesce(s.{key}, g.{key}) AS {key}, {both},
            g.gold_rows, {senses}, coalesce(g.gold_rows = 1 AND {agree}, false) AS agrees
        FROM (SELECT {EVENT_DATE}, {key}, {silver} FROM silver WHERE {valid} GROUP BY 1, 2) AS s
        FULL JOIN (
            SELECT {EVENT_DATE}, {key}, {gold}, count(*) AS gold_rows, {_senses(table)} FROM gold WHERE {where} GROUP BY 1, 2
        ) AS g ON s.{EVENT_DATE} = g.{EVENT_DATE} AND s.{key} = g.{key}"""


def _row_pairs(silver: DeltaTable, gold: DeltaTable, table: Table, where: str, of_silver: str) -> str:
    """Distinct rows with how often each side has them. A column that one side lacks must be NULL on the other."""
    own = {column.name for column in table.columns} - {EVENT_DATE}
    sides = _comparable(silver), {name: field for name, field in _comparable(gold).items() if name not in own}
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    of_both = ", ".join(map(_quoted, names))
    selects = [
        ", ".join(_quoted(name) if name in side else f"NULL AS {_quoted(name)}" for name in names) for side in sides
    ]
    fault = "0"
    if table is HIGH_RISK_TXNS:
        fault = _NOT_HIGH_RISK if "is_high_risk" in _comparable(gold) else "1"
    return f"""
        SELECT {of_both}, sum(s) AS silver_rows, sum(g) AS gold_rows, sum(fault) AS gold_not_high_risk,
            sum(s) = sum(g) AS agrees FROM (
            SELECT {selects[0]}, 1 AS s, 0 AS g, 0 AS fault FROM silver WHERE {of_silver}
            UNION ALL SELECT {selects[1]}, 0 AS s, 1 AS g, {fault} AS fault FROM gold WHERE {where}
        ) GROUP BY {of_both}"""


def _is_valid(silver: DeltaTable) -> str:
    """The contract, as a condition that is never NULL."""
    return f"coalesce({_rules_hold(silver)}, false)"


def _rules_hold(silver: DeltaTable) -> str:
    """The contract, as a condition that is NULL where a rule evaluates to NULL."""
    is_money = _IS_MONEY_AS_DECIMAL if _is_decimal(silver) else _IS_MONEY_AS_DOUBLE
    return f"""{_is_present("user_id")} AND {_is_present("product_id")} AND {is_money}
        AND (usage_cost_ratio IS NULL OR abs(usage_cost_ratio) < CAST('Infinity' AS DOUBLE))
        AND coalesce(risk_level, 'low') IN ('low', 'medium', 'high') AND {EVENT_DATE} IS NOT NULL"""


def _unpruned(condition: str) -> str:
    """The condition, false where it is NULL, that DataFusion keeps away from the files' statistics.

    They leave out NaN: a file of 0.1 and NaN has 0.1 as its least and its largest value, and DataFusion 55 takes all its rows
    for ones that meet ``x = 0.1`` (apache/datafusion#15812). A condition on something volatile stays above the scan.
    """
    return f"coalesce({condition}, random() > 1)"


def _is_present(column: str) -> str:
    # Every blank sorts before '!': most rows are spared the trim, which is what costs.
    return f"({column} >= '!' OR btrim({column}, e' \\t\\r\\n') <> '')"


def _is_decimal(silver: DeltaTable) -> bool:
    return any(field.name == "amount" and type_name(field).startswith("decimal") for field in silver.schema().fields)


def _comparable(table: DeltaTable) -> dict[str, Any]:
    return {field.name: field for field in table.schema().fields}


def _some_of_each_date(sql: str, **tables: DeltaTable) -> dict[Any, list[dict[str, Any]]]:
    number = f"row_number() OVER (PARTITION BY {EVENT_DATE})"
    rows = query(
        f"SELECT * FROM (SELECT *, {number} AS number FROM ({sql})) WHERE number <= {_EXAMPLES_A_DATE}", **tables
    )
    return _by_date(rows)


def _by_date(rows: Iterable[dict[str, Any]]) -> dict[Any, list[dict[str, Any]]]:
    by_date: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        row.pop("number")
        for ours in ("agrees", "gold_not_high_risk"):
            row.pop(ours, None)
        by_date.setdefault(row[EVENT_DATE], []).append(row)
    return by_date


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
