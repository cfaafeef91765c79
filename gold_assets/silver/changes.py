"""What the commits of Silver have changed: by which files, on which dates, and what rows mean; read from its log, without an engine."""

import bisect
import datetime as dt
import functools
import json
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.delta.commit_info import CommitInfo
from gold_assets.delta.file_dates import UnknownDate
from gold_assets.delta.log import DeltaLog, FileChange, Partitions, file_change, side_by_side
from gold_assets.delta.types import CHAR_TYPE, physical_name
from gold_assets.silver.pin import Silver
from gold_assets.silver.version import SilverVersion

_NEAR = 8
"""So many commits are looked through before the table is opened as it was."""


class SilverChanges:
    """What the commits of Silver changed, up to a version of it: the one answer, for whoever asks what has changed since.

    A commit changes the dates of the files that it adds and removes. Only add and remove actions that change data
    count: appends, updates, deletes, deletion vectors, restores, and rows that move to another date do; OPTIMIZE,
    VACUUM and checkpoints do not. A commit changes every date where a column is renamed, dropped, of another type, or
    taken from elsewhere in the files, where Silver is partitioned by other columns, and where nothing tells which dates
    are in one of its files. New columns, properties, constraints, comments and the high-water mark of an IDENTITY
    column change none.

    The log is read backwards, each commit once, as far as the questions need. It is read no further than log clean-up
    has cut it: what changed before is not known then.
    """

    def __init__(self, silver: Silver, to: int | None = None) -> None:
        """Up to version ``to``, by default that at which Silver is pinned."""
        self.to = silver.version if to is None else to
        self._silver = silver
        self._log = DeltaLog(silver.table)
        self._reading = threading.Lock()
        self._since = self.to
        """Read back to here."""
        self._ends = ""
        """Why no further, where it can be read no further."""
        self._files: dict[dt.date | None, list[FileChange]] = {}
        """By date, newest first."""
        self._partitions: Partitions = {}
        """The values of each, once for all its files."""
        self._feeds: dict[int, Sequence[Mapping[str, Any]]] = {}
        self._everywhere: dict[int, str] = {}
        self._untold: dict[int, str] = {}
        """Why it is not known which dates a version changed."""
        self._fingerprint = functools.cache(self._log.fingerprint)
        self._metadata: tuple[int, _Meaning] | None = None
        """The oldest that was read whose version is not yet held against the one before."""

    def gap_after(self, version: int) -> str:
        """Why it is not known what has changed since ``version``; empty where it is."""
        self._read_to(version)
        return self._ends if self._since > version else ""

    def foreign(self, made: SilverVersion) -> str:
        """Why no commit of this Silver tells what has changed since something was made; empty where they may tell.

        It was made from another table, or from a version that this one does not have since it was put back to an older
        state.
        """
        if made.silver_table_id != self._silver.table_id:
            return "made from another Silver table"
        version = made.silver_version
        known = self._fingerprint(version)
        is_cut = not known and version <= self.to
        if is_cut or (known and made.silver_commit in (known, "")):  # an earlier release went by the version alone
            return ""
        return f"made from a version {version} of Silver that its log does not have"

    def oldest_known(self, version: int) -> int:
        """``version``, or the one that log clean-up has cut the log back to, if that is newer."""
        self._read_to(version)
        return max(version, self._since if self._ends else version)

    def every_date_after(self, version: int) -> str:
        """Why the rows of any date may have changed since ``version``; empty where only those of ``dates_after`` have."""
        return self.gap_after(version) or next(iter(self.everywhere_after(version).values()), "")

    def everywhere_after(self, version: int) -> Mapping[int, str]:
        """The versions after ``version`` that changed, or may have changed, the rows of every date, newest first; and why."""
        self._read_to(version)
        found = self._untold | self._everywhere
        return {at: found[at] for at in sorted(found, reverse=True) if at > version}

    def dates_after(self, version: int) -> set[dt.date | None]:
        """The dates of the files that were added or removed after ``version``; rows without a date are date None."""
        self._read_to(version)
        return {date for date, files in list(self._files.items()) if files[0].version > version}

    def files_after(self, date: dt.date | None, version: int) -> Sequence[FileChange]:
        """The date's files that were added and removed after ``version``, newest first."""
        self._read_to(version)
        return self._known_files(date, version)

    def feed_of(self, version: int) -> Sequence[Mapping[str, Any]]:
        """The files of the change data feed in which a version that was read says which rows it changed; none where it does not.

        They have all rows that it changed, as they were and as they are, however it did that.
        """
        return self._feeds.get(version, ())

    def changed_after(self, date: dt.date | None, version: int) -> bool | None:
        """Whether the date's rows changed after ``version``; None where neither is known."""
        self._read_to(version)
        if self._known_files(date, version) or any(at > version for at in self._everywhere):
            return True
        return None if self.gap_after(version) or any(at > version for at in self._untold) else False

    def last_after(self, date: dt.date | None, version: int) -> int | None:
        """The newest version after ``version`` that changed the date's rows; None where none is known."""
        files = self.files_after(date, version)
        return max([*self.everywhere_after(version), *(file.version for file in files[:1])], default=None)

    def first_after(self, date: dt.date | None, version: int) -> int | None:
        """The oldest version after ``version`` that changed the date's rows; None where none is known."""
        files = self.files_after(date, version)
        return min([*self.everywhere_after(version), *(file.version for file in files[-1:])], default=None)

    def told_of(self, version: int) -> CommitInfo:
        """When the commit was made, by its writer's clock, and by whom, as far as the log says."""
        info: Mapping[str, Any] = {}
        with suppress(FileNotFoundError):
            info = self._log.info(version)
        return CommitInfo.of(version, info)

    def _known_files(self, date: dt.date | None, version: int) -> Sequence[FileChange]:
        files = self._files.get(date, [])
        return files[: bisect.bisect_left(files, -version, key=lambda file: -file.version)]

    def _read_to(self, version: int) -> None:
        with self._reading:  # what is not yet held against the one before is no answer for another thread
            if version >= self._since or self._ends:
                return
            for at, commit in side_by_side(self._read, self._since, version):
                if isinstance(commit, str):
                    self._ends = commit
                    break
                self._take(at, commit)
                self._since = at - 1
            self._compare_with_what_was_before()

    def _read(self, version: int) -> "_Commit | str":
        """What the commit says, or why that is not known."""
        commit = _Commit()
        try:
            for action in self._log.actions(version):
                if "metaData" in action:
                    commit.metadata = _Meaning.of(action["metaData"])
                if "cdc" in action:
                    commit.feed.append(action["cdc"])
                if (change := file_change(version, action, self._partitions)) is None or not change.data_change:
                    continue
                try:
                    dates = self._silver.file_dates.of_action(action.get("add") or action["remove"])
                except UnknownDate as unknown:
                    commit.of_unknown_date = unknown.path
                    continue
                commit.files.append((dates, change))
        except FileNotFoundError:
            return f"the log no longer has version {version}"
        return commit

    def _take(self, version: int, commit: "_Commit") -> None:
        if commit.feed:
            self._feeds[version] = commit.feed
        for dates, change in commit.files:
            for date in dates:
                self._files.setdefault(date, []).append(change)
        if (path := commit.of_unknown_date) is not None:
            self._untold[version] = (
                f"neither the log nor the file tells which dates {path} holds, which version {version} added or removed"
            )
        if commit.metadata is not None:
            self._compare(commit.metadata)
            self._metadata = version, commit.metadata

    def _compare(self, before: "_Meaning") -> None:
        """Hold the oldest metadata that was read against what was in force before it."""
        if self._metadata is None:
            return
        version, after = self._metadata
        self._metadata = None
        if what := before.changed_by(after):
            self._everywhere[version] = f"version {version} {what}"

    def _compare_with_what_was_before(self) -> None:
        if self._metadata is None or self._metadata[0] == 0:
            return
        version, _ = self._metadata
        # Whoever writes metadata with each commit, as an IDENTITY column does, has done so just before.
        for _, metadata in side_by_side(self._read_metadata, version - 1, max(version - 1 - _NEAR, -1)):
            if metadata is not None:
                self._compare(metadata)
                return
        try:
            before = DeltaTable(self._silver.uri, version=version - 1)
        except (DeltaError, OSError):
            self._metadata = None
            self._everywhere[version] = (
                f"version {version} may have renamed columns or changed their types: the one before cannot be opened any more"
            )
            return
        self._compare(_Meaning.in_force(before))

    def _read_metadata(self, version: int) -> "_Meaning | None":
        with suppress(FileNotFoundError):
            for action in self._log.actions(version):
                if "metaData" in action:
                    return _Meaning.of(action["metaData"])
        return None


@dataclass
class _Commit:
    """What one says: its files that change data, with the dates they may hold; one whose dates nothing tells; and its change data feed."""

    files: list[tuple[Collection[dt.date | None], FileChange]] = field(default_factory=list)
    feed: list[Mapping[str, Any]] = field(default_factory=list)
    metadata: "_Meaning | None" = None
    of_unknown_date: str | None = None


@dataclass(frozen=True)
class _Meaning:
    """What the log says of how rows are to be read: a schema as Delta writes it, and the columns of the partitions."""

    schema: Mapping[str, Any]
    partitioned_by: Sequence[str]

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "_Meaning":
        return cls(json.loads(metadata["schemaString"]), metadata.get("partitionColumns") or [])

    @classmethod
    def in_force(cls, table: DeltaTable) -> "_Meaning":
        return cls(json.loads(table.schema().to_json()), table.metadata().partition_columns)

    def changed_by(self, after: "_Meaning") -> str:
        """What ``after`` changes of rows that are there, in a few words; empty where nothing."""
        if changed := _changed(self.schema, after.schema):
            return changed
        return "" if list(self.partitioned_by) == list(after.partitioned_by) else "partitioned Silver by other columns"


def _changed(before: Any, after: Any, within: str = "") -> str:
    """Why a value that was written by the first type may read otherwise by the second, in a few words; empty where it does not."""
    if not isinstance(before, dict) or not isinstance(after, dict) or before["type"] != after["type"]:
        return "" if before == after else f"gave the column {within} another type"
    if before["type"] != "struct":
        parts = ("elementType",) if before["type"] == "array" else ("keyType", "valueType")
        return next(filter(None, (_changed(before[part], after[part], within) for part in parts)), "")
    fields = {column["name"]: column for column in after["fields"]}
    for column in before["fields"]:
        name = f"{within}.{column['name']}" if within else column["name"]
        if column["name"] not in fields:
            return f"renamed or dropped the column {name}"
        now = fields[column["name"]]
        if physical_name(column["name"], column["metadata"]) != physical_name(now["name"], now["metadata"]):
            return f"put another column in the place of {name}"
        if column["metadata"].get(CHAR_TYPE) != now["metadata"].get(CHAR_TYPE):
            return f"gave the column {name} another type"
        if changed := _changed(column["type"], now["type"], name):
            return changed
    return ""
