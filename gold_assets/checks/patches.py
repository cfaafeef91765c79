"""What a patch of Gold did, told by the logs: which rows of Silver it added, and which of Gold's files it wrote and took away."""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.checks.pairs import Sides
from gold_assets.declaring.table import Table
from gold_assets.delta.log import FileChange
from gold_assets.delta.query import Among, Unreadable
from gold_assets.delta.scratch import of_files, of_rows
from gold_assets.gold.changed_keys import keys_there
from gold_assets.gold.gold_log import GoldCommit
from gold_assets.gold.moment import Moment
from gold_assets.gold.provenance import MadeFrom, Stamp
from gold_assets.silver.changed_rows import ChangedRows, most_telling
from gold_assets.silver.pin import Silver

_FEW_KEYS = 0.1
"""Up to this share of a date's keys are compared by themselves; copying Silver's rows of more costs more than comparing the date."""

_FEW_ROWS = 2_500_000
"""Dates of fewer rows of Silver are compared in full, which takes no longer than by keys. Measured by ``benchmarks.changed_keys``."""


@dataclass(frozen=True)
class Patch:
    """The newest patch of some dates of a table, which are in one commit.

    Attributes:
        since, to: the versions of Silver between which it added what had been added, or made anew what had changed.
        sides: what it must have done, and what it did.
        keys: how many keys it may have made anew, as Silver's files tell; None where it added rows.
    """

    dates: Sequence[dt.date | None]
    since: int
    to: int
    sides: Sides
    keys: int | None = None


class Patches:
    """The newest patches at a moment of a lake."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._added: dict[tuple[int, frozenset[str]], DeltaTable] = {}
        self._changed: dict[tuple[int, int, frozenset[dt.date | None]], tuple[Mapping[str, pa.Table], Silver]] = {}

    def of(self, table: Table, dates: Collection[dt.date | None]) -> Iterator[Patch]:
        """For those of the dates that were patched last, where the logs still tell of that, commit by commit."""
        made_from = self._moment.made_from(table, dates)
        by_commit: dict[int, list[dt.date | None]] = defaultdict(list)
        for date in dates:
            made = made_from.get(date)
            if made is not None and made.patches and made.overwritten_in is None:
                by_commit[made.table_version].append(date)
        for together in by_commit.values():
            made = made_from[together[0]]
            silver = self._moment.silver_at(made.silver_version)
            if silver is not None and (patch := self._patch(table, made, together, silver)) is not None:
                yield patch

    def _patch(self, table: Table, made: MadeFrom, dates: Sequence[dt.date | None], silver: Silver) -> Patch | None:
        """What the commit that ``made`` tells of did to the ``dates``; None where the logs do not tell, or tell of anything else."""
        log, changes = self._moment.log(table), self._moment.changes_of(silver)
        try:
            commit = log.commit(made.table_version)
        except FileNotFoundError:
            return None
        if (stamp := commit.stamp) is None or stamp.since is None or stamp.refresh_id != made.refresh_id:
            return None
        if stamp.keys is not None:
            return self._of_keys(table, commit, stamp, dates, silver)
        new = {file.path: file for date in dates for file in changes.files_after(date, stamp.since)}
        only_added = all(file.is_add and not file.has_vector for file in new.values())
        if not only_added or not table.combines or changes.every_date_after(stamp.since):
            return None
        written, taken = (
            of_files(log.table, [file.action for file in files if file.date in dates])
            for files in (commit.adds, commit.removes)
        )
        sides = Sides(dataclasses.replace(silver, table=self._rows_of(silver, new.values())), written, taken)
        return Patch(dates, stamp.since, made.silver_version, sides)

    def _of_keys(
        self, table: Table, commit: GoldCommit, stamp: Stamp, dates: Sequence[dt.date | None], silver: Silver
    ) -> Patch | None:
        """The same of a commit that made keys anew; None where the logs do not tell which, or their files are gone."""
        log, since = self._moment.log(table), stamp.since
        if since is None or not table.merge_key or self._moment.changes_of(silver).every_date_after(since):
            return None
        if (rows := silver.file_dates.count_told(dates)) is not None and rows < _FEW_ROWS:
            return None
        try:
            keys_of, of_keys = self._changed_keys(silver, since, frozenset(dates))
        except Unreadable:
            return None
        if (keys := keys_of.get(table.name)) is None:
            return None
        keys_table = of_rows(keys)
        if (before := self._before(log.table, commit, dates)) is None:
            return None
        sides = Sides(
            dataclasses.replace(of_keys, among=Among(keys_table, {name: name for name in table.merge_key.values()})),
            log.table,
            before,
            Among(keys_table, {of_silver: of_gold for of_gold, of_silver in table.merge_key.items()}, is_without=True),
        )
        return Patch(dates, since, silver.version, sides, keys.num_rows)

    def _before(self, gold: DeltaTable, commit: GoldCommit, dates: Sequence[dt.date | None]) -> DeltaTable | None:
        """The table's rows of the dates before the commit; None where they cannot be opened any more."""
        if taken := [file.action for file in commit.removes if file.date in dates]:
            return of_files(gold, taken)
        with suppress(DeltaError, OSError):
            return DeltaTable(gold.table_uri, version=commit.version - 1)
        return None

    def _changed_keys(
        self, silver: Silver, since: int, dates: frozenset[dt.date | None]
    ) -> tuple[Mapping[str, pa.Table], Silver]:
        """By table, its keys that Silver has changed, where they are few; and Silver with the rows of these keys alone. Raises ``Unreadable``."""
        asked = silver.version, since, dates
        if asked not in self._changed:
            tables = [table for table in self._moment.lake.tables if table.merge_key]
            keys = ChangedRows(silver, self._moment.changes_of(silver), dates, since).keys(tables)
            few = {
                table.name: keys[table.name]
                for table in tables
                if self._are_few(table, keys[table.name], silver, dates)
            }
            self._changed[asked] = few, silver.copied(dates, most_telling(few.values()))
        return self._changed[asked]

    def _are_few(self, table: Table, keys: pa.Table, silver: Silver, dates: Collection[dt.date | None]) -> bool:
        """Whether comparing these keys costs less than comparing all."""
        if (gold := self._moment.gold(table)) is None:
            return False
        there = keys_there(table, gold, silver, dates)
        return there is None or keys.num_rows <= there * _FEW_KEYS

    def _rows_of(self, silver: Silver, files: Collection[FileChange]) -> DeltaTable:
        """Silver's rows in these files alone, the same for all tables."""
        key = silver.version, frozenset(file.path for file in files)
        if key not in self._added:
            self._added[key] = of_files(silver.table, [file.action for file in files])
        return self._added[key]
