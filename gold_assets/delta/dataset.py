"""A Delta table as a dataset of Arrow, for libraries that read those: DuckDB, Polars and others."""

import json
import os
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.query import arrow_schema, as_table, rows_of
from gold_assets.delta.storage import located
from gold_assets.delta.types import PHYSICAL_NAME


def dataset_of(table: DeltaTable) -> ds.Dataset:
    """The table, partitioned by event_date, at the version that it is opened at.

    Where a filter on event_date is handed down, the files of other dates are not opened. Not delta-rs's own dataset,
    which takes the log's statistics for exact: they round decimals, and rows are lost by them. Of a store other than S3
    the rows are in memory, and so they are where the files alone do not tell them, by deletion vectors or by columns
    that have other names there.
    """
    files = _files(table)
    if files is None or _has_deletion_vectors(table) or _has_other_names(json.loads(table.schema().to_json())):
        return ds.dataset(rows_of(table))
    format = ds.ParquetFileFormat(ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))  # nanoseconds end in 2262
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
    return ds.FileSystemDataset(fragments, arrow_schema(table), format, files)


def _has_deletion_vectors(table: DeltaTable) -> bool:
    """Whether rows of some file are hidden; that the table may have deletion vectors does not say so."""
    may_have = "deletionVectors" in (table.protocol().reader_features or ())
    return may_have and as_table(table.deletion_vectors()).num_rows > 0


def _has_other_names(schema: Any) -> bool:
    """Whether a column or a field within one is called otherwise in the files, as column mapping allows."""
    if isinstance(schema, list):
        return any(map(_has_other_names, schema))
    if not isinstance(schema, dict):
        return False
    in_files = schema.get("metadata", {}).get(PHYSICAL_NAME, schema.get("name"))
    return in_files != schema.get("name") or any(map(_has_other_names, schema.values()))


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
