"""A check, what it found, what it holds Gold against, and the words it says it in."""

import datetime as dt
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gold_assets.checks.second_opinion import Number
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE

if TYPE_CHECKING:
    from gold_assets.checks.inspection import Inspection

Severity = Literal["error", "warning"]

ROWS_SHOWN = 20
"""Of what is wrong, in a finding's examples."""


@dataclass(frozen=True)
class Limits:
    """What the checks hold Gold and Silver against.

    Attributes:
        first_date, last_date: the window of partitions; without a last date it runs up to today.
        quarantined_share: the share of a date's rows above which a warning is raised.
        fresh_by_hour: the hour of the day, UTC, by which yesterday must be there.
        publish_while_rolling_out: whether a table of which several versions made dates may be published.
        now: the moment of the check, UTC.
    """

    first_date: dt.date
    last_date: dt.date | None = None
    quarantined_share: float = 0.01
    fresh_by_hour: int = 6
    publish_while_rolling_out: bool = False
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc))

    @property
    def end(self) -> dt.date:
        return self.last_date or self.now.date()

    def __contains__(self, date: dt.date) -> bool:
        """Whether the date is within the window."""
        return self.first_date <= date <= self.end


@dataclass(frozen=True)
class Check:
    """One property of a table. ``by_date`` says that every date is judged by itself, else the table as a whole is."""

    table: str
    name: str
    description: str
    evaluate: Callable[["Inspection", "Check"], Iterator["Finding"]] = field(repr=False, compare=False)
    by_date: bool = False
    severity: Severity = "error"
    blocking: bool = False


@dataclass(frozen=True)
class Finding:
    """What a check found: for one date, or for the table where ``date`` is None.

    Attributes:
        rows: examples of what is wrong.
        columns_without_values: those columns of the examples that hold no value of a row of Silver or Gold, but a date,
            a count or the name of a column or rule. None says that of all columns.
        milder: that this failure is a warning, though the check's are errors.
    """

    check: Check
    date: dt.date | None
    passed: bool
    summary: str
    numbers: Mapping[str, Number | str] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    milder: bool = False
    columns_without_values: Collection[str] | None = None

    @property
    def severity(self) -> Severity:
        return "warning" if self.milder else self.check.severity

    @property
    def rows_without_values(self) -> Sequence[Mapping[str, Any]]:
        """The examples as they may stay on record, when the rows that they are of are long gone."""
        if self.columns_without_values is None:
            return self.rows
        kept = self.columns_without_values
        return [{name: row[name] for name in kept} for row in self.rows] if kept else []


EXPLAINED_BY = "explained_by"
"""In an example, the command that explains it."""


def explaining_command(table: Table, date: dt.date | None, row: Mapping[str, Any]) -> str:
    """The command that explains a row of the table, of which the key, or else the source's keys, are in ``row``."""
    names = [name for name in table.key if name != EVENT_DATE] or table.source.keys
    conditions = [f"{name}={'NULL' if row[name] is None else row[name]}" for name in names if name in row]
    return shlex.join(["gold", "explain", table.name, "--date", str(date or "none"), *conditions])


def listed(versions: Collection[int]) -> str:
    return ", ".join(map(str, sorted(versions)))
