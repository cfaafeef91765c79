"""Which Silver version each date of a table was made from, and how: stamped on its commits, read from the table's log."""

import dataclasses
import datetime as dt
import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.delta.dates import contiguous, days
from gold_assets.delta.log import Commit, DeltaLog

STAMP = "gold_assets"
"""The key in a commit's ``userMetadata`` under which a refresh says what it did."""


@dataclass(frozen=True)
class MadeFrom:
    """The Silver that a refresh read, and how it came by the rows of a date.

    Attributes:
        silver_table_id, silver_version, silver_commit: the Silver table's id, its version, and the fingerprint of that one's commit.
        table_version: the version of the table that the refresh made.
        refresh_id: of that commit.
        code_version: of the transformation.
        renamed: Silver's columns that have another name here, by Silver's name.
        patches: how many refreshes in a row, up to this one, added to the rows that were there; 0 where it computed them all.
        appended: how many of the newest of those left the files that were there.
        overwritten_in: the version in which somebody else changed the date's rows, after the refresh or beside it.
        by: who asked for the refresh, empty where it did not say.
    """

    silver_table_id: str
    silver_version: int
    silver_commit: str
    table_version: int
    refresh_id: str
    code_version: str
    renamed: Mapping[str, str]
    patches: int = 0
    appended: int = 0
    overwritten_in: int | None = None
    by: str = ""


@dataclass(frozen=True)
class Stamp:
    """What a commit of a refresh says of itself, in its ``userMetadata``.

    Attributes:
        refresh_id: unlike any other's.
        silver_version, silver_table_id, silver_commit, code_version, renamed, patches, appended, by: as ``MadeFrom`` has them.
        since: the Silver version that the rows before were made from, where they were added to.
        on_version: the table's version that the refresh began from.
        dates: those whose rows it made, of which the above is true.
        and_null: whether that is also true of the rows without a date.
    """

    refresh_id: str
    silver_version: int
    silver_table_id: str
    silver_commit: str
    code_version: str
    renamed: Mapping[str, str]
    on_version: int
    dates: Collection[dt.date]
    and_null: bool
    since: int | None = None
    patches: int = 0
    appended: int = 0
    by: str = ""

    def user_metadata(self) -> str:
        runs = [[str(first), str(last)] for first, last in contiguous(self.dates)]
        return json.dumps({STAMP: {**dataclasses.asdict(self), "dates": runs}})

    @classmethod
    def of(cls, commit: Commit) -> "Stamp | None":
        """The stamp of a commit, None where it is no refresh's."""
        said = commit.user_metadata.get(STAMP)
        if not isinstance(said, dict) or "silver_version" not in said:
            return None
        dates = {date for run in said["dates"] for date in days(*map(dt.date.fromisoformat, run))}
        # Earlier releases say less; what a later one says besides means nothing here.
        told = {field.name: said[field.name] for field in dataclasses.fields(cls) if field.name in said}
        return cls(**{"silver_commit": "", "renamed": {}, "on_version": commit.version - 1, **told, "dates": dates})

    @property
    def covers(self) -> Collection[dt.date | None]:
        return {*self.dates, None} if self.and_null else self.dates

    def made(self, table_version: int, overwritten_in: int | None) -> MadeFrom:
        return MadeFrom(
            self.silver_table_id,
            self.silver_version,
            self.silver_commit,
            table_version,
            self.refresh_id,
            self.code_version,
            self.renamed,
            self.patches,
            self.appended,
            overwritten_in,
            self.by,
        )


def made_from(
    table: DeltaTable, dates: Collection[dt.date | None], *, most_commits: int | None = None
) -> dict[dt.date | None, MadeFrom]:
    """For each of the ``dates`` the Silver that the last refresh of it read; the rows without a date are date None.

    A date that was never refreshed is not there, nor one whose refresh log clean-up has taken from the log, or that lies more
    than ``most_commits`` back. Reads the log backwards and no further than needed.
    """
    missing = set(dates)
    found: dict[dt.date | None, MadeFrom] = {}
    changed: dict[dt.date | None, int] = {}
    for commit in itertools.islice(_history(table), most_commits):
        if not missing:
            break
        stamp = Stamp.of(commit)
        if stamp is None:
            for date in _changed_dates(commit):
                changed.setdefault(date, commit.version)
            continue
        if made := missing & set(stamp.covers):
            beside = _changed_beside(table, stamp, commit.version)
            for date in made:
                found[date] = stamp.made(commit.version, changed.get(date, beside.get(date)))
            missing -= made
    return found


def _changed_beside(table: DeltaTable, stamp: Stamp, version: int) -> dict[dt.date | None, int]:
    """By date, the version that changed it after a refresh began and before it committed, where the engine let that happen."""
    changed: dict[dt.date | None, int] = {}
    for between in range(stamp.on_version + 1, version):
        with suppress(FileNotFoundError):
            changed |= dict.fromkeys(_changed_dates(DeltaLog(table).commit(between)), between)
    return changed


def _changed_dates(commit: Commit) -> set[dt.date | None]:
    return {file.day for file in (*commit.adds, *commit.removes) if file.data_change}


def _history(table: DeltaTable) -> Iterator[Commit]:
    """The commits whose outcome the table still holds, newest first: a restore takes back those after its version."""
    log = DeltaLog(table)
    version = table.version()
    while version >= 0:
        try:
            commit = log.commit(version)
        except FileNotFoundError:
            return
        if commit.info.get("operation") == "RESTORE":
            restored = (commit.info.get("operationParameters") or {}).get("version")
            if restored is None:
                return  # to a moment: which version that was is not told
            version = int(restored)
            continue
        yield commit
        version -= 1
