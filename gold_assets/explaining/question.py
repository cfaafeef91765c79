"""Which row or rows of a table somebody asks about, in the words of a command line; and the rows of Silver behind them."""

import datetime as dt
import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from deltalake import DeltaTable
from deltalake.schema import ArrayType, PrimitiveType

from gold_assets.checks.pairs import answered, as_of_row, by_duckdb, of_row
from gold_assets.declaring.reference import all_of
from gold_assets.declaring.select import Select
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.errors import UserError
from gold_assets.delta.query import View, query, query_table
from gold_assets.delta.sql import DATAFUSION, unpruned
from gold_assets.silver.pin import Silver

Rows = list[dict[str, Any]]

ROWS_SHOWN = 5
"""Of each kind."""

WITHOUT_DATE = "none"
"""What is given for the date of rows that have none."""

_NULL = "NULL"
_COMPUTED = ("decimal", "number", "float")
"""Kinds of columns that are not read as they are."""

Condition = Callable[[str], str]
"""From a column, as SQL, to what it must meet, as SQL."""


@dataclass(frozen=True)
class Question:
    """Rows of a table on a date, by the values of some of its columns.

    Attributes:
        date: None for the rows without one.
        values: by column, its value as text, ``NULL`` for none.
        conditions: by column, that it has this value.
    """

    table: Table
    date: dt.date | None
    values: Mapping[str, str]
    conditions: Mapping[str, Condition]

    def __str__(self) -> str:
        key = " ".join(f"{name}={value}" for name, value in self.values.items())
        return f"{key} on {self.date or 'no date'}".strip()

    @property
    def in_table(self) -> str:
        """Which rows of the table are meant, in SQL over its columns."""
        on_date = predicate([self.date])
        return " AND ".join([on_date, *(meets(DATAFUSION.name(name)) for name, meets in self.conditions.items())])


@dataclass(frozen=True)
class SilverRows:
    """The rows of Silver behind those that somebody asks about: Silver's of the date that have the values asked for.

    Attributes:
        number: a column of Silver's table that is none of Silver's, to be there as it is.
    """

    question: Question
    silver: Silver
    number: str = ""

    @cached_property
    def made_of(self) -> Mapping[str, str]:
        """By column that is asked by, what makes it of a row of Silver, in the SQL of the table's engine.

        What is asked of columns that Silver does not have is left out.
        """
        table, names = self.question.table, self.question.conditions
        if not table.keeps_source_columns:
            return {name: table.select.sql(name, self.silver.types) for name in names}
        own = {column.name for column in table.columns}
        return {name: DATAFUSION.name(name) for name in names if name not in own}

    @cached_property
    def meet(self) -> Mapping[str, str]:
        """By column, what they must meet, in the same SQL."""
        return {name: self.question.conditions[name](sql) for name, sql in self.made_of.items()}

    @cached_property
    def plain(self) -> Collection[str]:
        """The columns asked by that are read as Silver has them, so that DataFusion knows what they must meet, too."""
        table = self.question.table
        as_they_are = {DATAFUSION.name(column.name) for column in table.source.columns if column.kind not in _COMPUTED}
        return [name for name, sql in self.made_of.items() if table.keeps_source_columns or sql in as_they_are]

    @cached_property
    def conditions(self) -> Mapping[str, str]:
        """The table's own conditions by their text, in the same SQL."""
        return self.question.table.select.conditions(self.silver.types)

    @property
    def columns(self) -> str:
        """Silver's columns under their names, as a SELECT from ``asked`` has them."""
        return ", ".join(f"{of_row(field.name)} AS {DATAFUSION.name(field.name)}" for field in self.silver.fields)

    def ask(self, select: str, asked_by: Collection[str] | None = None) -> Rows:
        """The rows of a SELECT from ``asked``: of the columns whose values are asked for by default all count.

        ``asked`` has Silver's columns as ``of_row`` names them; ``"is valid"`` and ``"is used"``, that the row breaks no rule,
        and that the table is made of it; ``"breaks 0"`` … and ``"misses 0"`` …, that it breaks a rule of the source, and misses
        a condition of the table, in their order; and ``"text of page"``, what the column ``page`` that is asked by is made of.
        """
        table = self.question.table
        is_used = 'NOT "is valid"' if table.is_quarantine else f'"is valid" AND ({all_of(self.conditions.values())})'
        told = [f'{unpruned(is_used)} AS "is used"']
        told += [f'NOT coalesce({each}, false) AS "misses {n}"' for n, each in enumerate(self.conditions.values())]
        told += [
            f"CAST({sql} AS VARCHAR) AS {DATAFUSION.name(f'text of {name}')}" for name, sql in self.made_of.items()
        ]
        names = self.meet if asked_by is None else asked_by
        rows = f"{self._rows} WHERE {all_of([self.meet[name] for name in names if name in self.plain])}"
        within = f"({rows})" if table.keeps_source_columns else "rows_read"
        met = all_of([self.meet[name] for name in names])
        sql = select.replace("FROM asked", f"FROM (SELECT *, {', '.join(told)} FROM {within} WHERE {met})")
        if table.keeps_source_columns:
            return query(sql, silver=self._view)
        return answered(by_duckdb(table, sql, rows_read=query_table(rows, silver=self._view)))

    @property
    def _view(self) -> View:
        view = self.silver.view([self.question.date])
        return replace(view, select=f"{view.select}, {self.number}") if self.number else view

    @property
    def _rows(self) -> str:
        """Silver's rows as the SQL of the table's engine is to find them."""
        source, select, types = self.question.table.source, self.question.table.select, self.silver.types
        rules, read = enumerate(source.rules_sql(types).values()), "*"
        if isinstance(select, Select):
            read = source.read_sql({*select.reads, EVENT_DATE}, types, of_any_row=True)
            read += f", {self.number}" if self.number else ""
        known = [as_of_row(field.name) for field in self.silver.fields if field.name != EVENT_DATE]
        known += [f'NOT coalesce({rule}, false) AS "breaks {n}"' for n, rule in rules]
        return f'SELECT {", ".join([read, *known])}, {source.is_valid_sql(types)} AS "is valid" FROM silver'


def question_of(table: Table, columns: DeltaTable, date: str, conditions: Sequence[str]) -> Question:
    """What is asked by a date such as ``2026-01-31`` or ``none``, and conditions such as ``user_id=1609``.

    The types are those of ``columns``, the table as it is now. Raises ``UserError`` where a date, a column or a value is none, or where they do
    not tell a row of the table.
    """
    types = {field.name: field.type for field in columns.schema().fields if field.name != EVENT_DATE}
    values: dict[str, str] = {}
    asked: dict[str, Condition] = {}
    for text in conditions:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(
                f"{text} is no condition, expected a column and its value, such as {_example(table)}: correct it."
            )
        if name not in types:
            raise UserError(f"{table.name} has no column {name}, {_nearest_of(name, list(types))}: correct it.")
        values[name] = value
        asked[name] = _condition(name, types[name], value)
    key = [name for name in table.key if name != EVENT_DATE]
    if set(values) != set(key) if table.key else not values:
        expected = f"a value of {' and '.join(key)}" if key else "the values of some of its columns"
        remedy = f"give {_example(table)}, for example"
        if table.key and not key:
            expected, remedy = "the date alone", "leave the rest out"
        found = ", ".join(values) or "no column"
        raise UserError(f"A row of {table.name} was asked for by {found}, expected {expected}: {remedy}.")
    return Question(table, _date_of(date), values, asked)


def _date_of(text: str) -> dt.date | None:
    try:
        return None if text == WITHOUT_DATE else dt.date.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{text} is no date, expected one such as 2026-01-31, or {WITHOUT_DATE} for rows without one: correct it."
        ) from None


def _example(table: Table) -> str:
    key = [name for name in table.key if name != EVENT_DATE] or table.source.keys[:1] or [table.columns[0].name]
    return " ".join(f"{name}=1609" for name in key)


def _nearest_of(name: str, names: Sequence[str]) -> str:
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.0):
        return f"the nearest is {near[0]} of {', '.join(names)}"
    return f"expected one of {', '.join(names)}"


def _condition(name: str, type: object, value: str) -> Condition:
    """That a column of the type has the value. Raises ``UserError`` where the text is none of the type."""
    if value == _NULL:
        return "{} IS NULL".format
    if isinstance(type, ArrayType):
        return lambda column: f"array_has({column}, {quoted(value)})"
    if not isinstance(type, PrimitiveType):
        raise UserError(f"{name} is a nested column, expected one of a plain type: ask by another.")
    try:
        literal = _literal(type.type, value)
    except (ValueError, ArithmeticError):
        raise UserError(f"{name}={value} is no {type.type}, which {name} is: correct the value.") from None
    if type.type in ("double", "float"):  # which may be NaN
        return lambda column: unpruned(f"{column} = {literal}")
    return lambda column: f"{column} = {literal}"


def _literal(type: str, value: str) -> str:
    if type == "string":
        return quoted(value)
    if type in ("byte", "short", "integer", "long"):
        return str(int(value))
    if type in ("double", "float"):
        return f"CAST({quoted(str(float(value)))} AS {'DOUBLE' if type == 'double' else 'FLOAT'})"
    if type.startswith("decimal"):
        return f"CAST({quoted(str(Decimal(value)))} AS {type.upper()})"
    if type == "boolean":
        return ("FALSE", "TRUE")[("false", "true").index(value.lower())]
    if type == "date":
        return f"DATE '{dt.date.fromisoformat(value)}'"
    moment = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.timezone.utc).replace(tzinfo=None)
    return DATAFUSION.moment(str(moment))


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
