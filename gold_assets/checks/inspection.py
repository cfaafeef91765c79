"""A lake at one moment, as the checks ask about it: what is compared is compared once, and shared."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial, wraps
from typing import Any, TypeVar

from gold_assets.checks import second_opinion
from gold_assets.checks.findings import Check, Finding, Limits
from gold_assets.checks.pairs import Sides, gold_view
from gold_assets.checks.patches import Patch, Patches
from gold_assets.checks.second_opinion import Comparison, Dates, SilverCounts
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import slices_of
from gold_assets.delta.query import Unreadable
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.standing import Basis
from gold_assets.silver.pin import Silver

T = TypeVar("T")

AS_VERIFIED = "as it was verified last"
"""What was compared of a date that is kept as it is, or made by an earlier version of its table."""

_ROWS_AT_ONCE, _DATES_AT_ONCE = 4_000_000, 92
"""How much of Silver is compared at once: what a query holds in memory, however many dates are asked for."""


@dataclass(frozen=True)
class Reconciled:
    """A date of a table beside Silver. Where there is a ``patch``, no more than what it did: ``silver`` counts the rows that it added, or those of
    the keys that it made anew.
    """

    basis: Basis
    silver: SilverCounts
    comparison: Comparison
    examples: Sequence[dict[str, Any]]
    patch: Patch | None = None


class Inspection:
    """The lake at one moment, asked by checks. What is read is read once.

    Args:
        dates: those to look at; by default all within the window that Silver or a table has.
        patches: compare no more than what the newest patch did where a date was patched last, and the date as a whole elsewhere.
        moment: by default now.

    Raises ``UserError`` where Silver is not what it must be.
    """

    def __init__(
        self,
        lake: Lake,
        dates: Collection[dt.date] | None,
        limits: Limits,
        *,
        patches: bool = False,
        moment: Moment | None = None,
    ) -> None:
        self.lake, self.limits, self.patches = lake, limits, patches
        self.moment = moment or Moment(lake)
        self._asked = dates
        self._patches = Patches(self.moment)
        self._reconciled: dict[str, dict[dt.date | None, Reconciled]] = defaultdict(dict)
        self._counts: dict[tuple[int, dt.date | None], SilverCounts] = {}

    def on(self, dates: Collection[dt.date]) -> "Inspection":
        """The same lake at the same moment, of which other dates are looked at, each as a whole."""
        return Inspection(self.lake, dates, self.limits, moment=self.moment)

    @cached_property
    def dates(self) -> list[dt.date]:
        """The dates asked for; by default all those within the window that Silver or a table has."""
        if self._asked is not None:
            return sorted(set(self._asked))
        return sorted(date for date in self.moment.dates if date and date in self.limits)

    def counts(self, silver: Silver, dates: Collection[dt.date | None]) -> Mapping[dt.date | None, SilverCounts]:
        """Silver's rows and broken rows by date."""
        for part in self._slices([date for date in dates if (silver.version, date) not in self._counts]):
            found = second_opinion.silver_counts(silver, part)
            self._counts |= {(silver.version, date): counts for date, counts in found.items()}
        return {date: self._counts[silver.version, date] for date in dates}

    def silver_rows(self, table: Table) -> dict[dt.date | None, int]:
        """Silver's rows by date, at the version that the table's was made from; by its log where only patches are compared."""
        rows: dict[dt.date | None, int] = {}
        silver = self.moment.silver
        if self.patches:
            told = silver.file_dates.rows_told(self.dates)
            rows = {date: known for date in self.dates if (known := told.get(date, 0)) is not None}
        for basis, dates in grouped(
            [date for date in self.dates if date not in rows], partial(self.moment.basis, table)
        ):
            if basis.verified:
                made = self.moment.made_from(table, dates)
                rows |= {date: made[date].silver_rows or 0 for date in dates}
                continue
            try:
                counts = self.counts(self.moment.silver_of(basis), dates)
            except Unreadable:
                counts = self.counts(silver, dates)
            rows |= {date: counts[date].rows for date in dates}
        return rows

    def reconcile(self, table: Table, dates: Sequence[dt.date | None]) -> dict[dt.date | None, Reconciled]:
        """Each date of the table beside the Silver it was made from."""
        reconciled: dict[dt.date | None, Reconciled] = {}
        if self.patches:
            for patch in self._patches.of(table, dates):
                with suppress(Unreadable):  # then the dates are compared as a whole
                    reconciled |= self._patched(table, patch)
        for basis, together in grouped(
            [date for date in dates if date not in reconciled], partial(self.moment.basis, table)
        ):
            for part in self._slices(together):
                reconciled |= self._as_verified(basis, part) if basis.verified else self._as_a_whole(table, basis, part)
        self._reconciled[table.name] |= reconciled
        return reconciled

    def soundness(self, table: Table, dates: Sequence[dt.date]) -> Mapping[dt.date | None, Mapping[str, int]]:
        """Gold's rows by date and what is wrong with them; what a comparison came by is not read again."""
        known = {
            date: found.comparison.soundness
            for date, found in self._reconciled[table.name].items()
            if not found.basis.verified
        }
        if all(date in known for date in dates):
            return {date: known[date] for date in dates if known[date]}
        return self.by_slices(partial(second_opinion.soundness, table, self.moment.log(table).table), dates)

    def by_slices(
        self, ask: Callable[[Dates], Mapping[dt.date | None, T]], dates: Sequence[dt.date] | None = None
    ) -> dict[dt.date | None, T]:
        """What ``ask`` answers for the dates, by default all, asked slice by slice."""
        answers: dict[dt.date | None, T] = {}
        for part in self._slices(self.dates if dates is None else dates):
            answers |= ask(part)
        return answers

    def _patched(self, table: Table, patch: Patch) -> dict[dt.date | None, Reconciled]:
        counts = second_opinion.silver_counts(patch.sides.silver, patch.dates)
        return self._compared(
            table, patch.sides, counts, patch.dates, partial(Reconciled, Basis(patch.to), patch=patch)
        )

    def _as_a_whole(self, table: Table, basis: Basis, part: list[dt.date | None]) -> dict[dt.date | None, Reconciled]:
        sides = Sides(self.moment.silver_of(basis), self.moment.log(table).table)
        try:
            counts = self.counts(sides.silver, part)
            suspects = part
            if table.is_quarantine:  # where nothing is broken and nothing quarantined, there is nothing to compare
                held = second_opinion.row_counts(gold_view(sides.gold, part))
                suspects = [date for date in part if counts[date].broken or held.get(date)]
            return self._compared(table, sides, counts, suspects, partial(Reconciled, basis))
        except Unreadable:
            if basis.version == self.moment.silver.version:
                raise
            doubt = f"Silver version {basis.version}, which it was made from, cannot be read any more"
            found: dict[dt.date | None, Reconciled] = {}
            for other, together in grouped(part, lambda date: self.moment.basis_without(table, date, doubt)):
                found |= (
                    self._as_verified(other, together) if other.verified else self._as_a_whole(table, other, together)
                )
            return found

    def _as_verified(self, basis: Basis, dates: Sequence[dt.date | None]) -> dict[dt.date | None, Reconciled]:
        """What was found when they were verified: that is all that can be known of them."""
        return {date: Reconciled(basis, SilverCounts(), Comparison({}, 0), []) for date in dates}

    def _compared(
        self,
        table: Table,
        sides: Sides,
        counts: Mapping[dt.date | None, SilverCounts],
        suspects: Sequence[dt.date | None],
        reconciled: Callable[..., Reconciled],
    ) -> dict[dt.date | None, Reconciled]:
        """What a comparison of the ``suspects`` finds, for each date that ``counts`` has: on the others there is nothing."""
        broken = [date for date in suspects if counts[date].broken]
        compared = second_opinion.compare(table, sides, suspects, broken) if suspects else {}
        differing = [date for date, found in compared.items() if found.differing]
        examples = second_opinion.examples(table, sides, differing, broken) if differing else {}
        nothing = Comparison(dict.fromkeys(second_opinion.totals_of(table), 0), 0)
        return {
            date: reconciled(counted, compared.get(date, nothing), examples.get(date, []))
            for date, counted in counts.items()
        }

    def _slices(self, dates: Sequence[dt.date | None]) -> list[list[dt.date | None]]:
        return in_slices(dates, self._rows_by_date)

    @cached_property
    def _rows_by_date(self) -> Mapping[dt.date | None, int | None]:
        return self.moment.silver.file_dates.rows(self.dates)


def grouped(
    dates: Collection[dt.date | None], basis_of: Callable[[dt.date | None], Basis]
) -> Iterator[tuple[Basis, list[dt.date | None]]]:
    """The dates by what they are compared with."""
    by_basis: dict[Basis, list[dt.date | None]] = defaultdict(list)
    for date in dates:
        by_basis[basis_of(date)].append(date)
    yield from by_basis.items()


def in_slices(
    dates: Sequence[dt.date | None], rows_by_date: Mapping[dt.date | None, int | None]
) -> list[list[dt.date | None]]:
    """The dates, cut to what of Silver is compared at once."""
    dated = [date for date in dates if date is not None]
    cut: list[list[dt.date | None]] = [
        [*part] for part in slices_of(dated, rows_by_date, _ROWS_AT_ONCE, _DATES_AT_ONCE)
    ]
    return [*cut, [None]] if None in dates else cut


OfTable = Callable[[Table, Inspection, Check], Iterator[Finding]]
"""What evaluates a check of a table, whose name the check has."""


def where_there(evaluate: OfTable) -> OfTable:
    """The same; of a table that is not there it finds that, and nothing else."""

    @wraps(evaluate)
    def evaluated(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
        if inspection.moment.gold(table) is not None:
            return evaluate(table, inspection, check)
        return (not_there(table, inspection, check, date) for date in (inspection.dates if check.by_date else [None]))

    return evaluated


def where_it_has_its_columns(evaluate: OfTable) -> OfTable:
    """``where_there``; a table that lacks a column of its declaration, until it is made by that, is as it was verified last, or is not right."""

    @wraps(evaluate)
    def evaluated(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
        there = {field.name for field in inspection.moment.log(table).table.schema().fields}
        lacking = [column.name for column in table.columns if column.name not in there]
        if not lacking:
            yield from evaluate(table, inspection, check)
            return
        lacks = f"{table.name} has no column {', '.join(lacking)} yet"
        for date in inspection.dates if check.by_date else [None]:
            basis = inspection.moment.basis(table, date)
            yield (
                verified_last(check, date, basis)
                if basis.verified
                else Finding(check, date, False, f"{lacks}: materialize it.")
            )

    return where_there(evaluated)


def verified_last(check: Check, date: dt.date | None, basis: Basis) -> Finding:
    """What there is to say of a date that is as it was when it was verified last."""
    summary = f"As it was when it was verified last, by {basis.verified}: {basis.doubt}."
    return Finding(check, date, True, summary, {"compared": AS_VERIFIED})


def not_there(table: Table, inspection: Inspection, check: Check, date: dt.date | None) -> Finding:
    inspection.moment.silver  # noqa: B018 - without it nothing can be said of Gold
    place, moment = inspection.lake.place(table.name), inspection.moment
    if date is None and moment.lacks(table):
        return Finding(check, date, True, f"It is not made at {place} yet: readers have the table before.")
    if date is not None and (basis := moment.basis(table, date)).verified:
        return verified_last(check, date, basis)
    return Finding(check, date, False, f"There is no Delta table at {place}: materialize {table.name}.")
