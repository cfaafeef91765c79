"""That what Silver has changed has reached the tables, all of them, in time."""

import datetime as dt
from collections.abc import Iterator

from gold_assets.checks.findings import ROWS_SHOWN, Check, Finding, listed
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.second_opinion import Number
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, dates_text
from gold_assets.delta.file_dates import FileDates
from gold_assets.gold.gold_log import GoldLog

_DAY = dt.timedelta(days=1)


def one_silver_version(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    held = {date for other in inspection.lake.tables for date in inspection.held(other)}
    for date in inspection.dates:
        sources = {other.name: inspection.made_from[other.name].get(date) for other in inspection.lake.tables}
        numbers: dict[str, Number | str] = {
            name: "unknown" if source is None else source.silver_version for name, source in sources.items()
        }
        unknown = [name for name, source in sources.items() if source is None]
        open_since: list[str] = []
        if len({source and (source.silver_table_id, source.silver_version) for source in sources.values()}) > 1:
            open_since = [
                other.name
                for other in inspection.lake.tables
                if sources[other.name] and _is_held_against_the_newest(other, date, inspection)
            ]
        known = [source for name, source in sources.items() if source is not None and name not in open_since]
        versions = {source.silver_version for source in known}
        doubt = ""
        if unknown or open_since:  # reconciles compares those with the newest
            versions.add(inspection.silver.version)
            doubts = [f"No refresh of {', '.join(unknown)} is in the log"] if unknown else []
            if open_since:
                doubts.append(f"The logs leave open which rows of Silver are in {', '.join(open_since)}")
            doubt = (
                f" {', and '.join(doubts)}: by reconciles they hold Silver's newest version, "
                f"{inspection.silver.version}, or fail."
            )
        if not any(sources.values()) and date not in held:
            passed, summary, doubt = False, "No refresh of it is in the log, and no table has rows: materialize it.", ""
        elif (
            len({source.silver_table_id for source in known} | ({inspection.silver.table_id} if unknown else set())) > 1
        ):
            passed, summary = False, "The tables come from different Silver tables: materialize the date again."
        elif len(versions) == 1 and len({source.silver_commit for source in known} - {""}) <= 1:
            passed, summary = True, f"All tables come from Silver version {max(versions)}."
        elif (
            not any(map(inspection.silver_changes.foreign, known))
            and inspection.silver_changes.changed_after(date, min(versions)) is False
        ):
            passed, summary = (
                True,
                f"The tables come from Silver versions that hold the same rows of the date: {listed(versions)}.",
            )
        else:
            passed = False
            summary = (
                f"The tables come from Silver versions {listed(versions)}: materialize the date again, all tables."
            )
        yield Finding(check, date, passed, summary + doubt, numbers)


def gold_follows(inspection: Inspection, check: Check) -> Iterator[Finding]:
    behind: dict[dt.date, list[str]] = {}
    unknown: set[dt.date] = set()
    for table in inspection.lake.tables:
        held = inspection.held(table)
        for date in inspection.dates:
            source = inspection.made_from[table.name].get(date)
            if _is_held_against_the_newest(table, date, inspection) and (source is not None or date in held):
                unknown.add(date)
            elif (
                source is None
                or inspection.silver_changes.foreign(source)
                or inspection.silver_changes.changed_after(date, source.silver_version) is not False
            ):
                behind.setdefault(date, []).append(table.name)
    stale = sorted(behind)
    doubt = f" Of {dates_text(unknown, 5)} the logs do not tell: reconciles does." if unknown else ""
    yield Finding(
        check,
        None,
        not stale,
        f"All {len(inspection.dates)} dates looked at hold Silver's newest rows.{doubt}"
        if not stale
        else f"{len(stale)} of {len(inspection.dates)} dates looked at have changed since their Gold was made, "
        f"or are not known to be the same: {dates_text(stale, 5)}. Materialize them.{doubt}",
        {"dates": len(inspection.dates), "dates_behind": len(stale), "silver_version": inspection.silver.version},
        [{EVENT_DATE: date, "tables": ", ".join(behind[date])} for date in stale[:ROWS_SHOWN]],
    )


def yesterday_is_there(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    limits = inspection.limits
    today = limits.now.date()
    due = today - _DAY if limits.now.hour >= limits.fresh_by_hour else today - 2 * _DAY
    due = min(due, limits.end)
    gold = inspection.gold(table)
    numbers: dict[str, Number | str] = {"date_due": str(due), "due_by_hour_utc": limits.fresh_by_hour}
    if due < limits.first_date:
        yield Finding(check, None, True, f"The first date, {limits.first_date}, is not due yet.", numbers)
        return
    is_there = gold is not None and (
        due in FileDates(gold).dates() or due in GoldLog(gold).made_from([due])
    )  # empty, too
    yield Finding(
        check,
        None,
        is_there,
        f"{due} is there."
        if is_there
        else f"{due} was due by {limits.fresh_by_hour}:00 UTC and is not there: materialize it.",
        numbers,
    )


def _is_held_against_the_newest(table: Table, date: dt.date, inspection: Inspection) -> bool:
    """Whether reconciles tells what the logs do not: which rows of Silver the date holds."""
    source = inspection.made_from[table.name].get(date)
    return (
        inspection.leaves_open(table, date, source)
        and inspection.basis(table, date).version == inspection.silver.version
    )
