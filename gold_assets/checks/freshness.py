"""That what Silver has changed has reached the tables, all of them, in time."""

import datetime as dt
from collections.abc import Iterator, Sequence

from gold_assets.checks.findings import ROWS_SHOWN, Check, Finding, listed
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.second_opinion import Number
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, dates_text
from gold_assets.gold.held import held_date
from gold_assets.gold.moment import Moment
from gold_assets.gold.provenance import MadeFrom

_DAY = dt.timedelta(days=1)

NOTHING_IS_HELD = "nothing_is_held"


def one_silver_version(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    moment, tables = inspection.moment, inspection.lake.tables
    made = {other.name: moment.made_from(other, inspection.dates) for other in tables}
    held = set().union(*map(moment.held, tables))
    for date in inspection.dates:
        sources = {name: of_table.get(date) for name, of_table in made.items()}
        numbers: dict[str, Number | str] = {
            name: "unknown" if source is None else source.silver_version for name, source in sources.items()
        }
        if not any(sources.values()) and date not in held:
            yield Finding(
                check, date, False, "No refresh of it is in the log, and no table has rows: materialize it.", numbers
            )
            continue
        if kept := [other.name for other in tables if moment.hold(other, date) is not None]:
            # Others may have followed: a run was killed between two tables, and Silver has changed the date again.
            told = f"{', '.join(kept)} keep what they have, as {NOTHING_IS_HELD} tells."
            yield Finding(check, date, True, told, numbers)
            continue
        left_open: list[str] = []
        if len({source and (source.silver_table_id, source.silver_version) for source in sources.values()}) > 1:
            left_open = [
                other.name
                for other in tables
                if sources[other.name] and _is_held_against_the_newest(other, date, moment)
            ]
        unknown = [name for name, source in sources.items() if source is None]
        known = [source for name, source in sources.items() if source is not None and name not in left_open]
        doubts = [f"No refresh of {', '.join(unknown)} is in the log"] if unknown else []
        doubts += [f"The logs leave open which rows of Silver are in {', '.join(left_open)}"] if left_open else []
        passed, summary = _one_version(date, known, moment, unknown=bool(unknown), doubtful=bool(doubts))
        if doubts:
            summary += f" {', and '.join(doubts)}: by reconciles they hold Silver's newest version, {moment.silver.version}, or fail."
        yield Finding(check, date, passed, summary, numbers)


def _one_version(
    date: dt.date, known: Sequence[MadeFrom], moment: Moment, *, unknown: bool, doubtful: bool
) -> tuple[bool, str]:
    """Whether those that are ``known``, and those that reconciles compares with the newest, hold the same rows of Silver."""
    versions = {source.silver_version for source in known} | ({moment.silver.version} if doubtful else set())
    silvers = {source.silver_table_id for source in known} | ({moment.silver.table_id} if unknown else set())
    if len(silvers) > 1:
        return False, "The tables come from different Silver tables: materialize the date again."
    if len(versions) == 1 and len({source.silver_commit for source in known} - {""}) <= 1:
        return True, f"All tables come from Silver version {max(versions)}."
    changes = moment.changes
    if not any(map(changes.foreign, known)) and changes.changed_after(date, min(versions)) is False:
        return True, f"The tables come from Silver versions that hold the same rows of the date: {listed(versions)}."
    return False, f"The tables come from Silver versions {listed(versions)}: materialize the date again, all tables."


def gold_follows(inspection: Inspection, check: Check) -> Iterator[Finding]:
    moment = inspection.moment
    behind: dict[dt.date, list[str]] = {}
    unknown, kept = set[dt.date](), set[dt.date]()
    for table in inspection.lake.tables:
        made, held = moment.made_from(table, inspection.dates), moment.held(table)
        for date in inspection.dates:
            standing = moment.standing(table, date)
            if (date in made or date in held) and _is_held_against_the_newest(table, date, moment):
                unknown.add(date)
            elif moment.hold(table, date) is not None:
                kept.add(date)
            elif standing.kind != "known" or standing.version != moment.silver.version:
                behind.setdefault(date, []).append(table.name)
    stale = sorted(behind)
    doubt = f" Of {dates_text(unknown, 5)} the logs do not tell: reconciles does." if unknown else ""
    doubt += f" Gold keeps what it has of {dates_text(kept, 5)}, as {NOTHING_IS_HELD} tells." if kept else ""
    yield Finding(
        check,
        None,
        not stale,
        f"All {len(inspection.dates)} dates looked at hold Silver's newest rows.{doubt}"
        if not stale
        else f"{len(stale)} of {len(inspection.dates)} dates looked at have changed since their Gold was made, "
        f"or are not known to be the same: {dates_text(stale, 5)}. Materialize them.{doubt}",
        {"dates": len(inspection.dates), "dates_behind": len(stale), "silver_version": moment.silver.version},
        [{EVENT_DATE: date, "tables": ", ".join(behind[date])} for date in stale[:ROWS_SHOWN]],
    )


def nothing_is_held(inspection: Inspection, check: Check) -> Iterator[Finding]:
    moment = inspection.moment
    for date in inspection.dates:
        found = held_date(moment, date)
        passed, numbers = found is None or found.is_decided, {"silver_version": moment.silver.version}
        if found is None:
            yield Finding(check, date, True, "Gold follows Silver.", numbers)
            continue
        rows = {"silver_rows_before": found.hold.rows_before, "silver_rows_now": found.hold.rows_now}
        numbers |= {name: count for name, count in rows.items() if count is not None}
        yield Finding(check, date, passed, found.summary, numbers, milder=found.hold.kind == "sealed")


def yesterday_is_there(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    limits = inspection.limits
    today = limits.now.date()
    due = today - _DAY if limits.now.hour >= limits.fresh_by_hour else today - 2 * _DAY
    due = min(due, limits.end)
    moment = inspection.moment
    numbers: dict[str, Number | str] = {"date_due": str(due), "due_by_hour_utc": limits.fresh_by_hour}
    if due < limits.first_date:
        yield Finding(check, None, True, f"The first date, {limits.first_date}, is not due yet.", numbers)
        return
    is_there = due in moment.held(table) or due in moment.made_from(table, [due])  # empty, too
    yield Finding(
        check,
        None,
        is_there,
        f"{due} is there."
        if is_there
        else f"{due} was due by {limits.fresh_by_hour}:00 UTC and is not there: materialize it.",
        numbers,
    )


def _is_held_against_the_newest(table: Table, date: dt.date, moment: Moment) -> bool:
    """Whether reconciles tells what the logs do not: which rows of Silver the date holds."""
    return moment.standing(table, date).is_open and moment.basis(table, date).version == moment.silver.version
