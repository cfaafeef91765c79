"""Which dates the files of a Delta table hold: from their partition, else from their statistics, else from the files themselves."""

import datetime as dt
import functools
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
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

from gold_assets.delta.dates import EVENT_DATE, day_of, days, days_in
from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.errors import UserError
from gold_assets.delta.kept_dates import Held, RowsByDate, kept_dates
from gold_assets.delta.log import date_in_partition
from gold_assets.delta.query import as_table
from gold_assets.delta.scratch import hidden_rows
from gold_assets.delta.storage import is_uri
from gold_assets.delta.types import physical_name

_DAY = dt.timedelta(days=1)
_FILES_AT_ONCE, _FILES_A_LOOK_AT_THE_CLOCK = 8, 64


class UnknownDate(UserError):
    """A file does not tell which dates it holds; ``path`` is the file's, as the log has it."""

    def __init__(self, table: DeltaTable, path: str) -> None:
        super().__init__(
            f"The file {path} of the Delta table at {table.table_uri} cannot be read at version {table.version()}, and the log does not "
            "tell which dates it holds: see that the file is there and whole, and that this process may read it."
        )
        self.path = path


@dataclass(frozen=True)
class _File:
    """What a log says of a file.

    Attributes:
        size, modified: as it says; who removes a file need not.
        partition: (value,) where it names the file's date, as the table's layout was when the file was added.
        layout_told: whether it says how the file is partitioned. Else an older commit may be all that tells its date.
    """

    path: str
    rows: int | None
    size: int | None = None
    modified: int | None = None
    partition: tuple[dt.date | None] | None = None
    least: dt.date | None = None
    most: dt.date | None = None
    nulls: int | None = None
    layout_told: bool = True


class FileDates:
    """The dates in the files of one table, by the column that dates its rows.

    Args:
        kept_at: a place for what is read of files that the log does not tell of, where it is to outlast the process.
    """

    def __init__(self, table: DeltaTable, column: str = EVENT_DATE, *, kept_at: str | None = None) -> None:
        self._table = table
        fields = {field.name: field for field in table.schema().fields}
        self._name = column
        self._physical = physical_name(column, fields[column].metadata)
        self._is_partition = column in table.metadata().partition_columns
        others = {physical_name(name, field.metadata) for name, field in fields.items() if name != column}
        self._names = [self._physical, *({column} - others - {self._physical})]
        self._has_learnt = False
        self._kept = kept_dates(kept_at, table.table_uri, str(table.metadata().id), self._physical)

    def rows(self, dates: Collection[dt.date] | None = None) -> dict[dt.date | None, int | None]:
        """Rows by date in the table's files, of which those that are known to hold none of ``dates`` are left out.

        What deletion vectors hide is among them. Raises ``UnknownDate``.
        """
        wanted = None if dates is None else set(dates)
        files = (file for file in self._files if wanted is None or _may_hold(file, wanted))
        rows = _summed(self._asked(files, _rows_told))
        if self._has_learnt:  # and may tell more now
            vars(self).pop("_told", None)
            self._has_learnt = False
        return rows

    def rows_told(self, dates: Collection[dt.date | None]) -> dict[dt.date | None, int | None]:
        """The rows of each of the dates, and those without one, by the log and what was read before: no file is read.

        What deletion vectors hide is not among them. None where neither tells.
        """
        told, untold = self._told
        wanted = {date for date in dates if date is not None}
        unknown = {date for file in untold for date in wanted if _may_hold(file, {date})} | (
            {None} if untold else set()
        )
        return {date: None if date in unknown else told.get(date, 0) for date in (*wanted, None)}

    def count_told(self, dates: Collection[dt.date | None]) -> int | None:
        """The same of all of the dates together; None where neither tells of one of them."""
        told = self.rows_told(dates)
        counts = [told[date] for date in dates]
        return None if None in counts else sum(filter(None, counts))

    @functools.cached_property
    def rows_a_byte(self) -> float | None:
        """The rows of the files, by their size, as far as the log tells; None where it does not."""
        told = [(file.rows, file.size) for file in self._files if file.rows is not None and file.size]
        rows, size = (sum(each) for each in zip(*told, strict=True)) if told else (0, 0)
        return rows / size if rows and size else None

    def rows_in_files(self, date: dt.date) -> int | None:
        """The rows of all files that may hold the date, hidden ones among them: what finding its rows reads. None where the log does not tell."""
        counts = [file.rows for file in self._files if _may_hold(file, {date})]
        return None if None in counts else sum(filter(None, counts))

    def dates(self) -> set[dt.date | None]:
        """The dates that the table has files for. Raises ``UnknownDate``."""
        return set().union(*self._asked(self._files, _dates_told))

    def of_action(self, action: Mapping[str, Any]) -> Collection[dt.date | None]:
        """The dates that an add or a remove of the log touches, by what it says or by its file. Raises ``UnknownDate``."""
        file = self._from_action(action)
        told = _dates_told(file)
        return self._read(file) if told is None else told

    def learn(self, until: float) -> int:
        """Read the dates of the files of which the log does not tell them, until ``time.monotonic()`` is ``until``.

        They are kept. Returns how many files are left for another time. Raises ``UnknownDate``.
        """
        untold = [file for file in self._files if _dates_told(file) is None and self._known(file) is None]
        left = iter(untold)
        done = 0
        with ThreadPoolExecutor(max_workers=_FILES_AT_ONCE) as pool:
            while part := list(itertools.islice(left, _FILES_A_LOOK_AT_THE_CLOCK)):
                done += len(list(pool.map(self._read, part)))
                if time.monotonic() >= until:
                    break
        self._kept.keep([file.path for file in self._files])
        return len(untold) - done

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
        held = self._known(file)
        if held is None:
            try:
                held = self._held_in(file.path)
            except (OSError, DeltaError, pa.ArrowException, ValueError) as error:
                raise UnknownDate(self._table, file.path) from error
            self._kept.learn(file.path, file.size, file.modified, held)
            self._has_learnt = True
        if not held.has_column and not file.layout_told:
            raise UnknownDate(self._table, file.path)
        return held.rows

    def _known(self, file: _File) -> Held | None:
        return self._kept.of(file.path, file.size, file.modified)

    def _held_in(self, path: str) -> Held:
        place = unquote(path)
        if not is_uri(place):
            return _held_in_file(self._storage, place, self._physical)
        root, name = place.rsplit("/", 1)
        return _held_in_file(files_of(root), name, self._physical)

    @functools.cached_property
    def _storage(self) -> pafs.FileSystem:
        return files_of(self._table)

    @functools.cached_property
    def _told(self) -> tuple[RowsByDate, list[_File]]:
        """``rows_told`` of all dates, but for those of the files of which they are not told."""
        told, untold = [], []
        for file in self._files:
            known, hidden = _rows_told(file), self._hidden.get(file.path, 0)
            if known is None and (read := self._known(file)) is not None:
                known = read.rows
            if known is None or (hidden and len(known) > 1):  # nothing tells of which date the hidden ones are
                untold.append(file)
            else:
                told.append({date: None if rows is None else rows - hidden for date, rows in known.items()})
        return _summed(told), untold

    @functools.cached_property
    def _hidden(self) -> Mapping[str, int]:
        """By file, how many of its rows deletion vectors hide."""
        may_have = "deletionVectors" in (self._table.protocol().reader_features or ())
        return hidden_rows(self._table) if may_have else {}

    @functools.cached_property
    def _files(self) -> list[_File]:
        """The files of the table as it was loaded when they were first asked for."""
        files = as_table(self._table.get_add_actions(flatten=True))

        def column(name: str) -> Sequence[Any]:
            return files[name].to_pylist() if name in files.column_names else [None] * files.num_rows

        def dates(name: str) -> Sequence[dt.date | None]:
            return days_in(files[name]).to_pylist() if name in files.column_names else [None] * files.num_rows

        if not files.num_rows:
            return []
        told = [column(name) for name in ("path", "num_records", "size_bytes", "modification_time")]
        if self._is_partition:
            told.append([(date,) for date in dates(f"partition.{self._name}")])
        else:
            told.append([None] * files.num_rows)
            told += [dates(f"{bound}.{self._physical}") for bound in ("min", "max")]
            told.append(column(f"null_count.{self._physical}"))
        return [_File(*of_file) for of_file in zip(*told, strict=True)]

    def _from_action(self, action: Mapping[str, Any]) -> _File:
        path, size, modified = action["path"], action.get("size"), action.get("modificationTime")
        try:
            # Whatever the layout is now.
            if (partition := date_in_partition(action, self._names)) is not None:
                return _File(path, None, size, modified, partition)
            stats = json.loads(action["stats"]) if action.get("stats") else {}
            least, most, nulls = (
                stats.get(bound, {}).get(self._physical) for bound in ("minValues", "maxValues", "nullCount")
            )
            return _File(
                path,
                stats.get("numRecords"),
                size,
                modified,
                least=None if least is None else day_of(least),
                most=None if most is None else day_of(most),
                nulls=nulls,
                layout_told=action.get("partitionValues") is not None,
            )
        except ValueError as error:
            raise UnknownDate(self._table, path) from error


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


def _held_in_file(files: pafs.FileSystem, path: str, column: str) -> Held:
    """What is in a data file, which never changes. Reads the one column, where the file's statistics do not tell."""
    rows: Counter[dt.date | None] = Counter()
    with files.open_input_file(path) as opened:
        file = pq.ParquetFile(opened, coerce_int96_timestamp_unit="us")
        if column not in file.schema_arrow.names:  # it came later, or is in the log alone
            return Held({None: file.metadata.num_rows}, has_column=False)
        of_many_dates = []
        for number in range(file.num_row_groups):
            told = _rows_told(_row_group(file, number, column))
            if told is None:
                of_many_dates.append(number)
            else:
                rows.update(told)
        for batch in file.iter_batches(row_groups=of_many_dates, columns=[column]):
            for counted in pc.value_counts(days_in(batch.column(0))).to_pylist():
                rows[counted["values"]] += counted["counts"]
    return Held(dict(rows))


def _row_group(file: pq.ParquetFile, number: int, column: str) -> _File:
    group = file.metadata.row_group(number)
    [chunk] = [n for n in range(group.num_columns) if group.column(n).path_in_schema == column]
    told = group.column(chunk).statistics
    if told is None or not told.has_null_count:
        return _File("", group.num_rows)
    least = most = None
    if told.has_min_max and isinstance(told.min_raw, int):
        type = file.schema_arrow.field(column).type
        bounds = pa.array([told.min_raw, told.max_raw], pa.int64())
        least, most = days_in((bounds.cast(pa.int32()) if pa.types.is_date(type) else bounds).cast(type)).to_pylist()
    return _File("", group.num_rows, least=least, most=most, nulls=told.null_count)
