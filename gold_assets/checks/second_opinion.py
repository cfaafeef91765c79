"""A second opinion on Gold: the contract and the tables once more, as SQL, run by DataFusion, which made neither side.

What the SQL of a table is, its declaration says. It reads through delta-rs, deletion vectors included, and needs no JVM. Every
function takes a slice of dates that fits in memory and gives an answer for each of them.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.query import View, query
from gold_assets.delta.sql import DATAFUSION
from gold_assets.gold.declaration import KeysTwin, RowsTwin, Table
from gold_assets.silver.contract import VIOLATIONS
from gold_assets.silver.contract_sql import SilverSql, unpruned
from gold_assets.silver.pin import Silver

Number = int | float | Decimal

_EXAMPLES_A_DATE = 3
_OF_ROW = "column "


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


def silver_counts(silver: Silver, dates: Collection[dt.date], *, undated: bool = False) -> dict[Any, SilverCounts]:
    """Rows and broken rows by date; where ``undated``, of the rows without a date, under None."""
    valid = f"count(*) FILTER (WHERE {SilverSql.of(silver).rules_hold})"
    rows = query(
        f"SELECT {EVENT_DATE}, count(*) AS n, {valid} AS valid FROM silver GROUP BY 1",
        silver=silver.view(dates, and_null=undated),
    )
    return {row[EVENT_DATE]: SilverCounts(row["n"], row["n"] - row["valid"]) for row in rows}


def row_counts(rows: View) -> dict[Any, int]:
    """Rows by date, those without a date under None."""
    counts = query(f"SELECT {EVENT_DATE}, count(*) AS n FROM rows GROUP BY 1", rows=rows)
    return {row[EVENT_DATE]: row["n"] for row in counts}


def gold_view(gold: DeltaTable, dates: Collection[dt.date], *, and_null: bool = False) -> View:
    """A table's rows of these dates, and those without a date where ``and_null``."""
    return View(gold, "*", predicate(dates, and_null=and_null) or "false")


def compare(
    table: Table,
    silver: Silver,
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
    pairs = _pairs(table, silver, gold, broken_dates)
    totals, soundness = totals_of(table), _soundness(table)
    select = ", ".join(f"{expression} AS {name}" for name, expression in {**totals, **soundness}.items())
    sql = f"SELECT {EVENT_DATE}, {select}, count(*) FILTER (WHERE NOT agrees) AS differing FROM ({pairs}) GROUP BY 1"
    return {
        row[EVENT_DATE]: Comparison(
            {name: row[name] for name in totals}, row["differing"], {name: row[name] for name in soundness}
        )
        for row in query(
            sql, silver=silver.view(dates, and_null=undated), gold=gold_view(gold, dates, and_null=undated)
        )
    }


def examples(
    table: Table,
    silver: Silver,
    gold: DeltaTable,
    dates: Collection[dt.date],
    broken_dates: Collection[dt.date],
    *,
    undated: bool = False,
) -> dict[Any, list[dict[str, Any]]]:
    """A few keys or rows of each date that ``compare`` finds to differ, with both sides' values."""
    pairs = _pairs(table, silver, gold, broken_dates)
    differing = f"SELECT * FROM ({pairs}) WHERE NOT agrees"
    return _some_of_each_date(
        differing, silver=silver.view(dates, and_null=undated), gold=gold_view(gold, dates, and_null=undated)
    )


def soundness(table: Table, gold: DeltaTable, dates: Collection[dt.date]) -> dict[dt.date, dict[str, int]]:
    """By date, the rows of Gold, and how many keys and rows make no sense by themselves, by the name of what is wrong."""
    if isinstance(table.twin, KeysTwin):
        keys, senses = ", ".join(_keys(table)), _senses(table.twin)
        gold_rows = f"SELECT {keys}, count(*) AS gold_rows{senses} FROM gold GROUP BY {keys}"
    else:
        gold_rows = f"SELECT {EVENT_DATE}, 1 AS gold_rows, {_fault(table, gold)} AS gold_fault FROM gold"
    select = ", ".join(f"{expression} AS {name}" for name, expression in _soundness(table).items())
    rows = query(f"SELECT {EVENT_DATE}, {select} FROM ({gold_rows}) GROUP BY 1", gold=gold_view(gold, dates))
    return {row.pop(EVENT_DATE): row for row in rows}


def totals_of(table: Table) -> dict[str, str]:
    """By name, what is added up of both sides of a comparison, in SQL over ``compare``'s keys or rows."""
    if not isinstance(table.twin, KeysTwin):
        return _both("rows")
    totals: dict[str, str] = {}
    for name, value in table.twin.values.items():
        totals |= _both(name) if value.is_total else {}
    keys = f"{table.what}s"
    return {**totals, f"silver_{keys}": "count(silver_rows)", f"gold_{keys}": "count(gold_rows)"}


def _both(name: str) -> dict[str, str]:
    return {f"{side}_{name}": f"coalesce(sum({side}_{name}), 0)" for side in ("silver", "gold")}


def _senses(twin: KeysTwin) -> str:
    """How many rows of a key break each sense."""
    return "".join(
        f", count(*) FILTER (WHERE NOT coalesce({sense}, false)) AS gold_{name}" for name, sense in twin.senses.items()
    )


def _soundness(table: Table) -> dict[str, str]:
    """Totals over the keys or rows of Gold: its rows, and by name what is wrong with how many."""
    rows = {"rows": "coalesce(sum(gold_rows), 0)"}
    if isinstance(table.twin, KeysTwin):
        without_value = " OR ".join(f"{key} IS NULL" for key in _keys(table) if key != EVENT_DATE)
        return {
            **rows,
            "keys_more_than_once": "count(*) FILTER (WHERE gold_rows > 1)",
            "keys_with_null": f"count(*) FILTER (WHERE gold_rows > 0 AND ({without_value}))",
            **{name: f"coalesce(sum(gold_{name}), 0)" for name in table.twin.senses},
        }
    if isinstance(table.twin, RowsTwin) and table.twin.sense is not None:
        return {**rows, table.twin.sense[0]: "coalesce(sum(gold_fault), 0)"}
    return {}


def _fault(table: Table, gold: DeltaTable) -> str:
    """1 for a row of Gold that makes no sense by itself, else 0, as SQL."""
    if not isinstance(table.twin, RowsTwin) or table.twin.sense is None:
        return "0"
    own = {column.name for column in table.columns}
    if own - _types(gold).keys():
        return "1"
    return f"CASE WHEN {table.twin.sense[1]} THEN 0 ELSE 1 END"


def broken_rules(quarantine: DeltaTable, dates: Collection[dt.date]) -> dict[dt.date, list[dict[str, Any]]]:
    """By date, the rules that quarantined rows break, how many rows break each, and an example row of each."""
    columns = ", ".join(_as_of_row(name) for name in _types(quarantine) if name != VIOLATIONS)
    broken = f"SELECT unnest({VIOLATIONS}) AS rule, {columns} FROM quarantine"
    first = f"{_of_row('user_id')}, {_of_row('product_id')}"
    number = f"row_number() OVER (PARTITION BY {EVENT_DATE}, rule ORDER BY {first})"
    count = f"count(*) OVER (PARTITION BY {EVENT_DATE}, rule)"
    rows = query(
        f"SELECT * FROM (SELECT {count} AS rows, {number} AS number, * FROM ({broken})) WHERE number = 1 ORDER BY rule",
        quarantine=gold_view(quarantine, dates),
    )
    return _by_date(rows)


def duplicate_rows(silver: Silver, dates: Collection[dt.date]) -> dict[dt.date, int]:
    """By date, how many rows of Silver are a copy, in every column, of one before."""
    columns = ", ".join(DATAFUSION.name(field.name) for field in silver.fields)
    counted = f"SELECT {EVENT_DATE}, count(*) AS copies FROM silver GROUP BY {columns}"
    rows = query(
        f"SELECT {EVENT_DATE}, sum(copies) - count(*) AS n FROM ({counted}) GROUP BY 1", silver=silver.view(dates)
    )
    return {row[EVENT_DATE]: row["n"] for row in rows}


def _pairs(table: Table, silver: Silver, gold: DeltaTable, broken_dates: Collection[dt.date]) -> str:
    """SQL over ``silver`` and ``gold``: a row for each key or distinct row, both sides' values, and whether they agree."""
    sql = SilverSql.of(silver)
    rows = []
    if isinstance(table.twin, RowsTwin) and not table.twin.of_valid:
        rows.append(unpruned(f"NOT {sql.is_valid}"))
    elif broken_dates:
        rows.append(unpruned(f"NOT ({predicate(broken_dates)}) OR {sql.is_valid}"))
    if isinstance(table.twin, RowsTwin) and table.twin.condition != "true":
        rows.append(unpruned(table.twin.condition))
    of_silver = " AND ".join(rows) or "true"
    if isinstance(table.twin, KeysTwin):
        return _key_pairs(table, table.twin, sql, of_silver)
    assert table.twin is not None
    return _row_pairs(silver, gold, table, of_silver)


def _key_pairs(table: Table, twin: KeysTwin, sql: SilverSql, of_silver: str) -> str:
    """Both sides aggregated by key and joined: a key that one side lacks, or Gold has twice, does not agree."""
    keys = _keys(table)
    aggregates: dict[str, str] = {}
    for name, value in twin.values.items():
        aggregates |= {name: value.silver if isinstance(value.silver, str) else value.silver(sql), **value.with_silver}
    silver = ", ".join(f"{aggregate} AS {name}" for name, aggregate in aggregates.items())
    silver_keys = ", ".join(f"{twin.keys.get(key, key)} AS {key}" for key in keys)
    gold = ", ".join(f"{value.gold} AS {name}" for name, value in twin.values.items())
    agree = " AND ".join(value.agrees or f"s.{name} = g.{name}" for name, value in twin.values.items())
    of_either = ", ".join(f"coalesce(s.{key}, g.{key}) AS {key}" for key in keys)
    both = ", ".join(f"s.{name} AS silver_{name}, g.{name} AS gold_{name}" for name in ("rows", *twin.values))
    senses = "".join(f", g.gold_{name}" for name in twin.senses)
    numbers = ", ".join(str(number + 1) for number in range(len(keys)))
    return f"""
        SELECT {of_either}, {both}{senses}, coalesce(g.rows = 1 AND {agree}, false) AS agrees
        FROM (SELECT {silver_keys}, count(*) AS rows, {silver} FROM silver WHERE {of_silver} GROUP BY {numbers}) AS s
        FULL JOIN (
            SELECT {", ".join(keys)}, count(*) AS rows, {gold}{_senses(twin)} FROM gold GROUP BY {numbers}
        ) AS g ON {" AND ".join(f"s.{key} = g.{key}" for key in keys)}"""


def _keys(table: Table) -> list[str]:
    return [*(key for key in table.key if key != EVENT_DATE), EVENT_DATE]


def _row_pairs(silver: Silver, gold: DeltaTable, table: Table, of_silver: str) -> str:
    """Distinct rows with how often each side has them. A column that one side lacks must be NULL on the other."""
    own = {column.name for column in table.columns} - {EVENT_DATE}
    sides = [field.name for field in silver.fields], [name for name in _types(gold) if name not in own]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    of_both = ", ".join(map(_of_row, names))
    selects = [
        ", ".join(_as_of_row(name) if name in side else f"NULL AS {_of_row(name)}" for name in names) for side in sides
    ]
    return f"""
        SELECT {of_both}, sum(s) AS silver_rows, sum(g) AS gold_rows, sum(fault) AS gold_fault,
            sum(s) = sum(g) AS agrees FROM (
            SELECT {selects[0]}, 1 AS s, 0 AS g, 0 AS fault FROM silver WHERE {of_silver}
            UNION ALL SELECT {selects[1]}, 0 AS s, 1 AS g, {_fault(table, gold)} AS fault FROM gold
        ) GROUP BY {of_both}"""


def _of_row(name: str) -> str:
    """A column of Silver's in a query that has columns of its own, whatever Silver calls it."""
    return name if name == EVENT_DATE else DATAFUSION.name(_OF_ROW + name)


def _as_of_row(name: str) -> str:
    return f"{DATAFUSION.name(name)} AS {_of_row(name)}"


def _types(table: DeltaTable) -> dict[str, Any]:
    return {field.name: field.type for field in table.schema().fields}


def _some_of_each_date(sql: str, **tables: View) -> dict[Any, list[dict[str, Any]]]:
    number = f"row_number() OVER (PARTITION BY {EVENT_DATE})"
    rows = query(
        f"SELECT * FROM (SELECT *, {number} AS number FROM ({sql})) WHERE number <= {_EXAMPLES_A_DATE}", **tables
    )
    return _by_date(rows)


def _by_date(rows: Iterable[dict[str, Any]]) -> dict[Any, list[dict[str, Any]]]:
    by_date: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        row.pop("number")
        for ours in ("agrees", "gold_fault"):
            row.pop(ours, None)
        for name in [name for name in row if name.startswith(_OF_ROW)]:
            plain = name.removeprefix(_OF_ROW)
            row[name if plain in row else plain] = row.pop(name)
        by_date.setdefault(row[EVENT_DATE], []).append(row)
    return by_date
