"""Files of a table through a log of our own: some of them alone, or all where delta-rs refuses the table's own log."""

import functools
import json
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import DeltaError
from pyroaring import BitMap64

from gold_assets.delta import deletion_vectors
from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.log import DeltaLog
from gold_assets.delta.storage import is_uri
from gold_assets.delta.types import PHYSICAL_NAME

_NEED_NOT_KNOW = {
    # A reader casts a file's columns to the table's types, which DataFusion does.
    "typeWidening",
    "typeWidening-preview",
    # It binds those that vacuum.
    "vacuumProtocolCheck",
}
_VERSIONS_KEPT = 32
_UNUSED_ID = 1_000_000
"""Larger than that of any column."""
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.(parquet|json)")
_OF_AN_ADD = ("path", "partitionValues", "size", "modificationTime", "stats", "deletionVector")
"""Not the statistics as values, among which are days that Python does not have."""


def register(builder: QueryBuilder, name: str, table: DeltaTable) -> None:
    """Let queries name the table: as it is; or where delta-rs refuses that, or would read it slowly, the same files in tables of our own."""
    features = set(table.protocol().reader_features or ())
    if isinstance(table, _FilesAlone):
        _know_store_of(builder, name, table.whole)
    elif features & _NEED_NOT_KNOW or "deletionVectors" in features:
        _know_store_of(builder, name, table)
        alone = _scratch(table.table_uri, table.version(), str(table.metadata().id))
        table = alone if features & _NEED_NOT_KNOW or alone.has_vectors else table
    parts = table.parts if isinstance(table, _FilesAlone) else ()
    if not parts:
        builder.register(name, table)
        return
    for number, part in enumerate(parts):
        builder.register(f"{name}_{number}", part)
    whole = " UNION ALL ".join(f"SELECT * FROM {name}_{number}" for number in range(len(parts)))
    builder.execute(f"CREATE VIEW {name} AS {whole}")


def _know_store_of(builder: QueryBuilder, name: str, table: DeltaTable) -> None:
    """Make the object store known to the queries where the files of a table are, which is done also where the table is refused."""
    with suppress(DeltaError):
        builder.register(f"{name}_whole", table)


def hidden_rows(table: DeltaTable) -> dict[str, int]:
    """How many rows deletion vectors hide, by the path of the file as the log has it; files without one are left out."""
    vectors = ((add["path"], add.get("deletionVector")) for add in _active(table, ("path", "deletionVector")))
    return {path: vector["cardinality"] for path, vector in vectors if vector is not None}


def of_files(
    table: DeltaTable,
    files: Iterable[Mapping[str, Any]],
    *,
    number_as: str = "",
    hidden: Mapping[str, BitMap64] | None = None,
) -> DeltaTable:
    """A table of these files alone, which are given as the log of ``table`` adds or removes them. Its files go with this object.

    It has no statistics. With ``number_as`` it has a column of that name besides, which says from which of the files a row is.
    Of the files whose paths ``hidden`` has, it hides the rows at these positions, and no others.
    """
    kept = [{**file, "stats": None} for file in files]
    metadata = _metadata(table)
    if number_as:
        # A partition's value is in the log alone, whatever is in the file.
        _add_partition(metadata["metaData"], number_as)
        kept = [
            {**file, "partitionValues": {**(file.get("partitionValues") or {}), number_as: str(number)}}
            for number, file in enumerate(kept)
        ]
    return _FilesAlone(table, metadata, kept, hidden or {})


def of_rows(rows: pa.Table) -> DeltaTable:
    """A table of these rows, whose files go with this object."""
    folder = Path(tempfile.mkdtemp(prefix="gold_assets-"))
    write_deltalake(str(folder), rows)
    table = DeltaTable(str(folder))
    weakref.finalize(table, shutil.rmtree, folder, ignore_errors=True)
    return table


def _add_partition(metadata: dict[str, Any], name: str) -> None:
    schema = json.loads(metadata["schemaString"])
    mapping = {"delta.columnMapping.id": _UNUSED_ID, PHYSICAL_NAME: name}
    is_mapped = metadata["configuration"].get("delta.columnMapping.mode", "none") != "none"
    field = {"name": name, "type": "integer", "nullable": True, "metadata": mapping if is_mapped else {}}
    metadata["schemaString"] = json.dumps({**schema, "fields": [*schema["fields"], field]})
    metadata["partitionColumns"] = [*metadata["partitionColumns"], name]


class _FilesAlone(DeltaTable):
    """The table in a scratch folder, which goes with this object, of some of the files of ``whole``, given as its log has them.

    Of the files whose paths ``hidden`` has, it hides the rows at these positions in place of those that their log hides.
    """

    def __init__(
        self,
        whole: DeltaTable,
        metadata: Mapping[str, Any],
        files: Iterable[dict[str, Any]],
        hidden: Mapping[str, BitMap64] = MappingProxyType({}),
    ) -> None:
        folder = Path(tempfile.mkdtemp(prefix="gold_assets-"))
        self._files, self._metadata, self._hidden = [*files], metadata, hidden
        hides = {file["path"]: hidden[file["path"]] for file in self._files if file["path"] in hidden}
        vectors = {path: deletion_vectors.written(rows, folder) for path, rows in hides.items()}
        adds = _adds(
            whole,
            [
                file | {"deletionVector": vectors[file["path"]]} if file["path"] in vectors else file
                for file in self._files
            ],
        )
        (folder / "_delta_log").mkdir()
        with (folder / "_delta_log" / f"{0:020}.json").open("w") as commit:
            for action in (_protocol(whole), metadata, *adds):
                commit.write(json.dumps(action) + "\n")
        super().__init__(str(folder))
        self.whole = whole
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @property
    def has_vectors(self) -> bool:
        """Whether deletion vectors hide rows of its files."""
        return bool(self._hidden) or any(file.get("deletionVector") for file in self._files)

    @functools.cached_property
    def parts(self) -> "Sequence[_FilesAlone]":
        """The table in several, where that is read in less time; else none.

        Where one of the files has a deletion vector, delta-rs 1.6 reads all files of a table one after the other.
        """
        number = min(pa.cpu_count(), len(self._files)) if self.has_vectors else 1
        if number == 1:
            return ()
        return [
            _FilesAlone(self.whole, self._metadata, self._files[start::number], self._hidden) for start in range(number)
        ]


@functools.lru_cache(maxsize=_VERSIONS_KEPT)
def _scratch(uri: str, version: int, _table_id: str) -> _FilesAlone:
    table = DeltaTable(uri, version=version)
    return _FilesAlone(table, _metadata(table), _active(table))


def _protocol(table: DeltaTable) -> dict[str, Any]:
    protocol = table.protocol()
    if protocol.reader_features is None and protocol.writer_features is None:
        versions = {"minReaderVersion": protocol.min_reader_version, "minWriterVersion": protocol.min_writer_version}
        return {"protocol": versions}
    read, write = (
        sorted(set(features or ()) - _NEED_NOT_KNOW)
        for features in (protocol.reader_features, protocol.writer_features)
    )
    return {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": read, "writerFeatures": write}}


def _metadata(table: DeltaTable) -> dict[str, Any]:
    metadata = table.metadata()
    return {
        "metaData": {
            "id": str(metadata.id),
            "format": {"provider": "parquet", "options": {}},
            "schemaString": table.schema().to_json(),
            "partitionColumns": metadata.partition_columns,
            "configuration": {
                name: value for name, value in metadata.configuration.items() if name != "delta.enableTypeWidening"
            },
            "createdTime": metadata.created_time,
        }
    }


def _adds(table: DeltaTable, files: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Files of the table, as its log has them, added by absolute paths."""
    root = table.table_uri.rstrip("/") + "/"
    for add in files:
        vector = add.get("deletionVector")
        if vector is not None and vector["storageType"] == "u":
            place = root + deletion_vectors.relative_path(vector["pathOrInlineDv"])
            vector = {**vector, "storageType": "p", "pathOrInlineDv": place}
        path = add["path"] if is_uri(add["path"]) else root + add["path"]
        kept = {"partitionValues": add.get("partitionValues") or {}, "size": add.get("size"), "stats": add.get("stats")}
        time = add.get("modificationTime", 0)  # which a remove does not tell
        yield {"add": {**kept, "path": path, "modificationTime": time, "dataChange": True, "deletionVector": vector}}


def _active(table: DeltaTable, fields: Sequence[str] = _OF_AN_ADD) -> Iterator[dict[str, Any]]:
    """The adds that are in force, as the log has them, with these of their fields at least."""
    files = files_of(table)
    checkpoint, names = _newest_checkpoint(files, table.version())
    actions = (action for name in names for action in _actions_in(files, f"_delta_log/{name}", fields))
    adds = {action["add"]["path"]: action["add"] for action in actions if action.get("add")}
    log = DeltaLog(table)
    for version in range(checkpoint + 1, table.version() + 1):
        # A file whose deletion vector changes is removed and added again in one commit, in either order.
        commit = list(log.actions(version))
        for path in [action["remove"]["path"] for action in commit if "remove" in action]:
            adds.pop(path, None)
        adds |= {action["add"]["path"]: action["add"] for action in commit if "add" in action}
    yield from adds.values()


def _newest_checkpoint(files: pafs.FileSystem, version: int) -> tuple[int, list[str]]:
    """The newest checkpoint up to ``version`` and its files; -1 where there is none."""
    found: dict[int, list[str]] = {}
    for entry in files.get_file_info(pafs.FileSelector("_delta_log")):
        if (named := _CHECKPOINT.fullmatch(entry.base_name)) and int(named[1]) <= version:
            found.setdefault(int(named[1]), []).append(entry.base_name)
    newest = max(found, default=-1)
    return newest, found.get(newest, [])


def _actions_in(files: pafs.FileSystem, path: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The actions of a checkpoint's file, and of those that it names."""
    with files.open_input_file(path) as file:
        if path.endswith(".json"):
            actions: Iterable[dict[str, Any]] = [json.loads(line) for line in file.read().splitlines()]
        else:
            batches = pq.ParquetFile(file).iter_batches(columns=[*(f"add.{name}" for name in fields), "sidecar"])
            actions = (action for batch in batches for action in batch.to_pylist(maps_as_pydicts="strict"))
        for action in actions:
            if action.get("sidecar"):
                yield from _actions_in(files, f"_delta_log/_sidecars/{action['sidecar']['path']}", fields)
            else:
                yield action
