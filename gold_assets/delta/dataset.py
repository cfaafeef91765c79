"""A Delta table as a dataset of Arrow, for libraries that read those: DuckDB, Polars and others."""

from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.errors import UserError

_MAPPING = "delta.columnMapping.mode"


def dataset_of(table: DeltaTable) -> ds.Dataset:
    """The table, partitioned by event_date, at the version that it is opened at.

    Where a filter on event_date is handed down, the files of other dates are not opened. Not delta-rs's own dataset, which takes the log's
    statistics for exact: they round decimals, and rows are lost by them. Raises ``UserError`` for a table of which
    the files alone do not tell the rows.
    """
    mapped = table.metadata().configuration.get(_MAPPING, "none") != "none"
    if mapped or "deletionVectors" in (table.protocol().reader_features or ()):
        raise UserError(
            f"The Delta table at {table.table_uri} has {'mapped columns' if mapped else 'deletion vectors'}, which DuckDB cannot be given "
            "as files of Arrow: read it as Arrow or by Spark, or let the table be made anew without them."
        )
    schema = pa.schema(table.schema().to_arrow())
    format, files = ds.ParquetFileFormat(), _files(table)
    adds = pa.table(table.get_add_actions(flatten=True)).select(["path", "size_bytes", f"partition.{EVENT_DATE}"])
    field = pc.field(EVENT_DATE)
    fragments = [
        format.make_fragment(
            path,
            filesystem=files,
            partition_expression=field.is_null() if date is None else field == pa.scalar(date, pa.date32()),
            file_size=size,
        )
        for path, size, date in zip(*(column.to_pylist() for column in adds.columns), strict=True)
    ]
    return ds.FileSystemDataset(fragments, schema, format, files)


def _files(table: DeltaTable) -> pafs.FileSystem:
    """The table's place; a local one by Arrow's own file system.

    delta-rs's is Python: where a reader stops early, its threads wait for the interpreter, and DuckDB, which holds it, for them.
    """
    parts = urlsplit(table.table_uri)
    if parts.scheme not in ("", "file"):
        return files_of(table)
    path = unquote(parts.path) if parts.scheme == "file" else table.table_uri
    return pafs.SubTreeFileSystem(path, pafs.LocalFileSystem())
