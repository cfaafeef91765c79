"""What a table holds, in a few numbers a date, and an example of its rows; read from its own files."""

import datetime as dt
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from deltalake import DeltaTable

from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.query import query

_ROWS_SHOWN = 5


def numbers_by_date(table: Table, gold: DeltaTable, dates: Collection[dt.date]) -> dict[dt.date, dict[str, float]]:
    """For each of the ``dates`` that has rows: ``rows``, and those of ``table.numbers``."""
    select = ", ".join(f"{sql} AS {name}" for name, sql in table.numbers.items())
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
    """A few rows of the date, in the order of the table's key."""
    return query(
        f"SELECT * FROM gold WHERE {predicate([date])} ORDER BY {table.row_order} LIMIT {_ROWS_SHOWN}", gold=gold
    )
