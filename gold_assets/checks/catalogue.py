"""Every check there is, by table. Nothing is ever skipped.

A check that cannot be worked out does not pass: it fails and says why, or ``UserError`` is raised. Those of metadata read
the logs alone; the others compare rows by the SQL of ``second_opinion`` and share what they read. No engine is started.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from gold_assets.checks import freshness, rows, schemas
from gold_assets.checks.findings import Check, Finding
from gold_assets.checks.inspection import Inspection, OfTable
from gold_assets.declaring.project import Project
from gold_assets.declaring.source import Source
from gold_assets.declaring.table import Table

RECONCILES = "reconciles"
"""The check that compares a date with Silver."""


def run(checks: Sequence[Check], inspection: Inspection) -> Iterator[Finding]:
    """Every check's findings: one for each of the inspection's dates where the check is by date, else one."""
    for check in checks:
        yield from check.evaluate(inspection, check)


def _checks_of(table: Table) -> Iterator[Check]:
    def check(evaluate: OfTable, description: str, **how: Any) -> Check:
        return Check(table.name, evaluate.__name__, description, evaluate=partial(evaluate, table), **how)

    declared = "the declared ones, with Silver's where the table keeps them"
    if not table.keeps_source_columns:
        declared = "exactly the declared ones"
    yield check(
        schemas.schema, f"The columns and their types are {declared}; partitioned by event_date.", blocking=True
    )
    compared = "every key, to the last digit." if table.key else "all the rows it must hold and no other."
    yield check(
        rows.reconciles,
        "Silver's rows of the date are the valid ones and the quarantined ones, row by row."
        if table.is_quarantine
        else f"Equal to Silver at the version that the date was made from, by a computation of its own: {compared}",
        by_date=True,
        blocking=True,
    )
    if table.is_quarantine:
        yield check(
            rows.undated_rows_reconcile, "Silver's rows without an event_date are all here: they belong to no date."
        )
        yield check(
            rows.share,
            "The share of the date's rows that is quarantined is within the limit; names the rules broken, an example row each.",
            by_date=True,
            severity="warning",
        )
    if table.has_invariants:
        yield check(
            rows.sound_rows,
            "The key is unique and not NULL; counts, totals and averages make sense by themselves."
            if table.key
            else f"Every row meets the rule: {' and '.join(table.select.conditions())}.",
            by_date=True,
        )
    if not table.is_quarantine:
        yield check(
            freshness.one_silver_version,
            "The Gold tables and the quarantine come from the same Silver version of the date.",
            by_date=True,
        )
    yield check(
        freshness.yesterday_is_there, "Yesterday's date has been made by the hour it is due.", severity="warning"
    )


def gold_checks(tables: Sequence[Table]) -> tuple[Check, ...]:
    """The checks of the tables themselves."""
    return tuple(check for table in tables for check in _checks_of(table))


def silver_checks(source: Source) -> tuple[Check, ...]:
    """The checks of Silver by itself."""
    check = partial(Check, source.asset)
    contract = "Silver has every column of the contract, with a type that it takes."
    window = "Every row has an event_date within the window of partitions."
    copies = "No row is there twice, in every column."
    return (
        check("schema", contract, evaluate=schemas.silver_schema, blocking=True),
        check("dates_in_window", window, evaluate=rows.dates_in_window),
        check("no_duplicate_rows", copies, evaluate=rows.no_duplicate_rows, by_date=True, severity="warning"),
    )


def following_checks(source: Source) -> tuple[Check, ...]:
    """Silver's checks of the tables: whether what it has changed has reached them, and whether a person is to decide."""
    follows = "No date has changed since the tables' was made."
    held = (
        "Gold follows Silver on the date: it neither lost nor gained so many rows that a person must decide, nor is it sealed "
        "and has changed, which is a warning."
    )
    check = partial(Check, source.asset)
    return (
        check("gold_follows", follows, evaluate=freshness.gold_follows, severity="warning"),
        check(freshness.NOTHING_IS_HELD, held, evaluate=freshness.nothing_is_held, by_date=True),
    )


def all_checks(project: Project) -> tuple[Check, ...]:
    """Every check of Silver and of the tables."""
    return (*silver_checks(project.source), *gold_checks(project.tables), *following_checks(project.source))
