"""A table as it was made for a trial, beside the one that readers have: what came, what went, and which values changed by how much."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Field

from gold_assets.checks.pairs import answered, by_duckdb, keys
from gold_assets.declaring.source import types_of
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.sql import DATAFUSION
from gold_assets.explaining.differences import SIZE, Difference, TableDifferences, difference_of
from gold_assets.explaining.numbers import Number

EXAMPLES = 3
"""Of each column, the values that changed most."""


@dataclass(frozen=True)
class Example:
    """A value that changed; ``change`` is None where it is no number."""

    date: dt.date | None
    key: str
    before: Any
    after: Any
    change: Number | None


@dataclass(frozen=True)
class ColumnChange:
    """What changed in a column, of the keys that are there before and after.

    Attributes:
        values: how many changed.
        median: of their changes, without the signs; None where they are no numbers.
        largest: the change that is the largest so, with its sign.
        examples: those that changed most.
    """

    name: str
    values: int
    median: Number | None
    largest: Number | None
    examples: Sequence[Example]


@dataclass(frozen=True)
class TableTrial:
    """A table as it was made for the trial, beside the one that readers have.

    Attributes:
        before, after: the two of them; no ``before`` where the table is new.
        rows: how many the trial made.
        why_not: why their rows are not compared, where they are not.
        differences: of the columns that both have, where they are compared.
    """

    table: Table
    before: DeltaTable | None
    after: DeltaTable
    rows: int
    why_not: str = ""
    differences: TableDifferences | None = None

    @cached_property
    def _types(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        before, after = (types_of(_fields(table)) for table in (self.before, self.after))
        return before, after

    @property
    def came(self) -> Mapping[str, str]:
        """The columns that there were not before, with their types."""
        before, after = self._types
        return {name: type for name, type in after.items() if name not in before}

    @property
    def went(self) -> Mapping[str, str]:
        """The columns that there are not any more, with their types."""
        before, after = self._types
        return {name: type for name, type in before.items() if name not in after}

    @property
    def retyped(self) -> Mapping[str, tuple[str, str]]:
        """The columns that have another type, with both."""
        before, after = self._types
        return {name: (type, after[name]) for name, type in before.items() if name in after and type != after[name]}

    @property
    def differs(self) -> bool:
        """Whether a reader would see anything change."""
        changed = self.differences is None or self.differences.count
        return bool(changed or self.came or self.went or self.retyped)

    @cached_property
    def keys_moved(self) -> tuple[int, int]:
        """How many keys came and went, a key on each of its dates; of a table without a key, rows."""
        if self.differences is None or not self.differences.count:
            return 0, 0
        there = _is_there(self.table, self.differences.rows)
        sql = f"""SELECT CAST(sum(greatest({there["after"]} - {there["before"]}, 0)) AS BIGINT) AS came,
            CAST(sum(greatest({there["before"]} - {there["after"]}, 0)) AS BIGINT) AS went FROM changed"""
        [moved] = answered(by_duckdb(self.table, sql, changed=self.differences.rows))
        return moved["came"], moved["went"]

    @cached_property
    def columns(self) -> Sequence[ColumnChange]:
        """Those in which values changed."""
        if self.differences is None or not self.differences.count or not self.table.key:
            return ()
        rows = self.differences.rows
        names = [name.removeprefix("before ") for name in rows.column_names if name.startswith("before ")]
        found = (self._column(name, rows) for name in names if name != "rows")
        return [column for column in found if column.values]

    @cached_property
    def moved(self) -> Sequence[Difference]:
        """Some of the keys or rows that came, and of those that went: where the table's measure changes most."""
        if self.keys_moved == (0, 0) or self.differences is None:
            return ()
        there, rows = _is_there(self.table, self.differences.rows), self.differences.rows
        sql = f"""SELECT * FROM changed WHERE {there["after"]} <> {there["before"]} QUALIFY {EXAMPLES} >= row_number() OVER (
            PARTITION BY {there["after"]} > {there["before"]} ORDER BY "{SIZE}" DESC, {EVENT_DATE})"""
        return [difference_of(row) for row in answered(by_duckdb(self.table, sql, changed=rows))]

    def _column(self, name: str, rows: pa.Table) -> ColumnChange:
        before, after = (DATAFUSION.name(f"{when} {name}") for when in ("before", "after"))
        there = _is_there(self.table, rows)
        numbers = all(_is_number(rows.schema.field(f"{when} {name}").type) for when in ("before", "after"))
        change = f"{after} - {before}" if numbers else "NULL::BIGINT"
        key = ", ".join(DATAFUSION.name(each) for each in keys(self.table))
        moved = f"""(SELECT {key}, {before} AS old, {after} AS new, {change} AS change FROM changed
            WHERE {before} IS DISTINCT FROM {after} AND {there["before"]} > 0 AND {there["after"]} > 0)"""
        # A median that is one of the changes keeps every digit.
        sql = f"SELECT count(*) AS n, quantile_disc(abs(change), 0.5) AS median, arg_max(change, abs(change)) AS largest FROM {moved}"
        [told] = answered(by_duckdb(self.table, sql, changed=rows))
        most = f"SELECT * FROM {moved} ORDER BY abs(change) DESC NULLS LAST, {key} LIMIT {EXAMPLES}"
        examples = answered(by_duckdb(self.table, most, changed=rows)) if told["n"] else []
        return ColumnChange(
            name, told["n"], told["median"], told["largest"], [_example(self.table, row) for row in examples]
        )


def _is_there(table: Table, rows: pa.Table) -> Mapping[str, str]:
    """How often a key or row is there before and after, in SQL over ``rows`` of differences."""
    if "before rows" in rows.column_names:
        return {when: f'"{when} rows"' for when in ("before", "after")}
    counted = next(
        name for name, of in table.select.aggregates.items() if of == "count" and f"before {name}" in rows.column_names
    )
    return {
        when: f"CAST({DATAFUSION.name(f'{when} {counted}')} IS NOT NULL AS INTEGER)" for when in ("before", "after")
    }


def _example(table: Table, row: Mapping[str, Any]) -> Example:
    key = " ".join(f"{name}={row[name]}" for name in keys(table) if name != EVENT_DATE)
    return Example(row[EVENT_DATE], key, row["old"], row["new"], row["change"])


def _fields(table: DeltaTable | None) -> Iterator[Field]:
    yield from () if table is None else table.schema().fields


def _is_number(type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type))
