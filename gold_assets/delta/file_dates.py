"""Which dates the files of a Delta table hold: from their partition, else from their statistics, else from the files themselves."""

import datetime as dt
import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from gold_assets.delta.dates import EVENT_DATE, days
from gold_assets.delta.query import as_table
from gold_assets.delta.storage import is_uri

_DAY = dt.timedelta(days=1)
_FILES_REMEMBERED = 100_000
_FILES_AT_ONCE = 8

RowsByDate = Mapping[dt.date | None, int | None]
"""Rows by date, None where they are not known; those without a date under None. What deletion vectors hide is among them."""


class UnknownDate(Exception):
    """A file does not tell which dates it holds."""


@dataclass(frozen=True)
class _File:
    """What a log says of a file. ``partition`` is (value,) where the table is partitioned by date."""

    path: str
    rows: int | None
    partition: tuple[dt.date | None] | None = None
    least: dt.date | None = None
    most: dt.date | None = None
    nulls: int | None = None


class FileDates:
    """The dates in the files of one table, by the column that dates its rows."""

    def __init__(self, table: DeltaTable, column: str = EVENT_DATE) -> None:
        self._table = table
        [field] = [field for field in table.schema().fields if field.name == column]
        self._name = field.name
        # Where columns are mapped, logs and files know a column by another name.
        self._physical = str(field.metadata.get("delta.columnMapping.physicalName", field.name))
        self._is_partition = field.name in table.metadata().partition_columns

    def rows(self, dates: Collection[dt.date] | None = None) -> dict[dt.date | None, int | None]:
        """Rows by date in the table's files, of which those that are known to hold none of ``dates`` are left out.

        Raises ``UnknownDate``.
        """
        wanted = None if dates is None else set(dates)
        files = (file for file in self._files if wanted is None or _may_hold(file, wanted))
        return _summed(self._asked(files, _rows_told))

    def rows_told(self, dates: Collection[dt.date]) -> dict[dt.date | None, int | None]:
        """``rows`` without asking any file: None for all dates that one may hold whose dates the log does not tell."""
        wanted = set(dates)
        files = (file for file in self._files if _may_hold(file, wanted))
        return _summed(_rows_told(file) or dict.fromkeys(wanted) for file in files)

    def dates(self) -> set[dt.date | None]:
        """The dates that the table has files for. Raises ``UnknownDate``."""
        return set().union(*self._asked(self._files, _dates_told))

    def of_action(self, action: Mapping[str, Any]) -> Collection[dt.date | None]:
        """The dates that an add or a remove of the log touches, by what it says or by its file. Raises ``UnknownDate``."""
        file = self._from_action(action)
        told = _dates_told(file)
        return self._read(file) if told is None else told

    def _asked(self, files: Iterable[_File], told: Callable[[_File], Any]) -> Iterator[Any]:
        """What the log tells of each file, else what is in it."""
        untold = []
        for file in files:
            if (known := told(file)) is None:
                untold.append(file)
            else:
                yield known
        with ThreadPoolExecutor(max_workers=_FILES_AT_ONCE) as pool:
            yield from pool.map(self._read, untold)

    def _read(self, file: _File) -> RowsByDate:
        try:
            return _rows_in_file(self._table.table_uri, file.path, self._physical)
        except (OSError, DeltaError, pa.ArrowException, ValueError, OverflowError) as error:
            raise UnknownDate(file.path) from error

    @functools.cached_property
    def _files(self) -> list[_File]:
        """The files of the table as it was loaded when they were first asked for."""
        files = as_table(self._table.get_add_actions(flatten=True))

        def column(name: str) -> list[Any]:
            return files[name].to_pylist() if name in files.column_names else [None] * files.num_rows

        paths, rows = files["path"].to_pylist() if files.num_rows else [], column("num_records")
        if self._is_partition:
            values = column(f"partition.{self._name}")
            return [
                _File(path, count, partition=(_date(value),))
                for path, count, value in zip(paths, rows, values, strict=True)
            ]
        bounds = (column(f"{bound}.{self._physical}") for bound in ("min", "max", "null_count"))
        return [
            _File(path, count, None, _date(least), _date(most), nulls)
            for path, count, least, most, nulls in zip(paths, rows, *bounds, strict=True)
        ]

    def _from_action(self, action: Mapping[str, Any]) -> _File:
        stats = json.loads(action["stats"]) if action.get("stats") else {}
        rows, path = stats.get("numRecords"), action["path"]
        try:
            if self._is_partition:
                return _File(path, rows, partition=(self._partition_of(action),))
            least, most, nulls = (
                stats.get(bound, {}).get(self._physical) for bound in ("minValues", "maxValues", "nullCount")
            )
            return _File(path, rows, None, _date(least), _date(most), nulls)
        except ValueError as error:
            raise UnknownDate(path) from error

    def _partition_of(self, action: Mapping[str, Any]) -> dt.date | None:
        values = action.get("partitionValues") or {}
        for name in (self._physical, self._name):
            if name in values:
                return _date(values[name] or None)  # Delta lets a writer put an empty string for NULL
        # A remove need not repeat its partition values; the path names them, by convention, where writers leave them out.
        in_path = re.search(rf"(?:^|/){re.escape(self._name)}=([^/]+)/", unquote(action["path"]))
        if in_path is None:
            raise UnknownDate(action["path"])
        return None if in_path[1] == "__HIVE_DEFAULT_PARTITION__" else _date(unquote(in_path[1]))


def _summed(counts: Iterable[RowsByDate]) -> dict[dt.date | None, int | None]:
    """By date, the rows of all; None where those of one are not known."""
    rows: dict[dt.date | None, int | None] = {}
    for counted in counts:
        for date, count in counted.items():
            known = rows.get(date, 0)
            rows[date] = None if known is None or count is None else known + count
    return rows


def has_files_elsewhere(table: DeltaTable) -> bool:
    """Whether the log names files by absolute paths, as that of a shallow clone does."""
    paths = as_table(table.get_add_actions())
    return paths.num_rows > 0 and any(is_uri(path) for path in paths["path"].to_pylist())


def _dates_told(file: _File) -> Collection[dt.date | None] | None:
    """The dates in a file, where the log tells them."""
    if file.partition is not None:
        return file.partition
    if file.nulls is None:
        return None
    without = (None,) if file.nulls else ()
    if file.nulls == file.rows:
        return without
    if file.least and file.most and file.most - file.least <= _DAY:
        return {file.least, file.most, *without}
    return None


def _rows_told(file: _File) -> RowsByDate | None:
    """The rows by date in a file, where the log tells them."""
    if file.partition is not None:
        return {file.partition[0]: file.rows}
    if file.nulls is None or file.rows is None:
        return None
    without: dict[dt.date | None, int | None] = {None: file.nulls} if file.nulls else {}
    if file.nulls == file.rows:
        return without
    if file.least and file.least == file.most:
        return {file.least: file.rows - file.nulls, **without}
    return None


def _may_hold(file: _File, dates: Set[dt.date]) -> bool:
    if not (file.least and file.most):
        return True
    if (file.most - file.least).days < len(dates):
        return any(date in dates for date in days(file.least, file.most))
    return any(file.least <= date <= file.most for date in dates)


def _date(value: Any) -> dt.date | None:
    """A date, a timestamp's date in UTC, or either as a log writes it. Raises ``ValueError``."""
    if isinstance(value, str):
        if len(value) <= len("2024-01-01"):
            return dt.date.fromisoformat(value)
        value = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.timezone.utc) if value.tzinfo else value).date()
    return value


@functools.lru_cache(maxsize=_FILES_REMEMBERED)
def _rows_in_file(table_uri: str, path: str, column: str) -> RowsByDate:
    """Rows by date in a data file, which never changes. Reads the one column, where the file's statistics do not tell."""
    place = unquote(path)
    root, name = place.rsplit("/", 1) if is_uri(place) else (table_uri, place)
    rows: Counter[dt.date | None] = Counter()
    with pafs.PyFileSystem(DeltaStorageHandler(root)).open_input_file(name) as opened:
        file = pq.ParquetFile(opened, coerce_int96_timestamp_unit="us")
        if column not in file.schema_arrow.names:  # Silver gained it later
            return {None: file.metadata.num_rows}
        of_many_dates = []
        for number in range(file.num_row_groups):
            told = _rows_told(_row_group(file, number, column))
            if told is None:
                of_many_dates.append(number)
            else:
                rows.update(told)
        for batch in file.iter_batches(row_groups=of_many_dates, columns=[column]):
            values = batch.column(0)
            if pa.types.is_timestamp(values.type):
                values = pc.floor_temporal(values, unit="day").cast(pa.timestamp("us")).cast(pa.date32())
            for counted in pc.value_counts(values).to_pylist():
                rows[counted["values"]] += counted["counts"]
    return rows


def _row_group(file: pq.ParquetFile, number: int, column: str) -> _File:
    group = file.metadata.row_group(number)
    [chunk] = [n for n in range(group.num_columns) if group.column(n).path_in_schema == column]
    told = group.column(chunk).statistics
    if told is None or not told.has_null_count:
        return _File("", group.num_rows)
    least, most = (told.min, told.max) if told.has_min_max else (None, None)
    return _File("", group.num_rows, None, _date(least), _date(most), told.null_count)
