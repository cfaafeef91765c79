"""Which Silver version each date of a table was made from, and how: stamped on its commits, read from the table's log.

Log clean-up takes commits, and what a date was made from must be known for as long as the date is there. So every now
and then a commit carries a summary: what each date was made from, up to a version of the table. Whoever reads the log
backwards stops at the newest summary.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from gold_assets.delta.commit_races import races_told, until_committed
from gold_assets.delta.dates import contiguous, days
from gold_assets.delta.log import Commit, DeltaLog

STAMP, _SUMMARY = "gold_assets", "summary"
"""The key in a commit's ``userMetadata`` under which a refresh says what it did."""

COMMITS_A_SUMMARY = 100
"""The refresh that makes each hundredth version carries a summary, so that nobody reads much further back."""

Made = dict[dt.date | None, "MadeFrom"]
"""By date the Silver that its rows were made from; the rows without a date are date None."""


@dataclass(frozen=True)
class MadeFrom:
    """The Silver that a refresh read, and how it came by the rows of a date.

    Attributes:
        silver_table_id, silver_version, silver_commit: the Silver table's id, its version, and the fingerprint of that one's commit.
        table_version: the version of the table that the refresh made.
        refresh_id: of that commit; empty where none is known, and a check has found that the rows are those of that
            Silver.
        code_version: of the transformation.
        renamed: Silver's columns that have another name here, by Silver's name.
        patches: how many refreshes in a row, up to this one, added to the rows that were there; 0 where it computed them all.
        appended: how many of the newest of those left the files that were there.
        overwritten_in: the version in which somebody else changed the date's rows, after the refresh or beside it.
        by: who asked for the refresh, empty where it did not say.
        silver_uri: the place of the Silver table, empty where an earlier release did not say.
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
    silver_uri: str = ""


@dataclass(frozen=True)
class Stamp:
    """What a commit of a refresh says of itself, in its ``userMetadata``.

    Attributes:
        refresh_id: unlike any other's.
        silver_version, silver_table_id, silver_commit, code_version, renamed, patches, appended, by, silver_uri: as
            ``MadeFrom`` has them.
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
    silver_uri: str = ""

    def user_metadata(self, summary: "Summary | None" = None) -> str:
        """Of the refresh's commit, which may carry a summary of those before."""
        said = {**dataclasses.asdict(self), "dates": _runs(self.dates)}
        return json.dumps({STAMP: said if summary is None else {**said, _SUMMARY: summary.as_json()}})

    @classmethod
    def of(cls, commit: Commit) -> "Stamp | None":
        """The stamp of a commit, None where it is no refresh's, or none that can be read: then the commit is somebody else's."""
        said = _said(commit)
        if "silver_version" not in said:
            return None
        # Earlier releases say less; what a later one says besides means nothing here.
        told = {field.name: said[field.name] for field in dataclasses.fields(cls) if field.name in said}
        try:
            told["dates"] = _dates(said["dates"])
            return cls(**{"silver_commit": "", "renamed": {}, "on_version": commit.version - 1, **told})
        except (KeyError, TypeError, ValueError):
            return None

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
            self.silver_uri,
        )


@dataclass(frozen=True)
class Summary:
    """What the dates of a table were made from, as its version ``version`` tells; a later commit carries it.

    Where another writer committed between the two, that is read from the log.
    """

    version: int
    made: Mapping[dt.date | None, MadeFrom]

    def as_json(self) -> dict[str, Any]:
        """By the refresh, its dates as runs."""
        dates: dict[str, list[dt.date | None]] = {}
        for date, made in self.made.items():
            dates.setdefault(json.dumps(dataclasses.asdict(made)), []).append(date)
        made_alike = [
            {**json.loads(made), "dates": _runs(date for date in alike if date is not None), "and_null": None in alike}
            for made, alike in dates.items()
        ]
        return {"version": self.version, "made": made_alike}

    @classmethod
    def of(cls, commit: Commit) -> "Summary | None":
        """The summary that a commit carries, None where it carries none that can be read."""
        said: Any = _said(commit).get(_SUMMARY)
        made: Made = {}
        try:
            for alike in said["made"]:
                told = {field.name: alike[field.name] for field in dataclasses.fields(MadeFrom) if field.name in alike}
                dates = {*_dates(alike["dates"]), *([None] if alike["and_null"] else [])}
                made |= dict.fromkeys(dates, MadeFrom(**told))
            return cls(int(said["version"]), made)
        except (KeyError, TypeError, ValueError):
            return None


def made_from(table: DeltaTable, dates: Collection[dt.date | None]) -> Made:
    """For each of the ``dates`` the Silver that the last refresh of it read; the rows without a date are date None.

    A date that was never refreshed is not there, nor one whose refresh the log tells no more. Reads the log backwards,
    to the newest summary and no further than needed.
    """
    return _read(table, set(dates))[0]


def sum_up(table: DeltaTable) -> Summary:
    """What all dates of the table at its version were made from."""
    return Summary(table.version(), _read(table, None)[0])


def note_verified(table: DeltaTable, verified: Mapping[dt.date | None, MadeFrom]) -> None:
    """Let the log tell the Silver that a check has found dates to be equal to, whatever it tells of their refreshes.

    The table is at the version that was checked; whatever came after that counts as well. Raises ``CommitConflict``.
    """
    summary = sum_up(table)
    say(table, Summary(summary.version, {**summary.made, **verified}))


def keep_what_the_log_tells(name: str, table: DeltaTable, since: int) -> None:
    """See that what is known of the table ``name`` is told by its versions from ``since`` on, where need be by a commit more.

    That commit changes no row and no property, so that no refresh conflicts with it.
    """

    def commit_once() -> None:
        table.update_incremental()
        made, back_to = _read(table, None)
        if back_to >= since:
            return
        say(table, Summary(table.version(), made))

    until_committed(name, table.table_uri, commit_once)


def say(table: DeltaTable, summary: Summary) -> None:
    """One commit that carries the summary and nothing else. Raises ``CommitConflict`` where another writer was faster."""
    said = json.dumps({STAMP: {_SUMMARY: summary.as_json()}})
    with races_told():
        write_deltalake(
            table,
            pa.schema(table.schema().to_arrow()).empty_table(),
            mode="append",
            commit_properties=CommitProperties(custom_metadata={"userMetadata": said}),
        )
    table.update_incremental()


def _read(table: DeltaTable, dates: set[dt.date | None] | None) -> tuple[Made, int]:
    """What the log tells of the ``dates``, by default of all; and the oldest version that was read for it.

    A restore takes back the commits after its version, and their summaries.
    """
    log = DeltaLog(table)
    found: Made = {}
    changed: dict[dt.date | None, int] = {}
    summary: Summary | None = None
    version = back_to = table.version()
    while version >= 0 and (dates is None or not dates <= found.keys()):
        if summary is not None and version <= summary.version:
            if version == summary.version:
                for date, made in summary.made.items():
                    if date not in found and (dates is None or date in dates):
                        found[date] = dataclasses.replace(made, overwritten_in=changed.get(date, made.overwritten_in))
                break
            summary = None
        try:
            commit = log.commit(version)
        except FileNotFoundError:
            break
        back_to = min(back_to, version)
        if commit.info.get("operation") == "RESTORE":
            restored = (commit.info.get("operationParameters") or {}).get("version")
            if restored is None:
                break  # to a moment: which version that was is not told
            version = int(restored)
            continue
        stamp = Stamp.of(commit)
        if stamp is None:
            for date in changed_dates(commit):
                changed.setdefault(date, version)
        elif new := {date for date in stamp.covers if date not in found and (dates is None or date in dates)}:
            beside = _changed_beside(table, stamp, version)
            for date in new:
                found[date] = stamp.made(version, changed.get(date, beside.get(date)))
        summary = summary or Summary.of(commit)
        version -= 1
    return found, back_to


def newest_made(table: DeltaTable) -> MadeFrom | None:
    """The Silver that the newest refresh of the table read; None where its log tells of none."""
    log, version = DeltaLog(table), table.version()
    while version >= 0:
        try:
            commit = log.commit(version)
        except FileNotFoundError:
            return None
        if (stamp := Stamp.of(commit)) is not None:
            return stamp.made(version, None)
        if (summary := Summary.of(commit)) is not None:
            return max(summary.made.values(), key=lambda made: made.table_version, default=None)
        version -= 1
    return None


def _changed_beside(table: DeltaTable, stamp: Stamp, version: int) -> dict[dt.date | None, int]:
    """By date, the version that changed it after a refresh began and before it committed, where the engine let that happen."""
    changed: dict[dt.date | None, int] = {}
    for between in range(stamp.on_version + 1, version):
        with suppress(FileNotFoundError):
            changed |= dict.fromkeys(changed_dates(DeltaLog(table).commit(between)), between)
    return changed


def changed_dates(commit: Commit) -> set[dt.date | None]:
    """The dates of which a commit changed rows, whoever made it."""
    return {file.day for file in (*commit.adds, *commit.removes) if file.data_change}


def _said(commit: Commit) -> dict[str, Any]:
    said = commit.user_metadata.get(STAMP)
    return said if isinstance(said, dict) else {}


def _runs(dates: Iterable[dt.date]) -> list[list[str]]:
    return [[str(first), str(last)] for first, last in contiguous(set(dates))]


def _dates(runs: Iterable[Iterable[str]]) -> set[dt.date]:
    return {date for run in runs for date in days(*map(dt.date.fromisoformat, run))}
