"""Commits to a local Silver such as Spark makes with deletion vectors, and with a change data feed, which delta-rs cannot write."""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyroaring import BitMap64

from gold_assets.delta import deletion_vectors
from gold_assets.delta.log import DeltaLog
from gold_assets_tests.small_silver import ask_readers_for, commit

Rows = Callable[[pa.Table], pa.Array]
"""Which rows of a table, as booleans."""

_FEATURES = ("deletionVectors",)
_PREFIX = "_v"
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def merge(
    uri: str,
    matched: Rows,
    update: Callable[[pa.Table], pa.Table] | None = None,
    insert: pa.Table | None = None,
    *,
    feed: bool = False,
    partitions: Collection[str] | None = None,
) -> None:
    """One commit of a MERGE: the matched rows are updated, or deleted without an ``update``, and others inserted.

    Deletion vectors hide the rows as they were; as they are, they go to new files. With ``feed`` the commit has a change data feed besides.
    Where ``partitions`` are given, which are dates, only their rows can match.
    """
    folder, table = Path(uri), DeltaTable(uri)
    if "deletionVectors" not in (table.protocol().reader_features or []):
        ask_readers_for(folder, *_FEATURES)
        table = DeltaTable(uri)
    actions: list[dict[str, Any]] = []
    before, after = [], [] if insert is None else [insert]
    for add in _live(table):
        if partitions is not None and add["partitionValues"]["event_date"] not in partitions:
            continue
        was = deletion_vectors.positions(table, add.get("deletionVector"))
        rows = _rows_of(table, folder, add)
        shown = pa.array([position not in was for position in range(rows.num_rows)]) if was else True
        found = pc.and_(matched(rows), shown)
        at = pc.indices_nonzero(pc.fill_null(found, False)).to_pylist()
        if not at:
            continue
        before.append(rows.take(at))
        after += [] if update is None else [update(rows.take(at))]
        remove = {
            name: add.get(name)
            for name in ("path", "partitionValues", "size", "deletionVector")
            if add.get(name) is not None
        }
        actions.append({"remove": {**remove, "dataChange": True, "deletionTimestamp": 0, "extendedFileMetadata": True}})
        if len(now := was | BitMap64(at)) < rows.num_rows:
            actions.append({"add": {**add, "deletionVector": _vector(folder, now), "dataChange": True}})
    new = [pa.concat_tables(after, promote_options="default")] if after else []
    actions += [{"add": {**file, "dataChange": True}} for rows in new for file in _files(table, folder, rows)]
    if feed and before:
        images = [("delete" if update is None else "update_preimage", rows) for rows in before]
        images += [("update_postimage" if n or insert is None else "insert", rows) for n, rows in enumerate(after)]
        for kind, rows in images:
            typed = rows.append_column("_change_type", pa.array([kind] * rows.num_rows))
            written = _files(table, folder, typed, below="_change_data/")
            actions += [
                {"cdc": {name: file[name] for name in ("path", "partitionValues", "size")} | {"dataChange": False}}
                for file in written
            ]
    commit(folder, *actions)


def checkpoint(uri: str) -> None:
    """Of the table, where its version is the tenth since the last, as Spark makes them."""
    table = DeltaTable(uri)
    if table.version() % 10 == 0:
        table.create_checkpoint()


def _vector(folder: Path, hidden: BitMap64) -> dict[str, Any]:
    """A vector as Spark names it: by a path below the table, a prefix and a UUID in Z85."""
    place = folder / _PREFIX  # where delta-rs, which does not know whose they are, leaves them at VACUUM
    place.mkdir(exist_ok=True)
    vector = deletion_vectors.written(hidden, place)
    [written] = place.glob(Path(unquote(vector["pathOrInlineDv"])).name)
    data, characters = uuid.UUID(written.stem.removeprefix("deletion_vector_")).bytes, ""
    for at in range(0, len(data), 4):
        number = int.from_bytes(data[at : at + 4], "big")
        characters += "".join(_Z85[number // 85**place % 85] for place in range(4, -1, -1))
    return {**vector, "storageType": "u", "pathOrInlineDv": _PREFIX + characters}


def compact(uri: str) -> None:
    """One commit that writes the rows of each partition as one file, without those that are hidden, and says that no row changed."""
    folder, table = Path(uri), DeltaTable(uri)
    actions, rows = [], []
    for add in _live(table):
        of_file, hidden = _rows_of(table, folder, add), deletion_vectors.positions(table, add.get("deletionVector"))
        rows.append(
            of_file.filter(pa.array([position not in hidden for position in range(of_file.num_rows)], pa.bool_()))
        )
        remove = {name: value for name, value in add.items() if name not in ("stats", "modificationTime")}
        actions.append(
            {"remove": {**remove, "dataChange": False, "deletionTimestamp": 0, "extendedFileMetadata": True}}
        )
    if rows:
        actions += [
            {"add": {**file, "dataChange": False}}
            for file in _files(table, folder, pa.concat_tables(rows, promote_options="default"))
        ]
    commit(folder, *actions)


def _live(table: DeltaTable) -> list[dict[str, Any]]:
    """The adds in force, by all commits of the log."""
    adds: dict[str, dict[str, Any]] = {}
    log = DeltaLog(table)
    for version in range(table.version() + 1):
        actions = list(log.actions(version))
        for action in actions:
            if "remove" in action:
                adds.pop(action["remove"]["path"], None)
        adds |= {action["add"]["path"]: action["add"] for action in actions if "add" in action}
    return list(adds.values())


def _rows_of(table: DeltaTable, folder: Path, add: Mapping[str, Any]) -> pa.Table:
    """All rows of a file, hidden or not, with the columns that the table has."""
    schema, rows = pa.schema(table.schema().to_arrow()), pq.ParquetFile(folder / unquote(add["path"])).read()
    for field in schema:
        if field.name in add["partitionValues"]:
            value = add["partitionValues"][field.name]
            value = dt.date.fromisoformat(value) if value else None
            rows = rows.append_column(field, pa.array([value] * rows.num_rows, field.type))
        elif field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names).cast(schema)


def _files(table: DeltaTable, folder: Path, rows: pa.Table, below: str = "") -> Iterator[dict[str, Any]]:
    """The rows written to files, one for each date where the table is partitioned by that, as actions name them."""
    is_partitioned = bool(table.metadata().partition_columns)
    for date in rows["event_date"].unique().to_pylist() if is_partitioned else [None]:
        of_file, values = rows, {}
        if is_partitioned:
            of_date = pc.is_null(rows["event_date"]) if date is None else pc.equal(rows["event_date"], date)
            of_file = rows.filter(of_date).drop_columns("event_date")
            values = {"event_date": None if date is None else str(date)}
        name = f"{below}part-{uuid.uuid4()}.parquet"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(of_file, folder / name)
        stats = {"numRecords": of_file.num_rows}
        if not is_partitioned and not pc.all(pc.is_null(of_file["event_date"])).as_py():
            dates = pc.min_max(of_file["event_date"]).as_py()
            stats |= {f"{bound}Values": {"event_date": str(dates[bound])} for bound in ("min", "max")}
        stats |= {"nullCount": {"event_date": of_file["event_date"].null_count}} if not is_partitioned else {}
        size = (folder / name).stat().st_size
        yield {
            "path": quote(name),
            "partitionValues": values,
            "size": size,
            "modificationTime": 0,
            "stats": json.dumps(stats),
        }
