"""Which dates of Silver have changed, when, and by which files: read from its log, without an engine."""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gold_assets.delta.file_dates import FileDates, UnknownDate
from gold_assets.delta.log import DeltaLog, rows_told, side_by_side
from gold_assets.silver.pin import Silver


@dataclass(frozen=True)
class SilverChanges:
    """Which dates changed after version ``after``, up to version ``to``.

    Attributes:
        last: by date, the newest version that changed its rows; rows without a date are date None.
        since: the log was read back to here. A date that is not in ``last`` has not changed after ``since``.
        gap: why it was read no further, where it was not read back to ``after``.
    """

    after: int
    to: int
    since: int
    last: Mapping[dt.date | None, int]
    gap: str = ""

    @property
    def complete(self) -> bool:
        """False where log clean-up has taken a part of the window: then any date may have changed."""
        return self.since <= self.after

    def changed_after(self, date: dt.date | None, version: int) -> bool | None:
        """Whether the date's rows changed after ``version``; None where the log was not read back to it."""
        if self.last.get(date, -1) > version:
            return True
        return False if version >= self.since else None


def silver_changes(silver: Silver, after: int = -1, *, most_commits: int | None = None) -> SilverChanges:
    """Read the log of ``silver`` from its version back to ``after``; -1 is before the first commit.

    A commit touches the dates of the files that it adds and removes. Reading ends early where log clean-up has cut the log,
    where neither the log nor the file tells the dates of one, and after ``most_commits``. Only add and remove actions that change data count: appends, updates, deletes, deletion vectors,
    restores, and rows that move to another date do; OPTIMIZE, VACUUM and checkpoints do not.
    """
    to = silver.version
    stop = after if most_commits is None else max(after, to - most_commits)
    last: dict[dt.date | None, int] = {}
    since = to
    for version, dates in _backwards(silver, stop, _changed_dates):
        if isinstance(dates, str):
            return SilverChanges(after, to, since, last, dates)
        for date in dates:
            last.setdefault(date, version)
        since = version - 1
    gap = "" if since <= after else f"only the newest {most_commits} commits are looked at"
    return SilverChanges(after, to, since, last, gap)


@dataclass(frozen=True)
class FileChange:
    """A file that a commit of Silver added or removed, as its log says.

    Attributes:
        version: of the commit.
        action: the add or remove, without the file's statistics.
        rows: the rows in the file, where its statistics tell.
    """

    version: int
    is_add: bool
    action: Mapping[str, Any]
    rows: int | None

    @property
    def path(self) -> str:
        return str(self.action["path"])

    @property
    def has_vector(self) -> bool:
        """Whether a deletion vector hides some of its rows."""
        return self.action.get("deletionVector") is not None


@dataclass(frozen=True)
class FileChanges:
    """What Silver's commits after version ``since`` did to the files of each date.

    Attributes:
        files: by date, the files that were added and removed, newest first.
        redefined: the versions that changed Silver's columns, properties or protocol.
        gap: why the log was read no further back, where it was not read as far as asked.
    """

    since: int
    files: Mapping[dt.date | None, list[FileChange]]
    redefined: Collection[int]
    gap: str = ""

    def after(self, version: int, date: dt.date | None) -> list[FileChange]:
        """The date's files that were added and removed after ``version``, newest first."""
        return [file for file in self.files.get(date, ()) if file.version > version]


def file_changes(silver: Silver, after: int, *, most_commits: int) -> FileChanges:
    """Read the log of ``silver`` from its version back to ``after``, or as far as ``silver_changes`` would."""
    stop = max(after, silver.version - most_commits)
    files: dict[dt.date | None, list[FileChange]] = {}
    redefined: list[int] = []
    since = silver.version
    for version, read in _backwards(silver, stop, _changed_files):
        if isinstance(read, str):
            return FileChanges(since, files, redefined, read)
        changes, redefines = read
        if redefines:
            redefined.append(version)
        for dates, change in changes:
            for date in dates:
                files.setdefault(date, []).append(change)
        since = version - 1
    gap = "" if since <= after else f"only its newest {most_commits} commits are looked at"
    return FileChanges(since, files, redefined, gap)


_Read = TypeVar("_Read")


def _backwards(
    silver: Silver, stop: int, read: Callable[[DeltaLog, FileDates, int], _Read]
) -> Iterator[tuple[int, _Read | str]]:
    """What ``read`` makes of each commit from Silver's version down to the one after ``stop``, or why that is not known."""
    log = DeltaLog(silver.table)

    def read_one(version: int) -> _Read | str:
        try:
            return read(log, silver.file_dates, version)
        except FileNotFoundError:
            return f"the log no longer has version {version}"
        except UnknownDate as unknown:
            return f"neither the log nor the file tells which dates {unknown} holds, which version {version} added or removed"

    yield from side_by_side(read_one, silver.version, stop)


def _changed_dates(log: DeltaLog, files: FileDates, version: int) -> Collection[dt.date | None]:
    return {date for file in log.changed_files(version) for date in files.of_action(file)}


def _changed_files(
    log: DeltaLog, files: FileDates, version: int
) -> tuple[list[tuple[Collection[dt.date | None], FileChange]], bool]:
    """The files with the dates they may hold, and whether the commit redefines the table."""
    changes: list[tuple[Collection[dt.date | None], FileChange]] = []
    redefines = False
    for action in log.actions(version):
        redefines |= "metaData" in action or "protocol" in action
        file = action.get("add") or action.get("remove")
        if file is not None and file.get("dataChange", True):
            kept = {name: value for name, value in file.items() if name not in ("stats", "tags")}
            changes.append((files.of_action(file), FileChange(version, "add" in action, kept, rows_told(file))))
    return changes, redefines
