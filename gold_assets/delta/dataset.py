"""A Delta table as a dataset of Arrow, for libraries that read those: DuckDB, Polars and others."""

import os
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError
from gold_assets.delta.query import query_table
from gold_assets.delta.sql import DATAFUSION
from gold_assets.delta.storage import located

_MAPPING = "delta.columnMapping.mode"


def dataset_of(table: DeltaTable) -> ds.Dataset:
    """The table, partitioned by event_date, at the version that it is opened at.

    Where a filter on event_date is handed down, the files of other dates are not opened. Not delta-rs's own dataset, which takes the log's
    statistics for exact: they round decimals, and rows are lost by them. Raises ``UserError`` for a table of which
    the files alone do not tell the rows. Of a store other than S3 the rows are in memory.
    """
    mapped = table.metadata().configuration.get(_MAPPING, "none") != "none"
    if mapped or "deletionVectors" in (table.protocol().reader_features or ()):
        raise UserError(
            f"The Delta table at {table.table_uri} has {'mapped columns' if mapped else 'deletion vectors'}, which DuckDB cannot be given "
            "as files of Arrow: read it as Arrow or by Spark, or let the table be made anew without them."
        )
    schema = pa.schema(table.schema().to_arrow())
    files = _files(table)
    if files is None:
        names = ", ".join(map(DATAFUSION.name, schema.names))
        return ds.dataset(query_table(f"SELECT {names} FROM stored", stored=table).cast(schema))
    format = ds.ParquetFileFormat()
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


def _files(table: DeltaTable) -> pafs.FileSystem | None:
    """The table's place by Arrow's own file system, None where that is neither local nor on S3.

    delta-rs's is Python: where a reader stops early, its threads wait for the interpreter, and DuckDB, which holds it, for them.
    """
    scheme, path = located(table.table_uri)
    if scheme in ("s3", "s3a"):
        return pafs.SubTreeFileSystem(path, _s3(path.partition("/")[0]))
    return pafs.SubTreeFileSystem(path, pafs.LocalFileSystem()) if scheme == "file" else None


def _s3(bucket: str) -> pafs.FileSystem:
    """By the environment that delta-rs goes by; without keys there, by the profile or role that the AWS SDK finds."""
    said = os.environ.get
    endpoint = said("AWS_ENDPOINT_URL") or said("AWS_ENDPOINT") or ""
    region = said("AWS_REGION") or said("AWS_DEFAULT_REGION")
    place = urlsplit(endpoint)
    return pafs.S3FileSystem(
        access_key=said("AWS_ACCESS_KEY_ID"),
        secret_key=said("AWS_SECRET_ACCESS_KEY"),
        session_token=said("AWS_SESSION_TOKEN"),
        region=region or (None if endpoint else pafs.resolve_s3_region(bucket)),
        scheme=place.scheme or "https",
        endpoint_override=f"{place.netloc}{place.path}" or None,
    )
