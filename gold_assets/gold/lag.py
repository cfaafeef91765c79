"""How far the tables are behind Silver: told by the logs of both, without an engine."""

import datetime as dt
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.log import DeltaLog
from gold_assets.gold.gold_log import GoldLog
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver


@dataclass(frozen=True)
class Lag:
    """What Silver's newest commits hold and a table does not.

    Attributes:
        dates: those of which rows are missing.
        version: the oldest commit of Silver whose rows are.
        committed: when that was, by its writer's clock, in UTC; None where its log does not say.
    """

    dates: Collection[dt.date]
    version: int
    committed: dt.datetime | None


def lag(
    tables: Iterable[DeltaTable | None], silver: Silver, *, after: int, first: dt.date, last: dt.date
) -> Lag | None:
    """What the tables, as they are opened, lack of Silver's commits after version ``after``, on the dates from ``first`` to ``last``.

    None where nothing.
    """
    tables = list(tables)
    changes = SilverChanges(silver)
    changed = changes.dates_after(after)
    if changes.everywhere_after(after):
        changed = changed.union(*(FileDates(table).dates() for table in tables if table is not None))
    touched = {date for date in changed if date is not None and first <= date <= last}
    if not touched:
        return None
    missing: dict[dt.date, int] = {}
    for table in tables:
        made = {} if table is None else GoldLog(table).made_from(touched)
        for date in touched:
            source = made.get(date)
            holds = -1 if source is None or changes.foreign(source) else source.silver_version
            oldest = changes.first_after(date, max(after, holds))
            if oldest is not None:
                missing[date] = min(oldest, missing.get(date, oldest))
    if not missing:
        return None
    version = min(missing.values())
    return Lag(sorted(missing), version, _committed(silver, version))


def _committed(silver: Silver, version: int) -> dt.datetime | None:
    with suppress(FileNotFoundError):
        for action in DeltaLog(silver.table).actions(version):
            if milliseconds := action.get("commitInfo", {}).get("timestamp"):
                return dt.datetime.fromtimestamp(milliseconds / 1000, dt.timezone.utc)
    return None
