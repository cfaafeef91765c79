"""Every check there is, by table. Nothing is ever skipped.

A check that cannot be worked out does not pass: it fails and says why, or ``UserError`` is raised. Those of metadata read
the logs alone; the others compare rows by the SQL of ``second_opinion`` and share what they read. No engine is started.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gold_assets.checks import freshness, rows, schemas
from gold_assets.checks.findings import Check, Finding
from gold_assets.checks.inspection import Inspection, not_there
from gold_assets.declaring.project import Project
from gold_assets.declaring.source import Source
from gold_assets.declaring.table import Table

OfTable = Callable[[Table, Inspection, Check], Iterator[Finding]]

RECONCILES = "reconciles"
"""The check that compares a date with Silver."""


def run(checks: Sequence[Check], inspection: Inspection) -> Iterator[Finding]:
    """Every check's findings: one for each of the inspection's dates where the check is by date, else one."""
    for check in checks:
        yield from check.evaluate(inspection, check)


def _where_there(evaluate: OfTable, table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    if inspection.gold(table) is not None:
        return evaluate(table, inspection, check)
    return (not_there(table, inspection, check, date) for date in (inspection.dates if check.by_date else [None]))


def _checks_of(table: Table) -> Iterator[Check]:
    yield Check(
        table.name,
        "schema",
        "The columns and their types are the declared ones, with Silver's where the table keeps them; partitioned by event_date."
        if table.keeps_source_columns
        else "The columns and their types are exactly the declared ones; partitioned by event_date.",
        by_date=False,
        evaluate=partial(_where_there, schemas.schema, table),
        blocking=True,
    )
    compared = "every key, to the last digit." if table.key else "all the rows it must hold and no other."
    yield Check(
        table.name,
        RECONCILES,
        "Silver's rows of the date are the valid ones and the quarantined ones, row by row."
        if table.is_quarantine
        else f"Equal to Silver at the version that the date was made from, by a computation of its own: {compared}",
        by_date=True,
        evaluate=partial(_where_there, rows.reconciles, table),
        blocking=True,
    )
    if table.is_quarantine:
        yield Check(
            table.name,
            "undated_rows_reconcile",
            "Silver's rows without an event_date are all here: they belong to no date.",
            by_date=False,
            evaluate=partial(_where_there, rows.undated_reconcile, table),
        )
        yield Check(
            table.name,
            "share",
            "The share of the date's rows that is quarantined is within the limit; names the rules broken, an example row each.",
            by_date=True,
            evaluate=partial(_where_there, rows.quarantined_share, table),
            severity="warning",
        )
    if table.has_invariants:
        yield Check(
            table.name,
            "sound_rows",
            "The key is unique and not NULL; counts, totals and averages make sense by themselves."
            if table.key
            else f"Every row meets the rule: {' and '.join(table.select.conditions())}.",
            by_date=True,
            evaluate=partial(_where_there, rows.sound_rows, table),
        )
    if not table.is_quarantine:
        yield Check(
            table.name,
            "one_silver_version",
            "The Gold tables and the quarantine come from the same Silver version of the date.",
            by_date=True,
            evaluate=partial(freshness.one_silver_version, table),
        )
    yield Check(
        table.name,
        "yesterday_is_there",
        "Yesterday's date has been made by the hour it is due.",
        by_date=False,
        evaluate=partial(freshness.yesterday_is_there, table),
        severity="warning",
    )


def gold_checks(tables: Sequence[Table]) -> tuple[Check, ...]:
    """The checks of the tables themselves."""
    return tuple(check for table in tables for check in _checks_of(table))


def silver_checks(source: Source) -> tuple[Check, ...]:
    """The checks of Silver by itself."""
    return (
        Check(
            source.asset,
            "schema",
            "Silver has every column of the contract, with a type that it takes.",
            by_date=False,
            evaluate=schemas.silver_schema,
            blocking=True,
        ),
        Check(
            source.asset,
            "dates_in_window",
            "Every row has an event_date within the window of partitions.",
            by_date=False,
            evaluate=rows.dates_in_window,
        ),
        Check(
            source.asset,
            "no_duplicate_rows",
            "No row is there twice, in every column.",
            by_date=True,
            evaluate=rows.no_duplicate_rows,
            severity="warning",
        ),
    )


def gold_follows(source: Source) -> Check:
    """Silver's check of the tables: whether what it has changed has reached them."""
    return Check(
        source.asset,
        "gold_follows",
        "No date has changed since the tables' was made.",
        by_date=False,
        evaluate=freshness.gold_follows,
        severity="warning",
    )


def all_checks(project: Project) -> tuple[Check, ...]:
    """Every check of Silver and of the tables."""
    return (*silver_checks(project.source), *gold_checks(project.tables), gold_follows(project.source))
