"""Small Silver tables, written by delta-rs."""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Field, write_deltalake

from gold_assets.gold.lake import Lake

MONDAY = dt.date(2024, 1, 1)
TUESDAY = dt.date(2024, 1, 2)
WEDNESDAY = dt.date(2024, 1, 3)

SILVER_WITH_DELETION_VECTORS = Path(__file__).parent / "silver_with_deletion_vectors"
"""Written by Spark 4.2 with delta-spark 4.4.0, by ``delete_by_vectors`` below: rows of two dates, some deleted or changed."""

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("product_id", pa.string()),
        ("amount", pa.float64()),
        ("usage_cost_ratio", pa.float64()),
        ("risk_level", pa.string()),
        ("event_date", pa.date32()),
    ]
)


def row(**changes: Any) -> dict[str, Any]:
    """A valid row of Silver on Monday, with ``changes``; further columns are welcome."""
    valid = {
        "user_id": "ann",
        "product_id": "tea",
        "amount": 2.5,
        "usage_cost_ratio": 0.5,
        "risk_level": "low",
        "event_date": MONDAY,
    }
    return valid | changes


def high_risk_row(**changes: Any) -> dict[str, Any]:
    """A valid row of Silver on Monday that is high-risk, with ``changes``."""
    return row(risk_level="high", usage_cost_ratio=0.1) | changes


def with_type(name: str, type: pa.DataType, schema: pa.Schema = SCHEMA) -> pa.Schema:
    """``schema`` with the column ``name`` of ``type``, in its place where it is there, else at the end."""
    index = schema.get_field_index(name)
    field = pa.field(name, type)
    return schema.append(field) if index < 0 else schema.set(index, field)


def write_silver(
    lake: Lake,
    rows: Sequence[Mapping[str, Any]],
    *,
    schema: pa.Schema = SCHEMA,
    mode: Literal["append", "overwrite", "error"] = "append",
    partition_by: Sequence[str] = ("event_date",),
) -> DeltaTable:
    """One commit of ``rows`` to the lake's Silver, which it gives the new columns of ``schema``.

    Where there is none yet, it is created, partitioned so.
    """
    there = DeltaTable(lake.silver) if DeltaTable.is_deltatable(lake.silver) else None
    if there is not None:
        partition_by = there.metadata().partition_columns
    write_deltalake(
        there or lake.silver,
        pa.Table.from_pylist([dict(row) for row in rows], schema=schema),
        mode=mode,
        partition_by=list(partition_by) or None,
        schema_mode="merge" if mode == "append" else "overwrite",
    )
    return there or DeltaTable(lake.silver)


def rewrite_files(folder: Path, change: Callable[[pa.Table], pa.Table], **how: Any) -> None:
    """Put ``change`` of each of a table's files in its place, written as ``how`` says. The log tells nothing of what is in them."""
    for path in folder.rglob("*.parquet"):
        pq.write_table(change(pq.ParquetFile(path).read()), path, **how)
    for log in (folder / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if "add" in action:
                action["add"] |= {"size": (folder / unquote(action["add"]["path"])).stat().st_size, "stats": None}
        log.write_text("\n".join(map(json.dumps, actions)))


def short_id(lake: Lake) -> str:
    """Of the Silver table, as a data version has it."""
    return str(DeltaTable(lake.silver).metadata().id)[:8]


def commit(folder: Path, *actions: Mapping[str, Any]) -> None:
    """A commit to the table in a folder, as a writer would make it that knows more of Delta than delta-rs."""
    version = DeltaTable(folder).version() + 1
    written = folder / "_delta_log" / f".{version}.tmp"
    written.write_text("\n".join(map(json.dumps, actions)))
    # Whole at once, for others may be reading the log.
    written.rename(folder / "_delta_log" / f"{version:020}.json")


def ask_readers_for(folder: Path, *features: str) -> None:
    """Let the table in a folder ask its readers and writers for these features."""
    versions = {"minReaderVersion": 3, "minWriterVersion": 7}
    commit(folder, {"protocol": {**versions, "readerFeatures": features, "writerFeatures": features}})


def rename_columns(folder: Path, names: Mapping[str, str]) -> DeltaTable:
    """What ``ALTER TABLE … RENAME COLUMN`` leaves of a table: files, logs and partitions keep the old names."""
    partitioned_by = [names.get(name, name) for name in DeltaTable(folder).metadata().partition_columns]

    def renamed(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**column, "name": names.get(column["name"], column["name"])} for column in columns]

    return _map_columns(folder, renamed, partitioned_by)


def add_mapped_column(folder: Path, name: str, type: str) -> DeltaTable:
    """What ``ALTER TABLE … ADD COLUMN`` leaves of a table whose columns are mapped."""
    physical = {"delta.columnMapping.physicalName": f"col-{uuid.uuid4()}"}
    new = {"name": name, "type": type, "nullable": True, "metadata": physical}
    return _map_columns(folder, lambda columns: [*columns, new])


def drop_mapped_column(folder: Path, name: str) -> DeltaTable:
    """What ``ALTER TABLE … DROP COLUMN`` leaves of a table: the files still have it."""
    return _map_columns(folder, lambda columns: [column for column in columns if column["name"] != name])


def physical_name(field: Field) -> str:
    """The name by which files and log know a column."""
    return str(field.metadata.get("delta.columnMapping.physicalName", field.name))


def _map_columns(
    folder: Path,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    partitioned_by: Sequence[str] | None = None,
) -> DeltaTable:
    table = DeltaTable(folder)
    metadata, schema = table.metadata(), json.loads(table.schema().to_json())
    last = int(metadata.configuration.get("delta.columnMapping.maxColumnId", 0))
    for column in _fields_in(schema):
        column["metadata"].setdefault("delta.columnMapping.physicalName", column["name"])
    schema["fields"] = change(schema["fields"])
    for column in _fields_in(schema):
        if "delta.columnMapping.id" not in column["metadata"]:
            column["metadata"]["delta.columnMapping.id"] = last = last + 1
    mapping = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": str(last)}
    changed = {
        "id": str(metadata.id),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps(schema),
        "partitionColumns": metadata.partition_columns if partitioned_by is None else list(partitioned_by),
        "configuration": metadata.configuration | mapping,
    }
    commit(folder, {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}, {"metaData": changed})
    return DeltaTable(folder)


def _fields_in(type: Any) -> Iterator[dict[str, Any]]:
    """The fields of structs in a type as Delta writes it, however deep."""
    if isinstance(type, dict):
        for part in ("elementType", "keyType", "valueType"):
            yield from _fields_in(type.get(part))
        for column in type.get("fields", []):
            yield column
            yield from _fields_in(column["type"])
