"""Reading a Delta table's log through delta-rs's storage layer: no engine, any store."""

import datetime as dt
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.delta.dates import EVENT_DATE, day_of
from gold_assets.delta.delta_rs_internals import files_of

_READERS, _COMMITS_AT_ONCE = 8, 32
"""On an object store reading commits means waiting, and waiting is done side by side."""


_KEPT = ("path", "partitionValues", "size", "modificationTime", "deletionVector")
"""Of an add or a remove: what reading its file needs. Most of it are statistics."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that a commit added or removed, as its log says.

    Attributes:
        version: of the commit.
        action: what the add or remove says of the file, without its statistics.
        rows: the rows in the file, without those that its deletion vector hides, where its statistics tell.
        data_change: whether rows changed with it, which they do not where files are compacted.
    """

    version: int
    is_add: bool
    action: Mapping[str, Any]
    rows: int | None
    data_change: bool = True

    @property
    def path(self) -> str:
        return str(self.action["path"])

    @property
    def rows_in_file(self) -> int | None:
        """The rows in the file, those that a deletion vector hides among them, where its statistics tell."""
        return None if self.rows is None else self.rows + self.hidden

    @property
    def hidden(self) -> int:
        """How many of its rows a deletion vector hides."""
        vector = self.action.get("deletionVector")
        return 0 if vector is None else int(vector["cardinality"])

    @property
    def has_vector(self) -> bool:
        """Whether a deletion vector hides some of its rows."""
        return self.action.get("deletionVector") is not None

    @property
    def date(self) -> dt.date | None:
        """The event_date of its rows, where the table is partitioned by that as ours are; None for rows without one."""
        (named,) = date_in_partition(self.action, [EVENT_DATE]) or (None,)
        return named


def date_in_partition(action: Mapping[str, Any], names: Sequence[str]) -> tuple[dt.date | None] | None:
    """(date,) where an add or a remove has it as the value of a partition column of one of these names. Raises ``ValueError``."""
    values = action.get("partitionValues")
    if values is None:
        # A remove need not repeat its partition values; the path names them, by convention, where writers leave them out.
        found = re.search(rf"(?:^|/)({'|'.join(map(re.escape, names))})=([^/]+)/", unquote(action["path"]))
        values = {} if found is None else {found[1]: unquote(found[2])}
    if not (named := [values[name] for name in names if name in values]):
        return None
    # Delta lets a writer put an empty string for NULL.
    return (None if named[0] in (None, "", "__HIVE_DEFAULT_PARTITION__") else day_of(named[0]),)


Partitions = dict[tuple[tuple[str, Any], ...], Mapping[str, Any]]
"""The values of each partition, once for all its files."""


def file_change(version: int, action: Mapping[str, Any], partitions: Partitions | None = None) -> FileChange | None:
    """The data file that an action of a commit adds or removes; None where it does neither."""
    if (file := action.get("add") or action.get("remove")) is None:
        return None
    kept = {name: file[name] for name in _KEPT if file.get(name) is not None}
    if partitions is not None and (values := kept.get("partitionValues")):
        kept["partitionValues"] = partitions.setdefault(tuple(values.items()), values)
    return FileChange(version, "add" in action, kept, _rows_told(file), file.get("dataChange", True))


def _rows_told(action: Mapping[str, Any]) -> int | None:
    """The rows that an add or a remove says its file has, without those that its deletion vector hides."""
    stats = json.loads(action["stats"]) if action.get("stats") else {}
    rows = stats.get("numRecords")
    vector = action.get("deletionVector")
    return rows if rows is None or vector is None else rows - vector["cardinality"]


@dataclass(frozen=True)
class CommitFile:
    """The file of a commit as its store tells of it, ``modified`` in nanoseconds since 1970: another commit has another."""

    version: int
    size: int
    modified: int


class DeltaLog:
    """The JSON commits of one table. Raises ``FileNotFoundError`` for a version that log clean-up has taken."""

    def __init__(self, table: DeltaTable | str) -> None:
        """Of an open table, or of the one at a path or URI, which is then not loaded."""
        self._files = files_of(table)

    def actions(self, version: int) -> Iterator[dict[str, Any]]:
        """What ``version`` says, action by action, as it is written."""
        with self._files.open_input_stream(_path(version)) as commit:
            yield from (json.loads(line) for line in io.BufferedReader(commit, 1 << 20) if line.strip())

    def info(self, version: int) -> Mapping[str, Any]:
        """What the writer of ``version`` said about it, empty where nothing."""
        return next((action["commitInfo"] for action in self.actions(version) if "commitInfo" in action), {})

    def fingerprint(self, version: int) -> str:
        """Tells the commit of ``version`` from any other, also from that of a table put back to an older state and written anew.

        Empty where log clean-up has taken it.
        """
        digest = hashlib.sha256()
        try:
            with self._files.open_input_stream(_path(version)) as commit:
                while chunk := commit.read(1 << 20):
                    digest.update(chunk)
        except FileNotFoundError:
            return ""
        return digest.hexdigest()[:16]

    def file_of(self, version: int) -> CommitFile | None:
        """The file of the commit, which is not read; None where there is none."""
        [found] = self._files.get_file_info([_path(version)])
        return CommitFile(version, found.size, found.mtime_ns) if found.is_file else None

    def last_checkpoint(self) -> int:
        """The version of the newest checkpoint, -1 where there is none."""
        try:
            with self._files.open_input_stream("_delta_log/_last_checkpoint") as pointer:
                return int(json.loads(pointer.read())["version"])
        except FileNotFoundError:
            return -1

    def kept_from(self, expired_before: dt.datetime) -> int | None:
        """The oldest version that can be opened once delta-rs has cleaned the log of what has expired; None where it would take nothing.

        It keeps each commit that is younger, and what is needed to open it: the newest checkpoint up to it and what
        follows that.
        """
        commits: dict[int, dt.datetime] = {}
        checkpoints: set[int] = set()
        for entry in self._files.get_file_info(pafs.FileSelector("_delta_log")):
            if (found := re.fullmatch(r"(\d{20})\.(json|checkpoint\..*parquet)", entry.base_name)) is None:
                continue
            if found[2] == "json":
                commits[int(found[1])] = entry.mtime
            else:
                checkpoints.add(int(found[1]))
        young = min(
            (version for version, at in commits.items() if at >= expired_before), default=max(commits, default=0)
        )
        kept_from = max((version for version in checkpoints if version <= young), default=-1)
        return kept_from if any(version < kept_from for version in commits) else None


_Read = TypeVar("_Read")


def side_by_side(read: Callable[[int], _Read], newest: int, stop: int) -> Iterator[tuple[int, _Read]]:
    """What ``read`` makes of each version from the ``newest`` down to the one after ``stop``, some of them read ahead."""
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        for first in range(newest, stop, -_COMMITS_AT_ONCE):
            versions = range(first, max(stop, first - _COMMITS_AT_ONCE), -1)
            yield from zip(versions, pool.map(read, versions), strict=True)


def _path(version: int) -> str:
    return f"_delta_log/{version:020}.json"


def ends_at(place: str, end: CommitFile | None) -> bool:
    """Whether the log of the table at a path or URI still ends with this commit; where None, whether there is no table.

    No table is opened. False where the store cannot be asked.
    """
    if end is not None:
        return end_after(place, end) == end
    try:
        return not DeltaTable.is_deltatable(place)
    except (DeltaError, OSError):
        return False


def end_after(place: str, commit: CommitFile | None) -> CommitFile | None:
    """The last commit of the log at a path or URI, where that log holds this commit; else None. Opens no table."""
    try:
        log = DeltaLog(place)
        end = None if commit is None or log.file_of(commit.version) != commit else commit
        while end is not None and (following := log.file_of(end.version + 1)) is not None:
            end = following
        return end
    except (DeltaError, OSError):
        return None
