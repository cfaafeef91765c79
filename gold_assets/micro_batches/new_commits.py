"""What Silver's commits have changed since the sensor last looked, read as far as a tick has time."""

import datetime as dt
import time
from collections.abc import Collection

from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver

_AT_ONCE = 100
"""So many commits are read before the time is looked at."""


class NewCommits:
    """The commits of Silver after a version, read forward until the time is up, some at least.

    Attributes:
        to: the version that they were read up to.
        dates: those whose rows they changed; rows without a date are date None.
        every_date: why the rows of any date may have changed, for people; empty where only those of ``dates`` have.
        oldest: the version after which everything is known: that which was asked for, or where log clean-up has cut the
            log.
    """

    def __init__(self, silver: Silver, after: int, until: float) -> None:
        """``until`` is a moment of ``time.monotonic``."""
        self.to = self.oldest = after
        self.every_date = ""
        self._last: dict[dt.date | None, int] = {}
        self._everywhere: int | None = None
        while self.to < silver.version and (self.to == after or time.monotonic() < until):
            since, self.to = self.to, min(self.to + _AT_ONCE, silver.version)
            self._take(SilverChanges(silver, self.to), since)

    def _take(self, changes: SilverChanges, since: int) -> None:
        for date in changes.dates_after(since):
            self._last[date] = changes.last_after(date, since) or 0
        self._everywhere = max(changes.everywhere_after(since), default=self._everywhere)
        self.every_date = changes.every_date_after(since) or self.every_date
        if changes.gap_after(since):
            self.oldest = changes.oldest_known(since)

    @property
    def dates(self) -> Collection[dt.date | None]:
        return self._last.keys()

    def last(self, date: dt.date) -> int | None:
        """The newest of them that changed the date's rows; None where none is known."""
        return max(
            [version for version in (self._last.get(date), self._everywhere) if version is not None], default=None
        )
