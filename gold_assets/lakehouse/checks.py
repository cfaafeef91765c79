"""The checks of Silver and of the tables made from it: what each says, and how it is worked out. Nothing is ever skipped.

A check that cannot be worked out does not pass: it fails and says why, or ``UserError`` is raised. Those of metadata read
the logs alone; the others compare rows by the SQL of ``reconciliation`` and share what they read. No engine is started.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from gold_assets.engines import SliceBounds
from gold_assets.lakehouse import reconciliation
from gold_assets.lakehouse.changes import SilverChanges, silver_changes
from gold_assets.lakehouse.dates import EVENT_DATE, contiguous
from gold_assets.lakehouse.errors import UserError, reason
from gold_assets.lakehouse.gold_table import declared_fields
from gold_assets.lakehouse.provenance import MadeFrom, made_from
from gold_assets.lakehouse.query import Unreadable
from gold_assets.lakehouse.reconciliation import Comparison, Number, SilverCounts
from gold_assets.lakehouse.refresh import Lake, slices_of
from gold_assets.lakehouse.silver import Silver, pin_silver, type_name
from gold_assets.lakehouse.tables import GOLD_TABLES, QUARANTINED_TXNS, TABLES, Table

SILVER = "silver_transactions"
"""The name under which Silver's own checks go."""

Severity = Literal["error", "warning"]

_DAY = dt.timedelta(days=1)
_SLICE = SliceBounds(rows=4_000_000)
"""How much of Silver is compared at once: what a query holds in memory, however many dates are asked for."""
_ROWS_SHOWN = 20


@dataclass(frozen=True)
class Limits:
    """What the checks hold Gold and Silver against.

    Attributes:
        first_date, last_date: the window of partitions; without a last date it runs up to today.
        quarantined_share: the share of a date's rows above which a warning is raised.
        fresh_by_hour: the hour of the day, UTC, by which yesterday must be there.
        now: the moment of the check, UTC.
    """

    first_date: dt.date
    last_date: dt.date | None = None
    quarantined_share: float = 0.01
    fresh_by_hour: int = 6
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc))

    @property
    def end(self) -> dt.date:
        return self.last_date or self.now.date()


@dataclass(frozen=True)
class Check:
    """One property of a table. ``by_date`` says that every date is judged by itself, else the table as a whole is."""

    table: str
    name: str
    description: str
    by_date: bool
    evaluate: Callable[["Inspection", "Check"], Iterator["Finding"]] = field(repr=False)
    severity: Severity = "error"
    blocking: bool = False


@dataclass(frozen=True)
class Finding:
    """What a check found: for one date, or for the table where ``date`` is None. ``rows`` are examples of what is wrong."""

    check: Check
    date: dt.date | None
    passed: bool
    summary: str
    numbers: Mapping[str, Number | str] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    milder: bool = False
    """That this failure is a warning, though the check's are errors."""

    @property
    def severity(self) -> Severity:
        return "warning" if self.milder else self.check.severity


@dataclass(frozen=True)
class _Basis:
    """What a date is compared with: a version of Silver, and why it is not simply the one that the date was made from."""

    version: int
    doubt: str = ""


class Inspection:
    """The lake at one moment, asked by checks. What is read is read once. Raises ``UserError`` where Silver is not what it must be."""

    def __init__(self, lake: Lake, dates: Collection[dt.date] | None, limits: Limits) -> None:
        self.lake = lake
        self.limits = limits
        self._asked = dates
        # Gold before Silver, so that no Gold comes from a Silver newer than the one at hand.
        self._tables = {table.name: _open(lake.tables[table.name]) for table in TABLES}
        self._silver_versions: dict[int, DeltaTable] = {}
        self._reconciled: dict[str, dict[dt.date | None, _Reconciled]] = defaultdict(dict)
        self._counts: dict[tuple[int, dt.date | None], SilverCounts] = {}

    @cached_property
    def silver(self) -> Silver:
        return pin_silver(self.lake.silver)

    @cached_property
    def dates(self) -> list[dt.date]:
        """The dates asked for; by default all those within the window that Silver or a table has."""
        if self._asked is not None:
            return sorted(set(self._asked))
        known = {date for date in self.silver.rows_by_date() if date is not None}
        for table in self._tables.values():
            if table is not None:
                known |= _dates_with_files(table)
        return sorted(date for date in known if self.limits.first_date <= date <= self.limits.end)

    def gold(self, table: Table) -> DeltaTable | None:
        return self._tables[table.name]

    @cached_property
    def made_from(self) -> Mapping[str, Mapping[dt.date | None, MadeFrom]]:
        """By table, the Silver that each date was made from, where its log tells."""
        return {
            name: {}
            if table is None
            else made_from(table, {*self.dates, *({None} if name == QUARANTINED_TXNS.name else ())})
            for name, table in self._tables.items()
        }

    @cached_property
    def silver_changes(self) -> SilverChanges:
        """Silver's changes since the oldest version that a date was made from."""
        versions = [
            source.silver_version
            for sources in self.made_from.values()
            for source in sources.values()
            if source.silver_table_id == self.silver.table_id
        ]
        return silver_changes(self.silver.table, after=min(versions, default=self.silver.version))

    def basis(self, table: Table, date: dt.date | None) -> _Basis:
        """Silver's newest version where it still holds the rows that the date was made from, else the version it was made from.

        Where that is not known or cannot be read any more, the newest: a date passes only if it is true to one of them.
        """
        newest = self.silver.version
        source = self.made_from[table.name].get(date)
        if source is None:
            return _Basis(newest, "the log does not tell which Silver version it was made from")
        if source.silver_table_id != self.silver.table_id:
            return _Basis(newest, "it was made from another Silver table")
        version = source.silver_version
        if version >= newest or self.silver_changes.changed_after(date, version) is False:
            return _Basis(newest)
        if self._silver_at(version) is None:
            return _Basis(newest, f"Silver version {version}, which it was made from, cannot be opened any more")
        return _Basis(version)

    def counts(self, version: int, dates: Collection[dt.date | None]) -> Mapping[dt.date | None, SilverCounts]:
        """Silver's rows and broken rows by date at ``version``."""
        missing = [date for date in dates if (version, date) not in self._counts]
        silver = self._silver_at(version)
        assert silver is not None
        for part in self._slices(missing):
            undated = None in part
            found = reconciliation.silver_counts(silver, [date for date in part if date is not None], undated=undated)
            self._counts |= {(version, date): found.get(date, SilverCounts()) for date in part}
        return {date: self._counts[version, date] for date in dates}

    def reconcile(self, table: Table, dates: Sequence[dt.date | None]) -> dict[dt.date | None, "_Reconciled"]:
        """Each date of the table beside the Silver it was made from."""
        gold = self.gold(table)
        assert gold is not None
        by_basis: dict[_Basis, list[dt.date | None]] = defaultdict(list)
        for date in dates:
            by_basis[self.basis(table, date)].append(date)
        reconciled: dict[dt.date | None, _Reconciled] = {}
        for basis, together in by_basis.items():
            for part in self._slices(together):
                reconciled |= self._reconcile_slice(table, gold, basis, part)
        self._reconciled[table.name] |= reconciled
        return reconciled

    def _reconcile_slice(
        self, table: Table, gold: DeltaTable, basis: _Basis, part: list[dt.date | None]
    ) -> dict[dt.date | None, "_Reconciled"]:
        try:
            return self._compare(table, gold, basis, part)
        except Unreadable:
            if basis.version == self.silver.version:
                raise
            doubt = f"Silver version {basis.version}, which it was made from, cannot be read any more"
            return self._reconcile_slice(table, gold, _Basis(self.silver.version, doubt), part)

    def _compare(
        self, table: Table, gold: DeltaTable, basis: _Basis, part: list[dt.date | None]
    ) -> dict[dt.date | None, "_Reconciled"]:
        silver = self._silver_at(basis.version)
        assert silver is not None
        counts = self.counts(basis.version, part)
        suspects = part
        if table is QUARANTINED_TXNS:
            # Where nothing is broken and nothing quarantined, there is nothing to compare.
            dates, undated = _split(part)
            held = reconciliation.row_counts(gold, dates, undated=undated)
            suspects = [date for date in part if counts[date].broken or held.get(date)]
        dates, undated = _split(suspects)
        broken = [date for date in dates if counts[date].broken]
        compared: dict[Any, Comparison] = {}
        examples: dict[Any, list[dict[str, Any]]] = {}
        if suspects:
            compared = reconciliation.compare(table, silver, gold, dates, broken, undated=undated)
            differing, undated = _split([date for date, comparison in compared.items() if comparison.differing])
            if differing or undated:
                examples = reconciliation.examples(table, silver, gold, differing, broken, undated=undated)
        nothing = Comparison(dict.fromkeys(reconciliation.TOTALS[table.name], 0), 0)
        return {
            date: _Reconciled(basis, counts[date], compared.get(date, nothing), examples.get(date, [])) for date in part
        }

    def soundness(self, table: Table) -> Mapping[dt.date, Mapping[str, int]]:
        """Gold's rows by date and what is wrong with them; what a comparison came by is not read again."""
        known = {date: found.comparison.soundness for date, found in self._reconciled[table.name].items()}
        if all(date in known for date in self.dates):
            return {date: known[date] for date in self.dates if known[date]}
        gold = self.gold(table)
        assert gold is not None
        return self.by_slices(partial(reconciliation.soundness, table, gold))

    def by_slices(self, ask: Callable[[list[dt.date]], Mapping[Any, Any]]) -> dict[Any, Any]:
        """What ``ask`` answers for all the dates, asked slice by slice."""
        answers: dict[Any, Any] = {}
        for part in self._slices(self.dates):
            answers |= ask(_split(part)[0])
        return answers

    def _slices(self, dates: Sequence[dt.date | None]) -> list[list[dt.date | None]]:
        dated, undated = _split(dates)
        cut: list[list[dt.date | None]] = [list(part) for part in slices_of(dated, self._rows_by_date, _SLICE) if part]
        return [*cut, [None]] if undated else cut

    @cached_property
    def _rows_by_date(self) -> Mapping[dt.date | None, int | None]:
        return self.silver.rows_by_date()

    def _silver_at(self, version: int) -> DeltaTable | None:
        if version == self.silver.version:
            return self.silver.table
        if version not in self._silver_versions:
            try:
                self._silver_versions[version] = DeltaTable(self.lake.silver, version=version)
            except DeltaError:
                return None
        return self._silver_versions[version]


@dataclass(frozen=True)
class _Reconciled:
    basis: _Basis
    silver: SilverCounts
    comparison: Comparison
    examples: list[dict[str, Any]]


def run(checks: Sequence[Check], inspection: Inspection) -> Iterator[Finding]:
    """Every check's findings: one for each of the inspection's dates where the check is by date, else one."""
    for check in checks:
        yield from check.evaluate(inspection, check)


def _schema(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    gold = inspection.gold(table)
    if gold is None:
        yield _not_there(table, inspection, check, None)
        return
    expected = {field.name: type_name(field) for field in declared_fields(table, inspection.silver.fields)}
    own = {column.name for column in table.columns}
    found = {field.name: type_name(field) for field in gold.schema().fields}
    wrong = [
        {"column": name, "expected": type, "found": found.get(name, "nothing")}
        for name, type in expected.items()
        # What Silver has gained since is added by the next refresh.
        if found.get(name) != type and (name in own or name in found)
    ]
    if not table.keeps_silver_columns:
        wrong += [
            {"column": name, "expected": "nothing", "found": found[name]} for name in found if name not in expected
        ]
    partitioned_by = ", ".join(gold.metadata().partition_columns)
    if partitioned_by != EVENT_DATE:
        wrong.append({"column": "(partition)", "expected": EVENT_DATE, "found": partitioned_by or "nothing"})
    yield Finding(
        check,
        None,
        not wrong,
        f"{_count(len(found), 'column')} as declared."
        if not wrong
        else f"{_count(len(wrong), 'column')} not as declared, first {wrong[0]['column']}: expected {wrong[0]['expected']}, "
        f"found {wrong[0]['found']}.",
        {"columns": len(found), "wrong_columns": len(wrong), "table_version": gold.version()},
        wrong,
    )


def _reconciles(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    if inspection.gold(table) is None:
        yield from (_not_there(table, inspection, check, date) for date in inspection.dates)
        return
    reconciled = inspection.reconcile(table, inspection.dates)
    yield from (_reconciliation(table, inspection, check, date, reconciled[date]) for date in inspection.dates)


def _undated_reconcile(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    if inspection.gold(table) is None:
        yield _not_there(table, inspection, check, None)
        return
    yield _reconciliation(table, inspection, check, None, inspection.reconcile(table, [None])[None])


def _reconciliation(
    table: Table, inspection: Inspection, check: Check, date: dt.date | None, found: _Reconciled
) -> Finding:
    numbers: dict[str, Number | str] = {
        "silver_version": found.basis.version,
        "silver_rows": found.silver.rows,
        "silver_valid_rows": found.silver.rows - found.silver.broken,
        "silver_broken_rows": found.silver.broken,
    }
    numbers |= {name: value for name, value in found.comparison.totals.items() if name not in numbers}
    if (source := inspection.made_from[table.name].get(date)) is not None:
        numbers["made_from_silver_version"] = source.silver_version
    what = table.key[0].removesuffix("_id") if table.key else "row"
    numbers[f"{what}s_that_differ"] = found.comparison.differing
    against = f"Silver version {found.basis.version}"
    if found.comparison.differing == 0:
        summary = f"Equal to {against}."
        if table is QUARANTINED_TXNS:
            summary = (
                f"{_count(found.silver.rows, 'Silver row')} = {found.silver.rows - found.silver.broken} valid "
                f"+ {found.silver.broken} quarantined, at version {found.basis.version}."
            )
        if found.basis.doubt:
            summary += f" That is the newest, for {found.basis.doubt}."
    else:
        sides = ", ".join(
            f"{name.removeprefix('silver_')} {value} in Silver and {found.comparison.totals['gold_' + name.removeprefix('silver_')]} in Gold"
            for name, value in found.comparison.totals.items()
            if name.startswith("silver_")
        )
        summary = f"Unequal to {against} in {_count(found.comparison.differing, what)}: {sides}. "
        if found.basis.doubt:
            summary += f"That is the newest, for {found.basis.doubt}. "
        summary += "Materialize the date again." if date else "Materialize any date of the quarantine again."
    return Finding(check, date, found.comparison.differing == 0, summary, numbers, found.examples)


def _sound_rows(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    gold = inspection.gold(table)
    if gold is None:
        yield from (_not_there(table, inspection, check, date) for date in inspection.dates)
        return
    counted = inspection.soundness(table)
    for date in inspection.dates:
        numbers = counted.get(date, {"rows": 0})
        wrong = {name: count for name, count in numbers.items() if name != "rows" and count}
        faults = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in wrong.items())
        summary = (
            f"{faults}, in {_count(numbers['rows'], 'row')}." if wrong else f"Sound: {_count(numbers['rows'], 'row')}."
        )
        yield Finding(check, date, not wrong, summary, numbers)


def _one_silver_version(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    for date in inspection.dates:
        sources = {other.name: inspection.made_from[other.name].get(date) for other in TABLES}
        numbers: dict[str, Number | str] = {
            name: "unknown" if source is None else source.silver_version for name, source in sources.items()
        }
        unknown = [name for name, source in sources.items() if source is None]
        known = [source for source in sources.values() if source is not None]
        versions = {source.silver_version for source in known}
        if unknown:
            passed, summary = False, f"No refresh of {', '.join(unknown)} is in the log: materialize the date again."
        elif len({source.silver_table_id for source in known}) > 1:
            passed, summary = False, "The tables come from different Silver tables: materialize the date again."
        elif len(versions) == 1:
            passed, summary = True, f"All four tables come from Silver version {max(versions)}."
        elif inspection.silver_changes.changed_after(date, min(versions)) is False:
            passed, summary = (
                True,
                f"The tables come from Silver versions that hold the same rows of the date: {_listed(versions)}.",
            )
        else:
            passed = False
            summary = (
                f"The tables come from Silver versions {_listed(versions)}: materialize the date again, all tables."
            )
        yield Finding(check, date, passed, summary, numbers)


def _gold_follows(inspection: Inspection, check: Check) -> Iterator[Finding]:
    behind: dict[dt.date, list[str]] = {}
    for table in TABLES:
        for date in inspection.dates:
            source = inspection.made_from[table.name].get(date)
            if (
                source is None
                or source.silver_table_id != inspection.silver.table_id
                or inspection.silver_changes.changed_after(date, source.silver_version) is not False
            ):
                behind.setdefault(date, []).append(table.name)
    stale = sorted(behind)
    yield Finding(
        check,
        None,
        not stale,
        f"All {len(inspection.dates)} dates looked at hold Silver's newest rows."
        if not stale
        else f"{len(stale)} of {len(inspection.dates)} dates looked at have changed since their Gold was made, "
        f"or are not known to be the same: {_runs(stale)}. Materialize them.",
        {"dates": len(inspection.dates), "dates_behind": len(stale), "silver_version": inspection.silver.version},
        [{EVENT_DATE: date, "tables": ", ".join(behind[date])} for date in stale[:_ROWS_SHOWN]],
    )


def _yesterday_is_there(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    limits = inspection.limits
    today = limits.now.date()
    due = today - _DAY if limits.now.hour >= limits.fresh_by_hour else today - 2 * _DAY
    due = min(due, limits.end)
    gold = inspection.gold(table)
    numbers: dict[str, Number | str] = {"date_due": str(due), "due_by_hour_utc": limits.fresh_by_hour}
    if due < limits.first_date:
        yield Finding(check, None, True, f"The first date, {limits.first_date}, is not due yet.", numbers)
        return
    source = None if gold is None else made_from(gold, [due], not_before=due).get(due)
    if source is None:
        yield Finding(
            check,
            None,
            False,
            f"{due} was due by {limits.fresh_by_hour}:00 UTC and is not there: materialize it.",
            numbers,
        )
        return
    numbers["made_from_silver_version"] = source.silver_version
    yield Finding(check, None, True, f"{due} is there, from Silver version {source.silver_version}.", numbers)


def _quarantined_share(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    gold = inspection.gold(table)
    if gold is None:
        yield from (_not_there(table, inspection, check, date) for date in inspection.dates)
        return
    limit = inspection.limits.quarantined_share
    quarantined = inspection.by_slices(partial(reconciliation.row_counts, gold))
    rows = {date: inspection.basis(table, date).version for date in inspection.dates}
    by_version: dict[int, list[dt.date]] = defaultdict(list)
    for date, version in rows.items():
        by_version[version].append(date)
    counts: dict[dt.date | None, SilverCounts] = {}
    for version, dates in by_version.items():
        try:
            counts |= inspection.counts(version, dates)
        except Unreadable:
            counts |= inspection.counts(inspection.silver.version, dates)
    rules = inspection.by_slices(
        lambda part: reconciliation.broken_rules(gold, part) if any(quarantined.get(date) for date in part) else {}
    )
    for date in inspection.dates:
        held, silver_rows = quarantined.get(date, 0), max(counts[date].rows, quarantined.get(date, 0))
        share = held / silver_rows if silver_rows else 0.0
        broken = rules.get(date, [])
        named = ", ".join(f"{row['rule']} ({row['rows']})" for row in broken)
        summary = f"Quarantined: {held} of {_count(silver_rows, 'row')}, {share:.2%}" + (
            f": {named}." if named else "."
        )
        if share > limit:
            summary += f" More than {limit:.2%} is too many: see the example rows and mend Silver."
        numbers: dict[str, Number | str] = {
            "quarantined_rows": held,
            "silver_rows": silver_rows,
            "quarantined_share": share,
        }
        yield Finding(check, date, share <= limit, summary, numbers, broken)


def _silver_schema(inspection: Inspection, check: Check) -> Iterator[Finding]:
    try:
        silver = inspection.silver
    except UserError as error:
        yield Finding(check, None, False, str(error))
        return
    columns = [{"column": field.name, "type": type_name(field)} for field in silver.fields]
    numbers: dict[str, Number | str] = {"columns": len(columns), "silver_version": silver.version}
    yield Finding(check, None, True, f"Version {silver.version} has every column of the contract.", numbers, columns)


def _dates_in_window(inspection: Inspection, check: Check) -> Iterator[Finding]:
    first, end = inspection.limits.first_date, inspection.limits.end
    dates = inspection.silver.rows_by_date().keys()
    suspects = [date for date in dates if date is None or not first <= date <= end]
    counts: dict[dt.date | None, int] = {}
    if suspects:  # files may be there whose rows are all deleted
        dated, undated = _split(suspects)
        counts = reconciliation.row_counts(inspection.silver.table, dated, undated=undated)
    outside = sorted(date for date in counts if date is not None)
    undated_rows, rows_outside = counts.get(None, 0), sum(counts[date] for date in outside)
    faults = []
    if outside:
        faults.append(
            f"{_count(rows_outside, 'row')} on {_count(len(outside), 'date')} outside the window {first} to {end}: "
            f"{_runs(outside)}; widen it"
        )
    if undated_rows:
        faults.append(f"{_count(undated_rows, 'row')} without a date, kept in the quarantine; mend them in Silver")
    yield Finding(
        check,
        None,
        not faults,
        f"Silver has {'; and '.join(faults)}." if faults else f"All {len(dates)} dates are within {first} to {end}.",
        {
            "dates": len(dates),
            "dates_outside": len(outside),
            "rows_outside": rows_outside,
            "rows_without_date": undated_rows,
        },
        [{EVENT_DATE: date, "rows": counts[date]} for date in outside[:_ROWS_SHOWN]],
        milder=not outside,  # rows without a date are not lost: the quarantine has them
    )


def _no_duplicate_rows(inspection: Inspection, check: Check) -> Iterator[Finding]:
    copies = inspection.by_slices(lambda part: reconciliation.duplicate_rows(inspection.silver.table, part))
    for date in inspection.dates:
        count = copies.get(date, 0)
        summary = (
            f"{_count(count, 'copy').replace('copys', 'copies')} of another row, in every column; each counts."
            if count
            else "No row is there twice."
        )
        yield Finding(check, date, count == 0, summary, {"copies": count, "silver_version": inspection.silver.version})


def _not_there(table: Table, inspection: Inspection, check: Check, date: dt.date | None) -> Finding:
    inspection.silver  # noqa: B018 - without it nothing can be said of Gold
    place = inspection.lake.tables[table.name]
    return Finding(check, date, False, f"There is no Delta table at {place}: materialize {table.name}.")


def _checks_of(table: Table) -> Iterator[Check]:
    yield Check(
        table.name,
        "schema",
        "The columns and their types are the declared ones, with Silver's where the table keeps them; partitioned by event_date."
        if table.keeps_silver_columns
        else "The columns and their types are exactly the declared ones; partitioned by event_date.",
        by_date=False,
        evaluate=partial(_schema, table),
        blocking=True,
    )
    if table.name in reconciliation.RECONCILED:
        yield Check(
            table.name,
            "reconciles",
            {
                True: "Silver's rows of the date are the valid ones and the quarantined ones, row by row.",
                False: "Equal to Silver at the version that the date was made from, by a computation of its own: "
                + ("every key, to the last digit." if table.key else "all the rows it must hold and no other."),
            }[table is QUARANTINED_TXNS],
            by_date=True,
            evaluate=partial(_reconciles, table),
            blocking=True,
        )
    if table is QUARANTINED_TXNS:
        yield Check(
            table.name,
            "undated_rows_reconcile",
            "Silver's rows without an event_date are all here: they belong to no date.",
            by_date=False,
            evaluate=partial(_undated_reconcile, table),
        )
        yield Check(
            table.name,
            "share",
            "The share of the date's rows that is quarantined is within the limit; names the rules broken, an example row each.",
            by_date=True,
            evaluate=partial(_quarantined_share, table),
            severity="warning",
        )
    if table.name in reconciliation.RECONCILED and table in GOLD_TABLES:
        yield Check(
            table.name,
            "sound_rows",
            "The key is unique and not NULL; counts, totals and averages make sense by themselves."
            if table.key
            else "Every row meets the rule: risk_level is high and usage_cost_ratio < 0.2.",
            by_date=True,
            evaluate=partial(_sound_rows, table),
        )
    if table in GOLD_TABLES:
        yield Check(
            table.name,
            "one_silver_version",
            "The Gold tables and the quarantine come from the same Silver version of the date.",
            by_date=True,
            evaluate=partial(_one_silver_version, table),
        )
    yield Check(
        table.name,
        "yesterday_is_there",
        "Yesterday's date has been made by the hour it is due.",
        by_date=False,
        evaluate=partial(_yesterday_is_there, table),
        severity="warning",
    )


GOLD_CHECKS = tuple(check for table in TABLES for check in _checks_of(table))
SILVER_CHECKS = (
    Check(
        SILVER,
        "schema",
        "Silver has every column of the contract, with its type, and is partitioned by event_date.",
        by_date=False,
        evaluate=_silver_schema,
        blocking=True,
    ),
    Check(
        SILVER,
        "dates_in_window",
        "Every row has an event_date within the window of partitions.",
        by_date=False,
        evaluate=_dates_in_window,
    ),
    Check(
        SILVER,
        "no_duplicate_rows",
        "No row is there twice, in every column.",
        by_date=True,
        evaluate=_no_duplicate_rows,
        severity="warning",
    ),
)
GOLD_FOLLOWS = Check(
    SILVER,
    "gold_follows",
    "No date has changed since the tables' was made.",
    by_date=False,
    evaluate=_gold_follows,
    severity="warning",
)
"""Silver's check of the tables: whether what it has changed has reached them."""

CHECKS = (*SILVER_CHECKS, *GOLD_CHECKS, GOLD_FOLLOWS)


def _open(uri: str) -> DeltaTable | None:
    try:
        return DeltaTable(uri)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise UserError(
            f"The table at {uri} cannot be opened ({reason(error)}): see that the place is a Delta table."
        ) from error


def _dates_with_files(table: DeltaTable) -> set[dt.date]:
    return {dt.date.fromisoformat(values[EVENT_DATE]) for values in table.partitions() if values[EVENT_DATE]}


def _split(dates: Collection[dt.date | None]) -> tuple[list[dt.date], bool]:
    return [date for date in dates if date is not None], None in dates


def _runs(dates: Sequence[dt.date], most: int = 5) -> str:
    """The dates as runs, the first few of them."""
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in contiguous(dates)]
    return ", ".join(runs[:most]) + (" and more" if len(runs) > most else "")


def _count(number: Number, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(versions: Collection[int]) -> str:
    return ", ".join(map(str, sorted(versions)))
