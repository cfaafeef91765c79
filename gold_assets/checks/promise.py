"""What a publication promises: the newest version of Silver whose rows every date holds, and what it does not promise."""

import dataclasses
import datetime as dt
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.checks.inspection import Inspection
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import reason
from gold_assets.gold.gold_log import GoldLog, note_verified
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
        self, inspection: Inspection, changes: Changes, changed: Collection[dt.date | None], last: Publication | None
    ) -> None:
        self._inspection = inspection
        self._since = _goes_on_from(inspection, changes, last)
        self._named = frozenset(last.dates_behind if last else ())
        asked: set[dt.date | None] = {*changed, *self._named}
        if self._since is None:
            asked |= {None, *self._held}
        self._asked = asked
        self._of_silver = self._changed_in_silver_alone()
        self._sources: dict[str, Made] = {
            table.name: GoldLog(self._opened(table)).made_from(_of(table, asked | self._of_silver))
            for table in inspection.lake.tables
        }
        self._doubtful = {
            table.name: {
                date
                for date in _of(table, self._asked)
                if inspection.leaves_open(table, date, self._sources[table.name].get(date))
            }
            for table in inspection.lake.tables
        }

    @property
    def doubtful(self) -> set[dt.date | None]:
        """The dates of the window of which the logs do not tell which rows of Silver they hold: a comparison does."""
        return {date for dates in self._doubtful.values() for date in dates if self._is_in_window(date)}

    @property
    def back_in_the_window(self) -> set[dt.date | None]:
        """The dates that the last publication named, because they were outside, and that may be promised again."""
        return {date for date in self._named if self._is_in_window(date)}

    @property
    def refreshed_unchanged(self) -> set[dt.date | None]:
        """The dates that were refreshed since the last promise though no row changed, as of a date that Silver filled and emptied again."""
        return {date for (_, date), version in self._made_of_silver.items() if version > (self._since or 0)}

    def promise(self, verified: Collection[dt.date | None], untrue: Collection[dt.date | None] = ()) -> Promise:
        """What the tables promise when the dates that are ``verified`` are equal to the Silver that they are compared with, but for the ``untrue``.

        A date holds the rows of every version from the one that last changed it before it was made to the one before
        the next that changes it.
        """
        silver, of_silver = self._inspection.silver, self._inspection.silver_changes
        made: dict[tuple[str, dt.date | None], int] = {}
        behind: set[dt.date] = set()
        for table in self._inspection.lake.tables:
            found = self._as_found(table, verified)
            for date in _of(table, self._asked):
                source = found.get(date) or self._sources[table.name].get(date)
                is_known = date in found or date not in self._doubtful[table.name]
                foreign = of_silver.foreign(source) if is_known and source is not None else ""
                if date is not None and not self._is_in_window(date):
                    is_untrue = date in untrue or (date not in verified and self._was_found_untrue(date, source))
                    if is_untrue or foreign or not is_known:
                        behind.add(date)
                        continue
                if foreign:
                    return Promise(None, f"{date} of {table.name} was {foreign}")
                if is_known:
                    assert source is not None
                    made[table.name, date] = source.silver_version
                elif source is not None:
                    return Promise(None, of_silver.gap_after(source.silver_version))
        made |= self._made_of_silver
        lacks = {key: of_silver.first_after(key[1], version) for key, version in made.items()}
        newest = min(
            (version - 1 for (_, date), version in lacks.items() if version is not None and self._is_in_window(date)),
            default=silver.version,
        )
        behind |= {
            date
            for (_, date), version in lacks.items()
            if date is not None and not self._is_in_window(date) and version is not None and version <= newest
        }
        ahead = {
            date
            for (_, date), version in made.items()
            if (later := of_silver.first_after(date, newest)) is not None and later <= version
        }
        if ahead or (self._since is not None and newest < self._since):
            told = dates_text(ahead, 5)
            return Promise(None, f"some dates lack Silver's version {newest + 1}, others have a later one: {told}")
        return Promise(newest, "", tuple(sorted(behind)))

    def note(self, verified: Collection[dt.date | None]) -> None:
        """Let the tables' logs tell what the comparison of the ``verified`` dates has found, where they did not tell it.

        Raises ``CommitConflict`` where another writer was faster.
        """
        for table in self._inspection.lake.tables:
            if found := self._as_found(table, verified):
                gold = self._opened(table)
                try:
                    note_verified(DeltaTable(gold.table_uri, version=gold.version()), found)
                except (DeltaError, OSError) as error:  # nothing but the doubt is left, and comes back
                    logger.warning("%s: what was verified cannot be noted (%s)", table.name, reason(error))

    def _as_found(self, table: Table, verified: Collection[dt.date | None]) -> Made:
        """Of the doubtful dates of a table that are verified, what they are equal to: those that are compared with Silver's newest version."""
        compared = self._doubtful[table.name] & set(verified)
        if not compared:
            return {}
        silver = self._inspection.silver
        inspected = self._inspection.on({date for date in compared if date is not None})
        found: Made = {}
        for date in compared:
            if inspected.basis(table, date).version == silver.version:
                source = self._sources[table.name].get(date)
                if source is None:
                    table_version, renamed = self._opened(table).version(), dict(silver.columns.renamed)
                    source = MadeFrom(
                        silver_table_id="",
                        silver_version=0,
                        refresh_id="",
                        code_version=table.code_version,
                        renamed=renamed,
                        table_version=table_version,
                    )
                found[date] = dataclasses.replace(
                    source,
                    silver_table_id=silver.table_id,
                    silver_version=silver.version,
                    silver_commit=silver.commit,
                    silver_uri=silver.uri,
                    # It tells of no refresh, and of no patch that could be compared by itself.
                    refresh_id="",
                    patches=0,
                    appended=0,
                    by="",
                )
        return found

    def _changed_in_silver_alone(self) -> set[dt.date | None]:
        """The dates that Silver changed after the last promise, and of which no row of Gold has changed."""
        if self._since is None:
            return set()
        further = self._inspection.silver_changes.dates_after(self._since) - self._asked
        return {date for date in further if self._is_in_window(date) or date in self._held}

    @cached_property
    def _made_of_silver(self) -> dict[tuple[str, dt.date | None], int]:
        """The version of Silver that each table holds of those dates: where one was refreshed and stayed as it was, a later one."""
        made = {}
        for table in self._inspection.lake.tables:
            for date in _of(table, self._of_silver):
                source = self._sources[table.name].get(date)
                made[table.name, date] = self._since or 0
                if source is not None and not self._inspection.silver_changes.foreign(source):
                    made[table.name, date] = max(made[table.name, date], source.silver_version)
        return made

    def _was_found_untrue(self, date: dt.date, source: MadeFrom | None) -> bool:
        """Whether the last publication named the date, and nothing but somebody else's change has come to it since it was made."""
        return date in self._named and source is not None and source.overwritten_in is not None

    def _is_in_window(self, date: dt.date | None) -> bool:
        return date is None or date in self._inspection.limits

    @cached_property
    def _held(self) -> set[dt.date | None]:
        return {date for table in self._inspection.lake.tables for date in self._inspection.held(table)}

    def _opened(self, table: Table) -> DeltaTable:
        gold = self._inspection.gold(table)
        assert gold is not None
        return gold


def _of(table: Table, dates: set[dt.date | None]) -> set[dt.date | None]:
    """Those of the dates that the table may have: the quarantine alone has rows without one."""
    return dates if table.is_quarantine else dates - {None}


def _goes_on_from(inspection: Inspection, changes: Changes, last: Publication | None) -> int | None:
    """The version of Silver that the last attempt promised, where what has changed since tells all; else None."""
    if (
        last is None
        or last.silver_version is None
        or last.silver_table_id != inspection.silver.table_id
        or last.silver_version > inspection.silver.version
        or any(counted is None for counted in changes.values())
        or inspection.silver_changes.every_date_after(last.silver_version)
    ):
        return None
    return last.silver_version
