"""The keys of which Silver has lost or gained rows, and its rows of these keys: what a refresh reads to make them anew, and no others."""

import datetime as dt
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import DataFrame

from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.query import Unreadable
from gold_assets.engines import FAILURES, Engine
from gold_assets.gold.plan import Step, spares_enough
from gold_assets.silver.changed_rows import ChangedRows, most_telling
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver

logger = logging.getLogger(__name__)

MOST_KEYS = 0.25
"""Where a larger share of a date's keys has changed, to compute all of them costs less: Silver's rows of these keys have to be copied. Measured
by ``benchmarks.changed_keys``."""


class NotByKey(Exception):
    """Why the keys that Silver has changed are not made anew by themselves, in a few words."""


@dataclass(frozen=True)
class _Since:
    """What has changed on some dates since a version of Silver.

    Attributes:
        keys: by table, the values that its ``merge_key`` has in Silver's columns.
        not_by_key: by table, why not they alone are made anew.
    """

    keys: Mapping[str, pa.Table]
    not_by_key: Mapping[str, str]


class ChangedKeys:
    """The changed keys of some tables, and Silver's rows of these keys, each read once for all of the tables."""

    def __init__(
        self, silver: Silver, changes: SilverChanges, engine: Engine, opened: Sequence[tuple[Table, DeltaTable]]
    ) -> None:
        self._silver, self._changes, self._engine = silver, changes, engine
        self._opened = [(table, delta) for table, delta in opened if table.merge_key]
        self._reading = threading.Lock()
        self._known: dict[tuple[int, frozenset[dt.date | None]], _Since] = {}
        self._rows: dict[tuple[int, frozenset[dt.date | None]], DataFrame] = {}

    def of(self, table: Table, steps: Mapping[dt.date | None, Step], since: int) -> pa.Table:
        """The table's changed keys on the dates of these steps: the values that its ``merge_key`` has in Silver's columns.

        There may be some that have not changed. Raises ``NotByKey`` where computing all costs less.
        """
        dates = [*steps]
        asked = since, frozenset(dates)
        with self._reading:
            if asked not in self._known:
                self._known[asked] = self._since(*asked)
        known = self._known[asked]
        if table.name in known.not_by_key:
            raise NotByKey(known.not_by_key[table.name])
        only_added = all(file.is_add and not file.has_vector for step in steps.values() for file in step.files)
        # What adds up is patched, where files were only added.
        computed = [each.name for each, _ in self._opened if not (only_added and each.combines)]
        others = [name for name in computed if name in known.not_by_key]
        if others and not spares_enough(steps.values(), beside_others=True):
            raise NotByKey(f"but {', '.join(others)} must be computed anew, after which computing all takes less")
        return known.keys[table.name]

    def rows(self, dates: Collection[dt.date | None], since: int) -> DataFrame:
        """Silver's rows of these dates, once ``of`` has told their keys. Those may be left out that have none of the changed keys of any table."""
        asked = since, frozenset(dates)
        with self._reading:
            if asked not in self._rows:
                known = self._known[asked]
                among = most_telling([keys for name, keys in known.keys.items() if name not in known.not_by_key])
                try:
                    self._rows[asked] = self._silver.read(self._engine, dates, among=among)
                except FAILURES as error:
                    raise self._silver.cannot_be_read(error, dates) from error
            return self._rows[asked]

    def _since(self, since: int, dates: Collection[dt.date | None]) -> _Since:
        tables = [table for table, _ in self._opened]
        try:
            keys = ChangedRows(self._silver, self._changes, dates, since).keys(tables)
        except Unreadable as error:
            logger.warning("Which rows Silver has changed cannot be told: %s", error)
            doubt = "but the files that tell which keys changed cannot be read"
            return _Since({}, {table.name: doubt for table in tables})
        there = {table.name: keys_there(table, delta, self._silver, dates) for table, delta in self._opened}
        of_column: dict[str, float] = {}
        for table in tables:
            column, *others = (column for column in table.merge_key.values() if column != EVENT_DATE)
            if table.key and not others and (count := there[table.name]):
                of_column[column] = keys[table.name].num_rows / count
        many = {
            table.name: why
            for table in tables
            if (why := _are_many(table, keys[table.name].num_rows, there[table.name], of_column))
        }
        return _Since(keys, many)


def _are_many(table: Table, changed: int, there: int | None, of_column: Mapping[str, float]) -> str:
    """Why computing all keys, of which so many are ``there``, costs less; empty where it does not.

    ``of_column``: which share of a column's values has changed, where that is known: Silver's rows are filtered by one column.
    """
    if there is not None and changed > there * MOST_KEYS:
        what = f"{there:,} keys" if table.key else f"{there:,} rows of Silver"
        return f"but {changed:,} keys may have changed, where there were {what}"
    shares = [of_column[column] for column in table.merge_key.values() if column in of_column]
    if shares and min(shares) > MOST_KEYS:
        return f"but {changed:,} keys may have changed, whose rows are too large a part of Silver's"
    return ""


def keys_there(table: Table, delta: DeltaTable, silver: Silver, dates: Collection[dt.date | None]) -> int | None:
    """About how many keys the dates have: as many as the table has rows, or Silver where the table has no key; None where the logs do not tell."""
    return (FileDates(delta) if table.key else silver.file_dates).count_told(dates)
