"""What was read of the dates in files of a table, kept for as long as the files are there: in this process, and at a place beside the lake."""

import datetime as dt
import functools
import hashlib
import logging
import threading
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from gold_assets.delta.errors import reason
from gold_assets.delta.storage import located

logger = logging.getLogger(__name__)

RowsByDate = Mapping[dt.date | None, int | None]
"""Rows by date, None where they are not known; those without a date under None. What deletion vectors hide is among them."""

_TABLES_AT_ONCE = 16
_FILES_KEPT = 300_000
"""Of a table: some 500 bytes of memory each. What comes then is read again each time."""

_MOST_PARTS = 8
_COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.int64()),
        ("has_column", pa.bool_()),
        ("dates", pa.list_(pa.date32())),
        ("rows", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True, slots=True)
class Held:
    """The rows by date in a file; ``has_column`` is False where it does not have the column that dates them."""

    rows: RowsByDate
    has_column: bool = True


@dataclass(frozen=True, slots=True)
class _Known:
    size: int | None
    modified: int | None
    held: Held


class KeptDates:
    """What is known of the files of one table, by their paths as the log has them.

    A file that has another size or another time than the log says now is not the one that was read. At ``place`` there
    are Parquet files, which may be deleted at any time: then the table's files are read again.
    """

    def __init__(self, place: str | None, name: str) -> None:
        self._place, self._name = place, name
        self._lock = threading.RLock()
        self._known: dict[str, _Known] = {}
        self._new: set[str] = set()
        self._is_loaded = place is None

    def of(self, path: str, size: int | None, modified: int | None) -> Held | None:
        """What is in the file; None where it is not known. Who removes a file need not say its size and time."""
        with self._lock:
            self._load()
            known = self._known.get(path)
        if known is None or (size is not None and known.size != size):
            return None
        return None if modified is not None and known.modified != modified else known.held

    def learn(self, path: str, size: int | None, modified: int | None, held: Held) -> None:
        with self._lock:
            if len(self._known) < _FILES_KEPT or path in self._known:
                self._known[path] = _Known(size, modified, held)
                self._new.add(path)

    def keep(self, files: Collection[str]) -> None:
        """Write what is new to the place; where there is no more room, forget all that is not among ``files``."""
        with self._lock:
            if len(self._known) >= _FILES_KEPT:
                self._known = {path: self._known[path] for path in files if path in self._known}
                self._new &= self._known.keys()
            if not self._new or self._place is None:
                return
            try:
                self._write()
            except (OSError, DeltaError, pa.ArrowException) as error:
                logger.warning(
                    "What was read of the dates in Silver's files cannot be kept at %s (%s): it will be read again",
                    self._place,
                    reason(error),
                )
            self._new.clear()

    @functools.cached_property
    def _files(self) -> pafs.FileSystem:
        assert self._place is not None
        return pafs.PyFileSystem(DeltaStorageHandler(self._place))

    def _parts(self) -> list[str]:
        found = self._files.get_file_info(pafs.FileSelector("", allow_not_found=True))
        return [info.base_name for info in found if info.base_name.endswith(".parquet")]

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        try:
            for part in self._parts():
                self._read(part)
        except TableNotFoundError:
            return  # a folder that is not there yet
        except (OSError, DeltaError) as error:
            logger.warning(
                "What was kept of the dates in Silver's files at %s cannot be read (%s)", self._place, reason(error)
            )

    def _read(self, part: str) -> None:
        if not part.startswith(f"{self._name}-"):
            return  # of another Silver that was here before
        try:
            with self._files.open_input_file(part) as opened:
                file = pq.ParquetFile(opened)
                if file.schema_arrow.names != _COLUMNS.names:
                    return  # another release's
                kept = file.read()
        except (OSError, DeltaError, pa.ArrowException):
            return  # another process has put it together with others, or it is broken: it is as if it were not there
        for file in kept.to_pylist():
            if len(self._known) < _FILES_KEPT:
                held = Held(dict(zip(file["dates"], file["rows"], strict=True)), file["has_column"])
                self._known.setdefault(file["path"], _Known(file["size"], file["modified"], held))

    def _write(self) -> None:
        assert self._place is not None
        scheme, path = located(self._place)
        if scheme == "file":  # a store has no folders to make
            Path(path).mkdir(parents=True, exist_ok=True)
        parts = self._parts()
        together = len(parts) >= _MOST_PARTS
        for part in parts if together else ():
            self._read(part)
        written = ((path, self._known[path]) for path in (self._known if together else self._new))
        kept = [
            {
                "path": path,
                "size": known.size,
                "modified": known.modified,
                "has_column": known.held.has_column,
                "dates": list(known.held.rows),
                "rows": list(known.held.rows.values()),
            }
            for path, known in written
        ]
        with self._files.open_output_stream(f"{self._name}-{uuid.uuid4()}.parquet") as opened:
            pq.write_table(pa.Table.from_pylist(kept, schema=_COLUMNS), opened)
        for part in parts if together else ():
            self._files.delete_file(part)


@functools.lru_cache(maxsize=_TABLES_AT_ONCE)
def kept_dates(place: str | None, uri: str, table_id: str, column: str) -> KeptDates:
    """What is known of the files of a table, by the column that dates its rows; the same for all of this process."""
    return KeptDates(place, f"{table_id}-{hashlib.sha256(f'{uri} {column}'.encode()).hexdigest()[:8]}")
