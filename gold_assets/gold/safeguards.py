"""When Gold does not follow Silver by itself: old dates that are sealed, and a fuse against accidents."""

import datetime as dt
from dataclasses import dataclass

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Safeguards:
    """What Gold keeps though Silver has changed it, until a person decides.

    Attributes:
        sealed_before: dates before this one are sealed.
        seal_after_days: dates that lie more than so many days back are.
        lost_share: a date that would lose at least this share of Silver's rows is held: 1 holds those that would lose all.
        gained_share: one that would gain at least this share of them is: 1 holds those that would double.
        least_rows: a date that Gold was made of with fewer rows of Silver is never held.

    Examples:
        >>> safeguards = Safeguards(sealed_before=dt.date(2025, 1, 1))
        >>> safeguards.seals(dt.date(2024, 12, 31), today=dt.date(2026, 1, 31))
        'before 2025-01-01'
        >>> safeguards.blows(dt.date(2026, 1, 1), before=1_000, now=500, today=dt.date(2026, 1, 31))
        True
    """

    sealed_before: dt.date | None = None
    seal_after_days: int | None = None
    lost_share: float = 0.5
    gained_share: float = 1.0
    least_rows: int = 100

    def seals(self, date: dt.date, today: dt.date) -> str:
        """Why the date is sealed; empty where it is not."""
        if self.sealed_before is not None and date < self.sealed_before:
            return f"before {self.sealed_before}"
        if self.seal_after_days is not None and (today - date).days > self.seal_after_days:
            return f"more than {self.seal_after_days} days back"
        return ""

    def watches(self, date: dt.date, today: dt.date) -> bool:
        """Whether the fuse looks at the date: it is older than yesterday, whose rows still come and go."""
        return date < today - _DAY

    def may_hold(self, date: dt.date | None, today: dt.date) -> bool:
        """Whether the date is sealed, or the fuse looks at it."""
        return date is not None and (self.watches(date, today) or bool(self.seals(date, today)))

    def blows(self, date: dt.date, before: int, now: int, today: dt.date) -> bool:
        """Whether the fuse holds the date, of which Silver had ``before`` rows when Gold was made and has some ``now``."""
        if not self.watches(date, today) or before < self.least_rows:
            return False
        return before - now >= self.lost_share * before or now - before >= self.gained_share * before
