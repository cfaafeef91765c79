"""That the rows of the tables, and of Silver, are what they must be."""

import datetime as dt
from collections.abc import Iterator

from gold_assets.checks import second_opinion
from gold_assets.checks.findings import EXPLAINED_BY, ROWS_SHOWN, Check, Finding, explaining_command
from gold_assets.checks.inspection import Inspection, Reconciled, verified_last, where_it_has_its_columns
from gold_assets.checks.pairs import gold_view
from gold_assets.checks.second_opinion import Number
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, dates_text
from gold_assets.delta.plural import plural

COMPARED_IN_FULL = "in full"
COMPARED_PATCH = "the newest patch"


@where_it_has_its_columns
def reconciles(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    reconciled = inspection.reconcile(table, inspection.dates)
    yield from (_reconciliation(table, inspection, check, date, reconciled[date]) for date in inspection.dates)


@where_it_has_its_columns
def undated_rows_reconcile(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    yield _reconciliation(table, inspection, check, None, inspection.reconcile(table, [None])[None])


def _reconciliation(
    table: Table, inspection: Inspection, check: Check, date: dt.date | None, found: Reconciled
) -> Finding:
    if found.basis.verified:
        return verified_last(check, date, found.basis)
    compared, silver, rows = found.comparison, found.silver, "new_silver" if found.patch else "silver"
    numbers: dict[str, Number | str] = {
        "compared": COMPARED_PATCH if found.patch else COMPARED_IN_FULL,
        "table_version": inspection.moment.log(table).table.version(),
        "silver_version": found.basis.version,
        f"{rows}_rows": silver.rows,
        f"{rows}_valid_rows": silver.rows - silver.broken,
        f"{rows}_broken_rows": silver.broken,
    }
    numbers |= {name: value for name, value in compared.totals.items() if name not in numbers}
    if (source := inspection.moment.made_from(table, [date]).get(date)) is not None:
        numbers["made_from_silver_version"] = source.silver_version
    numbers[f"{table.what}s_that_differ"] = compared.differing
    against, doubt = f"Silver version {found.basis.version}", ""
    if patch := found.patch:
        gained = f"the {plural(silver.rows, 'row')} that Silver gained after version {patch.since}, up to {patch.to}"
        if patch.keys is not None:
            of_keys = f"the {plural(patch.keys, 'key')} that it may have changed after version {patch.since}"
            gained = f"the {plural(silver.rows, 'row')} that Silver has, at version {patch.to}, of {of_keys}"
        against = f"Gold before the newest patch and {gained}"
    if found.basis.doubt:
        doubt = f" That is the newest, for {found.basis.doubt}."
    if compared.differing:
        sides = ", ".join(
            f"{name} {compared.totals[f'silver_{name}']} in Silver and {compared.totals[f'gold_{name}']} in Gold"
            for name in (side.removeprefix("silver_") for side in compared.totals if side.startswith("silver_"))
        )
        again = "Materialize the date again." if date else "Materialize any date of the quarantine again."
        summary = f"Unequal to {against} in {plural(compared.differing, table.what)}: {sides}.{doubt} {again}"
    elif table.is_quarantine and not found.patch:
        counted = (
            f"{plural(silver.rows, 'Silver row')} = {silver.rows - silver.broken} valid + {silver.broken} quarantined"
        )
        summary = f"{counted}, at version {found.basis.version}.{doubt}"
    else:
        summary = f"Equal to {against}.{doubt}"
    examples = [{**row, EXPLAINED_BY: explaining_command(table, date, row)} for row in found.examples]
    return Finding(check, date, not compared.differing, summary, numbers, examples, columns_without_values=())


@where_it_has_its_columns
def sound_rows(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    moment = inspection.moment
    older = {date: moment.basis(table, date) for date in inspection.dates if moment.older_version(table, date)}
    verified = {date: basis for date, basis in older.items() if basis.verified}
    counted = inspection.soundness(table, [date for date in inspection.dates if date not in verified])
    for date in inspection.dates:
        if date in verified:
            yield verified_last(check, date, verified[date])
            continue
        numbers = counted.get(date, {"rows": 0})
        wrong = {name: count for name, count in numbers.items() if name != "rows" and count}
        faults = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in wrong.items())
        rows = plural(numbers["rows"], "row")
        yield Finding(check, date, not wrong, f"{faults}, in {rows}." if wrong else f"Sound: {rows}.", numbers)


@where_it_has_its_columns
def share(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    gold, limit = inspection.moment.log(table).table, inspection.limits.quarantined_share
    quarantined = inspection.by_slices(lambda part: second_opinion.row_counts(gold_view(gold, part)))
    rows = inspection.silver_rows(table)
    rules = inspection.by_slices(
        lambda part: (
            second_opinion.broken_rules(table, gold, part) if any(quarantined.get(date) for date in part) else {}
        )
    )
    for date in inspection.dates:
        held, broken = quarantined.get(date, 0), rules.get(date, [])
        silver_rows = max(rows[date], held)
        of_all = held / silver_rows if silver_rows else 0.0
        named = ", ".join(f"{row['rule']} ({row['rows']})" for row in broken)
        summary = f"Quarantined: {held} of {plural(silver_rows, 'row')}, {of_all:.2%}{named and f': {named}'}."
        if of_all > limit:
            summary += f" More than {limit:.2%} is too many: see the example rows and mend Silver."
        numbers = {"quarantined_rows": held, "silver_rows": silver_rows, "quarantined_share": of_all}
        yield Finding(check, date, of_all <= limit, summary, numbers, broken, columns_without_values=("rule", "rows"))


def dates_in_window(inspection: Inspection, check: Check) -> Iterator[Finding]:
    first, end = inspection.limits.first_date, inspection.limits.end
    dates = inspection.moment.silver.file_dates.dates()
    suspects = [date for date in dates if date is None or not first <= date <= end]
    counts: dict[dt.date | None, int] = {}
    if suspects:  # files may be there whose rows are all deleted
        counts = second_opinion.row_counts(inspection.moment.silver.view(suspects))
    outside = sorted(date for date in counts if date is not None)
    undated_rows, rows_outside = counts.get(None, 0), sum(counts[date] for date in outside)
    numbers = {"dates": len(dates), "dates_outside": len(outside)}
    numbers |= {"rows_outside": rows_outside, "rows_without_date": undated_rows}
    faults = []
    if outside:
        faults.append(
            f"{plural(rows_outside, 'row')} on {plural(len(outside), 'date')} outside the window {first} to {end}: "
            f"{dates_text(outside, 5)}; widen it"
        )
    if undated_rows:
        faults.append(f"{plural(undated_rows, 'row')} without a date, kept in the quarantine; mend them in Silver")
    yield Finding(
        check,
        None,
        not faults,
        f"Silver has {'; and '.join(faults)}." if faults else f"All {len(dates)} dates are within {first} to {end}.",
        numbers,
        [{EVENT_DATE: date, "rows": counts[date]} for date in outside[:ROWS_SHOWN]],
        milder=not outside,  # rows without a date are not lost: the quarantine has them
    )


def no_duplicate_rows(inspection: Inspection, check: Check) -> Iterator[Finding]:
    copies = inspection.by_slices(lambda part: second_opinion.duplicate_rows(inspection.moment.silver, part))
    for date in inspection.dates:
        count, summary = copies.get(date, 0), "No row is there twice."
        if count:
            summary = f"{plural(count, 'copy')} of another row, in every column; each counts."
        numbers = {"copies": count, "silver_version": inspection.moment.silver.version}
        yield Finding(check, date, not count, summary, numbers)
