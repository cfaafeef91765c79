"""The dates on which Gold does not follow Silver: by the safeguards of the lake, and by what people have decided."""

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from gold_assets.delta.file_dates import UnknownDate
from gold_assets.gold.decisions import Decision
from gold_assets.gold.provenance import MadeFrom
from gold_assets.silver.pin import Silver
from gold_assets.silver.version import SilverVersion

if TYPE_CHECKING:
    from gold_assets.gold.moment import Moment


@dataclass(frozen=True)
class Hold:
    """Why Gold keeps what it has of a date, whatever has become of it in Silver.

    Attributes:
        kind: ``sealed``: the date is closed; ``held``: the fuse has blown.
        reason: in a few words.
        rows_before, rows_now: Silver's rows of the date when Gold was made, and now; None where the logs do not tell.
        is_decided: nobody is to decide: Silver has not changed the date, as far as is known, or somebody has said that
            Gold is to keep what it has of it as it is now.
    """

    kind: Literal["sealed", "held"]
    reason: str
    rows_before: int | None
    rows_now: int | None
    is_decided: bool = False


class Holds:
    """What holds dates of the tables of a lake, at a moment of it."""

    def __init__(self, moment: "Moment") -> None:
        self._moment, self._safeguards = moment, moment.lake.safeguards
        self._today = dt.datetime.now(dt.timezone.utc).date()
        self._asked: set[tuple[int, dt.date]] = set()
        """Versions of Silver and dates of which the files were asked, since the log did not tell their rows."""
        self.unseen: set[dt.date] = set()
        """The dates that were asked for of which nothing tells Silver's rows, so that the fuse cannot see them."""

    def may_hold(self, date: dt.date | None) -> bool:
        """Whether anything holds such a date. No log is read."""
        return self._safeguards.may_hold(date, self._today)

    def on(self, made: MadeFrom | None, date: dt.date | None) -> Hold | None:
        """What holds a date that was ``made`` so; None where nothing does. A date that Gold never had is not held: there is nothing to lose."""
        if made is None or date is None or not self.may_hold(date) or self.approval(date) is not None:
            return None
        before, now = self._rows_before(made, date), self._rows(self._moment.silver, date)
        kept = self.kept(date)
        if sealed := str(kept or "") or self._safeguards.seals(date, self._today):
            is_decided = not self._has_changed(made, date) or (kept is not None and self._stands(kept, date))
            return Hold("sealed", sealed, before, now, is_decided)
        if before is None or now is None:
            self.unseen.add(date)
        elif self._safeguards.blows(date, before, now, self._today):
            return Hold("held", f"Silver had {before:,} rows of it when Gold was made and has {now:,} now", before, now)
        return None

    def approval(self, date: dt.date | None) -> Decision | None:
        """By which somebody has let through what Silver has of the date now; None where nobody has."""
        if date is None or not self.may_hold(date) or (decision := self._decisions.get(date)) is None:
            return None
        return decision if decision.verdict == "approve" and self._stands(decision, date) else None

    def kept(self, date: dt.date) -> Decision | None:
        """By which somebody has sealed the date; None where nobody has, or somebody has approved it since."""
        decision = self._decisions.get(date)
        return decision if decision is not None and decision.verdict == "keep" else None

    @cached_property
    def _decisions(self) -> dict[dt.date, Decision]:
        """The newest of each date."""
        return {date: decision for decision in reversed(self._moment.lake.decisions()) for date in decision.dates}

    def _stands(self, decision: Decision, date: dt.date) -> bool:
        """Whether the date is in Silver as it was when it was decided."""
        if (changed := self._changed_since(decision.silver, date)) is not None:
            # A newer version may have rows of the date that this one does not have yet.
            return not changed and decision.silver.silver_version <= self._moment.silver.version
        # Its log tells no more. To let something through takes more than that the rows are as many.
        return decision.verdict == "keep" and decision.dates[date] == self._rows(self._moment.silver, date)

    def _has_changed(self, made: MadeFrom, date: dt.date) -> bool:
        """Whether Silver is known to have changed the date since it was made."""
        if (changed := self._changed_since(made, date)) is not None:
            return changed
        return self._rows_before(made, date) != self._rows(self._moment.silver, date)

    def _changed_since(self, then: SilverVersion, date: dt.date) -> bool | None:
        """Whether Silver changed the date after a version; None where its log does not tell."""
        changes = self._moment.changes
        return None if changes.foreign(then) else changes.changed_after(date, then.silver_version)

    def _rows_before(self, made: MadeFrom, date: dt.date) -> int | None:
        if made.silver_rows is not None or made.silver_table_id != self._moment.silver.table_id:
            return made.silver_rows
        silver = self._moment.silver_at(made.silver_version)  # made by an earlier release
        return None if silver is None else self._rows(silver, date)

    def _rows(self, silver: Silver, date: dt.date) -> int | None:
        told = silver.file_dates.rows_told([date])[date]
        if told is None and (silver.version, date) not in self._asked:
            self._asked.add((silver.version, date))
            with suppress(UnknownDate):
                silver.file_dates.rows([date])
                told = silver.file_dates.rows_told([date])[date]
        return told
