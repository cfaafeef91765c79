"""A check, what it found, what it holds Gold against, and the words it says it in."""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gold_assets.checks.second_opinion import Number

if TYPE_CHECKING:
    from gold_assets.checks.inspection import Inspection

SILVER = "silver_transactions"
"""The name under which Silver's own checks go."""

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
        now: the moment of the check, UTC.
    """

    first_date: dt.date
    last_date: dt.date | None = None
    quarantined_share: float = 0.01
    fresh_by_hour: int = 6
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc))

    @property
    def end(self) -> dt.date:
        return self.last_date or self.now.date()


@dataclass(frozen=True)
class Check:
    """One property of a table. ``by_date`` says that every date is judged by itself, else the table as a whole is."""

    table: str
    name: str
    description: str
    by_date: bool
    evaluate: Callable[["Inspection", "Check"], Iterator["Finding"]] = field(repr=False, compare=False)
    severity: Severity = "error"
    blocking: bool = False


@dataclass(frozen=True)
class Finding:
    """What a check found: for one date, or for the table where ``date`` is None. ``rows`` are examples of what is wrong."""

    check: Check
    date: dt.date | None
    passed: bool
    summary: str
    numbers: Mapping[str, Number | str] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    milder: bool = False
    """That this failure is a warning, though the check's are errors."""

    @property
    def severity(self) -> Severity:
        return "warning" if self.milder else self.check.severity


def listed(versions: Collection[int]) -> str:
    return ", ".join(map(str, sorted(versions)))
