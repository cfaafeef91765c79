"""One predicate for a set of dates, used to filter Silver and to replace in Gold, so that the two cannot differ."""

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gold_assets.delta.sql import Dialect

EVENT_DATE = "event_date"
"""The partition column of every table of ours: a UTC date."""

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


@dataclass(frozen=True)
class DateColumn:
    """What dates a table's rows.

    Attributes:
        name: the column's.
        type: ``date``; or ``timestamp``, whose date in UTC counts; or ``timestamp_ntz``, whose date counts as it stands.
    """

    name: str = EVENT_DATE
    type: str = "date"


@dataclass(frozen=True)
class RowsOn:
    """The rows of these dates, and those without a date where ``and_null``."""

    dates: Collection[dt.date]
    and_null: bool = False
    column: DateColumn = DateColumn()

    def sql(self, dialect: Dialect) -> str:
        """The condition, by which readers can leave out files; empty where there is no such row."""
        name = dialect.name(self.column.name)
        # Not BETWEEN, which Spark 4.2 parses into a function that Delta's replaceWhere leaves unresolved.
        parts = [self._holds(name, first, last, dialect) for first, last in contiguous(self.dates)]
        if self.and_null:
            parts.append(f"{name} IS NULL")
        return " OR ".join(f"({part})" for part in parts)

    def _holds(self, name: str, first: dt.date, last: dt.date, dialect: Dialect) -> str:
        if self.column.type == "date":
            return (
                f"{name} = DATE '{first}'" if first == last else f"{name} >= DATE '{first}' AND {name} <= DATE '{last}'"
            )
        # Not the timestamp's date, by which no reader leaves out a file.
        end = f"<= {dialect.moment(f'{last} 23:59:59.999999')}"
        if last < dt.date.max:
            end = f"< {dialect.moment(str(last + _DAY))}"
        return f"{name} >= {dialect.moment(str(first))} AND {name} {end}"


def dates_text(dates: Iterable[dt.date | None], most: int | None = None) -> str:
    """The dates as runs of days, the first few of them; those without a date last."""
    told = list(dates)
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in contiguous(filter(None, told))]
    runs += ["rows without a date"] if None in told else []
    return ", ".join(runs[:most]) + (" and more" if most is not None and len(runs) > most else "")


def dates_in(text: str) -> set[dt.date]:
    """The dates that ``dates_text`` wrote. Raises ``ValueError``."""
    found: set[dt.date] = set()
    for run in text.split(", "):
        first, _, last = run.partition(" to ")
        found.update(days(dt.date.fromisoformat(first), dt.date.fromisoformat(last or first)))
    return found


def predicate(dates: Iterable[dt.date], *, and_null: bool = False) -> str:
    """``RowsOn`` in a table of ours, as every engine reads it."""
    return RowsOn(list(dates), and_null).sql(_PLAIN)


_PLAIN = Dialect("", "")
"""Where every name is a plain word, and no moment occurs."""
