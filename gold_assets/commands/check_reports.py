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
    """What the checks found, why some could not be worked out, and what became of a publication that was asked for.

    Of a table that is not there one finding says so, and its other checks are ``without_table``. ``is_held`` says that nothing
    was published because of what was found, ``is_broken`` that it could not be.
    """

    checks: Sequence[Check]
    findings: list[Finding] = field(default_factory=list)
    without_table: list[Check] = field(default_factory=list)
    not_run: dict[Check, str] = field(default_factory=dict)
    dates: Sequence[dt.date] = ()
    seconds: float = 0.0
    publishing: str = ""
    is_held: bool = False
    is_broken: bool = False

    def failed(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if _outcome(finding) == severity]

    @property
    def exit_code(self) -> int:
        if self.not_run or self.is_broken:
            return 2
        return 1 if self.failed("error") or self.is_held else 0


def _outcome(finding: Finding) -> str:
    return "ok" if finding.passed else finding.severity


def as_text(report: Report) -> str:
    """The report for a terminal: a line for each check, then each failure."""
    lines = [f"{'table':<24}{'check':<26}{'dates':>6}{'failed':>8}", *(_line(report, check) for check in report.checks)]
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


def _line(report: Report, check: Check) -> str:
    found = [finding for finding in report.findings if finding.check is check]
    failed = [_outcome(finding) for finding in found if not finding.passed]
    outcome = "ERROR" if "error" in failed else "WARNING" if failed else "ok"
    if check in report.without_table:
        outcome = "no table"
    if check in report.not_run:
        outcome = "NOT RUN"
    dates = str(len(found)) if check.by_date else "-"
    return f"{check.table:<24}{check.name:<26}{dates:>6}{len(failed) or '':>8}  {outcome}"


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
