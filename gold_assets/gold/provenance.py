"""Which Silver version each date of a table was made from, read from the table's log."""

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.delta.dates import days
from gold_assets.delta.log import Commit, DeltaLog

STAMP = "gold_assets"
"""The key in a commit's ``userMetadata`` under which a refresh says what it did."""


@dataclass(frozen=True)
class MadeFrom:
    """The Silver that a refresh read: the table's id and its version."""

    silver_table_id: str
    silver_version: int


def made_from(
    table: DeltaTable, dates: Collection[dt.date | None], *, not_before: dt.date | None = None
) -> dict[dt.date | None, MadeFrom]:
    """For each of the ``dates`` the Silver that the last refresh of it read; the rows without a date are date None.

    A date that was never refreshed, or whose refresh log clean-up has taken from the log, is not there. Reads the log
    backwards and no further than needed, nor beyond the start of the day ``not_before``.
    """
    oldest = _milliseconds(not_before) if not_before else 0
    missing = set(dates)
    found: dict[dt.date | None, MadeFrom] = {}
    for commit in _history(table):
        if not missing or commit.info.get("timestamp", oldest) < oldest:
            break
        stamp = commit.user_metadata.get(STAMP)
        if not isinstance(stamp, dict) or "silver_version" not in stamp:
            continue
        refreshed: set[dt.date | None] = {None} if stamp.get("and_null") else set()
        for first, last in stamp["dates"]:
            refreshed.update(days(dt.date.fromisoformat(first), dt.date.fromisoformat(last)))
        source = MadeFrom(str(stamp["silver_table_id"]), int(stamp["silver_version"]))
        found |= dict.fromkeys(refreshed & missing, source)
        missing -= refreshed
    return found


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


def _milliseconds(date: dt.date) -> int:
    return int(dt.datetime.combine(date, dt.time(), dt.timezone.utc).timestamp() * 1000)
