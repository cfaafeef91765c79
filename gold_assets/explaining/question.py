"""Which row or rows of a table somebody asks about, in the words of a command line."""

import datetime as dt
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from deltalake import DeltaTable
from deltalake.schema import ArrayType, PrimitiveType

from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.errors import UserError
from gold_assets.delta.query import View
from gold_assets.delta.sql import DATAFUSION, unpruned
from gold_assets.silver.pin import Silver

ROWS_SHOWN = 5
"""Of each kind."""

WITHOUT_DATE = "none"
"""What is given for the date of rows that have none."""

_NULL = "NULL"

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
        return f"{self.key} on {self.date or 'no date'}"

    @property
    def key(self) -> str:
        """The values, as they were asked for."""
        return " ".join(f"{name}={value}" for name, value in self.values.items())

    @property
    def on_date(self) -> str:
        """That a row is of the date, in SQL."""
        return predicate([self.date])

    @property
    def in_table(self) -> str:
        """Which rows of the table are meant, in SQL over its columns."""
        return " AND ".join([self.on_date, *(meets(DATAFUSION.name(name)) for name, meets in self.conditions.items())])

    @property
    def in_silver(self) -> Mapping[str, str]:
        """By column, what rows of Silver that the table's are made from must meet, in SQL over Silver's columns.

        What is asked of columns that Silver does not have is left out.
        """
        own = set() if self.table.key else {column.name for column in self.table.columns}
        return {name: meets(self.source_sql(name)) for name, meets in self.conditions.items() if name not in own}

    def source_sql(self, name: str) -> str:
        """What a column that is asked by is of Silver's rows, in SQL."""
        return self.table.select.text(name) if self.table.key else DATAFUSION.name(name)

    def silver_rows(self, silver: Silver) -> View:
        """Silver's rows of the date."""
        return silver.view([self.date])

    def rows_in(self, table: DeltaTable) -> View:
        """The rows that are meant, in the table as it is opened."""
        return View(table, "*", self.in_table)


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
    if (key and set(values) != set(key)) or not values:
        expected = f"expected a value of {' and '.join(key)}" if key else "expected the values of some of its columns"
        found = f"was asked for by {', '.join(values)}" if values else "was asked for by no column"
        raise UserError(f"A row of {table.name} {found}, {expected}: give {_example(table)}, for example.")
    return Question(table, _date_of(date), values, asked)


def _date_of(text: str) -> dt.date | None:
    if text == WITHOUT_DATE:
        return None
    try:
        return dt.date.fromisoformat(text)
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
