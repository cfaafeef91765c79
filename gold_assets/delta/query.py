"""SQL over Delta tables by DataFusion, in this process: it starts no engine, and reads deletion vectors right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from gold_assets.delta.errors import UserError, failed
from gold_assets.delta.scratch import register
from gold_assets.delta.sql import DATAFUSION

_PARTITIONS = 4
"""More than cores: the files of a table are of unequal size."""
_ROWS_WHERE_LARGE = 64
_LARGE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}


class Unreadable(UserError):
    """Rows of a table could not be read."""


@dataclass(frozen=True)
class View:
    """A table with other columns, or fewer rows: what ``select`` makes of those that meet ``where``, both in SQL."""

    table: DeltaTable
    select: str
    where: str


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
    views = []
    known: dict[str, DeltaTable] = {}
    for name, table in tables.items():
        if isinstance(table, View):
            known[f"{name}_table"] = table.table
            views.append(f"{name} AS (SELECT {table.select} FROM {name}_table WHERE {table.where})")
        else:
            known[name] = table
    if views:
        sql = f"WITH {', '.join(views)} {sql}"
    try:
        return as_table(datafusion(known, partitions=_PARTITIONS).execute(sql))
    except Exception as error:  # DataFusion's errors arrive as bare Exceptions
        raise _unreadable(error, *known.values()) from error


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


def datafusion(tables: Mapping[str, DeltaTable], *, partitions: int | None = None) -> QueryBuilder:
    """What runs SQL over the tables, by the names given, in so many ``partitions``, by default as many as there are cores."""
    builder = QueryBuilder()
    # Spark writes a timestamp as INT96 by default. As nanoseconds, in 64 bits, the year 9999 becomes 1816.
    builder.execute("SET datafusion.execution.parquet.coerce_int96 = 'us'")
    if partitions is not None:
        builder.execute(f"SET datafusion.execution.target_partitions = {partitions}")
    for name, table in tables.items():
        register(builder, name, table)
    return builder


def _unreadable(error: Exception, *tables: DeltaTable) -> Unreadable:
    places = " and ".join(table.table_uri for table in tables)
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
