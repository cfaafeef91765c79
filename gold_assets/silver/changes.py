"""Which dates of Silver have changed, and when: read from its log, without an engine."""

import datetime as dt
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.log import DeltaLog, UnknownDate

_COMMITS_AT_ONCE = 32
"""On an object store reading commits means waiting, and waiting is done side by side."""


@dataclass(frozen=True)
class SilverChanges:
    """Which dates changed after version ``after``, up to version ``to``.

    Attributes:
        last: by date, the newest version that changed its rows; rows without a date are date None.
        since: the log was read back to here. A date that is not in ``last`` has not changed after ``since``.
    """

    after: int
    to: int
    since: int
    last: Mapping[dt.date | None, int]

    @property
    def complete(self) -> bool:
        """False where log clean-up has taken a part of the window: then any date may have changed."""
        return self.since <= self.after

    def changed_after(self, date: dt.date | None, version: int) -> bool | None:
        """Whether the date's rows changed after ``version``; None where the log was not read back to it."""
        if self.last.get(date, -1) > version:
            return True
        return False if version >= self.since else None


def silver_changes(silver: DeltaTable, after: int = -1, *, most_commits: int | None = None) -> SilverChanges:
    """Read the log of ``silver``, as loaded, from its version back to ``after``; -1 is before the first commit.

    Reading ends early where log clean-up has cut the log, where a commit does not tell its dates, and after
    ``most_commits``. Only add and remove actions that change data count: appends, updates, deletes, deletion vectors,
    restores, and rows that move to another date do; OPTIMIZE, VACUUM and checkpoints do not.
    """
    log = DeltaLog(silver)
    to = silver.version()
    stop = after if most_commits is None else max(after, to - most_commits)
    last: dict[dt.date | None, int] = {}
    since = to
    with ThreadPoolExecutor(max_workers=8) as pool:
        while since > stop:
            versions = range(since, max(stop, since - _COMMITS_AT_ONCE), -1)
            for version, dates in zip(versions, pool.map(lambda v: _changed_dates(log, v), versions), strict=True):
                if dates is None:
                    return SilverChanges(after, to, since, last)
                for date in dates:
                    last.setdefault(date, version)
                since = version - 1
    return SilverChanges(after, to, since, last)


def _changed_dates(log: DeltaLog, version: int) -> Collection[dt.date | None] | None:
    try:
        return {None if date is None else dt.date.fromisoformat(date) for date in log.changed_dates(version)}
    except (FileNotFoundError, UnknownDate):
        return None


def dates_with_files(table: DeltaTable) -> set[dt.date | None]:
    """The dates that the table has files for; rows without a date are date None."""
    return {
        None if value is None else dt.date.fromisoformat(str(value))
        for value in (partition[EVENT_DATE] for partition in table.partitions())
    }
