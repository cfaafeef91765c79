"""What changed in a table between two of its versions: which keys of which dates, or which rows, and by how much."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from deltalake import DeltaTable

from gold_assets.checks.pairs import as_of_row, keys, of_row, types
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.plural import plural
from gold_assets.delta.query import View, query
from gold_assets.delta.sql import DATAFUSION
from gold_assets.gold.gold_log import GoldLog

Number = int | float | Decimal
Dates = Collection[dt.date | None]

_SAME_AVERAGE = "1e-12"


@dataclass(frozen=True)
class Total:
    """What a column adds up to on the dates that changed, before and after."""

    before: Number
    after: Number

    @property
    def change(self) -> Number:
        return difference(self.before, self.after)


@dataclass(frozen=True)
class Difference:
    """A key or a row that changed.

    Attributes:
        date: None where it has none.
        key: the key, or all columns of the row.
        before, after: by column, its values on either side, NULL where it was not there; of a row, under ``rows``, how often it was there.
    """

    date: dt.date | None
    key: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class TableDifferences:
    """What changed in a table.

    Attributes:
        before, after: the versions, None where there was no table yet.
        dates: those on which something changed, by date how many keys or rows did.
        totals: by column, of the dates that changed; ``rows`` are the table's.
    """

    table: Table
    before: DeltaTable | None
    after: DeltaTable | None
    dates: Mapping[dt.date | None, int] = field(default_factory=dict)
    totals: Mapping[str, Total] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many keys or rows changed, a key on each of its dates."""
        return sum(self.dates.values())

    @cached_property
    def named(self) -> int:
        """How many there are of what the table calls its keys, or its rows, whatever the number of dates of each."""
        if not self.table.key or len(self.dates) < 2:
            return self.count
        sql, views = _differing(self.table, self.before, self.after, self.dates)
        names = ", ".join(name for name in keys(self.table) if name != EVENT_DATE)
        [counted] = query(f"SELECT count(*) AS n FROM (SELECT DISTINCT {names} FROM ({sql}))", **views)
        return int(counted["n"])

    @property
    def summary(self) -> str:
        """Such as ``3 dates, 41 users, -182.40``."""
        told = [plural(len(self.dates), "date"), plural(self.named, self.table.what)]
        if (measured := self.totals.get(self.table.measure)) is not None:
            told.append(signed(measured.change))
        return ", ".join(told)

    def largest(self, most: int | None = None) -> Iterator[Difference]:
        """The keys or rows that changed, those that changed most by the table's measure first."""
        if not self.dates:
            return
        sql, views = _differing(self.table, self.before, self.after, self.dates)
        limit = "" if most is None else f"LIMIT {most}"
        for row in query(f"SELECT * FROM ({sql}) ORDER BY abs(change) DESC NULLS LAST, {EVENT_DATE} {limit}", **views):
            yield _difference(row)


def differences(
    table: Table, before: DeltaTable | None, after: DeltaTable | None, dates: Dates | None = None
) -> TableDifferences:
    """Compare two versions of a table, on some dates or by default on all.

    Averages that agree to 1e-12 are the same: the order of a floating-point sum is free.
    """
    suspects = _changed_dates(before, after)
    if dates is not None:
        suspects &= set(dates)
    if not suspects or (before is None and after is None):
        return TableDifferences(table, before, after)
    sql, views = _differing(table, before, after, suspects)
    counts = query(f"SELECT {EVENT_DATE}, count(*) AS n FROM ({sql}) GROUP BY 1 ORDER BY 1", **views)
    changed = {row[EVENT_DATE]: row["n"] for row in counts}
    return TableDifferences(table, before, after, changed, _totals(table, before, after, changed))


def difference(before: Any, after: Any) -> Number:
    """Of two numbers of one type."""
    number: Number = after - before
    return number


def signed(number: Number) -> str:
    """A change of a number, with its sign and two decimals or more."""
    if isinstance(number, float):
        return f"{number:+,.4g}"
    if isinstance(number, int):
        return f"{number:+,}"
    digits = 2 if number == round(number, 2) else 4
    return f"{number:+,.{digits}f}"


def _changed_dates(before: DeltaTable | None, after: DeltaTable | None) -> set[dt.date | None]:
    """The dates whose rows may differ: by the log in between, or where that does not tell, all that either has."""
    opened = [table for table in (before, after) if table is not None]
    if len(opened) == 2 and opened[0].metadata().id == opened[1].metadata().id:
        first, last = sorted(opened, key=DeltaTable.version)
        if (changed := GoldLog(last).changes_after(first.version())) is not None:
            return set(changed)
    return set().union(*(FileDates(table).dates() for table in opened))


def _views(before: DeltaTable | None, after: DeltaTable | None, dates: Dates) -> dict[str, View]:
    where = predicate([date for date in dates if date is not None], and_null=None in dates)
    either = before or after
    assert either is not None
    return {
        "old": View(before or either, "*", where if before is not None else "false"),
        "new": View(after or either, "*", where if after is not None else "false"),
    }


def _differing(
    table: Table, before: DeltaTable | None, after: DeltaTable | None, dates: Dates
) -> tuple[str, dict[str, View]]:
    """SQL, and what it reads: a row for each key or row that differs, and ``change`` of the table's measure."""
    views = _views(before, after, dates)
    sides = {name: types(view.table) for name, view in views.items()}
    if table.key:
        return _differing_keys(table, sides["old"]), views
    return _differing_rows(table, sides), views


def _differing_keys(table: Table, columns: Mapping[str, Any]) -> str:
    key = keys(table)
    values = [name for name in columns if name not in key]
    change = f"coalesce(new.{table.measure}, 0) - coalesce(old.{table.measure}, 0)" if table.measure else "1"
    both = ", ".join(
        f'old.{DATAFUSION.name(name)} AS "before {name}", new.{DATAFUSION.name(name)} AS "after {name}"'
        for name in values
    )
    averages = [name for name, how in table.select.combined.items() if how == "avg"]
    differ = " OR ".join(
        _differ(f"old.{DATAFUSION.name(name)}", f"new.{DATAFUSION.name(name)}", is_average=name in averages)
        for name in values
    )
    on = " AND ".join(f"old.{name} = new.{name}" for name in key)
    of_either = ", ".join(f"coalesce(old.{name}, new.{name}) AS {name}" for name in key)
    return f"""SELECT {of_either}, {both}, {change} AS change
        FROM old FULL JOIN new ON {on} WHERE {differ}"""


def _differ(old: str, new: str, *, is_average: bool) -> str:
    differ = f"{old} <> {new}"
    if is_average:
        differ = f"abs({old} - {new}) > {_SAME_AVERAGE} * greatest(abs({old}), abs({new}))"
    # Where one side is empty, DataFusion 55 makes of IS DISTINCT FROM a condition that is no boolean.
    return f"coalesce({differ}, ({old} IS NULL) <> ({new} IS NULL))"


def _differing_rows(table: Table, sides: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys([*sides["new"], *sides["old"]]))
    of_both = ", ".join(map(of_row, names))
    selected = {
        side: ", ".join(as_of_row(name) if name in has else f"NULL AS {of_row(name)}" for name in names)
        for side, has in sides.items()
    }
    measure = of_row(table.measure) if table.measure else "1"
    return f"""SELECT {of_both}, sum(o) AS "before rows", sum(n) AS "after rows", (sum(n) - sum(o)) * {measure} AS change
        FROM (SELECT {selected["old"]}, 1 AS o, 0 AS n FROM old UNION ALL SELECT {selected["new"]}, 0 AS o, 1 AS n FROM new)
        GROUP BY {of_both} HAVING sum(n) <> sum(o)"""


def _difference(row: dict[str, Any]) -> Difference:
    date = row.pop(EVENT_DATE)
    row.pop("change")
    before = {name.removeprefix("before "): row.pop(name) for name in list(row) if name.startswith("before ")}
    after = {name.removeprefix("after "): row.pop(name) for name in list(row) if name.startswith("after ")}
    return Difference(date, {name.removeprefix("column "): value for name, value in row.items()}, before, after)


def _totals(table: Table, before: DeltaTable | None, after: DeltaTable | None, dates: Dates) -> dict[str, Total]:
    """What can be added up, of all rows of the dates."""
    if not dates:
        return {}
    views = _views(before, after, dates)
    has = types(views["new"].table)
    columns = _additive(table, has)
    aggregates = ", ".join(f"coalesce(sum({DATAFUSION.name(name)}), 0) AS {DATAFUSION.name(name)}" for name in columns)
    select = f"SELECT count(*) AS rows{', ' if aggregates else ''}{aggregates}"
    [old] = query(f"{select} FROM old", old=views["old"])
    [new] = query(f"{select} FROM new", new=views["new"])
    return {name: Total(old[name], new[name]) for name in new}


def _additive(table: Table, has: Mapping[str, Any]) -> Sequence[str]:
    """The columns whose sum means something."""
    if not table.key:
        return [table.measure] if table.measure else []
    return [name for name in has if name in table.totals]
