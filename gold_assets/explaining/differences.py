"""What changed in a table between two of its versions: which keys of which dates, or which rows, and by how much."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.schema import PrimitiveType

from gold_assets.checks.inspection import grouped, in_slices
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
from gold_assets.explaining.numbers import Number, moved, short, signed
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.silver.pin import Silver

Dates = Collection[dt.date | None]

SIZE = "size of change"
"""Of a difference, by how much the table's measure changed."""

_ROUNDED = "is rounded"
"""Of a difference, that nothing but averages or sums of doubles differ."""

_DOUBLES = (PrimitiveType("double"), PrimitiveType("float"))
_WHEN = {"old": "before", "new": "after"}
_NOTHING = pa.Table.from_batches([], pa.schema([(EVENT_DATE, pa.date32()), (SIZE, pa.int64())]))


@dataclass(frozen=True)
class Total:
    """What a column adds up to on the dates that changed, before and after."""

    before: Any
    after: Any

    @property
    def change(self) -> Number:
        """Of sums of doubles 0 where they differ in no more than the digits that the order of their terms decides."""
        change: Number = self.after - self.before
        return 0.0 if short(self.before) == short(self.after) and isinstance(change, float) else change


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
        order = pc.sort_indices(self.rows, [(SIZE, "descending"), (EVENT_DATE, "ascending")]).slice(0, most)
        rows = rows_of_arrow(self.rows) if most is None else None
        for number in order.to_pylist():
            [row] = [rows[number]] if rows is not None else rows_of_arrow(self.rows.slice(number, 1))
            yield difference_of(row)

    def values(self, most: int | None = None) -> Iterator[tuple[dt.date | None, str, str, Any, Any, Any]]:
        """The values that changed of ``largest``: date, key, column, before, after, and by how much where it had one on either side."""
        for change in self.largest(most):
            key = " ".join(f"{name}={value}" for name, value in change.key.items())
            for name, value in change.after.items():
                before = change.before[name]
                if before != value:
                    yield change.date, key, name, before, value, moved(before, value)

    @cached_property
    def totals_by_date(self) -> Mapping[dt.date | None, Mapping[str, Total]]:
        """``totals`` of each of the dates that changed."""
        if not self.dates:
            return {}
        old, new = ({row.pop(EVENT_DATE): row for row in rows} for rows in _summed(self, by_date=True))
        nothing = dict.fromkeys(next(iter((*new.values(), *old.values()))), 0)
        return {
            date: {name: Total(old.get(date, nothing)[name], new.get(date, nothing)[name]) for name in nothing}
            for date in self.dates
        }

    def as_json(self) -> dict[str, Any]:
        """All of it, with the values as they are."""
        return {
            "table": self.table.name,
            "from_version": self.before and self.before.version(),
            "to_version": self.after and self.after.version(),
            "dates": {str(date): count for date, count in self.dates.items()},
            "changed": self.count,
            "totals": totals_as_json(self.totals),
            "changes": [
                {"date": change.date, "key": change.key, "before": change.before, "after": change.after}
                for change in self.largest()
            ],
        }


def totals_as_json(totals: Mapping[str, Total]) -> dict[str, dict[str, Any]]:
    """Sums by column, before and after."""
    return {
        name: {"before": total.before, "after": total.after, "change": total.change} for name, total in totals.items()
    }


def differences(
    lake: Lake,
    table: Table,
    before: DeltaTable | None,
    after: DeltaTable | None,
    dates: Dates | None = None,
    *,
    in_common: bool = False,
) -> TableDifferences:
    """Compare two versions of a table, or two tables that were made as one declares them, on some dates or by default on all.

    Args:
        in_common: compare rows by the columns that both sides have. A row without a key is else another one where it has one more.

    Two averages, or sums of doubles, are the same where the checks would say so of one that Silver makes and one that the table
    has: to the mean size of the values in the Silver that the date was made from. Where that is not known, or cannot be read
    any more, they are the same to their own size, which is never more.
    """
    suspects = _changed_dates(before, after)
    if dates is not None:
        suspects &= set(dates)
    if not suspects:
        return TableDifferences(table, before, after, _NOTHING)
    rows = _differing(table, before, after, suspects, in_common=in_common)
    found = TableDifferences(table, before, after, rows)
    if before is not None and after is not None and _ROUNDED in rows.column_names:
        newest = max(before, after, key=DeltaTable.version) if _is_same_table(before, after) else after
        found = replace(found, rows=_by_silver(found, Moment(lake, opened={table.name: newest})))
    return replace(found, totals=_totals(found)) if found.count else found


def _changed_dates(before: DeltaTable | None, after: DeltaTable | None) -> set[dt.date | None]:
    """The dates whose rows may differ: by the log in between, or where that does not tell, all that either has."""
    opened = [table for table in (before, after) if table is not None]
    if before is not None and after is not None and _is_same_table(before, after):
        first, last = sorted(opened, key=DeltaTable.version)
        if (changed := GoldLog(last).changes_after(first.version())) is not None:
            return set(changed)
    return set().union(*(FileDates(table).dates() for table in opened))


def _is_same_table(before: DeltaTable, after: DeltaTable) -> bool:
    return before.metadata().id == after.metadata().id


def _views(before: DeltaTable | None, after: DeltaTable | None, dates: Dates) -> dict[str, View]:
    """Both sides' rows of the dates, none where there was no table."""
    either = before or after
    assert either is not None
    return {
        name: View(table or either, "*", "false" if table is None else predicate(dates))
        for name, table in (("old", before), ("new", after))
    }


def _differing(
    table: Table,
    before: DeltaTable | None,
    after: DeltaTable | None,
    dates: Dates,
    silver: Silver | None = None,
    *,
    in_common: bool = False,
) -> pa.Table:
    """A row for each key or row that differs, by date; averages by what ``silver`` tells of them, where it is given."""
    views = _views(before, after, dates)
    sides = {name: types(view.table) for name, view in views.items()}
    if not isinstance(table.select, Select) or not table.key:
        names = list(dict.fromkeys([*sides["new"], *sides["old"]]))
        if in_common:
            names = [name for name in names if all(name in has for has in sides.values())]
        return asked(table, _differing_rows(table, sides, names), views)
    columns = [name for name in sides["old"] if name in sides["new"] and name not in table.key]
    both = f"{_side('old')} FULL JOIN {_side('new')} ON {on_key(table, 'old', 'new')}"
    if silver is not None:
        views["silver"] = silver.view(dates)
        both += f" LEFT JOIN ({table.select.duckdb}) AS s ON {on_key(table, 'old', 's')}"
    sql = _differing_keys(table, table.select, columns, both, "s" if silver else "")
    return asked(table, sql, views, silver, dates)


def _by_silver(found: TableDifferences, moment: Moment) -> pa.Table:
    """The rows of ``found``, but for those averages that are the same to what the Silver says that they were made from."""
    rows, known, parts = found.rows, set[dt.date | None](), []
    suspects = rows.filter(rows[_ROUNDED])[EVENT_DATE].unique().to_pylist()
    with suppress(UserError):  # Silver cannot be read
        rows_by_date = moment.silver.file_dates.rows([date for date in suspects if date is not None])
        for basis, together in grouped(suspects, partial(moment.basis_in_silver, found.table)):
            for part in in_slices(together, rows_by_date) if not basis.doubt else ():
                with suppress(UserError):
                    parts.append(_differing(found.table, found.before, found.after, part, moment.silver_of(basis)))
                    known.update(part)
    left = pc.invert(pc.is_in(rows[EVENT_DATE], pa.array(list(known), pa.date32())))
    return pa.concat_tables([rows.filter(left), *parts], promote_options="default").sort_by(EVENT_DATE)


def _side(name: str) -> str:
    return f'(SELECT *, 1 AS "is there" FROM {name}) AS {name}'


def _differing_keys(table: Table, select: Select, columns: Collection[str], both: str, silver: str) -> str:
    """``silver`` is the alias in ``both`` of what Silver says, where it is there."""
    exact, rounded = ['old."is there" IS DISTINCT FROM new."is there"'], []
    selected = [f"coalesce(old.{name}, new.{name}) AS {name}" for name in map(DATAFUSION.name, keys(table))]
    if not any(
        select.aggregates.get(name) == "count" for name in columns
    ):  # all values of a key that is there may be NULL
        selected += [f'coalesce({side}."is there", 0) AS "{when} rows"' for side, when in _WHEN.items()]
    for name in columns:
        old, new = (f"{side}.{DATAFUSION.name(name)}" for side in _WHEN)
        selected += [f'{old} AS "before {name}"', f'{new} AS "after {name}"']
        if name in select.sums_of_doubles:
            rounded.append(f"NOT coalesce({same_average_sql(name, old, new, silver)}, false)")
        else:
            exact.append(f"{old} IS DISTINCT FROM {new}")
    measure = DATAFUSION.name(table.measure)
    change = f"coalesce(new.{measure}, 0) - coalesce(old.{measure}, 0)" if table.measure in columns else "1"
    selected += [f'abs({change}) AS "{SIZE}"', f'NOT ({" OR ".join(exact)}) AS "{_ROUNDED}"']
    where = " OR ".join([*exact, *rounded])
    return f"SELECT {', '.join(selected)} FROM {both} WHERE {where} ORDER BY {EVENT_DATE}"


def _differing_rows(table: Table, sides: Mapping[str, Mapping[str, Any]], names: Collection[str]) -> str:
    of_both = ", ".join(map(of_row, names))
    selected = {
        side: ", ".join(as_of_row(name) if name in has else f"NULL AS {of_row(name)}" for name in names)
        for side, has in sides.items()
    }
    rows = {side: f"CAST(sum({side}) AS BIGINT)" for side in ("o", "n")}
    measure = of_row(table.measure) if table.measure in names else "1"
    return f"""SELECT {of_both}, {rows["o"]} AS "before rows", {rows["n"]} AS "after rows",
            abs(({rows["n"]} - {rows["o"]}) * {measure}) AS "{SIZE}"
        FROM (SELECT {selected["old"]}, 1 AS o, 0 AS n FROM old UNION ALL SELECT {selected["new"]}, 0 AS o, 1 AS n FROM new)
        GROUP BY {of_both} HAVING sum(n) <> sum(o) ORDER BY {EVENT_DATE}"""


def difference_of(row: Mapping[str, Any]) -> Difference:
    """A row of ``TableDifferences.rows``."""
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
    [old], [new] = _summed(found)
    return {name: Total(old[name], new[name]) for name in new}


def _summed(found: TableDifferences, *, by_date: bool = False) -> list[list[dict[str, Any]]]:
    """Of either side the number of rows, and the sum of the columns that both have and that can be added up."""
    table, views = found.table, _views(found.before, found.after, found.dates)
    old, new = (types(view.table) for view in views.values())
    summed = table.totals if table.key else [table.measure]
    columns = [name for name in new if name in summed and name in old]
    # Engines add doubles in any order, and their sum is to be the same whenever it is told.
    doubles = [name for name in columns if any(side[name] in _DOUBLES for side in (old, new))]
    aggregates = {name: "array_agg({0})" if name in doubles else "coalesce(sum({0}), 0)" for name in columns}
    selected = [f"{sql.format(DATAFUSION.name(name))} AS {DATAFUSION.name(name)}" for name, sql in aggregates.items()]
    select = f"SELECT {', '.join([EVENT_DATE] * by_date + ['count(*) AS rows', *selected])} FROM rows"
    sides = [query(select + f" GROUP BY {EVENT_DATE}" * by_date, rows=view) for view in views.values()]
    return [[{**row, **{name: _exact_sum(row[name]) for name in doubles}} for row in rows] for rows in sides]


def _exact_sum(values: Collection[float | None] | None) -> float:
    known = [float(value) for value in values or () if value is not None]
    try:
        return math.fsum(known)
    except (OverflowError, ValueError):  # of infinities, or beyond the largest double
        return sum(known)
