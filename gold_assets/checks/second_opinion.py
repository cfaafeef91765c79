"""A second opinion on Gold: the rules and the tables once more, as SQL, run by DataFusion, which made neither side.

What the SQL of a table is, its reference says. It reads through delta-rs, deletion vectors included, and needs no JVM. Every
function takes a slice of dates that fits in memory and gives an answer for each of them.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from deltalake import DeltaTable

from gold_assets.checks.pairs import (
    OF_ROW,
    Sides,
    as_of_row,
    compared,
    fault,
    gold_by_key,
    gold_view,
    keys,
    of_row,
    sql_name,
    types,
)
from gold_assets.declaring.source import VIOLATIONS
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.query import View, query
from gold_assets.delta.sql import DATAFUSION
from gold_assets.silver.pin import Silver

Number = int | float | Decimal
Dates = Collection[dt.date | None]
"""The rows without a date are date None, here and in all answers."""

Examples = list[dict[str, Any]]

MISPLACED = "rows_that_do_not_belong"
"""What is wrong with rows of Silver's that a table's reference would not select so."""

_EXAMPLES_A_DATE = 3


@dataclass(frozen=True)
class SilverCounts:
    """Silver's rows of a date, and how many of them break a rule of the contract."""

    rows: int = 0
    broken: int = 0


@dataclass(frozen=True)
class Comparison:
    """A date of a table beside what Silver says it must be.

    Attributes:
        totals: of both sides, by name.
        differing: how many keys or rows differ.
        soundness: by name, how many of the date's rows break an invariant, as the function ``soundness`` counts them.
    """

    totals: Mapping[str, Number]
    differing: int
    soundness: Mapping[str, int] = field(default_factory=dict)


def silver_counts(silver: Silver, dates: Dates) -> dict[dt.date | None, SilverCounts]:
    """Rows and broken rows of each of the dates."""
    valid = f"count(*) FILTER (WHERE {silver.source.rules_hold_sql(silver.types)})"
    rows = query(
        f"SELECT {EVENT_DATE}, count(*) AS n, {valid} AS valid FROM silver GROUP BY 1", silver=silver.view(dates)
    )
    counts = {row[EVENT_DATE]: SilverCounts(row["n"], row["n"] - row["valid"]) for row in rows}
    return {date: counts.get(date, SilverCounts()) for date in dates}


def row_counts(rows: View) -> dict[dt.date | None, int]:
    """Rows by date."""
    counts = query(f"SELECT {EVENT_DATE}, count(*) AS n FROM rows GROUP BY 1", rows=rows)
    return {row[EVENT_DATE]: row["n"] for row in counts}


def compare(table: Table, sides: Sides, dates: Dates, broken_dates: Dates) -> dict[dt.date | None, Comparison]:
    """Both sides of ``table`` by date; a date without rows on either is not there.

    Every key is compared, to the last digit, in tables with a key; in the others every row, with all its columns.
    ``broken_dates`` names every date with a row that breaks the contract: the others are spared the test.
    """
    totals, sound = totals_of(table), _soundness(table)
    select = ", ".join(f"{expression} AS {sql_name(name)}" for name, expression in {**totals, **sound}.items())
    counted = f"SELECT {EVENT_DATE}, {select}, count(*) FILTER (WHERE NOT agrees) AS differing FROM pairs GROUP BY 1"
    return {
        row[EVENT_DATE]: Comparison(
            {name: row[name] for name in totals}, row["differing"], {name: row[name] for name in sound}
        )
        for row in compared(table, sides, sides.views(dates), broken_dates, counted)
    }


def examples(table: Table, sides: Sides, dates: Dates, broken_dates: Dates) -> dict[dt.date | None, Examples]:
    """A few keys or rows of each date that ``compare`` finds to differ, with both sides' values."""
    numbered = f"SELECT *, row_number() OVER (PARTITION BY {EVENT_DATE}) AS number FROM pairs WHERE NOT agrees"
    differing = f"SELECT * FROM ({numbered}) WHERE number <= {_EXAMPLES_A_DATE}"
    return _by_date(compared(table, sides, sides.views(dates), broken_dates, differing))


def soundness(table: Table, gold: DeltaTable, dates: Dates) -> dict[dt.date | None, dict[str, int]]:
    """By date, the rows of Gold, and how many keys and rows make no sense by themselves, by the name of what is wrong."""
    if table.key:
        gold_rows = f"SELECT *, rows AS gold_rows FROM ({gold_by_key(table, 'gold')})"
    else:
        gold_rows = f"SELECT {EVENT_DATE}, 1 AS gold_rows, {fault(table, gold)} AS gold_fault FROM gold"
    select = ", ".join(f"{expression} AS {sql_name(name)}" for name, expression in _soundness(table).items())
    rows = query(f"SELECT {EVENT_DATE}, {select} FROM ({gold_rows}) GROUP BY 1", gold=gold_view(gold, dates))
    return {row.pop(EVENT_DATE): row for row in rows}


def totals_of(table: Table) -> dict[str, str]:
    """By name, what is added up of both sides of a comparison, in SQL over ``compare``'s keys or rows."""
    if not table.key:
        return _both("rows")
    totals: dict[str, str] = {}
    for name in table.totals:
        totals |= _both(name)
    counted = f"{table.what}s"
    return {**totals, f"silver_{counted}": "count(silver_rows)", f"gold_{counted}": "count(gold_rows)"}


def _both(name: str) -> dict[str, str]:
    return {f"{side}_{name}": f"coalesce(sum({sql_name(f'{side}_{name}')}), 0)" for side in ("silver", "gold")}


def _soundness(table: Table) -> dict[str, str]:
    """Totals over the keys or rows of Gold: its rows, and by name what is wrong with how many."""
    rows = {"rows": "coalesce(sum(gold_rows), 0)"}
    if not table.key:
        return {**rows, MISPLACED: "coalesce(sum(gold_fault), 0)"} if table.has_invariants else {}
    without_value = " OR ".join(f"{sql_name(key)} IS NULL" for key in keys(table) if key != EVENT_DATE)
    nulls = {"keys_with_null": f"count(*) FILTER (WHERE gold_rows > 0 AND ({without_value or 'false'}))"}
    return {
        **rows,
        "keys_more_than_once": "count(*) FILTER (WHERE gold_rows > 1)",
        **({} if table.sql else nulls),  # a SELECT may group by NULL
        **{name: f"coalesce(sum(gold_{name}), 0)" for name in table.invariants},
    }


def broken_rules(table: Table, quarantine: DeltaTable, dates: Dates) -> dict[dt.date | None, Examples]:
    """By date, the rules that quarantined rows break, how many rows break each, and an example row of each."""
    columns = ", ".join(as_of_row(name) for name in types(quarantine) if name != VIOLATIONS)
    broken = f"SELECT unnest({VIOLATIONS}) AS rule, {columns} FROM quarantine"
    first = ", ".join(map(of_row, table.source.keys)) or EVENT_DATE
    number = f"row_number() OVER (PARTITION BY {EVENT_DATE}, rule ORDER BY {first})"
    count = f"count(*) OVER (PARTITION BY {EVENT_DATE}, rule)"
    rows = query(
        f"SELECT * FROM (SELECT {count} AS rows, {number} AS number, * FROM ({broken})) WHERE number = 1 ORDER BY rule",
        quarantine=gold_view(quarantine, dates),
    )
    return _by_date(rows)


def duplicate_rows(silver: Silver, dates: Dates) -> dict[dt.date | None, int]:
    """By date, how many rows of Silver are a copy, in every column, of one before."""
    columns = ", ".join(DATAFUSION.name(field.name) for field in silver.fields)
    counted = f"SELECT {EVENT_DATE}, count(*) AS copies FROM silver GROUP BY {columns}"
    rows = query(
        f"SELECT {EVENT_DATE}, sum(copies) - count(*) AS n FROM ({counted}) GROUP BY 1", silver=silver.view(dates)
    )
    return {row[EVENT_DATE]: row["n"] for row in rows}


def _by_date(rows: Examples) -> dict[dt.date | None, Examples]:
    """The rows by date, without our own columns and with Silver's under their names."""
    by_date: dict[dt.date | None, Examples] = {}
    for row in rows:
        for ours in ("number", "agrees", "gold_fault"):
            row.pop(ours, None)
        for name in [name for name in row if name.startswith(OF_ROW)]:
            plain = name.removeprefix(OF_ROW)
            row[name if plain in row else plain] = row.pop(name)
        by_date.setdefault(row[EVENT_DATE], []).append(row)
    return by_date
