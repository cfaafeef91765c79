"""SQL over Delta tables by DataFusion, in this process: it starts no engine, and reads deletion vectors right."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from gold_assets.delta.errors import UserError, failed
from gold_assets.delta.scratch import of_rows, register
from gold_assets.delta.sql import DATAFUSION

_PARTITIONS = 4
"""More than cores: the files of a table are of unequal size."""
_ROWS_HANDED_ON = 32_768
"""At once, to another engine: four times DataFusion's own, for each time takes as long as a few thousand rows."""
_ROWS_WHERE_LARGE = 64
_LARGE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}


class Unreadable(UserError):
    """Rows of a table could not be read."""


@dataclass(frozen=True)
class Among:
    """Rows that have one of these keys, or where ``is_without`` none of them.

    Attributes:
        keys: a table of the keys.
        columns: by column of the keys, the column of the rows; NULL is a value like any other.
    """

    keys: DeltaTable
    columns: Mapping[str, str]
    is_without: bool = False


@dataclass(frozen=True)
class View:
    """A table with other columns, or fewer rows: what ``select`` makes of those that meet ``where``, both in SQL.

    Of these rows it has those that are ``among`` some keys, where that is given.
    """

    table: DeltaTable
    select: str
    where: str
    among: Among | None = None

    def sql(self, name: str) -> str:
        """The view over ``{name}_table`` and ``{name}_keys``."""
        rows = f"SELECT {self.select} FROM {name}_table WHERE {self.where}"
        if self.among is None:
            return rows
        same = " AND ".join(
            f"(r.{DATAFUSION.name(column)} IS NOT DISTINCT FROM k.{DATAFUSION.name(key)})"
            for key, column in self.among.columns.items()
        )
        join = "LEFT ANTI JOIN" if self.among.is_without else "LEFT SEMI JOIN"
        return f"SELECT r.* FROM ({rows}) AS r {join} {name}_keys AS k ON {same}"


def rows_of_keys(
    table: DeltaTable, where: str, keys: pa.Table, columns: Collection[str], *, is_without: bool = False
) -> View:
    """These columns of the rows that meet ``where``, in SQL, and have one of the ``keys``, or none; those are of columns of the same names."""
    same = {name: name for name in keys.column_names}
    selected = ", ".join(map(DATAFUSION.name, columns))
    return View(table, selected, where, Among(of_rows(keys), same, is_without))


def query(sql: str, **tables: DeltaTable | View) -> list[dict[str, Any]]:
    """The rows that ``sql``, a SELECT, makes of ``tables``, which it names as the arguments do. Raises ``Unreadable``.

    A day or a moment beyond the years 1 to 9999, which Python does not have, is the text that Arrow writes for it.
    """
    return rows_of_arrow(query_table(sql, **tables))


def rows_of_arrow(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of an Arrow table, with days and moments as ``query`` has them."""
    columns = [_values(column) for column in table.columns]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def query_table(sql: str, **tables: DeltaTable | View) -> pa.Table:
    """The same as an Arrow table."""
    known, whole = _named(sql, tables)
    try:
        return as_table(datafusion(known, partitions=_PARTITIONS).execute(whole))
    except Exception as error:  # DataFusion's errors arrive as bare Exceptions
        raise _unreadable(error, *tables.values()) from error


class Stream:
    """The same rows, handed on as they are read, once, to another engine. Where reading fails, the engine's error hides why: ``failure`` tells.

    Attributes:
        failure: why reading ended before all rows were read; None where it did not.
    """

    def __init__(self, sql: str, **tables: DeltaTable | View) -> None:
        """Raises ``Unreadable``."""
        self.failure: Unreadable | None = None
        self._tables = [*tables.values()]
        known, whole = _named(sql, tables)
        try:
            self._read = pa.RecordBatchReader.from_stream(
                datafusion(known, partitions=_PARTITIONS, batch_rows=_ROWS_HANDED_ON).execute(whole)
            )
        except Exception as error:  # DataFusion's errors arrive as bare Exceptions
            raise _unreadable(error, *tables.values()) from error

    @property
    def reader(self) -> pa.RecordBatchReader:
        """The rows, in batches."""
        return pa.RecordBatchReader.from_batches(self._read.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._read
        except Exception as error:
            self.failure = _unreadable(error, *self._tables)
            raise


def _named(sql: str, tables: Mapping[str, DeltaTable | View]) -> tuple[dict[str, DeltaTable], str]:
    """The tables by the names that the SQL has for them, and the SQL with the views."""
    views = []
    known: dict[str, DeltaTable] = {}
    for name, table in tables.items():
        if isinstance(table, View):
            known[f"{name}_table"] = table.table
            if table.among is not None:
                known[f"{name}_keys"] = table.among.keys
            views.append(f"{name} AS ({table.sql(name)})")
        else:
            known[name] = table
    return known, f"WITH {', '.join(views)} {sql}" if views else sql


def rows_of(table: DeltaTable, where: str = "true") -> pa.Table:
    """The rows that meet ``where``, in SQL, as an Arrow table of the schema that delta-rs tells. Raises ``Unreadable``."""
    schema = pa.schema(table.schema().to_arrow())
    names = ", ".join(map(DATAFUSION.name, schema.names))
    rows = query_table(f"SELECT {names} FROM stored WHERE {where}", stored=table)
    try:
        return rows.cast(schema)
    except pa.ArrowInvalid:  # a chunk of a string column holds 2 GiB at most
        try:
            return pa.Table.from_batches(rows.to_batches(max_chunksize=_ROWS_WHERE_LARGE)).cast(schema)
        except pa.ArrowInvalid as error:
            raise _unreadable(error, table) from error


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """The table's columns as Arrow's, where a batch may hold more than the 2 GiB of texts or binaries that delta-rs's types end at."""
    schema = pa.schema(table.schema().to_arrow())
    return pa.schema([field.with_type(_LARGE.get(field.type, field.type)) for field in schema])


def among_sql(among: Collection[pa.Table] | None) -> tuple[str, dict[str, DeltaTable]]:
    """A condition in SQL that a row has one of the values, and the tables that it names. Each of ``among`` is a column; None lets all rows pass."""
    if among is None:
        return "true", {}
    named = [(DATAFUSION.name(values.column_names[0]), f"among_{number}") for number, values in enumerate(among)]
    # Only where NULL is among the values: with OR, DataFusion reads all rows before it compares any.
    nulls = [f"{name} IS NULL" for (name, _), values in zip(named, among, strict=True) if values[0].null_count]
    is_among = [f"{name} IN (SELECT {name} FROM {table})" for name, table in named]
    tables = {table: of_rows(values) for (_, table), values in zip(named, among, strict=True)}
    return " OR ".join([*is_among, *nulls]) or "false", tables


def datafusion(
    tables: Mapping[str, DeltaTable], *, partitions: int | None = None, batch_rows: int | None = None
) -> QueryBuilder:
    """What runs SQL over the tables, by the names given, in so many ``partitions``, by default as many as there are cores.

    It answers in batches of ``batch_rows``, by default 8,192.
    """
    builder = QueryBuilder()
    # Spark writes a timestamp as INT96 by default. As nanoseconds, in 64 bits, the year 9999 becomes 1816.
    builder.execute("SET datafusion.execution.parquet.coerce_int96 = 'us'")
    if partitions is not None:
        builder.execute(f"SET datafusion.execution.target_partitions = {partitions}")
    if batch_rows is not None:
        builder.execute(f"SET datafusion.execution.batch_size = {batch_rows}")
    for name, table in tables.items():
        register(builder, name, table)
    return builder


def _unreadable(error: Exception, *tables: DeltaTable | View) -> Unreadable:
    places = " and ".join((each.table if isinstance(each, View) else each).table_uri for each in tables)
    otherwise = "see that the files are there and whole, then run again"
    return Unreadable(str(failed(f"Rows of {places} cannot be read", error, otherwise)))


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.StructScalar):
        return {name: _value(field) for name, field in scalar.items()}
    if isinstance(scalar, pa.MapScalar):
        return [tuple(_value(entry).values()) for entry in scalar.values]
    if isinstance(scalar, pa.ListScalar):
        return [_value(item) for item in scalar.values]
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return str(scalar.cast(pa.string()))


def as_table(stream: Any) -> pa.Table:
    """What delta-rs gives, as a pyarrow table. ``pa.table`` would ask pandas what it is, whose import takes half a second."""
    return pa.RecordBatchReader.from_stream(stream).read_all()
