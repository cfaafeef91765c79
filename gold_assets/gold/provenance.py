"""From which Silver the dates of a table were made, and how: what refreshes stamp on their commits.

Log clean-up takes commits, and what a date was made from must be known for as long as the date is there. So every now
and then a commit carries a summary: what each date was made from, up to a version of the table.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gold_assets.delta.dates import contiguous, days
from gold_assets.silver.version import SilverVersion

STAMP, _SUMMARY = "gold_assets", "summary"
"""The key in a commit's ``userMetadata`` under which a refresh says what it did."""

COMMITS_A_SUMMARY = 100
"""The refresh that makes each hundredth version carries a summary, so that nobody reads much further back."""

Made = dict[dt.date | None, "MadeFrom"]
"""By date the Silver that its rows were made from; the rows without a date are date None."""


@dataclass(frozen=True, kw_only=True)
class SilverRead(SilverVersion):
    """The Silver that a refresh read, and how it came by the rows.

    Attributes:
        refresh_id: unlike any other's; empty where no refresh tells of the rows, and a check has found them equal to those
            of that Silver.
        code_version: of the transformation.
        renamed: Silver's columns that have another name here, by Silver's name.
        patches: how many refreshes in a row, up to this one, kept rows that were there; 0 where it computed them all.
        appended: how many of the newest of those left the files that were there.
        by: who asked for the refresh, empty where it did not say.
    """

    refresh_id: str
    code_version: str
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    patches: int = 0
    appended: int = 0
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class MadeFrom(SilverRead):
    """How the rows of a date came to be there.

    Attributes:
        table_version: the version of the table that the refresh made.
        overwritten_in: the version in which somebody else changed the date's rows, after the refresh or beside it.
        silver_rows: how many rows of the date that Silver had, None where its log did not tell.
    """

    table_version: int
    overwritten_in: int | None = None
    silver_rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stamp(SilverRead):
    """What a commit of a refresh says of itself, in its ``userMetadata``.

    Attributes:
        since: the Silver version that the rows before were made from, where they were added to or some were replaced.
        on_version: the table's version that the refresh began from.
        dates: those whose rows it made, of which the above is true.
        and_null: whether that is also true of the rows without a date.
        silver_rows: of each of the dates, in order, how many rows Silver had, None where its log did not tell.
        began: when it began to make these rows, in milliseconds since 1970; None of an earlier release.
        keys: how many keys it made anew, None where it did not go by the keys that Silver had changed.
    """

    on_version: int
    dates: Collection[dt.date]
    and_null: bool
    since: int | None = None
    silver_rows: Sequence[int | None] = ()
    began: int | None = None
    keys: int | None = None

    def user_metadata(self, summary: "Summary | None" = None) -> str:
        """Of the refresh's commit, which may carry a summary of those before."""
        said = {**dataclasses.asdict(self), "dates": runs_of(self.dates)}
        return json.dumps({STAMP: said if summary is None else {**said, _SUMMARY: summary.as_json()}})

    @classmethod
    def of(cls, version: int, said: Mapping[str, Any]) -> "Stamp | None":
        """The stamp of the commit that ``said`` this; None where it is no refresh's, or none that can be read: then it is somebody else's."""
        if "silver_version" not in said:
            return None
        # Earlier releases say less; what a later one says besides means nothing here.
        told = {field.name: said[field.name] for field in dataclasses.fields(cls) if field.name in said}
        try:
            return cls(**{"on_version": version - 1, **told, "dates": dates_of(said["dates"])})
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def how(self) -> str:
        """What it did, in a few words."""
        return "recomputed" if self.since is None else "patched" if self.keys is None else "changed keys made anew"

    @property
    def covers(self) -> Collection[dt.date | None]:
        return {*self.dates, None} if self.and_null else self.dates

    def made(
        self, dates: Iterable[dt.date | None], table_version: int, overwritten_in: Mapping[dt.date | None, int]
    ) -> Made:
        """What its commit, ``table_version``, tells of each of the dates; some were ``overwritten_in`` a version."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(SilverRead)}
        rows = _by_date(self.dates, self.silver_rows)
        return {
            date: MadeFrom(
                **shared,
                table_version=table_version,
                overwritten_in=overwritten_in.get(date),
                silver_rows=rows.get(date),
            )
            for date in dates
        }


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
            dates.setdefault(json.dumps(dataclasses.asdict(made) | {"silver_rows": []}), []).append(date)
        made_alike = []
        for told, alike in dates.items():
            dated = sorted(date for date in alike if date is not None)
            rows = [self.made[date].silver_rows for date in dated]
            of_dates = {"dates": runs_of(dated), "and_null": None in alike, "silver_rows": rows}
            made_alike.append(json.loads(told) | of_dates)
        return {"version": self.version, "made": made_alike}

    def user_metadata(self) -> str:
        """Of a commit that carries the summary and nothing else."""
        return json.dumps({STAMP: {_SUMMARY: self.as_json()}})

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Summary | None":
        """The summary of a commit that ``said`` this; None where it carries none that can be read."""
        summary: Any = said.get(_SUMMARY)
        made: Made = {}
        try:
            for alike in summary["made"]:
                told = {field.name: alike[field.name] for field in dataclasses.fields(MadeFrom) if field.name in alike}
                dates = {*dates_of(alike["dates"]), *([None] if alike["and_null"] else [])}
                rows = _by_date(dates - {None}, told.pop("silver_rows", ()))
                made |= {date: MadeFrom(**told, silver_rows=rows.get(date)) for date in dates}
            return cls(int(summary["version"]), made)
        except (KeyError, TypeError, ValueError):
            return None


def _by_date(dates: Iterable[dt.date | None], in_order: Sequence[int | None]) -> Mapping[dt.date | None, int | None]:
    """Of each date the number that was told in the order of the dates; none where an earlier release told none."""
    return dict(zip(sorted(date for date in dates if date is not None), in_order, strict=False))


def runs_of(dates: Iterable[dt.date]) -> list[list[str]]:
    """The dates as a commit tells them: the first and the last day of each run."""
    return [[str(first), str(last)] for first, last in contiguous(set(dates))]


def dates_of(runs: Iterable[Iterable[str]]) -> set[dt.date]:
    """The dates that ``runs_of`` told."""
    return {date for run in runs for date in days(*map(dt.date.fromisoformat, run))}
