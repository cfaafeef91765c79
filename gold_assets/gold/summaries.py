"""What a table holds, in a few numbers a date, an example of its rows, and how its values are spread; read from its own files."""

import datetime as dt
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.query import query
from gold_assets.gold.declaration import Table

_ROWS_SHOWN = 5


def numbers_by_date(
    table: Table, gold: DeltaTable, dates: Collection[dt.date], names: Collection[str] | None = None
) -> dict[dt.date, dict[str, float]]:
    """For each of the ``dates`` that has rows: ``rows``, and of ``table.numbers`` those with these names, by default all."""
    select = ", ".join(f"{sql} AS {name}" for name, sql in table.numbers.items() if names is None or name in names)
    if not select:
        told = FileDates(gold).rows()
        counts = {date: told.get(date, 0) for date in dates}
        if None not in counts.values():
            return {date: {"rows": count} for date, count in counts.items() if count}
    rows = query(
        f"SELECT {EVENT_DATE}, count(*) AS rows{', ' if select else ''}{select} FROM gold "
        f"WHERE {predicate(dates)} GROUP BY {EVENT_DATE} ORDER BY {EVENT_DATE}",
        gold=gold,
    )
    return {
        row.pop(EVENT_DATE): {
            name: float(value) if isinstance(value, Decimal) else value
            for name, value in row.items()
            if value is not None
        }
        for row in rows
    }


def example_rows(table: Table, gold: DeltaTable, date: dt.date) -> list[dict[str, Any]]:
    """A few rows of the date, those with the largest numbers first."""
    return query(
        f"SELECT * FROM gold WHERE {predicate([date])} ORDER BY {table.first_rows} LIMIT {_ROWS_SHOWN}", gold=gold
    )


def spread(gold: DeltaTable, column: str, dates: Collection[dt.date], steps: int) -> list[tuple[float, int]]:
    """How many of the table's rows have which value in ``column``, in bins of one ``steps``-th from 0 to 1.

    Of each bin the lower end and the count. What is below 0 or above 1 is in the first or the last.
    """
    bin_of = f"greatest(0, least({steps - 1}, floor({column} * {steps})))"
    rows = query(
        f"SELECT CAST({bin_of} AS INT) AS bin, count(*) AS n FROM gold "
        f"WHERE ({predicate(dates)}) AND {column} IS NOT NULL GROUP BY 1",
        gold=gold,
    )
    counts = {row["bin"]: row["n"] for row in rows}
    return [(number / steps, counts.get(number, 0)) for number in range(steps)]
