"""The lake at one moment, as the checks ask about it: what is read is read once, and shared."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from deltalake import DeltaTable

from gold_assets.checks import second_opinion
from gold_assets.checks.findings import Check, Finding, Limits
from gold_assets.checks.pairs import Sides, gold_view
from gold_assets.checks.patches import Patch, patch_of
from gold_assets.checks.second_opinion import Comparison, SilverCounts
from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.query import Unreadable
from gold_assets.engines import SliceBounds
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.provenance import MadeFrom
from gold_assets.gold.refresh import slices_of
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver

_SLICE = SliceBounds(rows=4_000_000)
"""How much of Silver is compared at once: what a query holds in memory, however many dates are asked for."""


@dataclass(frozen=True)
class Basis:
    """What a date is compared with: a version of Silver, and why it is not simply the one that the date was made from."""

    version: int
    doubt: str = ""


class Inspection:
    """The lake at one moment, asked by checks. What is read is read once.

    Args:
        dates: those to look at; by default all within the window that Silver or a table has.
        patches: compare no more than what the newest patch did where a date was patched last, and the date as a whole elsewhere.
        opened: the tables by name, None where one is not there yet; by default they are opened now.

    Raises ``UserError`` where Silver is not what it must be.
    """

    def __init__(
        self,
        lake: Lake,
        dates: Collection[dt.date] | None,
        limits: Limits,
        *,
        patches: bool = False,
        opened: Mapping[str, DeltaTable | None] | None = None,
    ) -> None:
        self.lake = lake
        self.limits = limits
        self._asked = dates
        self.patches = patches
        # Gold before Silver, so that no Gold comes from a Silver newer than the one at hand.
        self._tables = opened or {table.name: lake.open(table) for table in lake.tables}
        self._silver_versions: dict[int, Silver | None] = {}
        self._reconciled: dict[str, dict[dt.date | None, Reconciled]] = defaultdict(dict)
        self._changes: dict[int, SilverChanges] = {}
        self._held: dict[str, frozenset[dt.date | None]] = {}
        self._counts: dict[tuple[int, dt.date | None], SilverCounts] = {}

    @cached_property
    def silver(self) -> Silver:
        return self.lake.pin()

    def on(self, dates: Collection[dt.date]) -> "Inspection":
        """The same lake at the same moment, of which other dates are looked at, each as a whole."""
        other = Inspection(self.lake, dates, self.limits, opened=self._tables)
        other.silver, other.silver_changes = self.silver, self.silver_changes
        return other

    @cached_property
    def dates(self) -> list[dt.date]:
        """The dates asked for; by default all those within the window that Silver or a table has."""
        if self._asked is not None:
            return sorted(set(self._asked))
        known = self.silver.dates()
        for table in self._tables.values():
            if table is not None:
                known |= FileDates(table).dates()
        return sorted(date for date in known if date and self.limits.first_date <= date <= self.limits.end)

    def gold(self, table: Table) -> DeltaTable | None:
        return self._tables[table.name]

    @cached_property
    def made_from(self) -> Mapping[str, Mapping[dt.date | None, MadeFrom]]:
        """By table, the Silver that each date was made from, where its log tells."""
        return {
            table.name: {}
            if (gold := self.gold(table)) is None
            else GoldLog(gold).made_from({*self.dates, *({None} if table.is_quarantine else ())})
            for table in self.lake.tables
        }

    @cached_property
    def silver_changes(self) -> SilverChanges:
        """What the commits of Silver, up to its newest version, have changed."""
        return SilverChanges(self.silver)

    def basis(self, table: Table, date: dt.date | None) -> Basis:
        """Silver's newest version where it still holds the rows that the date was made from, else the version it was made from.

        Where that is not known or cannot be read any more, the newest: a date passes only if it is true to one of them.
        """
        newest = self.silver.version
        source = self.made_from[table.name].get(date)
        if source is None:
            return Basis(newest, "the log does not tell which Silver version it was made from")
        if reason := self.silver_changes.foreign(source):
            return Basis(newest, f"it was {reason}")
        version = source.silver_version
        if version >= newest or self.silver_changes.changed_after(date, version) is False:
            return Basis(newest)
        if not self.silver_changes.gap_after(version) and self.silver_changes.may_have_changed_after(date, version):
            return Basis(
                newest, f"nothing tells whether Silver changed it after version {version}, which it was made from"
            )
        if self._silver_at(version) is None:
            return Basis(newest, f"Silver version {version}, which it was made from, cannot be opened any more")
        return Basis(version)

    def leaves_open(self, table: Table, date: dt.date | None, source: MadeFrom | None) -> bool:
        """Whether the logs do not tell which rows of Silver a date of the table, which was made from this, holds.

        Nor do they where it was made from another Silver and has no rows: none may be right in this one too.
        """
        if source is None:
            return True
        if source.silver_table_id != self.silver.table_id:
            return date not in self.held(table)
        if self.silver_changes.foreign(source):
            return False
        return self.silver_changes.may_have_changed_after(date, source.silver_version)

    def held(self, table: Table) -> Collection[dt.date | None]:
        """The dates that the table has files for."""
        if table.name not in self._held:
            gold = self.gold(table)
            self._held[table.name] = frozenset() if gold is None else frozenset(FileDates(gold).dates())
        return self._held[table.name]

    def counts(self, version: int, dates: Collection[dt.date | None]) -> Mapping[dt.date | None, SilverCounts]:
        """Silver's rows and broken rows by date at ``version``."""
        missing = [date for date in dates if (version, date) not in self._counts]
        silver = self._silver_at(version)
        assert silver is not None
        for part in self._slices(missing):
            undated = None in part
            found = second_opinion.silver_counts(silver, [date for date in part if date is not None], undated=undated)
            self._counts |= {(version, date): found.get(date, SilverCounts()) for date in part}
        return {date: self._counts[version, date] for date in dates}

    def silver_rows(self, table: Table) -> dict[dt.date, int]:
        """Silver's rows by date, at the version that the table's was made from; by its log where only patches are compared."""
        rows: dict[dt.date, int] = {}
        if self.patches and "deletionVectors" not in (self.silver.table.protocol().reader_features or ()):
            told = self.silver.rows_told(self.dates)
            rows = {date: known for date in self.dates if (known := told.get(date, 0)) is not None}
        by_version: dict[int, list[dt.date]] = defaultdict(list)
        for date in self.dates:
            if date not in rows:
                by_version[self.basis(table, date).version].append(date)
        for version, dates in by_version.items():
            try:
                counts = self.counts(version, dates)
            except Unreadable:
                counts = self.counts(self.silver.version, dates)
            rows |= {date: counts[date].rows for date in dates}
        return rows

    def reconcile(self, table: Table, dates: Sequence[dt.date | None]) -> dict[dt.date | None, "Reconciled"]:
        """Each date of the table beside the Silver it was made from."""
        gold = self.gold(table)
        assert gold is not None
        reconciled: dict[dt.date | None, Reconciled] = {}
        if self.patches and table.combines:
            reconciled = self._reconcile_patches(table, gold, dates)
        by_basis: dict[Basis, list[dt.date | None]] = defaultdict(list)
        for date in dates:
            if date not in reconciled:
                by_basis[self.basis(table, date)].append(date)
        for basis, together in by_basis.items():
            for part in self._slices(together):
                reconciled |= self._reconcile_slice(table, gold, basis, part)
        self._reconciled[table.name] |= reconciled
        return reconciled

    def _reconcile_patches(
        self, table: Table, gold: DeltaTable, dates: Sequence[dt.date | None]
    ) -> dict[dt.date | None, "Reconciled"]:
        """Those of the dates whose newest refresh was a patch of which the logs still tell, and whose files are still there."""
        by_commit: dict[int, list[dt.date | None]] = defaultdict(list)
        for date in dates:
            made = self.made_from[table.name].get(date)
            if made is not None and made.patches and made.overwritten_in is None:
                by_commit[made.table_version].append(date)
        reconciled: dict[dt.date | None, Reconciled] = {}
        for together in by_commit.values():
            made = self.made_from[table.name][together[0]]
            silver = self._silver_at(made.silver_version)
            patch = None if silver is None else patch_of(gold, made, together, silver, self._changes_of(silver))
            if patch is not None:
                with suppress(Unreadable):
                    reconciled |= self._compare_patch(table, patch, together)
        return reconciled

    def _compare_patch(
        self, table: Table, patch: Patch, part: list[dt.date | None]
    ) -> dict[dt.date | None, "Reconciled"]:
        dates, undated = split(part)
        counts = second_opinion.silver_counts(patch.sides.silver, dates, undated=undated)
        counts = {date: counts.get(date, SilverCounts()) for date in part}
        return self._compare_sides(table, patch.sides, Basis(patch.to), counts, part, patch)

    def _reconcile_slice(
        self, table: Table, gold: DeltaTable, basis: Basis, part: list[dt.date | None]
    ) -> dict[dt.date | None, "Reconciled"]:
        try:
            return self._compare(table, gold, basis, part)
        except Unreadable:
            if basis.version == self.silver.version:
                raise
            doubt = f"Silver version {basis.version}, which it was made from, cannot be read any more"
            return self._reconcile_slice(table, gold, Basis(self.silver.version, doubt), part)

    def _compare(
        self, table: Table, gold: DeltaTable, basis: Basis, part: list[dt.date | None]
    ) -> dict[dt.date | None, "Reconciled"]:
        silver = self._silver_at(basis.version)
        assert silver is not None
        counts = self.counts(basis.version, part)
        suspects = part
        if table.is_quarantine:
            # Where nothing is broken and nothing quarantined, there is nothing to compare.
            dates, undated = split(part)
            held = second_opinion.row_counts(gold_view(gold, dates, and_null=undated))
            suspects = [date for date in part if counts[date].broken or held.get(date)]
        return self._compare_sides(table, Sides(silver, gold), basis, counts, suspects)

    def _compare_sides(
        self,
        table: Table,
        sides: Sides,
        basis: Basis,
        counts: Mapping[dt.date | None, SilverCounts],
        suspects: list[dt.date | None],
        patch: Patch | None = None,
    ) -> dict[dt.date | None, "Reconciled"]:
        """What a comparison of the ``suspects`` finds, for each date that ``counts`` has: on the others there is nothing."""
        dates, undated = split(suspects)
        broken = [date for date in dates if counts[date].broken]
        compared: dict[Any, Comparison] = {}
        if suspects:
            compared = second_opinion.compare(table, sides, dates, broken, undated=undated)
        examples: dict[Any, list[dict[str, Any]]] = {}
        differing, undated_differ = split([date for date, found in compared.items() if found.differing])
        if differing or undated_differ:
            examples = second_opinion.examples(table, sides, differing, broken, undated=undated_differ)
        nothing = Comparison(dict.fromkeys(second_opinion.totals_of(table), 0), 0)
        return {
            date: Reconciled(basis, counted, compared.get(date, nothing), examples.get(date, []), patch)
            for date, counted in counts.items()
        }

    def soundness(self, table: Table) -> Mapping[dt.date, Mapping[str, int]]:
        """Gold's rows by date and what is wrong with them; what a comparison came by is not read again."""
        known = {date: found.comparison.soundness for date, found in self._reconciled[table.name].items()}
        if all(date in known for date in self.dates):
            return {date: known[date] for date in self.dates if known[date]}
        gold = self.gold(table)
        assert gold is not None
        return self.by_slices(partial(second_opinion.soundness, table, gold))

    def by_slices(self, ask: Callable[[list[dt.date]], Mapping[Any, Any]]) -> dict[Any, Any]:
        """What ``ask`` answers for all the dates, asked slice by slice."""
        answers: dict[Any, Any] = {}
        for part in self._slices(self.dates):
            answers |= ask(split(part)[0])
        return answers

    def _slices(self, dates: Sequence[dt.date | None]) -> list[list[dt.date | None]]:
        dated, undated = split(dates)
        cut: list[list[dt.date | None]] = [list(part) for part in slices_of(dated, self._rows_by_date, _SLICE) if part]
        return [*cut, [None]] if undated else cut

    @cached_property
    def _rows_by_date(self) -> Mapping[dt.date | None, int | None]:
        return self.silver.rows_by_date(self.dates)

    def _changes_of(self, silver: Silver) -> SilverChanges:
        """What its commits have changed up to the version that it is pinned at, read once for all tables."""
        if silver.version == self.silver.version:
            return self.silver_changes
        if silver.version not in self._changes:
            self._changes[silver.version] = SilverChanges(silver)
        return self._changes[silver.version]

    def _silver_at(self, version: int) -> Silver | None:
        if version == self.silver.version:
            return self.silver
        if version not in self._silver_versions:
            try:
                self._silver_versions[version] = self.lake.pin(version)
            except UserError:
                self._silver_versions[version] = None
        return self._silver_versions[version]


@dataclass(frozen=True)
class Reconciled:
    basis: Basis
    silver: SilverCounts
    comparison: Comparison
    examples: list[dict[str, Any]]
    patch: Patch | None = None
    """Where no more than that was compared: then ``silver`` counts the rows that it added."""


def split(dates: Collection[dt.date | None]) -> tuple[list[dt.date], bool]:
    return [date for date in dates if date is not None], None in dates


def not_there(table: Table, inspection: Inspection, check: Check, date: dt.date | None) -> Finding:
    inspection.silver  # noqa: B018 - without it nothing can be said of Gold
    place = inspection.lake.places[table.name]
    return Finding(check, date, False, f"There is no Delta table at {place}: materialize {table.name}.")
