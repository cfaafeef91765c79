"""``gold checks``: run the checks over a range of dates, for people and for CI. Needs no Dagster instance and no engine."""

import datetime as dt
import fnmatch
import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import EXPLAINED_BY, Check, Finding
from gold_assets.checks.inspection import Inspection, not_there
from gold_assets.checks.publishing import Checked, publish
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
from gold_assets.delta.errors import UserError, store_failures_told

_FAILURES_SHOWN = 40


@dataclass
class Report:
    """What the checks found, why some could not be worked out, and what became of a publication that was asked for.

    Of a table that is not there one finding says so, and its other checks are ``without_table``. ``publishing_code`` is 1
    where nothing was published because of what was found, 2 where it could not be.
    """

    checks: Sequence[Check]
    findings: list[Finding] = field(default_factory=list)
    without_table: list[Check] = field(default_factory=list)
    not_run: dict[Check, str] = field(default_factory=dict)
    dates: Sequence[dt.date] = ()
    seconds: float = 0.0
    publishing: str = ""
    publishing_code: int = 0

    def failed(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if _outcome(finding) == severity]

    @property
    def exit_code(self) -> int:
        return max(2 if self.not_run else 0, 1 if self.failed("error") else 0, self.publishing_code)


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
            f"or widen it by {settings.setting('partitions_start')} and {settings.setting('partitions_end')}."
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
            report.publishing, report.publishing_code = (
                outcome.summary,
                int(outcome.publication is None or outcome.is_held),
            )
        except UserError as error:  # what was found is told all the same
            report.publishing, report.publishing_code = str(error), 2
    return report


def examine(inspection: Inspection, checks: Sequence[Check]) -> Report:
    """Run the checks one by one: one that cannot be worked out does not stop the others."""
    started = time.perf_counter()
    report = Report(checks)
    for check in checks:
        try:
            _examine(check, inspection, report)
        except UserError as error:
            report.not_run[check] = str(error)
    report.seconds = time.perf_counter() - started
    return report


@store_failures_told()
def _examine(check: Check, inspection: Inspection, report: Report) -> None:
    table = next((table for table in inspection.lake.tables if table.name == check.table), None)
    report.dates = inspection.dates
    if table is not None and inspection.moment.gold(table) is None:
        if any(finding.check.table == check.table for finding in report.findings):
            report.without_table.append(check)
        else:
            report.findings.append(not_there(table, inspection, check, None))
        return
    if check.by_date and not report.dates:
        report.not_run[check] = "There are no dates to check: neither Silver nor a table has one in the window."
    report.findings += run([check], inspection)


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


def _outcome(finding: Finding) -> str:
    return "ok" if finding.passed else finding.severity


def as_text(report: Report) -> str:
    """The report for a terminal: a line for each check, then each failure."""
    rows = [_row(report, check) for check in report.checks]
    sides = ("left", "left", "right", "right", "left")
    headers = ("table", "check", "dates", "failed", "")
    lines = [tabulate(rows, headers, "plain", disable_numparse=True, colalign=sides if rows else None)]
    errors, warnings = report.failed("error"), report.failed("warning")
    for title, failures in (("Errors", errors), ("Warnings", warnings)):
        if failures:
            lines += ["", f"{title}:", *map(_told, failures[:_FAILURES_SHOWN])]
        if len(failures) > _FAILURES_SHOWN:
            lines.append(f"  and {len(failures) - _FAILURES_SHOWN} more; --json and --junit have them all")
    if report.not_run:
        lines += ["", "Not run:"]
        for reason in dict.fromkeys(report.not_run.values()):
            names = [f"{check.table}:{check.name}" for check, why in report.not_run.items() if why == reason]
            lines.append(f"  {', '.join(names)}: {reason}")
    range_of_dates = f"{report.dates[0]} to {report.dates[-1]}" if report.dates else "no dates"
    lines += [
        "",
        f"{len(report.checks)} checks on {range_of_dates} in {report.seconds:.1f} s: {len(errors)} errors, {len(warnings)} warnings"
        + (f", {len(report.not_run)} could not be run" if report.not_run else ""),
        *filter(None, [report.publishing]),
    ]
    return "\n".join(lines)


def _row(report: Report, check: Check) -> tuple[str, ...]:
    found = [finding for finding in report.findings if finding.check is check]
    failed = [_outcome(finding) for finding in found if not finding.passed]
    outcome = "ERROR" if "error" in failed else "WARNING" if failed else "ok"
    if check in report.without_table:
        outcome = "no table"
    if check in report.not_run:
        outcome = "NOT RUN"
    dates = str(len(found)) if check.by_date else "-"
    return check.table, check.name, dates, str(len(failed) or ""), outcome


def as_json(report: Report) -> dict[str, Any]:
    """The whole report. Money is text, to keep every digit; so are NaN and the infinities, which JSON has not."""
    whole = {
        "exit_code": report.exit_code,
        "seconds": round(report.seconds, 3),
        "dates": list(report.dates),
        "findings": [
            {
                "table": finding.check.table,
                "check": finding.check.name,
                "date": finding.date,
                "passed": finding.passed,
                "severity": finding.severity,
                "summary": finding.summary,
                "numbers": dict(finding.numbers),
                "rows": [dict(row) for row in finding.rows],
            }
            for finding in report.findings
        ],
        "not_run": [
            {"table": check.table, "check": check.name, "reason": reason} for check, reason in report.not_run.items()
        ],
    }
    return dict(json.loads(json.dumps(whole, default=str), parse_constant=str))


def as_junit(report: Report) -> ET.Element:
    """The report as JUnit XML: a case for each finding. A failed warning is a passed case that says so in its output."""
    root = ET.Element("testsuites", name="gold checks", time=f"{report.seconds:.3f}")
    for table in dict.fromkeys(check.table for check in report.checks):
        found = [finding for finding in report.findings if finding.check.table == table]
        not_run = {check: reason for check, reason in report.not_run.items() if check.table == table}
        if not found and not not_run:
            continue
        failures = [_outcome(finding) for finding in found].count("error")
        counts = {"tests": len(found) + len(not_run), "failures": failures, "errors": len(not_run)}
        suite = ET.SubElement(root, "testsuite", {"name": table, **{name: str(n) for name, n in counts.items()}})
        for finding in found:
            name = finding.check.name if finding.date is None else f"{finding.check.name}[{finding.date}]"
            case = ET.SubElement(suite, "testcase", classname=table, name=name)
            if _outcome(finding) == "error":
                ET.SubElement(case, "failure", message=finding.summary).text = _details(finding)
            elif not finding.passed:
                ET.SubElement(case, "system-out").text = f"warning: {finding.summary}\n{_details(finding)}"
        for check, reason in not_run.items():
            case = ET.SubElement(suite, "testcase", classname=table, name=check.name)
            ET.SubElement(case, "error", message=reason)
    return root


def _told(failure: Finding) -> str:
    date = "" if failure.date is None else f" {failure.date}"
    command = next((f"\n    For example: {row[EXPLAINED_BY]}" for row in failure.rows if EXPLAINED_BY in row), "")
    return f"  {failure.check.table}:{failure.check.name}{date}: {failure.summary}{command}"


def _details(finding: Finding) -> str:
    details = json.dumps({"numbers": finding.numbers, "rows": finding.rows}, indent=1, default=str)
    # XML has no place for most control characters.
    return "".join(sign for sign in details if sign >= " " or sign in "\n\t")
