"""A first declaration of somebody's Delta table: its source, and one table that counts its rows."""

import datetime as dt
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import Field
from deltalake.schema import PrimitiveType
from sqlglot.dialects.duckdb import DuckDB

from gold_assets.declaring.column import Column
from gold_assets.declaring.source import VIOLATIONS, Rule, Source
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError
from gold_assets.delta.opening import opened
from gold_assets.delta.storage import located

_DATES = ("date", "timestamp", "timestamp_ntz")
_FIRST = dt.date(1970, 1, 1)
"""A date before is rather a mistake than where Gold is to begin."""


@dataclass(frozen=True)
class Draft:
    """What the Delta table at ``uri`` might be declared as.

    Attributes:
        columns, rules: those of the source, without the ones that its ``date`` stands for.
        left: by its name in the Delta table, why a column is not declared.
        first: the first date, as far as the log tells.
    """

    uri: str
    source: Source
    columns: Sequence[Column]
    rules: Sequence[Rule]
    left: Mapping[str, str]
    table: Table
    first: dt.date | None


def draft_of(place: str) -> Draft:
    """Declare the Delta table at ``place``, a path or a URI, by its schema, its partitions and the statistics in its log.

    Its rows are dated by a column of type date, of several by one that is a partition; else by a timestamp. Raises ``UserError``
    where there is no Delta table, or none that has such a column.
    """
    uri = place if "://" in place else str(Path(place).expanduser().resolve())
    delta = opened(f"The table at {uri}", uri, otherwise="check that it is whole and that this process may read it")
    if delta is None:
        raise UserError(f"There is no Delta table at {uri}: give the folder or the URI that holds its _delta_log.")
    fields, partitions = delta.schema().fields, delta.metadata().partition_columns
    files = pa.table(delta.get_add_actions(flatten=True))
    date = _date(uri, fields, partitions)
    columns: dict[str, Column] = {}
    left = {}
    for field in fields:
        name, type = plain_name(field.name), field.type.type
        while name.lower() in {EVENT_DATE, VIOLATIONS, *columns}:
            name += "_"
        column = Column(name, type, source="" if name == field.name else field.name)
        if not column.may_be_null and _has_nulls(files, field.name):
            column = replace(column, nullable=True)
        if not isinstance(field.type, PrimitiveType) or type == "void":
            left[field.name] = f"{type}, of which SQL makes nothing here"
        elif field != date:
            columns[name.lower()] = column
    rules = [_rule(column) for column in columns.values() if column.may_be_unreadable]
    declared = [*columns.values()]
    source = Source(plain_name(Path(located(uri)[1]).name.lower()), declared, rules, date=date.name)
    by = _group(declared, partitions)
    keys = ", ".join([*by, EVENT_DATE])
    sql = f"SELECT {keys}, count(*) AS row_count\nFROM {source.name}\nGROUP BY {keys}"
    table = Table(f"{source.name}_by_{by[0] if by else 'date'}", source, sql=sql)
    return Draft(uri, source, declared, rules, left, table, _first(files, date.name))


def plain_name(text: str) -> str:
    """The text as a name that Python and SQL take as it is: ``page_views`` for ``Page-Views``; of another alphabet ``name``."""
    if not re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII):
        latin = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        text = re.sub(r"\W+", "_", latin).strip("_") or "name"
        text = f"_{text}" if text[0].isdigit() else text
    return f"{text}_" if text.lower() in DuckDB.Generator.RESERVED_KEYWORDS else text


def _date(uri: str, fields: Sequence[Field], partitions: Collection[str]) -> Field:
    dated = [field for field in fields if field.type.type in _DATES]
    if not dated:
        raise UserError(
            f"The table at {uri} has no column of type date or timestamp, by whose date Gold is kept: add one, such as a "
            f"generated column (found: {', '.join(f'{field.name} {field.type.type}' for field in fields)})."
        )
    return min(dated, key=lambda field: (field.type.type != "date", field.name not in partitions))


def _rule(column: Column) -> Rule:
    broken = ("does_not_fit", "does not fit") if column.may_be_null else ("is_missing", "is NULL")
    return Rule(f"{column.name}_{broken[0]}", f"{column.name} {broken[1]}", reads=column.name)


def _has_nulls(files: pa.Table, name: str) -> bool:
    counts = f"null_count.{name}"
    return counts in files.column_names and bool(pc.sum(files[counts]).as_py())


def _group(columns: Sequence[Column], partitions: Collection[str]) -> list[str]:
    """The column to count by, if there is one: text, rather a partition, and rather none that tells each row from all others."""
    texts = [column for column in columns if column.type == "string"]
    texts.sort(
        key=lambda text: ((text.source or text.name) not in partitions, text.name.lower().rstrip("_").endswith("id"))
    )
    return [text.name for text in texts[:1]]


def _first(files: pa.Table, date: str) -> dt.date | None:
    told = next((name for name in (f"partition.{date}", f"min.{date}") if name in files.column_names), None)
    least = pc.min(files[told]).as_py() if told else None
    first = least.date() if isinstance(least, dt.datetime) else least
    return first if isinstance(first, dt.date) and first >= _FIRST else None
