"""That the rows of the tables, and of Silver, are what they must be."""

import datetime as dt
from collections.abc import Iterator

from gold_assets.checks import second_opinion
from gold_assets.checks.findings import EXPLAINED_BY, ROWS_SHOWN, Check, Finding, explaining_command
from gold_assets.checks.inspection import Inspection, Reconciled
from gold_assets.checks.pairs import gold_view
from gold_assets.checks.second_opinion import Number
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, dates_text
from gold_assets.delta.plural import plural

COMPARED_IN_FULL = "in full"
COMPARED_PATCH = "the newest patch"


def reconciles(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    reconciled = inspection.reconcile(table, inspection.dates)
    yield from (_reconciliation(table, inspection, check, date, reconciled[date]) for date in inspection.dates)


def undated_reconcile(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    yield _reconciliation(table, inspection, check, None, inspection.reconcile(table, [None])[None])


def _reconciliation(
    table: Table, inspection: Inspection, check: Check, date: dt.date | None, found: Reconciled
) -> Finding:
    gold = inspection.gold(table)
    assert gold is not None
    rows = "new_silver" if found.patch else "silver"
    numbers: dict[str, Number | str] = {
        "compared": COMPARED_PATCH if found.patch else COMPARED_IN_FULL,
        "table_version": gold.version(),
        "silver_version": found.basis.version,
        f"{rows}_rows": found.silver.rows,
        f"{rows}_valid_rows": found.silver.rows - found.silver.broken,
        f"{rows}_broken_rows": found.silver.broken,
    }
    numbers |= {name: value for name, value in found.comparison.totals.items() if name not in numbers}
    if (source := inspection.moment.made_from(table, [date]).get(date)) is not None:
        numbers["made_from_silver_version"] = source.silver_version
    what = table.what
    numbers[f"{what}s_that_differ"] = found.comparison.differing
    against = _what_gold_is_held_against(found)
    if found.comparison.differing == 0:
        summary = f"Equal to {against}."
        if table.is_quarantine and found.patch is None:
            summary = (
                f"{plural(found.silver.rows, 'Silver row')} = {found.silver.rows - found.silver.broken} valid "
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
        summary = f"Unequal to {against} in {plural(found.comparison.differing, what)}: {sides}. "
        if found.basis.doubt:
            summary += f"That is the newest, for {found.basis.doubt}. "
        summary += "Materialize the date again." if date else "Materialize any date of the quarantine again."
    examples = [{**row, EXPLAINED_BY: explaining_command(table, date, row)} for row in found.examples]
    return Finding(check, date, found.comparison.differing == 0, summary, numbers, examples, columns_without_values=())


def _what_gold_is_held_against(found: Reconciled) -> str:
    if (patch := found.patch) is None:
        return f"Silver version {found.basis.version}"
    return (
        f"Gold before the newest patch and the {plural(found.silver.rows, 'row')} that Silver gained after version "
        f"{patch.since}, up to {patch.to}"
    )


def sound_rows(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    counted = inspection.soundness(table)
    for date in inspection.dates:
        numbers = counted.get(date, {"rows": 0})
        wrong = {name: count for name, count in numbers.items() if name != "rows" and count}
        faults = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in wrong.items())
        summary = (
            f"{faults}, in {plural(numbers['rows'], 'row')}." if wrong else f"Sound: {plural(numbers['rows'], 'row')}."
        )
        yield Finding(check, date, not wrong, summary, numbers)


def quarantined_share(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    gold = inspection.gold(table)
    assert gold is not None
    limit = inspection.limits.quarantined_share
    quarantined = inspection.by_slices(lambda part: second_opinion.row_counts(gold_view(gold, part)))
    rows = inspection.silver_rows(table)
    rules = inspection.by_slices(
        lambda part: (
            second_opinion.broken_rules(table, gold, part) if any(quarantined.get(date) for date in part) else {}
        )
    )
    for date in inspection.dates:
        held, silver_rows = quarantined.get(date, 0), max(rows[date], quarantined.get(date, 0))
        share = held / silver_rows if silver_rows else 0.0
        broken = rules.get(date, [])
        named = ", ".join(f"{row['rule']} ({row['rows']})" for row in broken)
        summary = f"Quarantined: {held} of {plural(silver_rows, 'row')}, {share:.2%}" + (
            f": {named}." if named else "."
        )
        if share > limit:
            summary += f" More than {limit:.2%} is too many: see the example rows and mend Silver."
        numbers: dict[str, Number | str] = {
            "quarantined_rows": held,
            "silver_rows": silver_rows,
            "quarantined_share": share,
        }
        yield Finding(check, date, share <= limit, summary, numbers, broken, columns_without_values=("rule", "rows"))


def dates_in_window(inspection: Inspection, check: Check) -> Iterator[Finding]:
    first, end = inspection.limits.first_date, inspection.limits.end
    dates = inspection.moment.silver.dates()
    suspects = [date for date in dates if date is None or not first <= date <= end]
    counts: dict[dt.date | None, int] = {}
    if suspects:  # files may be there whose rows are all deleted
        counts = second_opinion.row_counts(inspection.moment.silver.view(suspects))
    outside = sorted(date for date in counts if date is not None)
    undated_rows, rows_outside = counts.get(None, 0), sum(counts[date] for date in outside)
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
        {
            "dates": len(dates),
            "dates_outside": len(outside),
            "rows_outside": rows_outside,
            "rows_without_date": undated_rows,
        },
        [{EVENT_DATE: date, "rows": counts[date]} for date in outside[:ROWS_SHOWN]],
        milder=not outside,  # rows without a date are not lost: the quarantine has them
    )


def no_duplicate_rows(inspection: Inspection, check: Check) -> Iterator[Finding]:
    copies = inspection.by_slices(lambda part: second_opinion.duplicate_rows(inspection.moment.silver, part))
    for date in inspection.dates:
        count = copies.get(date, 0)
        summary = (
            f"{plural(count, 'copy')} of another row, in every column; each counts."
            if count
            else "No row is there twice."
        )
        yield Finding(
            check, date, count == 0, summary, {"copies": count, "silver_version": inspection.moment.silver.version}
        )
