"""What changed in a table between two of its versions: which keys of which dates, or which rows, and by how much."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from gold_assets.checks.pairs import as_of_row, asked, keys, of_row, on_key, types
from gold_assets.declaring.averages import same_average_sql
from gold_assets.declaring.select import Select
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.plural import plural
from gold_assets.delta.query import View, query, rows_of_arrow
from gold_assets.delta.sql import DATAFUSION
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.silver.pin import Silver

Number = int | float | Decimal
Dates = Collection[dt.date | None]

_SIZE = "size of change"
"""Of a difference, by how much the table's measure changed."""

_ROUNDED = "is rounded"
"""Of a difference, that nothing but averages or sums of doubles differ."""

_WHEN = {"old": "before", "new": "after"}
_NOTHING = pa.table({EVENT_DATE: pa.array([], pa.date32()), _SIZE: pa.array([], pa.int64())})


@dataclass(frozen=True)
class Total:
    """What a column adds up to on the dates that changed, before and after."""

    before: Any
    after: Any

    @property
    def change(self) -> Number:
        change: Number = self.after - self.before
        return change


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
        rows: a row for each key or row that changed, by date.
        totals: by column, of the dates that changed; ``rows`` are the table's.
    """

    table: Table
    before: DeltaTable | None
    after: DeltaTable | None
    rows: pa.Table
    totals: Mapping[str, Total] = field(default_factory=dict)

    @cached_property
    def dates(self) -> Mapping[dt.date | None, int]:
        """Those on which something changed, by date how many keys or rows did."""
        return Counter(row[EVENT_DATE] for row in rows_of_arrow(self.rows.select([EVENT_DATE])))

    @property
    def count(self) -> int:
        """How many keys or rows changed, a key on each of its dates."""
        return int(self.rows.num_rows)

    @property
    def summary(self) -> str:
        """Such as ``3 dates, 41 users, -182.40``: a user once, on however many dates."""
        names = [name for name in self.table.key if name != EVENT_DATE]
        users = {tuple(row.values()) for row in rows_of_arrow(self.rows.select(names))} if names else ()
        told = [plural(len(self.dates), "date"), plural(len(users) or self.count, self.table.what)]
        if (measured := self.totals.get(self.table.measure)) is not None:
            told.append(signed(measured.change))
        return ", ".join(told)

    def largest(self, most: int | None = None) -> Iterator[Difference]:
        """The keys or rows that changed, those that changed most by the table's measure first."""
        order = pc.sort_indices(self.rows, [(_SIZE, "descending"), (EVENT_DATE, "ascending")]).slice(0, most)
        rows = rows_of_arrow(self.rows) if most is None else None
        for number in order.to_pylist():
            [row] = [rows[number]] if rows is not None else rows_of_arrow(self.rows.slice(number, 1))
            yield _difference(row)


def differences(
    lake: Lake, table: Table, before: DeltaTable | None, after: DeltaTable | None, dates: Dates | None = None
) -> TableDifferences:
    """Compare two versions of a table, on some dates or by default on all.

    Two averages, or sums of doubles, are the same where the checks would say so of one that Silver makes and one that the table
    has: to the mean size of the values in the Silver that the date was made from. Where that is not known, or cannot be read
    any more, they are the same to their own size, which is never more.
    """
    suspects = _changed_dates(before, after)
    if dates is not None:
        suspects &= set(dates)
    if not suspects:
        return TableDifferences(table, before, after, _NOTHING)
    rows = _differing(table, before, after, suspects)
    found = TableDifferences(table, before, after, rows)
    if before is not None and after is not None and _ROUNDED in rows.column_names:
        moment = Moment(lake, opened={table.name: max(before, after, key=DeltaTable.version)})
        parts, start = [rows.slice(0, 0)], 0
        for date, count in found.dates.items():
            part = rows.slice(start, count)
            start += count
            if pc.any(part[_ROUNDED]).as_py():
                with suppress(UserError):  # Silver cannot be read
                    if not (basis := moment.basis(table, date)).doubt:
                        part = _differing(table, before, after, [date], moment.silver_of(basis))
            parts.append(part)
        found = TableDifferences(table, before, after, pa.concat_tables(parts, promote_options="default"))
    return replace(found, totals=_totals(found)) if found.count else found


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
    """Both sides' rows of the dates, none where there was no table."""
    either = before or after
    assert either is not None
    return {
        name: View(table or either, "*", "false" if table is None else predicate(dates))
        for name, table in (("old", before), ("new", after))
    }


def _differing(
    table: Table, before: DeltaTable | None, after: DeltaTable | None, dates: Dates, silver: Silver | None = None
) -> pa.Table:
    """A row for each key or row that differs, by date; averages by what ``silver`` tells of them, where it is given."""
    views = _views(before, after, dates)
    sides = {name: types(view.table) for name, view in views.items()}
    if not isinstance(table.select, Select) or not table.key:
        return asked(table, _differing_rows(table, sides), views)
    columns = [name for name in sides["old"] if name in sides["new"] and name not in table.key]
    both = f"{_side('old')} FULL JOIN {_side('new')} ON {on_key(table, 'old', 'new')}"
    if silver is not None:
        views["silver"] = silver.view(dates)
        both += f" LEFT JOIN ({table.select.duckdb}) AS s ON {on_key(table, 'old', 's')}"
    sql = _differing_keys(table, table.select, columns, both, "s" if silver else "")
    return asked(table, sql, views, silver, dates)


def _side(name: str) -> str:
    return f"(SELECT *, 1 AS is_there FROM {name}) AS {name}"


def _differing_keys(table: Table, select: Select, columns: Collection[str], both: str, silver: str) -> str:
    """``silver`` is the alias in ``both`` of what Silver says, where it is there."""
    exact, rounded = ["old.is_there IS DISTINCT FROM new.is_there"], []
    selected = [f"coalesce(old.{name}, new.{name}) AS {name}" for name in map(DATAFUSION.name, keys(table))]
    if "count" not in select.aggregates.values():  # all values of a key that is there may be NULL
        selected += [f'coalesce({side}.is_there, 0) AS "{when} rows"' for side, when in _WHEN.items()]
    for name in columns:
        old, new = (f"{side}.{DATAFUSION.name(name)}" for side in _WHEN)
        selected += [f'{old} AS "before {name}"', f'{new} AS "after {name}"']
        if name in select.sums_of_doubles:
            rounded.append(f"NOT coalesce({same_average_sql(name, old, new, silver)}, false)")
        else:
            exact.append(f"{old} IS DISTINCT FROM {new}")
    measure = DATAFUSION.name(table.measure)
    change = f"coalesce(new.{measure}, 0) - coalesce(old.{measure}, 0)" if table.measure else "1"
    selected += [f'abs({change}) AS "{_SIZE}"', f'NOT ({" OR ".join(exact)}) AS "{_ROUNDED}"']
    where = " OR ".join([*exact, *rounded])
    return f"SELECT {', '.join(selected)} FROM {both} WHERE {where} ORDER BY {EVENT_DATE}"


def _differing_rows(table: Table, sides: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys([*sides["new"], *sides["old"]]))
    of_both = ", ".join(map(of_row, names))
    selected = {
        side: ", ".join(as_of_row(name) if name in has else f"NULL AS {of_row(name)}" for name in names)
        for side, has in sides.items()
    }
    rows = {side: f"CAST(sum({side}) AS BIGINT)" for side in ("o", "n")}
    measure = of_row(table.measure) if table.measure else "1"
    return f"""SELECT {of_both}, {rows["o"]} AS "before rows", {rows["n"]} AS "after rows",
            abs(({rows["n"]} - {rows["o"]}) * {measure}) AS "{_SIZE}"
        FROM (SELECT {selected["old"]}, 1 AS o, 0 AS n FROM old UNION ALL SELECT {selected["new"]}, 0 AS o, 1 AS n FROM new)
        GROUP BY {of_both} HAVING sum(n) <> sum(o) ORDER BY {EVENT_DATE}"""


def _difference(row: dict[str, Any]) -> Difference:
    sides: dict[str, dict[str, Any]] = {"before": {}, "after": {}, "column": {}}
    for name, value in row.items():
        side, _, column = name.partition(" ")
        if column and side in sides:
            sides[side][column] = value
        elif not column and name != EVENT_DATE:
            sides["column"][name] = value
    return Difference(row[EVENT_DATE], sides["column"], sides["before"], sides["after"])


def _totals(found: TableDifferences) -> dict[str, Total]:
    """What can be added up, of all rows of the dates that changed."""
    table, views = found.table, _views(found.before, found.after, found.dates)
    columns = [name for name in types(views["new"].table) if name in table.totals]
    if not table.key:
        columns = [table.measure] if table.measure else []
    sums = [f"coalesce(sum({DATAFUSION.name(name)}), 0) AS {DATAFUSION.name(name)}" for name in columns]
    select = f"SELECT {', '.join(['count(*) AS rows', *sums])} FROM rows"
    [old], [new] = (query(select, rows=view) for view in views.values())
    return {name: Total(old[name], new[name]) for name in new}
