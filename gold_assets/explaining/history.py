"""When rows of a table changed, and which commits of Silver made them change: read from both logs and the files that are still there."""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.delta.commit_info import CommitInfo
from gold_assets.delta.file_dates import FileDates, UnknownDate
from gold_assets.delta.log import DeltaLog, FileChange, side_by_side
from gold_assets.delta.query import View, query
from gold_assets.explaining.question import Question, Rows, SilverRows
from gold_assets.explaining.rows import MOST_ROWS, TooManyRows, came_and_went
from gold_assets.gold.gold_log import GoldCommit, GoldLog
from gold_assets.gold.moment import Moment
from gold_assets.gold.provenance import Stamp
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver


@dataclass(frozen=True)
class SilverCommit(CommitInfo):
    """A commit of Silver that touched the date.

    Attributes:
        added, removed: how many rows of the date are in the files that it added and removed; None where that is not known.
        came, went: which of the rows asked about it brought and took away; None where that is not known, ``unknown`` says why.
    """

    added: int | None
    removed: int | None
    came: Rows | None
    went: Rows | None
    unknown: str = ""


@dataclass(frozen=True)
class Change(CommitInfo):
    """A version of the table in which the rows asked about changed.

    Attributes:
        by: who asked for it.
        how: as ``Stamp.how`` has it; else that somebody else wrote it.
        silver_version: the version of Silver that it was made from, None where somebody else wrote it.
        since_silver_version: the version of Silver that the rows before were made from; -1 where there were none, None where it is not told.
        before, after: the rows asked about; None where the files are gone, so that whether they changed is not known.
        silver_commits: those that touched the date between the two versions, oldest first.
    """

    how: str
    silver_version: int | None
    since_silver_version: int | None
    before: Rows | None
    after: Rows | None
    silver_commits: Sequence[SilverCommit] = ()


@dataclass(frozen=True)
class History:
    """What happened to the rows asked about.

    Attributes:
        changes: newest first.
        not_in_the_table_yet: Silver's commits that touched the date since the version that it was made from.
        ends_because: why it goes back no further, None where it begins with the table.
        silver_ends_because: why Silver's commits are told no further back, None where all are.
    """

    changes: Sequence[Change] = ()
    not_in_the_table_yet: Sequence[SilverCommit] = ()
    ends_because: str | None = None
    silver_ends_because: str | None = None


def history_of(question: Question, moment: Moment) -> History:
    """The history of the rows asked about, up to the versions that both tables are opened at."""
    silver, log = moment.silver, moment.log(question.table)
    commits, ends = _commits_of(log, question.date)
    try:
        changes = list(_changes(question, log.table, silver.table_id, commits, -1 if ends is None else None))
    except TooManyRows:
        return History(ends_because=f"more than {MOST_ROWS} rows were ever asked about, which are too many to follow")
    newest = next(filter(None, (_stamp(commit, question.date) for commit in commits)), None)
    made_from = newest.silver_version if newest and newest.silver_table_id == silver.table_id else silver.version
    known = [change.since_silver_version for change in changes if change.since_silver_version is not None]
    told, silver_ends = _silver_commits(question, silver, moment.changes, min([made_from, *known]))
    for number, change in enumerate(changes):
        since, until = change.since_silver_version, change.silver_version
        if since is not None and until is not None:
            between = [commit for commit in told if since < commit.version <= until]
            changes[number] = dataclasses.replace(change, silver_commits=between)
    return History(changes[::-1], [commit for commit in told if commit.version > made_from], ends, silver_ends)


def _silver_commits(
    question: Question, silver: Silver, changes: SilverChanges, after: int
) -> tuple[list[SilverCommit], str | None]:
    """Silver's commits after a version that touched the date, oldest first; and why they go back no further, where they do not."""
    if after >= silver.version:
        return [], None
    everywhere = changes.everywhere_after(after)
    by_version: dict[int, list[FileChange]] = {version: [] for version in everywhere}
    for change in reversed(changes.files_after(question.date, after)):
        by_version.setdefault(change.version, []).append(change)
    commits = dict(sorted(by_version.items()))

    def read(table: DeltaTable, number: str, most: int) -> Rows:
        part = SilverRows(question, dataclasses.replace(silver, table=table), number)
        return part.ask(f"SELECT {part.columns}, {number} FROM asked LIMIT {most}")

    moved: dict[int, tuple[Rows | None, Rows | None]] = {}
    unknown = "files of the commit are gone"
    try:
        moved = dict(zip(commits, came_and_went(silver.table, list(commits.values()), read), strict=True))
    except TooManyRows:
        unknown = f"in all commits they are more than {MOST_ROWS}"
    moved |= dict.fromkeys(everywhere, (None, None))
    log = DeltaLog(silver.table)
    # Who restores a table or takes rows away need not say how many a file has; who added it did.
    told = {file.path: file.rows for files in commits.values() for file in files if file.is_add and not file.has_vector}

    def counted(files: Iterable[FileChange]) -> int | None:
        counts = [_rows_on(question.date, file, silver.file_dates, told.get(file.path)) for file in files]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    found = []
    for version, files in commits.items():
        came, went = moved.get(version, (None, None))
        found.append(
            SilverCommit(
                **vars(CommitInfo.of(version, log.info(version))),
                added=counted(file for file in files if file.is_add),
                removed=counted(file for file in files if not file.is_add),
                came=came,
                went=went,
                unknown=everywhere.get(version, unknown),
            )
        )
    return found, changes.gap_after(after) or None


def _rows_on(date: dt.date | None, file: FileChange, dates: FileDates, told: int | None) -> int | None:
    """How many rows of the date are in a file of Silver, of which ``told`` says how many it has where it was added whole."""
    try:
        held = dates.of_action(file.action)
    except UnknownDate:
        return None
    rows = file.rows if file.rows is not None or file.has_vector else told
    if set(held) == {date} and rows is not None:
        return rows
    return held[date] if isinstance(held, Mapping) and not file.has_vector else None


def _changes(
    question: Question, gold: DeltaTable, silver_table_id: str, commits: Sequence[GoldCommit], made_from: int | None
) -> Iterator[Change]:
    """Oldest first; ``made_from`` is the version of Silver that the rows before the first of the commits were made from."""

    def read(table: DeltaTable, number: str, most: int) -> Rows:
        rows = View(table, "*", "true")
        return query(f"SELECT * FROM rows WHERE {question.in_table} LIMIT {most}", rows=rows)

    moved = came_and_went(gold, [commit.files for commit in commits], read)
    for commit, (after, before) in zip(reversed(commits), reversed(moved), strict=True):
        stamp, since = _stamp(commit, question.date), None
        if stamp is not None:
            is_own = stamp.silver_table_id == silver_table_id
            since = (made_from if stamp.since is None else stamp.since) if is_own else None
            made_from = stamp.silver_version if is_own else -1
        if after == [] and before == []:
            continue
        info = CommitInfo.of(commit.version, commit.info)
        how, silver_version = "written by somebody else", None
        if stamp is not None:
            how, silver_version = stamp.how, stamp.silver_version
            info = dataclasses.replace(info, by=stamp.by or info.by)
        yield Change(
            **vars(info),
            how=how,
            silver_version=silver_version,
            since_silver_version=since,
            before=before,
            after=after,
        )


def _stamp(commit: GoldCommit, date: dt.date | None) -> Stamp | None:
    """That of a refresh of the date."""
    return commit.stamp if commit.stamp is not None and date in commit.stamp.covers else None


def _commits_of(log: GoldLog, date: dt.date | None) -> tuple[list[GoldCommit], str | None]:
    """The commits of the table that touched the date, newest first, with its files; and why they go back no further, where they do not."""
    commits: list[GoldCommit] = []
    oldest = log.table.version() + 1
    with suppress(FileNotFoundError):
        for version, commit in side_by_side(log.commit, log.table.version(), -1):
            oldest = version
            files = [file for file in commit.files if file.data_change and file.date == date]
            if files or _stamp(commit, date) is not None:
                commits.append(dataclasses.replace(commit, files=files))
    return commits, f"the table's log no longer has version {oldest - 1}" if oldest else None
