"""What a refresh would do to a lake now, told by the logs: nothing is written, and no engine is asked."""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gold_assets.declaring.table import Table
from gold_assets.delta.dates import contiguous, dates_text, days
from gold_assets.delta.plural import duration, plural
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.plan import Planner, Step
from gold_assets.silver.pin import Silver

_WORTH_TELLING = 10.0
"""Seconds."""

HowToDo = Literal["patch", "keys", "recompute", "held", "sealed"]

_READS_DATES = ("keys", "recomputed")
"""The steps that read all of Silver's rows of a date."""

_TO_DO: Mapping[str, HowToDo] = {"patched": "patch", "keys": "keys", "recomputed": "recompute"}
"""By ``how`` of a step, ``how`` of what there is to do."""


@dataclass(frozen=True)
class ToDo:
    """What there is to do for a run of a table's dates.

    Attributes:
        first, last: the run's ends, both included; None for the rows without a date.
        how: what a refresh by the logs does: ``patch``, ``keys`` or ``recompute``; ``held`` or ``sealed`` where it leaves them as they are until
            a person decides.
        rows: Silver's rows to read: of the added files where they are patched, else of the dates, which are searched for the changed keys
            where it goes by ``keys``. None where they are not counted.
        reason: why, in a few words.
    """

    table: str
    first: dt.date | None
    last: dt.date | None
    how: HowToDo
    rows: int | None
    reason: str

    @property
    def dates(self) -> str:
        return dates_text([None] if self.first is None or self.last is None else days(self.first, self.last))


@dataclass(frozen=True)
class LakePlan:
    """What ``refresh`` would do with ``how="patch"``.

    Attributes:
        silver: what the tables would be made from.
        steps: per table name and date, what there is to do; None stands for the rows without a date.
        silver_rows: Silver's rows of the dates that would be recomputed or go by keys, as ``FileDates.rows`` tells them.
        seconds: about how long recomputing takes, at the rate of earlier refreshes; None where the logs tell of none that large.
    """

    silver: Silver
    steps: Mapping[str, Mapping[dt.date | None, Step]]
    silver_rows: Mapping[dt.date | None, int | None]
    seconds: float | None = None

    @property
    def to_do(self) -> list[ToDo]:
        """What is not current, or is to be decided: run by run of each table's dates, those without a date last."""
        return [todo for name in self.steps for todo in self._to_do_for(name)]

    @property
    def rows(self) -> int | None:
        """Silver's rows to read, once for all tables."""
        return self._rows(step for steps in self.steps.values() for step in steps.items())

    def dates(self, how: str) -> int:
        """How many dates have such a step, counted in each table."""
        return sum(step.how == how for steps in self.steps.values() for date, step in steps.items() if date is not None)

    @property
    def summary(self) -> str:
        """The plan in a sentence."""
        tables, version = plural(len(self.steps), "table"), self.silver.version
        patched, recomputed, current = map(self.dates, ("patched", "recomputed", "current"))
        by_key = f", {count} by keys" if (count := self.dates("keys")) else ""
        kept = ", ".join(f"{count} {how}" for how in ("held", "sealed") if (count := self.dates(how)))
        if self.to_do:
            return (
                f"{plural(patched, 'date')} to patch{by_key}, {recomputed} to recompute{kept and f', {kept}'} and {current} current in "
                f"{tables}; rows of Silver's version {version} to read, once for all tables: {_number(self.rows)}{self._takes}"
            )
        if not current:
            return f"Nothing to do: neither Silver, at version {version}, nor a table has one of the dates looked at."
        but = f", {kept}" if kept else ""
        return f"Nothing to do: with Silver at version {version}, {'' if kept else 'all '}{current} dates of {tables} are current{but}."

    @property
    def _takes(self) -> str:
        if self.seconds is None or self.seconds < _WORTH_TELLING:
            return ""
        return f"; recomputing takes about {duration(self.seconds)}, as earlier refreshes did"

    def records(self) -> list[dict[str, str]]:
        """What there is to do as rows for people, each with the same columns."""
        return [
            {
                "table": todo.table,
                "dates": todo.dates,
                "how": todo.how,
                "rows": _number(todo.rows),
                "reason": todo.reason,
            }
            for todo in self.to_do
        ]

    def text(self, most: int | None = None) -> str:
        """The plan for people: a line for each run of dates, the first few of them, and the summary."""
        records = self.records()
        if not records:
            return self.summary
        lines = [_line(dict(zip(records[0], records[0], strict=True))), *map(_line, records[:most])]
        if most is not None and len(records) > most:
            lines.append(f"and {len(records) - most} more")
        return "\n".join([*lines, "", self.summary])

    def as_json(self) -> dict[str, Any]:
        """The plan with dates as texts, None where there is none."""
        return {
            "silver_version": self.silver.version,
            "dates_to_patch": self.dates("patched"),
            "dates_by_keys": self.dates("keys"),
            "dates_to_recompute": self.dates("recomputed"),
            "dates_current": self.dates("current"),
            "dates_held": self.dates("held"),
            "dates_sealed": self.dates("sealed"),
            "rows": self.rows,
            "seconds": self.seconds,
            "to_do": [
                dataclasses.asdict(todo) | {"first": _text(todo.first), "last": _text(todo.last)} for todo in self.to_do
            ],
        }

    def _to_do_for(self, name: str) -> Iterator[ToDo]:
        steps = self.steps[name]
        dates: dict[tuple[HowToDo, str], list[dt.date | None]] = {}
        for date, step in steps.items():
            if step.is_behind:
                dates.setdefault((_TO_DO[step.how], step.reason), []).append(date)
            elif step.hold is not None and not step.hold.is_decided:
                dates.setdefault((step.hold.kind, step.reason), []).append(date)
        found = []
        for (how, why), together in dates.items():
            runs: list[tuple[dt.date, dt.date] | tuple[None, None]] = [*contiguous(date for date in together if date)]
            runs += [(None, None)] if None in together else []
            for first, last in runs:
                run = [None] if first is None or last is None else days(first, last)
                found.append(ToDo(name, first, last, how, self._rows((date, steps[date]) for date in run), why))
        yield from sorted(found, key=lambda todo: (todo.first is None, todo.first or dt.date.min))

    def _rows(self, steps: Iterable[tuple[dt.date | None, Step]]) -> int | None:
        """Silver's rows to read for these steps, those of a file and of a date once."""
        of_files: dict[str, int | None] = {}
        of_dates: dict[dt.date | None, int | None] = {}
        for date, step in steps:
            if step.how == "patched":
                of_files |= {file.path: file.rows for file in step.files}
            elif step.how in _READS_DATES:
                of_dates[date] = self.silver_rows.get(date, 0)
        known = [rows for rows in (*of_files.values(), *of_dates.values()) if rows is not None]
        return sum(known) if len(known) == len(of_files) + len(of_dates) else None


def lake_plan(lake: Lake, tables: Collection[Table], dates: Collection[dt.date]) -> LakePlan:
    """What there is to do for the tables on those of the dates that Silver or a table of the lake has.

    The rows without a date are planned with the quarantine, since they are refreshed with it. Raises ``UserError`` where Silver
    is not what it must be, or a log cannot be read.
    """
    moment = Moment(lake)
    silver = moment.silver
    moment.refuse_another_silver()
    on = sorted(date for date in moment.dates.intersection(dates) if date is not None)
    planner = Planner(moment)
    steps = {table.name: planner.steps(table, [*on, *([None] if table.is_quarantine else [])]) for table in tables}
    read = {date for of in steps.values() for date, step in of.items() if step.how in _READS_DATES}
    rows = {}
    if read:
        # Asked for dates alone, a file is left out though it has rows without one.
        rows = silver.file_dates.rows(None if None in read else {date for date in read if date})
    return LakePlan(silver, steps, rows, _seconds(moment, steps, rows))


def _seconds(
    moment: Moment, steps: Mapping[str, Mapping[dt.date | None, Step]], rows: Mapping[dt.date | None, int | None]
) -> float | None:
    """How long recomputing takes: the tables are made side by side."""
    of_tables = []
    for table in moment.lake.named(steps):
        of_dates = [rows.get(date, 0) for date, step in steps[table.name].items() if step.how == "recomputed"]
        if of_dates:
            known = None if None in of_dates or moment.gold(table) is None else sum(filter(None, of_dates))
            of_tables.append(None if known is None else moment.log(table).seconds_for(known))
    told = [seconds for seconds in of_tables if seconds is not None]
    return max(told) if told and len(told) == len(of_tables) else None


def dates_behind(moment: Moment, dates: Collection[dt.date | None]) -> set[dt.date | None]:
    """Those of the dates that a refresh would change in a table of the lake; None stands for the rows without a date.

    What a table's next place has not got yet is rolled out, and is not among them.
    """
    planner = Planner(moment)
    behind: set[dt.date | None] = set()
    for table in moment.lake.tables:
        settled = behind.union(moment.lacks(table))
        asked = [date for date in dates if date not in settled and (date is not None or table.is_quarantine)]
        behind |= {date for date, step in planner.steps(table, asked).items() if step.is_behind}
    return behind


def _line(record: Mapping[str, str]) -> str:
    return "{table:<23} {dates:<25} {how:<9}{rows:>14}  {reason}".format_map(record)


def _number(rows: int | None) -> str:
    return "?" if rows is None else f"{rows:,}"


def _text(date: dt.date | None) -> str | None:
    return None if date is None else str(date)
