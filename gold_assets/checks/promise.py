"""What a publication promises: the newest version of Silver whose rows every date holds, and what it does not promise."""

import datetime as dt
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.checks.findings import Limits
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import reason
from gold_assets.gold.gold_log import note_verified
from gold_assets.gold.moment import Moment
from gold_assets.gold.provenance import Made, MadeFrom
from gold_assets.gold.publication import Publication

logger = logging.getLogger(__name__)

Changes = Mapping[str, Mapping[dt.date | None, int] | None]
"""By table, how many commits since the last attempt changed the rows of each date; None where its log does not tell."""


@dataclass(frozen=True)
class Promise:
    """The newest version of Silver whose rows every date of the window holds, None where there is none; then ``reason`` says why.

    ``dates_behind`` are outside the window, where nobody keeps them true, and are not known to hold that version's
    rows.
    """

    version: int | None
    reason: str = ""
    dates_behind: tuple[dt.date, ...] = ()


class Holdings:
    """Which rows of Silver the dates of the tables hold, as far as an attempt to publish must ask.

    Of the ``changed`` dates and of those that the last publication said were behind; of all where it cannot go on from
    that one's promise.
    """

    def __init__(
        self,
        moment: Moment,
        limits: Limits,
        changes: Changes,
        changed: Collection[dt.date | None],
        last: Publication | None,
    ) -> None:
        self._moment, self._limits, self._tables = moment, limits, moment.lake.tables
        self._since = _goes_on_from(moment, changes, last)
        self._named = frozenset(last.dates_behind if last else ())
        self._asked: set[dt.date | None] = {*changed, *self._named}
        if self._since is None:
            self._asked |= {None, *self._held}
        self._of_silver = self._changed_in_silver_alone()
        kept_then = set(last.dates_kept if last else ())
        self.kept = {date for date in self._asked | self._of_silver | kept_then if date and self._is_kept(date)}
        """The dates of which a table keeps what it has, whatever Silver has become: no promise is made of them."""
        self._released = kept_then - self.kept
        self._asked |= self._released
        self._of_silver -= self._released
        self._sources = {
            table.name: moment.made_from(table, _of(table, self._asked | self._of_silver)) for table in self._tables
        }
        self._doubtful = {
            table.name: {date for date in _of(table, self._asked) if moment.standing(table, date).is_open}
            for table in self._tables
        }
        self._without_commit = {
            name: {date for date, source in made.items() if not source.silver_commit and date in self._asked}
            for name, made in self._sources.items()
        }
        """The dates that an earlier release made, which told no commit: a Silver that is put back later would pass for theirs."""

    @property
    def to_compare(self) -> set[dt.date | None]:
        """The dates that must be compared beside those that have changed.

        Of some in the window the logs do not tell which rows of Silver they hold; some were outside and named by the last
        publication, and may be promised again; some were refreshed since the last promise though no row changed, as of a
        date that Silver filled and emptied again.
        """
        doubtful = {date for dates in self._doubtful.values() for date in dates}
        refreshed = {date for (_, date), version in self._made_of_silver.items() if version > (self._since or 0)}
        return {date for date in doubtful | self._named | self._released if self._is_in_window(date)} | refreshed

    def promise(self, verified: Collection[dt.date | None], untrue: Collection[dt.date | None] = ()) -> Promise:
        """What the tables promise when the dates that are ``verified`` are equal to the Silver that they are compared with, but for the ``untrue``."""
        changes, made, behind = self._moment.changes, dict(self._made_of_silver), set[dt.date]()
        for table in self._tables:
            found = self._as_found(table, verified)
            for date in _of(table, self._asked - self.kept):
                source = found.get(date) or self._sources[table.name].get(date)
                is_known = date in found or date not in self._doubtful[table.name]
                foreign = changes.foreign(source) if is_known and source is not None else ""
                if date is not None and not self._is_in_window(date):
                    is_untrue = date in untrue or (date not in verified and self._was_found_untrue(date, source))
                    if is_untrue or foreign or not is_known:
                        behind.add(date)
                        continue
                if foreign:
                    return Promise(None, f"{date} of {table.name} was {foreign}")
                if source is not None and not is_known:
                    return Promise(None, changes.gap_after(source.silver_version))
                if source is not None:
                    made[table.name, date] = source.silver_version
        return self._newest_of_all(made, behind)

    def _newest_of_all(self, made: Mapping[tuple[str, dt.date | None], int], behind: set[dt.date]) -> Promise:
        """The newest version whose rows every date of the window holds, where each was ``made`` from a version by table and date.

        A date holds the rows of every version from the one that last changed it before it was made to the one before
        the next that changes it.
        """
        first_after = self._moment.changes.first_after
        lacks = {key: version for key, of in made.items() if (version := first_after(key[1], of)) is not None}
        newest = min(
            (version - 1 for (_, date), version in lacks.items() if self._is_in_window(date)),
            default=self._moment.silver.version,
        )
        ahead = {
            date
            for (_, date), version in made.items()
            if (later := first_after(date, newest)) is not None and later <= version
        }
        if ahead or (self._since is not None and newest < self._since):
            told = dates_text(ahead, 5)
            return Promise(None, f"some dates lack Silver's version {newest + 1}, others have a later one: {told}")
        lacking = {date for (_, date), version in lacks.items() if date and version <= newest}
        return Promise(newest, "", tuple(sorted(behind | {date for date in lacking if not self._is_in_window(date)})))

    def note(self, verified: Collection[dt.date | None]) -> None:
        """Let the tables' logs tell what the comparison of the ``verified`` dates has found, where they did not tell it.

        Raises ``CommitConflict`` where another writer was faster.
        """
        for table in self._tables:
            if found := self._as_found(table, verified):
                gold = self._moment.log(table).table
                try:
                    note_verified(DeltaTable(gold.table_uri, version=gold.version()), found)
                except (DeltaError, OSError) as error:  # nothing but the doubt is left, and comes back
                    logger.warning("%s: what was verified cannot be noted (%s)", table.name, reason(error))

    def _as_found(self, table: Table, verified: Collection[dt.date | None]) -> Made:
        """Of a table's verified dates of which the log leaves something open, what they are equal to: those that are compared with Silver's newest version."""
        silver, doubtful = self._moment.silver, self._doubtful[table.name]
        dates = (doubtful | self._without_commit[table.name]) & set(verified)
        rows, found = silver.file_dates.rows_told(dates), Made()
        for date in dates:
            basis = self._moment.basis(table, date)
            if basis.version == silver.version and not basis.verified:
                source = self._sources[table.name].get(date)
                found[date] = MadeFrom(
                    **vars(silver.as_told),
                    # A comparison tells of no refresh, and of no patch that could be compared by itself.
                    refresh_id=source.refresh_id if source and date not in doubtful else "",
                    code_version=source.code_version if source else table.code_version,
                    renamed=source.renamed if source else dict(silver.columns.renamed),
                    table_version=source.table_version if source else self._moment.log(table).table.version(),
                    overwritten_in=source.overwritten_in if source else None,
                    silver_rows=rows[date],  # by which the fuse sees what becomes of it, once this Silver is gone
                )
        return found

    def _changed_in_silver_alone(self) -> set[dt.date | None]:
        """The dates that Silver changed after the last promise, and of which no row of Gold has changed."""
        if self._since is None:
            return set()
        further = self._moment.changes.dates_after(self._since) - self._asked
        return {date for date in further if self._is_in_window(date) or date in self._held}

    @cached_property
    def _made_of_silver(self) -> dict[tuple[str, dt.date | None], int]:
        """The version of Silver that each table holds of those dates: where one was refreshed and stayed as it was, a later one."""
        made = {}
        for table in self._tables:
            for date in _of(table, self._of_silver - self.kept):
                source = self._sources[table.name].get(date)
                made[table.name, date] = self._since or 0
                if source is not None and not self._moment.changes.foreign(source):
                    made[table.name, date] = max(made[table.name, date], source.silver_version)
        return made

    def _is_kept(self, date: dt.date) -> bool:
        return any(self._moment.hold(table, date) is not None for table in self._tables)

    def _was_found_untrue(self, date: dt.date, source: MadeFrom | None) -> bool:
        """Whether the last publication named the date, and nothing but somebody else's change has come to it since it was made."""
        return date in self._named and source is not None and source.overwritten_in is not None

    def _is_in_window(self, date: dt.date | None) -> bool:
        return date is None or date in self._limits

    @cached_property
    def _held(self) -> set[dt.date | None]:
        return set().union(*map(self._moment.held, self._tables))


def _of(table: Table, dates: set[dt.date | None]) -> set[dt.date | None]:
    """Those of the dates that the table may have: the quarantine alone has rows without one."""
    return dates if table.is_quarantine else dates - {None}


def _goes_on_from(moment: Moment, changes: Changes, last: Publication | None) -> int | None:
    """The version of Silver that the last attempt promised, where what has changed since tells all; else None."""
    if (
        last is None
        or last.silver_version is None
        or last.silver_table_id != moment.silver.table_id
        or last.silver_version > moment.silver.version
        or any(counted is None for counted in changes.values())
        or moment.changes.every_date_after(last.silver_version)
    ):
        return None
    return last.silver_version
