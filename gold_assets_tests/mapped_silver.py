"""What its owner does to a Silver whose columns are mapped, which delta-rs can read and not write: files and log by hand."""

import datetime as dt
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from gold_assets_tests.small_silver import commit, physical_name

Row = Mapping[str, Any]


def is_mapped(folder: Path) -> bool:
    return DeltaTable(folder).metadata().configuration.get("delta.columnMapping.mode") == "name"


def append(folder: Path, rows: Iterable[Row]) -> None:
    """One commit of rows by the columns' names of now."""
    _commit(folder, [], list(rows))


def change_rows(folder: Path, change: Callable[[Row], Row | None]) -> None:
    """One commit that writes each file anew of which ``change`` gives another row, or None for one that goes."""
    gone, rows = [], list[Row]()
    for action in _live(folder):
        before = _rows_of(folder, action)
        after = [changed for each in before if (changed := change(each)) is not None]
        if after != before:
            gone.append(action)
            rows += after
    if gone:
        _commit(folder, gone, rows)


def _commit(folder: Path, gone: Sequence[Row], rows: list[Row]) -> None:
    now = round(time.time() * 1000)
    info: dict[str, Any] = {"timestamp": now, "operation": "UPDATE" if gone else "WRITE", "operationParameters": {}}
    removes = [{"path": each["path"], "deletionTimestamp": now, "dataChange": True} for each in gone]
    for remove, each in zip(removes, gone, strict=True):
        remove |= {"extendedFileMetadata": True, "partitionValues": each["partitionValues"], "size": each["size"]}
    adds = [_written(folder, values, part, now) for values, part in _parts(folder, rows)]
    commit(folder, {"commitInfo": info}, *({"remove": each} for each in removes), *({"add": each} for each in adds))


def _fields(folder: Path) -> list[tuple[str, str, pa.DataType]]:
    """Logical and physical name, and type, of each column."""
    table = DeltaTable(folder)
    types = pa.schema(table.schema().to_arrow())
    return [(field.name, physical_name(field), types.field(field.name).type) for field in table.schema().fields]


def _partition_columns(folder: Path) -> dict[str, str]:
    """By logical name the physical one."""
    by = DeltaTable(folder).metadata().partition_columns
    return {name: physical for name, physical, _ in _fields(folder) if name in by}


def _parts(folder: Path, rows: list[Row]) -> Iterable[tuple[dict[str, str | None], list[Row]]]:
    by = _partition_columns(folder)
    parts: dict[tuple[str | None, ...], list[Row]] = defaultdict(list)
    for row in rows:
        parts[tuple(None if row.get(name) is None else str(row[name]) for name in by)].append(row)
    return [(dict(zip(by.values(), values, strict=True)), part) for values, part in parts.items()]


def _written(folder: Path, values: dict[str, str | None], rows: list[Row], now: int) -> dict[str, Any]:
    columns = [(name, physical, type) for name, physical, type in _fields(folder) if physical not in values]
    table = pa.table({physical: pa.array([row.get(name) for row in rows], type) for name, physical, type in columns})
    name = f"{uuid.uuid4().hex[:2]}/part-{uuid.uuid4()}.parquet"  # mapped tables have random prefixes
    (folder / name).parent.mkdir(exist_ok=True)
    pq.write_table(table, folder / name)
    stats: dict[str, Any] = {"numRecords": len(rows), "minValues": {}, "maxValues": {}, "nullCount": {}}
    for _, physical, type in columns:
        stats["nullCount"][physical] = table[physical].null_count
        known = [value for value in table[physical].to_pylist() if value is not None]
        if pa.types.is_date(type) and known:
            stats["minValues"][physical], stats["maxValues"][physical] = str(min(known)), str(max(known))
    return {
        "path": name,
        "partitionValues": values,
        "size": (folder / name).stat().st_size,
        "modificationTime": now,
        "dataChange": True,
        "stats": json.dumps(stats),
    }


def _live(folder: Path) -> list[dict[str, Any]]:
    """The files of the newest version: path, size and partition values by physical name."""
    by = _partition_columns(folder)
    files = pa.table(DeltaTable(folder).get_add_actions(flatten=True)).to_pylist()
    return [
        {
            "path": file["path"],
            "size": file["size_bytes"],
            "partitionValues": {
                physical: None if (value := file[f"partition.{name}"]) is None else str(value)
                for name, physical in by.items()
            },
        }
        for file in files
    ]


def _rows_of(folder: Path, action: Row) -> list[Row]:
    held = pq.ParquetFile(folder / action["path"]).read().to_pylist()
    values = action["partitionValues"]

    def value_of(row: Row, physical: str, type: pa.DataType) -> Any:
        if physical not in values:
            return row.get(physical)
        value = values[physical]
        return dt.date.fromisoformat(value) if value is not None and pa.types.is_date(type) else value

    fields = _fields(folder)
    return [{name: value_of(row, physical, type) for name, physical, type in fields} for row in held]
