"""What a patch of Gold did, told by the logs: which rows of Silver it added, and which of Gold's files it wrote and took away."""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.checks.pairs import Sides
from gold_assets.declaring.table import Table
from gold_assets.delta.log import FileChange
from gold_assets.delta.scratch import of_files
from gold_assets.gold.moment import Moment
from gold_assets.gold.provenance import MadeFrom
from gold_assets.silver.pin import Silver


@dataclass(frozen=True)
class Patch:
    """The newest patch of some dates of a table, which are in one commit.

    Attributes:
        since, to: the versions of Silver between which it added what had been added.
        sides: what it must have done, and what it did.
    """

    dates: Sequence[dt.date | None]
    since: int
    to: int
    sides: Sides


class Patches:
    """The newest patches at a moment of a lake."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._added: dict[tuple[int, frozenset[str]], DeltaTable] = {}

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
        new = {file.path: file for date in dates for file in changes.files_after(date, stamp.since)}
        only_added = all(file.is_add and not file.has_vector for file in new.values())
        if not only_added or changes.every_date_after(stamp.since):
            return None
        written, taken = (
            of_files(log.table, [file.action for file in files if file.date in dates])
            for files in (commit.adds, commit.removes)
        )
        sides = Sides(dataclasses.replace(silver, table=self._rows_of(silver, new.values())), written, taken)
        return Patch(dates, stamp.since, made.silver_version, sides)

    def _rows_of(self, silver: Silver, files: Collection[FileChange]) -> DeltaTable:
        """Silver's rows in these files alone, the same for all tables."""
        key = silver.version, frozenset(file.path for file in files)
        if key not in self._added:
            self._added[key] = of_files(silver.table, [file.action for file in files])
        return self._added[key]
