"""What a person is to decide: the dates on which Gold keeps what it has, though Silver has changed them; and the decision."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gold_assets.delta.commit_races import until_committed
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError
from gold_assets.gold.decisions import Decision, Decisions, Verdict
from gold_assets.gold.holds import Hold
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment


@dataclass(frozen=True)
class HeldDate:
    """A date on which Gold keeps what it has, though Silver has changed it, or may have.

    Attributes:
        hold: why; where it is held in one table and sealed in another, why it is held.
        tables: the names of those that keep what they have.
        version: the first of Silver's commits since that changed it, None where its log does not tell.
        by: who made that, as Silver's log tells; and ``since``, when, UTC.
    """

    date: dt.date
    hold: Hold
    tables: Sequence[str]
    version: int | None
    by: str
    since: dt.datetime | None

    @property
    def is_decided(self) -> bool:
        """Whether nobody is to decide."""
        return self.hold.is_decided

    @property
    def summary(self) -> str:
        """In a sentence."""
        keep = f"{', '.join(self.tables)} keep what they have"
        if self.is_decided:
            return f"Sealed, {self.hold.reason}: {keep}."
        commit = "" if self.version is None else f" since Silver's version {self.version}{self.by and f' by {self.by}'}"
        why = (
            self.hold.reason
            if self.hold.kind == "held"
            else f"Silver has changed it, and it is sealed, {self.hold.reason}"
        )
        do = "mend Silver, or let it through with gold approve, or seal the date as it is with gold keep"
        return f"{why}{commit}: {keep}; {do}."

    def as_json(self) -> Mapping[str, Any]:
        """For machines."""
        return {
            "date": self.date,
            "why": self.hold.kind,
            "reason": self.hold.reason,
            "tables": list(self.tables),
            "silver_rows_before": self.hold.rows_before,
            "silver_rows_now": self.hold.rows_now,
            "silver_version": self.version,
            "by": self.by or None,
            "since": self.since,
        }


def held_date(moment: Moment, date: dt.date) -> HeldDate | None:
    """What holds the date; None where Gold follows Silver there, or nothing has changed."""
    held = [(table, hold) for table in moment.lake.tables if (hold := moment.hold(table, date)) is not None]
    if not held:
        return None
    made = [source for table, _ in held for source in moment.made_from(table, [date]).values()]
    oldest = min((each.silver_version for each in made if not moment.changes.foreign(each)), default=None)
    version = None if oldest is None else moment.changes.first_after(date, oldest)
    hold = min((hold for _, hold in held), key=lambda hold: (hold.is_decided, hold.kind))
    told = None if version is None else moment.changes.told_of(version)
    names = [table.name for table, _ in held]
    return HeldDate(date, hold, names, version, told.by if told else "", told.at if told else None)


def held_dates(moment: Moment, dates: Collection[dt.date], *, and_kept: bool = False) -> list[HeldDate]:
    """Those of the dates that are held, or sealed and changed, and of which nobody has decided, in order; ``and_kept``: or decided to keep."""
    found = [held for date in sorted(dates) if (held := held_date(moment, date)) is not None]
    return [held for held in found if not held.is_decided or (and_kept and moment.holds.kept(held.date))]


def decide(lake: Lake, verdict: Verdict, dates: Collection[dt.date], by: str, reason: str) -> Decision:
    """Decide of those of the dates that are held, of Silver as it is now, and keep the decision for good.

    Who approves may take back what somebody has kept.

    Args:
        verdict: ``approve``: Gold is to follow Silver there; ``keep``: it is to keep what it has, and the dates are sealed.
        by: who decides.
        reason: why.

    Raises ``UserError`` where nobody, or no reason, is named, where none of the dates is held, and where the lake has no place for decisions.
    """
    if not (by.strip() and reason.strip()):
        raise UserError("A decision needs who decides and why, and one of them is empty: give both.")
    if (place := lake.decisions_at) is None:
        raise UserError("The lake has no place for decisions, beside publications: give it one, Lake(…, published=…).")

    def attempt() -> Decision:
        moment = Moment(lake)
        held = held_dates(moment, dates, and_kept=verdict == "approve")
        if not held:
            raise UserError(
                f"Nothing is held or sealed and changed on {dates_text(dates, 5) or 'no date'}, of which somebody could decide: see gold held."
            )
        rows = {each.date: each.hold.rows_now for each in held}
        now = dt.datetime.now(dt.timezone.utc)
        decision = Decision(verdict, rows, moment.silver.as_told, by.strip(), reason.strip(), now)
        Decisions(place, lake.published_setting).append(decision)
        return decision

    return until_committed("decisions", place, attempt)
