"""``gold-checks``: run the checks over a range of dates, for people and for CI. Needs no Dagster instance and no engine.

Exit code 0: no error-level check failed; 1: one did; 2: a check could not be worked out, or there was nothing to check.
"""

import argparse
import datetime as dt
import fnmatch
import json
import sys
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import load_dotenv

from gold_assets.checks.catalogue import CHECKS, run
from gold_assets.checks.findings import Check, Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.config import load_settings
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError

_FAILURES_SHOWN = 40


@dataclass
class Report:
    """What the checks found, and why some could not be worked out."""

    findings: list[Finding] = field(default_factory=list)
    not_run: dict[Check, str] = field(default_factory=dict)
    dates: Sequence[dt.date] = ()
    seconds: float = 0.0

    def failed(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if not finding.passed and finding.severity == severity]

    @property
    def exit_code(self) -> int:
        if self.not_run:
            return 2
        return 1 if self.failed("error") else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    try:
        return _main(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
    except Exception:  # an exit code of 1 would say that a check failed
        traceback.print_exc()
    return 2


def _main(arguments: Sequence[str] | None) -> int:
    asked = _parser().parse_args(arguments)
    load_dotenv(Path(".env"))  # as dagster does where it starts
    checks = selected(asked.select)
    settings = load_settings()
    limits = Limits(
        first_date=settings.partitions_start,
        last_date=settings.partitions_end,
        quarantined_share=settings.quarantined_share,
        fresh_by_hour=settings.fresh_by_hour,
    )
    report = examine(Inspection(settings.lake, _dates(asked, limits), limits), checks)
    print(as_text(report, checks))
    if asked.json:
        asked.json.write_text(json.dumps(as_json(report), indent=1, allow_nan=False) + "\n")
    if asked.junit:
        ET.ElementTree(as_junit(report)).write(asked.junit, encoding="utf-8", xml_declaration=True)
    return report.exit_code


def examine(inspection: Inspection, checks: Sequence[Check]) -> Report:
    """Run the checks one by one: one that cannot be worked out does not stop the others."""
    started = time.perf_counter()
    report = Report()
    for check in checks:
        try:
            report.dates = inspection.dates
            if check.by_date and not report.dates:
                report.not_run[check] = "There are no dates to check: neither Silver nor a table has one in the window."
            report.findings += run([check], inspection)
        except UserError as error:
            report.not_run[check] = str(error)
    report.seconds = time.perf_counter() - started
    return report


def selected(patterns: Sequence[str]) -> list[Check]:
    """The checks that a pattern names: ``table``, ``check`` or ``table:check``, with ``*`` for any text; all without one.

    Raises ``UserError`` for a pattern that names none.
    """
    for pattern in patterns:
        if not any(_names(pattern, check) for check in CHECKS):
            known = ", ".join(f"{check.table}:{check.name}" for check in CHECKS)
            raise UserError(f"--select {pattern} names no check, expected a table, a check or table:check of: {known}.")
    return [check for check in CHECKS if not patterns or any(_names(pattern, check) for pattern in patterns)]


def _names(pattern: str, check: Check) -> bool:
    names = (check.table, check.name, f"{check.table}:{check.name}")
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _dates(asked: argparse.Namespace, limits: Limits) -> list[dt.date] | None:
    if asked.first is None and asked.last is None:
        return None
    first, last = asked.first or limits.first_date, asked.last or limits.end
    if last < first:
        raise UserError(
            f"The range of dates is {first} to {last}, which holds none: give --from a date up to that of --to."
        )
    return days(first, last)


def as_text(report: Report, checks: Sequence[Check]) -> str:
    """The report for a terminal: a line for each check, then each failure."""
    lines = [f"{'table':<24}{'check':<26}{'dates':>6}{'failed':>8}"]
    for check in checks:
        found = [finding for finding in report.findings if finding.check is check]
        failed = [finding for finding in found if not finding.passed]
        severities = {finding.severity for finding in failed}
        outcome = "ERROR" if "error" in severities else "WARNING" if severities else "ok"
        if check in report.not_run:
            outcome = "NOT RUN"
        dates = str(len(found)) if check.by_date else "-"
        lines.append(f"{check.table:<24}{check.name:<26}{dates:>6}{len(failed) or '':>8}  {outcome}")
    errors, warnings = report.failed("error"), report.failed("warning")
    for title, failures in (("Errors", errors), ("Warnings", warnings)):
        if failures:
            lines += ["", f"{title}:"]
            lines += [f"  {_label(failure)}: {failure.summary}" for failure in failures[:_FAILURES_SHOWN]]
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
        f"{len(checks)} checks on {range_of_dates} in {report.seconds:.1f} s: {len(errors)} errors, {len(warnings)} warnings"
        + (f", {len(report.not_run)} could not be run" if report.not_run else ""),
    ]
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """The whole report. Money is text, to keep every digit; so are NaN and the infinities, which JSON has not."""
    whole = {
        "exit_code": report.exit_code,
        "seconds": round(report.seconds, 3),
        "dates": [str(date) for date in report.dates],
        "findings": [
            {
                "table": finding.check.table,
                "check": finding.check.name,
                "date": finding.date and str(finding.date),
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
    return json.loads(json.dumps(whole, default=str), parse_constant=str)


def as_junit(report: Report) -> ET.Element:
    """The report as JUnit XML: a case for each finding. A failed warning is a passed case that says so in its output."""
    root = ET.Element("testsuites", name="gold-checks", time=f"{report.seconds:.3f}")
    for table in dict.fromkeys(check.table for check in CHECKS):
        found = [finding for finding in report.findings if finding.check.table == table]
        not_run = {check: reason for check, reason in report.not_run.items() if check.table == table}
        if not found and not not_run:
            continue
        failures = sum(not finding.passed and finding.severity == "error" for finding in found)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=table,
            tests=str(len(found) + len(not_run)),
            failures=str(failures),
            errors=str(len(not_run)),
        )
        for finding in found:
            name = finding.check.name if finding.date is None else f"{finding.check.name}[{finding.date}]"
            case = ET.SubElement(suite, "testcase", classname=table, name=name)
            if not finding.passed and finding.severity == "error":
                ET.SubElement(case, "failure", message=finding.summary).text = _details(finding)
            elif not finding.passed:
                ET.SubElement(case, "system-out").text = f"warning: {finding.summary}\n{_details(finding)}"
        for check, reason in not_run.items():
            case = ET.SubElement(suite, "testcase", classname=table, name=check.name)
            ET.SubElement(case, "error", message=reason)
    return root


def _label(finding: Finding) -> str:
    date = "" if finding.date is None else f" {finding.date}"
    return f"{finding.check.table}:{finding.check.name}{date}"


def _details(finding: Finding) -> str:
    details = json.dumps({"numbers": finding.numbers, "rows": finding.rows}, indent=1, default=str)
    # XML has no place for most control characters.
    return "".join(sign for sign in details if sign >= " " or sign in "\n\t")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gold-checks",
        description="Check Silver, the Gold tables and the quarantine. Where they are is told by the GOLD_ settings.",
        epilog="Exit code: 0 when no error-level check failed, 1 when one did, 2 when one could not be run.",
    )
    parser.add_argument("--from", dest="first", type=_date, metavar="DATE", help="first date; by default the window's")
    parser.add_argument(
        "--to", dest="last", type=_date, metavar="DATE", help="last date, included; by default the window's"
    )
    parser.add_argument(
        "--select",
        nargs="+",
        default=[],
        metavar="NAME",
        help="tables, checks or table:check, with * for any text; by default all",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every finding as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write every finding as JUnit XML")
    return parser


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date, expected one such as 2017-01-31") from None


if __name__ == "__main__":
    sys.exit(main())
