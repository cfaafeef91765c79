"""``gold checks``: run the checks over a range of dates, for people and for CI. Needs no Dagster instance and no engine."""

import datetime as dt
import fnmatch
import sys
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from pathlib import Path

import click

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Check, Limits
from gold_assets.checks.inspection import Inspection, not_there
from gold_assets.checks.publishing import Checked, publish
from gold_assets.commands.check_reports import Report, as_json, as_junit, as_text
from gold_assets.commands.questions import FILE, dates_from_to, first_date, lake_of, last_date, write_json
from gold_assets.config import Settings, default_project, load_settings
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError


@click.command(epilog="Example: gold checks --from 2026-01-01 --to 2026-01-31 --junit checks.xml")
@first_date
@last_date
@click.option(
    "--select",
    multiple=True,
    metavar="NAME",
    help="A table, a check or table:check, with * for any text; may be given again; by default all.",
)
@click.option(
    "--publish",
    "publishes",
    is_flag=True,
    help="Then compare whatever else has changed since the last publication, and publish all tables where nothing failed.",
)
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write every finding as JSON.")
@click.option("--junit", "junit_file", type=FILE, metavar="FILE", help="Write every finding as JUnit XML.")
def command(
    first: dt.datetime | None,
    last: dt.datetime | None,
    select: tuple[str, ...],
    publishes: bool,
    json_file: Path | None,
    junit_file: Path | None,
) -> None:
    """Check Silver, the Gold tables and the quarantine.

    Exit code 0: no error-level check failed; 1: one did, or nothing could be published; 2: a check could not be worked out, or there was nothing to check.
    """
    try:
        settings = load_settings(default_project())
        dates = dates_from_to(first, last, settings.limits)
        _refuse_outside(dates or (), settings.limits)
        report = check_lake(settings, dates, select, publishes=publishes)
        if json_file:
            write_json(json_file, as_json(report))
        if junit_file:
            ET.ElementTree(as_junit(report)).write(junit_file, encoding="utf-8", xml_declaration=True)
    except UserError as error:
        click.echo(error, err=True)
        sys.exit(2)
    except Exception:  # an exit code of 1 would say that a check failed
        traceback.print_exc()
        sys.exit(2)
    sys.exit(report.exit_code)


def check_lake(
    settings: Settings,
    dates: Collection[dt.date] | None = None,
    patterns: Sequence[str] = (),
    *,
    publishes: bool = False,
) -> Report:
    """Run the checks that the patterns name on the dates, by default all on all, print what they find, and publish where asked to."""
    checks = selected(all_checks(settings.tables), patterns)
    inspection = Inspection(lake_of(settings), dates, settings.limits)
    report = examine(inspection, checks)
    click.echo(as_text(report, checks))
    if publishes:
        outcome = publish(inspection.lake, settings.limits, Checked(inspection, report.findings))
        report.is_held = outcome.publication is None or outcome.is_held
        click.echo(outcome.summary)
    return report


def examine(inspection: Inspection, checks: Sequence[Check]) -> Report:
    """Run the checks one by one: one that cannot be worked out does not stop the others."""
    started = time.perf_counter()
    report = Report()
    tables = {table.name: table for table in inspection.lake.tables}
    told: set[str] = set()
    for check in checks:
        try:
            report.dates = inspection.dates
            if check.table in tables and inspection.gold(tables[check.table]) is None:
                if check.table in told:
                    report.without_table.append(check)
                else:
                    told.add(check.table)
                    report.findings.append(not_there(tables[check.table], inspection, check, None))
                continue
            if check.by_date and not report.dates:
                report.not_run[check] = "There are no dates to check: neither Silver nor a table has one in the window."
            report.findings += run([check], inspection)
        except UserError as error:
            report.not_run[check] = str(error)
    report.seconds = time.perf_counter() - started
    return report


def _refuse_outside(dates: Collection[dt.date], limits: Limits) -> None:
    if outside := [date for date in dates if not limits.first_date <= date <= limits.end]:
        raise UserError(
            f"--from and --to name {dates_text(outside, 5)}, outside the window {limits.first_date} to {limits.end}: give dates within it, "
            "or widen it by GOLD_PARTITIONS_START and GOLD_PARTITIONS_END."
        )


def selected(checks: Sequence[Check], patterns: Sequence[str]) -> list[Check]:
    """The checks that a pattern names: ``table``, ``check`` or ``table:check``, with ``*`` for any text; all without one.

    Raises ``UserError`` for a pattern that names none.
    """
    for pattern in patterns:
        if not any(_names(pattern, check) for check in checks):
            known = ", ".join(f"{check.table}:{check.name}" for check in checks)
            raise UserError(f"--select {pattern} names no check, expected a table, a check or table:check of: {known}.")
    return [check for check in checks if not patterns or any(_names(pattern, check) for pattern in patterns)]


def _names(pattern: str, check: Check) -> bool:
    names = (check.table, check.name, f"{check.table}:{check.name}")
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)
