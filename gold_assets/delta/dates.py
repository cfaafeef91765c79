"""One predicate for a set of dates, used to filter Silver and to replace in Gold, so that the two cannot differ."""

import datetime as dt
from collections.abc import Iterable

EVENT_DATE = "event_date"
"""The partition column of every table: a UTC date."""

_DAY = dt.timedelta(days=1)


def contiguous(dates: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """The dates as runs of days, first and last included, in order."""
    runs: list[tuple[dt.date, dt.date]] = []
    for date in sorted(set(dates)):
        if runs and date - runs[-1][1] == _DAY:
            runs[-1] = (runs[-1][0], date)
        else:
            runs.append((date, date))
    return runs


def days(first: dt.date, last: dt.date) -> list[dt.date]:
    """Every day from ``first`` to ``last``, both included."""
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def predicate(dates: Iterable[dt.date], *, and_null: bool = False) -> str:
    """SQL that is true on rows of these dates, and on rows without a date where ``and_null``. Read by every engine."""
    # Not BETWEEN, which Spark 4.2 parses into a function that Delta's replaceWhere leaves unresolved.
    parts = [
        f"{EVENT_DATE} = DATE '{first}'"
        if first == last
        else f"{EVENT_DATE} >= DATE '{first}' AND {EVENT_DATE} <= DATE '{last}'"
        for first, last in contiguous(dates)
    ]
    if and_null:
        parts.append(f"{EVENT_DATE} IS NULL")
    return " OR ".join(f"({part})" for part in parts)
