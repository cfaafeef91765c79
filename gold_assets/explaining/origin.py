"""The rows of Silver that those asked about can be made from; and why the table has none, and what is nearest to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable

from gold_assets.declaring.reference import all_of
from gold_assets.declaring.source import VIOLATIONS
from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.plural import plural
from gold_assets.delta.query import View, query
from gold_assets.delta.sql import DATAFUSION, unpruned
from gold_assets.explaining.history import History
from gold_assets.explaining.question import ROWS_SHOWN, Question, quoted
from gold_assets.explaining.rows import Rows
from gold_assets.gold.moment import Moment
from gold_assets.silver.pin import Silver


@dataclass(frozen=True)
class Origin:
    """The rows of Silver that those asked about can be made from.

    Attributes:
        version: of Silver: that which the date was made from.
        doubt: why it is the newest in its place, where it is; else empty.
        count, valid: how many rows, and how many of them meet the contract.
        used: how many of them the table is made of.
        unmet: by each condition of the table, how many of the valid rows do not meet it.
        numbers: what the rows that are used add up to, by name.
        sample: the first of those that are used, or else of all.
        quarantined: the first of those that break a rule, with their rules, as the quarantine has them.
    """

    version: int
    doubt: str
    count: int
    valid: int
    used: int
    unmet: Mapping[str, int]
    numbers: Mapping[str, Any]
    sample: Rows
    quarantined: Rows


def origin_of(question: Question, moment: Moment, silver: Silver, doubt: str, pairs: Rows) -> Origin:
    """What ``silver`` has of the rows asked about; ``doubt`` as ``Origin`` has it, ``pairs`` as ``SecondOpinion``."""
    table, asked = question.table, " AND ".join(question.in_silver.values()) or "true"
    is_valid, unmet = table.source.is_valid_sql(silver.types), table.select.conditions(silver.types)
    is_used = f"NOT {is_valid}" if table.is_quarantine else f"{is_valid} AND coalesce({all_of(unmet.values())}, false)"
    aggregates = {
        "count": "count(*)",
        "valid": f"count(*) FILTER (WHERE {is_valid})",
        "used": f"count(*) FILTER (WHERE {is_used})",
        **{
            f"unmet {name}": f"count(*) FILTER (WHERE {is_valid} AND NOT coalesce({condition}, false))"
            for name, condition in unmet.items()
        },
    }
    view = question.silver_rows(silver)

    def aggregated(aggregates: Mapping[str, str], where: str) -> dict[str, Any]:
        select = ", ".join(f"{aggregate} AS {DATAFUSION.name(name)}" for name, aggregate in aggregates.items())
        return query(f"SELECT {select} FROM silver WHERE {where}", silver=view)[0]

    counted = aggregated(aggregates, asked)
    used = f"{asked} AND {unpruned(is_used)}" if counted["used"] else asked
    numbers = {name: row[f"silver_{name}"] for row in pairs for name in table.select.aggregates}
    if table.numbers and not table.key and counted["used"]:
        numbers = aggregated(table.numbers, used)
    return Origin(
        silver.version,
        doubt,
        counted["count"],
        counted["valid"],
        counted["used"],
        {name: counted[f"unmet {name}"] for name in unmet},
        numbers if counted["used"] else {},
        query(f"SELECT * FROM silver WHERE {used} LIMIT {ROWS_SHOWN}", silver=view),
        _quarantined(question, moment) if counted["count"] > counted["valid"] else [],
    )


def _quarantined(question: Question, moment: Moment) -> Rows:
    table = next((table for table in moment.lake.tables if table.is_quarantine), None)
    if table is None or (quarantine := moment.gold(table)) is None:
        return []
    rows = View(quarantine, "*", " AND ".join([question.on_date, *question.in_silver.values()]))
    return query(f"SELECT {VIOLATIONS}, * EXCEPT ({VIOLATIONS}) FROM rows LIMIT {ROWS_SHOWN}", rows=rows)


def why_absent(question: Question, origin: Origin, history: History) -> str:
    """Why the table has no such row."""
    broken = origin.count - origin.valid
    rows = plural(origin.count, "row")
    at = f"Silver's version {origin.version}"
    if origin.used:
        why = f"{plural(origin.used, 'row')} of {at} should be in it: materialize the date again"
    elif not origin.count:
        why = f"{at} has no row of it"
    elif question.table.is_quarantine:
        why = f"its {rows} in {at} break no rule"
    elif not origin.valid:
        why = f"its {rows} in {at} break a rule and {'is' if origin.count == 1 else 'are'} in the quarantine"
    else:
        unmet = ", ".join(f"{name} is not true of {count}" for name, count in origin.unmet.items() if count)
        quarantined = f"; {broken} more in the quarantine" if broken else ""
        why = f"none of its {plural(origin.valid, 'valid row')} in {at} belongs there: {unmet}{quarantined}"
    if history.waiting:
        versions = ", ".join(str(commit.info.version) for commit in history.waiting)
        why += f"; later commits of Silver that touched the date are not in the table yet: {versions}"
    return f"{question.table.name} has no such row, for {why}."


def not_there(question: Question, gold: DeltaTable, silver: Silver) -> UserError:
    """That neither Silver nor the table has such a row, nor ever had one that the logs tell of; and what is nearest."""
    neither, date = f"Neither Silver nor {question.table.name} has", question.date
    if date is not None:
        dates = {other for other in FileDates(gold).dates() | silver.file_dates.dates() if other is not None}
        if date not in dates:
            nearest = min(dates, key=lambda other: (abs(other - date), other), default=None)
            found = "neither has any date" if nearest is None else f"the nearest date that either has is {nearest}"
            return UserError(f"{neither} rows on {date}; {found}: ask for another.")
    view = question.silver_rows(silver)
    for name, condition in question.in_silver.items():
        value, column = question.values[name], f"CAST({question.source_sql(name)} AS VARCHAR)"
        [counted] = query(f"SELECT count(*) AS n FROM silver WHERE {condition}", silver=view)
        if not counted["n"]:
            distance = f"levenshtein({column}, {quoted(value)})"
            values = query(
                f"SELECT {column} AS value FROM silver WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY {distance}, 1 LIMIT 1",
                silver=view,
            )
            near = f"the nearest is {values[0]['value']}" if values else "it has no value at all"
            return UserError(f"{neither} {name}={value} on {date or 'no date'}; {near}: ask for another.")
    return UserError(f"{neither} a row with {question}, though one with each of the values: leave out one.")
