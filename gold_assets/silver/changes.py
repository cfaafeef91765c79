"""Which dates of Silver have changed, and when: read from its log, without an engine."""

import datetime as dt
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gold_assets.delta.file_dates import FileDates, UnknownDate
from gold_assets.delta.log import DeltaLog
from gold_assets.silver.pin import Silver

_COMMITS_AT_ONCE = 32
"""On an object store reading commits means waiting, and waiting is done side by side."""


@dataclass(frozen=True)
class SilverChanges:
    """Which dates changed after version ``after``, up to version ``to``.

    Attributes:
        last: by date, the newest version that changed its rows; rows without a date are date None.
        since: the log was read back to here. A date that is not in ``last`` has not changed after ``since``.
        gap: why it was read no further, where it was not read back to ``after``.
    """

    after: int
    to: int
    since: int
    last: Mapping[dt.date | None, int]
    gap: str = ""

    @property
    def complete(self) -> bool:
        """False where log clean-up has taken a part of the window: then any date may have changed."""
        return self.since <= self.after

    def changed_after(self, date: dt.date | None, version: int) -> bool | None:
        """Whether the date's rows changed after ``version``; None where the log was not read back to it."""
        if self.last.get(date, -1) > version:
            return True
        return False if version >= self.since else None


def silver_changes(silver: Silver, after: int = -1, *, most_commits: int | None = None) -> SilverChanges:
    """Read the log of ``silver`` from its version back to ``after``; -1 is before the first commit.

    A commit touches the dates of the files that it adds and removes. Reading ends early where log clean-up has cut the log,
    where neither the log nor the file tells the dates of one, and after ``most_commits``. Only add and remove actions that change data count: appends, updates, deletes, deletion vectors,
    restores, and rows that move to another date do; OPTIMIZE, VACUUM and checkpoints do not.
    """
    log = DeltaLog(silver.table)
    to = silver.version
    stop = after if most_commits is None else max(after, to - most_commits)
    last: dict[dt.date | None, int] = {}
    since = to
    with ThreadPoolExecutor(max_workers=8) as pool:
        while since > stop:
            versions = range(since, max(stop, since - _COMMITS_AT_ONCE), -1)
            changed = pool.map(lambda version: _changed_dates(log, silver.file_dates, version), versions)
            for version, dates in zip(versions, changed, strict=True):
                if isinstance(dates, str):
                    return SilverChanges(after, to, since, last, dates)
                for date in dates:
                    last.setdefault(date, version)
                since = version - 1
    gap = "" if since <= after else f"only the newest {most_commits} commits are looked at"
    return SilverChanges(after, to, since, last, gap)


def _changed_dates(log: DeltaLog, files: FileDates, version: int) -> Collection[dt.date | None] | str:
    """The dates that the commit touched, or why that is not known."""
    try:
        return {date for file in log.changed_files(version) for date in files.of_action(file)}
    except FileNotFoundError:
        return f"the log no longer has version {version}"
    except UnknownDate as unknown:
        return (
            f"neither the log nor the file tells which dates {unknown} holds, which version {version} added or removed"
        )
