"""When rows of a table changed, and which commits of Silver made them change: read from both logs and the files that are still there."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable

from gold_assets.delta.file_dates import FileDates, UnknownDate
from gold_assets.delta.log import DeltaLog, FileChange, side_by_side
from gold_assets.delta.query import View
from gold_assets.explaining.question import Question
from gold_assets.explaining.rows import MOST_ROWS, Rows, TooManyRows, came_and_went, rows_in_files
from gold_assets.gold.gold_log import GoldCommit, GoldLog
from gold_assets.gold.moment import Moment
from gold_assets.gold.provenance import Stamp
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver

_PERSONS = ("userName", "userEmail", "userId")
_JOBS = {"job": ("jobName", "jobId", "runId", "jobRunId"), "notebook": ("notebookPath", "notebookId")}
_PROGRAMS = ("engineInfo", "clientVersion")


@dataclass(frozen=True)
class CommitInfo:
    """What the commit of a version says: when, which operation, and by whom, as far as it says so.

    Attributes:
        at: UTC, None where it does not say.
        by: a person, a job or a notebook, and else the program that wrote it; empty where it names none.
    """

    version: int
    at: dt.datetime | None
    operation: str
    by: str

    @classmethod
    def of(cls, version: int, info: Mapping[str, Any]) -> "CommitInfo":
        """From the action ``commitInfo`` of a log, which is empty where there is none."""
        milliseconds = info.get("timestamp", info.get("inCommitTimestamp"))
        at = None if milliseconds is None else dt.datetime.fromtimestamp(milliseconds / 1000, dt.timezone.utc)
        return cls(version, at, str(info.get("operation") or "unknown operation"), _by(info))


def _by(info: Mapping[str, Any]) -> str:
    who = [str(info[name]) for name in _PERSONS if info.get(name)][:1]
    for kind, names in _JOBS.items():
        said = info.get(kind) or {}
        if told := [f"{name} {said[name]}" for name in names if isinstance(said, Mapping) and said.get(name)]:
            who.append(f"{kind} {', '.join(told)}")
    if not who:
        who = [str(info[name]) for name in _PROGRAMS if info.get(name)][:1]
    return ", ".join(who)


@dataclass(frozen=True)
class SilverCommit:
    """A commit of Silver that touched the date.

    Attributes:
        added, removed: how many rows of the date are in the files that it added and removed; None where that is not known.
        came, went: which of the rows asked about it brought and took away; None where that is not known, ``unknown`` says why.
    """

    info: CommitInfo
    added: int | None
    removed: int | None
    came: Rows | None
    went: Rows | None
    unknown: str = ""


@dataclass(frozen=True)
class Change:
    """A version of the table in which the rows asked about changed.

    Attributes:
        how: ``recomputed`` or ``patched``; else that somebody else wrote it.
        by: who asked for it.
        silver_version: the version of Silver that it was made from, None where somebody else wrote it.
        since: the version of Silver that the rows before were made from; -1 where there were none, None where it is not told.
        before, after: the rows asked about; None where the files are gone, so that whether they changed is not known.
        silver: Silver's commits that touched the date between the two versions, oldest first.
    """

    info: CommitInfo
    how: str
    by: str
    silver_version: int | None
    since: int | None
    before: Rows | None
    after: Rows | None
    silver: Sequence[SilverCommit] = ()


@dataclass(frozen=True)
class History:
    """The changes, newest first.

    Attributes:
        waiting: Silver's commits that touched the date since the version that it was made from; they are not in the table yet.
        ends: why it goes back no further; empty where it begins with the table.
        silver_ends: why Silver's commits are told no further back, empty where all are.
    """

    changes: Sequence[Change] = ()
    waiting: Sequence[SilverCommit] = ()
    ends: str = ""
    silver_ends: str = ""


@dataclass(frozen=True)
class _Written:
    """A commit of the table that changed ``files`` of the date, or was a refresh of it."""

    commit: GoldCommit
    stamp: Stamp | None
    files: Sequence[FileChange]


def history_of(question: Question, moment: Moment) -> History:
    """The history of the rows asked about, up to the versions that both tables are opened at."""
    silver, log = moment.silver, moment.log(question.table)
    commits, ends = _commits_of(log, question.date)
    try:
        changes = list(_changes(question, log.table, silver.table_id, commits, complete=not ends))
    except TooManyRows:
        return History(ends=f"more than {MOST_ROWS} rows were ever asked about, which are too many to follow")
    newest = next((commit.stamp for commit in commits if commit.stamp is not None), None)
    made_from = newest.silver_version if newest and newest.silver_table_id == silver.table_id else silver.version
    known = [change.since for change in changes if change.since is not None]
    told, silver_ends = _silver_commits(question, silver, moment.changes, min([made_from, *known]))
    changes = [dataclasses.replace(change, silver=list(_between(told, change))) for change in changes]
    return History(changes, [commit for commit in told if commit.info.version > made_from], ends, silver_ends)


def _between(commits: Iterable[SilverCommit], change: Change) -> Iterator[SilverCommit]:
    if change.since is not None and change.silver_version is not None:
        yield from (commit for commit in commits if change.since < commit.info.version <= change.silver_version)


def _silver_commits(
    question: Question, silver: Silver, changes: SilverChanges, after: int
) -> tuple[list[SilverCommit], str]:
    """Silver's commits after a version that touched the date, oldest first; and why they go back no further, where they do not."""
    if after >= silver.version:
        return [], ""
    everywhere = changes.everywhere_after(after)
    by_version: dict[int, list[FileChange]] = {version: [] for version in everywhere}
    for change in reversed(changes.files_after(question.date, after)):
        by_version.setdefault(change.version, []).append(change)
    files = [change for version in by_version.values() for change in version]

    def view(table: DeltaTable) -> View:
        return question.silver_rows(dataclasses.replace(silver, table=table))

    where = " AND ".join([question.on_date, *question.in_silver.values()])
    try:
        rows, unknown = _rows_of(silver.table, files, view, where), "files of the commit are gone"
    except TooManyRows:
        rows, unknown = {}, f"in all commits they are more than {MOST_ROWS}"
    log = DeltaLog(silver.table)
    # Who restores a table or takes rows away need not say how many a file has; who added it did.
    told = {file.path: file.rows for file in files if file.is_add and not file.has_vector}
    counted = _Counts(silver.file_dates, question.date, told)
    return [
        SilverCommit(
            CommitInfo.of(version, log.info(version)),
            counted.of(file for file in of_version if file.is_add),
            counted.of(file for file in of_version if not file.is_add),
            *(_moved(of_version, rows) if version not in everywhere else (None, None)),
            everywhere.get(version, unknown),
        )
        for version, of_version in sorted(by_version.items())
    ], changes.gap_after(after)


def _rows_of(
    table: DeltaTable, files: Sequence[FileChange], view: Callable[[DeltaTable], View], where: str
) -> dict[int, Rows | None]:
    """By the identity of a file, what ``rows_in_files`` finds in it. Raises ``TooManyRows``."""
    return dict(zip(map(id, files), rows_in_files(table, [file.action for file in files], view, where), strict=True))


def _moved(files: Sequence[FileChange], rows: Mapping[int, Rows | None]) -> tuple[Rows | None, Rows | None]:
    """Which of the ``rows`` the files of a commit brought, and which they took away; None where one of them is gone."""
    sides: tuple[Rows, Rows] = ([], [])
    for file in files:
        if (found := rows.get(id(file))) is None:
            return None, None
        sides[0 if file.is_add else 1].extend(found)
    return came_and_went(*sides)


@dataclass(frozen=True)
class _Counts:
    """Rows of the date in files of Silver; ``told`` are those of all dates in files that were added whole."""

    dates: FileDates
    date: dt.date | None
    told: Mapping[str, int | None]

    def of(self, files: Iterable[FileChange]) -> int | None:
        total = 0
        for file in files:
            try:
                dates = self.dates.of_action(file.action)
            except UnknownDate:
                return None
            rows = file.rows if file.rows is not None or file.has_vector else self.told.get(file.path)
            if set(dates) == {self.date} and rows is not None:
                total += rows
            elif file.has_vector or not isinstance(dates, Mapping) or dates[self.date] is None:
                return None
            else:
                total += dates[self.date]
        return total


def _changes(
    question: Question, gold: DeltaTable, silver_table_id: str, commits: Sequence[_Written], *, complete: bool
) -> Iterator[Change]:
    files = [file for written in commits for file in written.files]
    rows = _rows_of(gold, files, lambda table: View(table, "*", "true"), question.in_table)
    for number, written in enumerate(commits):
        after, before = _moved(written.files, rows)
        if after == [] and before == []:
            continue
        info, stamp, since = CommitInfo.of(written.commit.version, written.commit.info), written.stamp, None
        if stamp is None:
            yield Change(info, "written by somebody else", info.by, None, None, before, after)
            continue
        if stamp.silver_table_id == silver_table_id:
            earlier = next((each.stamp for each in commits[number + 1 :] if each.stamp is not None), None)
            since = stamp.since if stamp.since is not None else _made_from(earlier, silver_table_id, complete=complete)
        how = "recomputed" if stamp.since is None else "patched"
        yield Change(info, how, stamp.by or info.by, stamp.silver_version, since, before, after)


def _made_from(earlier: Stamp | None, silver_table_id: str, *, complete: bool) -> int | None:
    """The version of Silver that rows were made from, by the stamp before: -1 where there was none."""
    if earlier is None:
        return -1 if complete else None
    return earlier.silver_version if earlier.silver_table_id == silver_table_id else -1


def _commits_of(log: GoldLog, date: dt.date | None) -> tuple[list[_Written], str]:
    """The commits of the table that touched the date, newest first; and why they go back no further, where they do not."""
    commits: list[_Written] = []
    oldest = log.table.version() + 1
    with suppress(FileNotFoundError):
        for version, commit in side_by_side(log.commit, log.table.version(), -1):
            oldest = version
            stamp = commit.stamp if commit.stamp is not None and date in commit.stamp.covers else None
            files = [file for file in commit.files if file.data_change and file.date == date]
            if stamp is not None or files:
                commits.append(_Written(commit, stamp, files))
    return commits, f"the table's log no longer has version {oldest - 1}" if oldest else ""
