"""The log of a table of ours: what each commit did to its dates, and from which Silver each date was made."""

import dataclasses
import datetime as dt
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from gold_assets.delta.commit_races import races_told, until_committed
from gold_assets.delta.log import DeltaLog, FileChange, file_change
from gold_assets.gold.provenance import STAMP, Made, MadeFrom, Stamp, Summary

_FAR_SMALLER = 0.01
"""Of the rows that are to be made: what takes a moment whatever there is would make up most of the time."""


@dataclass(frozen=True)
class GoldCommit:
    """One version of a table: the files that it added and removed, and what its writer said about it, as ``commitInfo`` has it."""

    version: int
    info: Mapping[str, Any]
    files: Sequence[FileChange] = ()

    @property
    def adds(self) -> list[FileChange]:
        return [file for file in self.files if file.is_add]

    @property
    def removes(self) -> list[FileChange]:
        return [file for file in self.files if not file.is_add]

    @cached_property
    def changed_dates(self) -> frozenset[dt.date | None]:
        """The dates of which it changed rows, whoever made it."""
        return frozenset(file.date for file in self.files if file.data_change)

    @property
    def restored(self) -> int | None:
        """The version that a restore went back to, -1 where it tells a moment in place of one; None where it is no restore."""
        if self.info.get("operation") != "RESTORE":
            return None
        version = (self.info.get("operationParameters") or {}).get("version")
        return -1 if version is None else int(version)

    @cached_property
    def said(self) -> dict[str, Any]:
        """What a writer of ours said about it, in its ``userMetadata``; empty where that is somebody else's."""
        try:
            said = json.loads(self.info.get("userMetadata") or "{}")[STAMP]
        except (ValueError, TypeError, LookupError):
            return {}
        return said if isinstance(said, dict) else {}

    @cached_property
    def stamp(self) -> Stamp | None:
        return Stamp.of(self.version, self.said)

    @property
    def made(self) -> tuple[int, float] | None:
        """From how many rows of Silver it made all rows of its dates, and in how many seconds; None where it does not tell, or added to rows."""
        stamp, ended = self.stamp, self.info.get("timestamp")
        if stamp is None or stamp.began is None or ended is None or None in stamp.silver_rows:
            return None
        rows, seconds = sum(filter(None, stamp.silver_rows)), (ended - stamp.began) / 1000
        return (rows, seconds) if rows and seconds > 0 else None

    @cached_property
    def summary(self) -> Summary | None:
        return Summary.of(self.said)


class GoldLog:
    """The commits of a table up to the version that it is at, each read once. The table may be brought up to date meanwhile."""

    def __init__(self, table: DeltaTable) -> None:
        self.table = table
        self._log = DeltaLog(table)
        self._commits: dict[int, GoldCommit] = {}

    def commit(self, version: int) -> GoldCommit:
        """The commit that made ``version``. Raises ``FileNotFoundError`` where log clean-up has taken it."""
        if version not in self._commits:
            info: Mapping[str, Any] = {}
            files = []
            for action in self._log.actions(version):
                info = action.get("commitInfo", info)
                if (file := file_change(version, action)) is not None:
                    files.append(file)
            self._commits[version] = GoldCommit(version, info, files)
        return self._commits[version]

    def backwards(self, version: int | None = None) -> Iterator[GoldCommit]:
        """From ``version``, by default the table's, down to 0, or to where log clean-up has cut the log."""
        with suppress(FileNotFoundError):
            for at in range(self.table.version() if version is None else version, -1, -1):
                yield self.commit(at)

    def changes_after(self, version: int) -> Mapping[dt.date | None, int] | None:
        """How many commits after ``version`` changed rows of each date; None where clean-up has taken one of them."""
        try:
            commits = [self.commit(at) for at in range(version + 1, self.table.version() + 1)]
        except FileNotFoundError:
            return None
        return Counter(date for commit in commits for date in commit.changed_dates)

    def made_from(self, dates: Collection[dt.date | None]) -> Made:
        """For each of the ``dates`` the Silver that the last refresh of it read; the rows without a date are date None.

        A date that was never refreshed is not there, nor one whose refresh the log tells no more. Reads the log backwards,
        to the newest summary and no further than needed.
        """
        return self._read(set(dates))[0]

    def sum_up(self) -> Summary:
        """What all dates of the table at its version were made from."""
        return Summary(self.table.version(), self._read(None)[0])

    def seconds_for(self, rows: int) -> float | None:
        """How long making rows of the table from so many of Silver's takes, at the rate of the largest refresh among the commits read so far.

        None where that was far smaller.
        """
        most, seconds = max((made for commit in self._commits.values() if (made := commit.made)), default=(0, 0.0))
        return None if not most or most < rows * _FAR_SMALLER else seconds * rows / most

    def newest_made(self) -> MadeFrom | None:
        """The Silver that the newest refresh of the table read; None where the log tells of none."""
        for commit in self.backwards():
            if commit.stamp is not None:
                return commit.stamp.made([None], commit.version, {})[None]
            if commit.summary is not None:
                return max(commit.summary.made.values(), key=lambda made: made.table_version, default=None)
        return None

    def keep_what_it_tells(self, name: str, since: int) -> None:
        """Write a summary where the log before version ``since``, which is to go, tells what the rest does not. ``name`` is the table's.

        Its commit changes no row and no property, so that no refresh conflicts with it.
        """

        def commit_once() -> None:
            made, back_to = self._read(None)
            if back_to < since:
                say(self.table, Summary(self.table.version(), made))

        until_committed(name, self.table, commit_once)

    def _read(self, dates: set[dt.date | None] | None) -> tuple[Made, int]:
        """What the log tells of the ``dates``, by default of all; and the oldest version that was read for it.

        A restore takes back the commits after its version, and their summaries.
        """
        made: Made = {}
        changed: dict[dt.date | None, int] = {}  # by date the newest version in which somebody else changed it
        summary: Summary | None = None
        version = back_to = self.table.version()

        def untold(of: Collection[dt.date | None]) -> list[dt.date | None]:
            return [date for date in of if date not in made and (dates is None or date in dates)]

        while version >= 0 and (dates is None or not dates <= made.keys()):
            if summary is not None and version <= summary.version:
                if version == summary.version:
                    for date in untold(summary.made):
                        told = summary.made[date]
                        made[date] = dataclasses.replace(told, overwritten_in=changed.get(date, told.overwritten_in))
                    break
                summary = None
            try:
                commit = self.commit(version)
            except FileNotFoundError:
                break
            back_to = min(back_to, version)
            if commit.restored is not None:
                version = commit.restored
                continue
            if commit.stamp is None:
                changed = dict.fromkeys(commit.changed_dates, commit.version) | changed
            elif new := untold(commit.stamp.covers):
                known = self._changed_beside(commit) | changed
                made |= commit.stamp.made(new, commit.version, known)
            summary = summary or commit.summary
            version -= 1
        return made, back_to

    def _changed_beside(self, commit: GoldCommit) -> dict[dt.date | None, int]:
        """By date, the version that changed it after a refresh began and before it committed, where the engine let that happen."""
        changed: dict[dt.date | None, int] = {}
        assert commit.stamp is not None
        for between in range(commit.stamp.on_version + 1, commit.version):
            with suppress(FileNotFoundError):
                changed |= dict.fromkeys(self.commit(between).changed_dates, between)
        return changed


def note_verified(table: DeltaTable, verified: Mapping[dt.date | None, MadeFrom]) -> None:
    """Write to the log which Silver a check has found dates to be equal to. It counts before what was told of them until then.

    The table is at the version that was checked; what came after that version still counts. Raises ``CommitConflict``.
    """
    summary = GoldLog(table).sum_up()
    say(table, Summary(summary.version, {**summary.made, **verified}))


def say(table: DeltaTable, summary: Summary) -> None:
    """One commit that carries the summary and nothing else. Raises ``CommitConflict`` where another writer was faster."""
    with races_told():
        write_deltalake(
            table,
            pa.schema(table.schema().to_arrow()).empty_table(),
            mode="append",
            commit_properties=CommitProperties(custom_metadata={"userMetadata": summary.user_metadata()}),
        )
    table.update_incremental()
