"""``gold checks``: run the checks over a range of dates, for people and for CI. Needs no Dagster instance and no engine."""

import datetime as dt
import fnmatch
import time
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from pathlib import Path

import click

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Check
from gold_assets.checks.inspection import Inspection, not_there
from gold_assets.checks.publishing import Checked, publish
from gold_assets.commands.check_reports import Report, as_json, as_junit, as_text
from gold_assets.commands.options import (
    FILE,
    Answer,
    dates_from_to,
    first_date,
    lake_of,
    last_date,
    opened,
    sub_command,
)
from gold_assets.config import Settings
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError


@sub_command("checks --from 2026-01-01 --to 2026-01-31 --junit checks.xml", json_help="Write every finding as JSON")
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
@click.option("--junit", type=FILE, metavar="FILE", help="Write every finding as JUnit XML.")
def command(
    settings: Settings,
    first: dt.datetime | None,
    last: dt.datetime | None,
    select: tuple[str, ...],
    publishes: bool,
    junit: Path | None,
) -> Answer:
    """Check Silver, the Gold tables and the quarantine.

    Exit code 0: no error-level check failed; 1: one did, or nothing could be published; 2: a check could not be worked out, or there was nothing to check.
    """
    limits, dates = settings.limits, dates_from_to(first, last, settings.limits) if first or last else None
    if outside := [date for date in dates or () if date not in limits]:
        raise UserError(
            f"--from and --to name {dates_text(outside, 5)}, outside the window {limits.first_date} to {limits.end}: give dates within it, "
            "or widen it by GOLD_PARTITIONS_START and GOLD_PARTITIONS_END."
        )
    report = check_lake(settings, dates, select, publishes=publishes)
    if junit:
        with opened(junit, "--junit") as stream:
            stream.write(ET.tostring(as_junit(report), "utf-8", xml_declaration=True).decode())
    return Answer(lambda: as_text(report), lambda: as_json(report), report.exit_code)


def check_lake(
    settings: Settings,
    dates: Collection[dt.date] | None = None,
    patterns: Sequence[str] = (),
    *,
    publishes: bool = False,
) -> Report:
    """Run the checks that the patterns name on the dates, by default all on all, and publish where asked to."""
    inspection = Inspection(lake_of(settings), dates, settings.limits)
    report = examine(inspection, selected(all_checks(settings.project), patterns))
    if publishes:
        try:
            outcome = publish(inspection.lake, settings.limits, Checked(inspection, report.findings))
            report.is_held, report.publishing = outcome.publication is None or outcome.is_held, outcome.summary
        except UserError as error:  # what was found is told all the same
            report.is_broken, report.publishing = True, str(error)
    return report


def examine(inspection: Inspection, checks: Sequence[Check]) -> Report:
    """Run the checks one by one: one that cannot be worked out does not stop the others."""
    started = time.perf_counter()
    report = Report(checks)
    tables = {table.name: table for table in inspection.lake.tables}
    for check in checks:
        try:
            report.dates = inspection.dates
            if check.table in tables and inspection.gold(tables[check.table]) is None:
                if any(finding.check.table == check.table for finding in report.findings):
                    report.without_table.append(check)
                else:
                    report.findings.append(not_there(tables[check.table], inspection, check, None))
                continue
            if check.by_date and not report.dates:
                report.not_run[check] = "There are no dates to check: neither Silver nor a table has one in the window."
            report.findings += run([check], inspection)
        except UserError as error:
            report.not_run[check] = str(error)
    report.seconds = time.perf_counter() - started
    return report


def selected(checks: Sequence[Check], patterns: Sequence[str]) -> list[Check]:
    """The checks that a pattern names: ``table``, ``check`` or ``table:check``, with ``*`` for any text; all without one.

    Raises ``UserError`` for a pattern that names none.
    """
    names = {check: (check.table, check.name, f"{check.table}:{check.name}") for check in checks}
    wanted: set[Check] = set() if patterns else set(checks)
    for pattern in patterns:
        named = {check for check in checks if fnmatch.filter(names[check], pattern)}
        if not named:
            known = ", ".join(whole for _, _, whole in names.values())
            raise UserError(f"--select {pattern} names no check, expected a table, a check or table:check of: {known}.")
        wanted |= named
    return [check for check in checks if check in wanted]
