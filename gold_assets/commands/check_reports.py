"""What checks have found, as people read it, as JSON, and as JUnit XML."""

import datetime as dt
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gold_assets.checks.findings import EXPLAINED_BY, Check, Finding

_FAILURES_SHOWN = 40


@dataclass
class Report:
    """What the checks found, why some could not be worked out, and whether they hold a publication back that was asked for.

    Of a table that is not there one finding says so, and its other checks are ``without_table``.
    """

    findings: list[Finding] = field(default_factory=list)
    without_table: list[Check] = field(default_factory=list)
    not_run: dict[Check, str] = field(default_factory=dict)
    dates: Sequence[dt.date] = ()
    seconds: float = 0.0
    is_held: bool = False

    def failed(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if not finding.passed and finding.severity == severity]

    @property
    def exit_code(self) -> int:
        if self.not_run:
            return 2
        return 1 if self.failed("error") or self.is_held else 0


def as_text(report: Report, checks: Sequence[Check]) -> str:
    """The report for a terminal: a line for each check, then each failure."""
    lines = [f"{'table':<24}{'check':<26}{'dates':>6}{'failed':>8}"]
    for check in checks:
        found = [finding for finding in report.findings if finding.check is check]
        failed = [finding for finding in found if not finding.passed]
        severities = {finding.severity for finding in failed}
        outcome = "ERROR" if "error" in severities else "WARNING" if severities else "ok"
        if check in report.without_table:
            outcome = "no table"
        if check in report.not_run:
            outcome = "NOT RUN"
        dates = str(len(found)) if check.by_date else "-"
        lines.append(f"{check.table:<24}{check.name:<26}{dates:>6}{len(failed) or '':>8}  {outcome}")
    errors, warnings = report.failed("error"), report.failed("warning")
    for title, failures in (("Errors", errors), ("Warnings", warnings)):
        if failures:
            lines += ["", f"{title}:"]
            lines += [_told(failure) for failure in failures[:_FAILURES_SHOWN]]
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
    root = ET.Element("testsuites", name="gold checks", time=f"{report.seconds:.3f}")
    checked = [*(finding.check for finding in report.findings), *report.not_run]
    for table in dict.fromkeys(check.table for check in checked):
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


def _told(failure: Finding) -> str:
    commands = [row[EXPLAINED_BY] for row in failure.rows if EXPLAINED_BY in row][:1]
    return "\n    ".join(
        [f"  {_label(failure)}: {failure.summary}", *(f"For example: {command}" for command in commands)]
    )


def _label(finding: Finding) -> str:
    date = "" if finding.date is None else f" {finding.date}"
    return f"{finding.check.table}:{finding.check.name}{date}"


def _details(finding: Finding) -> str:
    details = json.dumps({"numbers": finding.numbers, "rows": finding.rows}, indent=1, default=str)
    # XML has no place for most control characters.
    return "".join(sign for sign in details if sign >= " " or sign in "\n\t")
