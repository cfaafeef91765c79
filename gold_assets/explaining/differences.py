"""What changed in a table between two of its versions: which keys of which dates, or which rows, and by how much."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from deltalake import DeltaTable

from gold_assets.checks.pairs import as_of_row, keys, of_row, types
from gold_assets.declaring.averages import same_average_sql
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.plural import plural
from gold_assets.delta.query import View, query
from gold_assets.delta.sql import DATAFUSION
from gold_assets.gold.gold_log import GoldLog

Number = int | float | Decimal
Dates = Collection[dt.date | None]


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
        names = ", ".join(name for name in keys(self.table) if name != EVENT_DATE)
        select = f"SELECT count(*) AS n FROM (SELECT DISTINCT {names} FROM ({{differing}}))"
        [counted] = _of_differing(select, self, self.dates)
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
        if self.dates:
            limit = "" if most is None else f"LIMIT {most}"
            select = f"SELECT * FROM ({{differing}}) ORDER BY abs(change) DESC NULLS LAST, {EVENT_DATE} {limit}"
            yield from map(_difference, _of_differing(select, self, self.dates))


def differences(
    table: Table, before: DeltaTable | None, after: DeltaTable | None, dates: Dates | None = None
) -> TableDifferences:
    """Compare two versions of a table, on some dates or by default on all. Averages are the same as ``same_average_sql`` has it."""
    suspects = _changed_dates(before, after)
    if dates is not None:
        suspects &= set(dates)
    found = TableDifferences(table, before, after)
    if not suspects:
        return found
    select = f"SELECT {EVENT_DATE}, count(*) AS n FROM ({{differing}}) GROUP BY 1 ORDER BY 1"
    changed = {row[EVENT_DATE]: row["n"] for row in _of_differing(select, found, suspects)}
    return TableDifferences(table, before, after, changed, _totals(found, changed))


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


def _views(found: TableDifferences, dates: Dates) -> dict[str, View]:
    """Both sides' rows of the dates, none where there was no table."""
    either = found.before or found.after
    assert either is not None
    return {
        name: View(table or either, "*", "false" if table is None else predicate(dates))
        for name, table in (("old", found.before), ("new", found.after))
    }


def _of_differing(select: str, found: TableDifferences, dates: Dates) -> list[dict[str, Any]]:
    """What a SELECT gives from ``{differing}``: a row for each key or row that differs, and ``change`` of the table's measure."""
    table, views = found.table, _views(found, dates)
    sides = {name: types(view.table) for name, view in views.items()}
    differing = _differing_keys(table, sides["old"]) if table.key else _differing_rows(table, sides)
    return query(select.format(differing=differing), **views)


def _differing_keys(table: Table, columns: Mapping[str, Any]) -> str:
    key = keys(table)
    change = f"coalesce(new.{table.measure}, 0) - coalesce(old.{table.measure}, 0)" if table.measure else "1"
    selected, differ = [f"coalesce(old.{name}, new.{name}) AS {name}" for name in key], []
    for name in columns:
        if name not in key:
            old, new = (f"{side}.{DATAFUSION.name(name)}" for side in ("old", "new"))
            selected += [f'{old} AS "before {name}"', f'{new} AS "after {name}"']
            is_same = f"{old} = {new}"
            if table.select.combined.get(name) == "avg":
                is_same = same_average_sql(old, new, f"greatest(abs({old}), abs({new}))")
            # Where one side is empty, DataFusion 55 makes of IS DISTINCT FROM a condition that is no boolean.
            differ.append(f"coalesce(NOT ({is_same}), ({old} IS NULL) <> ({new} IS NULL))")
    on = " AND ".join(f"old.{name} = new.{name}" for name in key)
    return (
        f"SELECT {', '.join(selected)}, {change} AS change FROM old FULL JOIN new ON {on} WHERE {' OR '.join(differ)}"
    )


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
    sides: dict[str, dict[str, Any]] = {"before": {}, "after": {}, "column": {}}
    for name, value in row.items():
        side, _, column = name.partition(" ")
        if column:
            sides[side][column] = value
        elif name not in (EVENT_DATE, "change"):
            sides["column"][name] = value
    return Difference(row[EVENT_DATE], sides["column"], sides["before"], sides["after"])


def _totals(found: TableDifferences, dates: Dates) -> dict[str, Total]:
    """What can be added up, of all rows of the dates."""
    if not dates:
        return {}
    table, views = found.table, _views(found, dates)
    columns = [name for name in types(views["new"].table) if name in table.totals]
    if not table.key:
        columns = [table.measure] if table.measure else []
    sums = [f"coalesce(sum({DATAFUSION.name(name)}), 0) AS {DATAFUSION.name(name)}" for name in columns]
    select = f"SELECT {', '.join(['count(*) AS rows', *sums])} FROM rows"
    [old], [new] = (query(select, rows=view) for view in views.values())
    return {name: Total(old[name], new[name]) for name in new}
