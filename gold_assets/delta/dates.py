"""Dates, as logs and files write them; and one predicate for a set of them, to filter Silver and to replace in Gold alike.

Spark and Arrow know days that Python does not, before the year 1 and after the year 9999. All of them count as the
first or the last day that Python knows.
"""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gold_assets.delta.errors import UserError
from gold_assets.delta.sql import Dialect

EVENT_DATE = "event_date"
"""The partition column of every table of ours: a UTC date."""

FIRST_DAY, LAST_DAY = dt.date.min, dt.date.max
"""The first and the last day that Python knows: they also stand for any day before, and any after."""

_DAY = dt.timedelta(days=1)
_EPOCH = dt.date(1970, 1, 1)
_TEXT = re.compile(r"([+-]?\d{4,})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)[\d:.]*(?:Z|([+-]\d\d):?(\d\d))?)?")
_IN_A_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def day_of(text: str) -> dt.date:
    """A date, or a timestamp's date in UTC, as a log writes it. Raises ``ValueError``."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no date and no timestamp")
    year, month, day = (int(part) for part in found.groups()[:3])
    if not FIRST_DAY.year <= year <= LAST_DAY.year:
        return FIRST_DAY if year < FIRST_DAY.year else LAST_DAY
    date = dt.date(year, month, day)
    hours, minutes, zone, zone_minutes = (int(part or 0) for part in found.groups()[3:])
    is_west = (found[6] or "").startswith("-")
    since_midnight = 60 * (hours - zone) + minutes - (-zone_minutes if is_west else zone_minutes)
    try:
        return date + dt.timedelta(days=since_midnight // (24 * 60))
    except OverflowError:
        return date


def days_in(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The dates of an Arrow array of dates, or of timestamps in UTC, as days that Python knows. Raises ``ValueError``."""
    if pa.types.is_timestamp(values.type):
        in_a_day, moments = _IN_A_DAY[values.type.unit], values.cast(pa.int64())
        days = pc.divide(moments, in_a_day)  # towards 1970
        days = pc.subtract(days, pc.greater(pc.multiply(days, in_a_day), moments).cast(pa.int64()))
    elif pa.types.is_date(values.type) or pa.types.is_null(values.type):
        days = values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    else:
        raise ValueError(f"{values.type} is neither a date nor a timestamp")
    for bound, day in ((pc.max_element_wise, FIRST_DAY), (pc.min_element_wise, LAST_DAY)):
        days = bound(days, pa.scalar((day - _EPOCH).days, pa.int64()), skip_nulls=False)
    return days.cast(pa.int32()).cast(pa.date32())


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


def slices_of(
    dates: Iterable[dt.date], sizes: Mapping[dt.date | None, int | None], most: int, most_dates: int
) -> list[list[dt.date]]:
    """The dates as they come, cut so that the sizes of a slice add up to no more than ``most``, unless one date is larger.

    A date without a size adds nothing, and one whose size is not known (None) fills a slice.
    """
    slices: list[list[dt.date]] = []
    together = 0
    for date in dates:
        known = sizes.get(date, 0)
        size = most if known is None else known
        if not slices or together + size > most or len(slices[-1]) == most_dates:
            slices.append([])
            together = 0
        slices[-1].append(date)
        together += size
    return slices


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
    """The rows of these dates; those without a date are date None."""

    dates: Collection[dt.date | None]
    column: DateColumn = DateColumn()

    def sql(self, dialect: Dialect) -> str:
        """The condition, in a form by which readers leave out files; empty where there are no dates."""
        name = dialect.name(self.column.name)
        # Not BETWEEN, which Spark 4.2 parses into a function that Delta's replaceWhere leaves unresolved.
        parts = [self._holds(name, first, last, dialect) for first, last in contiguous(filter(None, self.dates))]
        if None in self.dates:
            parts.append(f"{name} IS NULL")
        return " OR ".join(f"({part})" for part in parts)

    def _holds(self, name: str, first: dt.date, last: dt.date, dialect: Dialect) -> str:
        if self.column.type == "date" and first == last and FIRST_DAY < first < LAST_DAY:
            return f"{name} = DATE '{first}'"
        bounds = []
        if first > FIRST_DAY:
            bounds.append(f">= DATE '{first}'" if self.column.type == "date" else f">= {dialect.moment(str(first))}")
        if last < LAST_DAY:
            # Not the timestamp's date, by which no reader leaves out a file.
            end = f"< {dialect.moment(str(last + _DAY))}"
            bounds.append(f"<= DATE '{last}'" if self.column.type == "date" else end)
        return " AND ".join(f"{name} {bound}" for bound in bounds) or f"{name} IS NOT NULL"


def as_date(given: object) -> dt.date:
    """What somebody gives for a date: of a moment its date, in UTC where it has a zone. Raises ``UserError``."""
    date = given
    if isinstance(given, dt.datetime):
        with suppress(ValueError, OverflowError):
            date = (given.astimezone(dt.timezone.utc) if given.tzinfo else given).date()
    if isinstance(date, dt.date) and not isinstance(date, dt.datetime):  # pandas has a moment that is none
        return date
    raise UserError(f"{given!r} is no date, expected a datetime.date such as datetime.date(2026, 1, 31): correct it.")


def dates_text(dates: Iterable[dt.date | None], most: int | None = None) -> str:
    """The dates as runs of days, the first few of them; those without a date last."""
    told = list(dates)
    runs = [
        _text(first) if first == last else f"{_text(first)} to {_text(last)}"
        for first, last in contiguous(filter(None, told))
    ]
    runs += ["rows without a date"] if None in told else []
    return ", ".join(runs[:most]) + (" and more" if most is not None and len(runs) > most else "")


def dates_in(text: str) -> set[dt.date]:
    """The dates that ``dates_text`` wrote. Raises ``ValueError``."""
    found: set[dt.date] = set()
    for run in text.split(", "):
        first, _, last = run.partition(" to ")
        found.update(days(day_of(first.split(" ")[0]), day_of((last or first).split(" ")[0])))
    return found


def asked_in_text(name: str, text: str) -> set[dt.date]:
    """The dates that somebody gives as ``name``, such as ``2026-01-01 to 2026-01-31, 2026-02-03``. Raises ``UserError``."""
    try:
        return dates_in(text)
    except ValueError:
        raise UserError(
            f"{name} is {text!r}, expected dates such as 2026-01-01 to 2026-01-31, 2026-02-03: correct it."
        ) from None


def _text(date: dt.date) -> str:
    return str(date) + {FIRST_DAY: " and earlier", LAST_DAY: " and later"}.get(date, "")


def predicate(dates: Iterable[dt.date | None]) -> str:
    """``RowsOn`` in a table of ours, as every engine reads it."""
    return RowsOn(list(dates)).sql(_PLAIN)


_PLAIN = Dialect("", "")
"""Where every name is a plain word, and no moment occurs."""
