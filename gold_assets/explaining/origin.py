"""The rows of Silver that those asked about can be made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gold_assets.declaring.reference import all_of
from gold_assets.declaring.source import VIOLATIONS
from gold_assets.delta.query import View, query
from gold_assets.delta.sql import DATAFUSION, unpruned
from gold_assets.explaining.question import ROWS_SHOWN, Question
from gold_assets.explaining.rows import Rows
from gold_assets.gold.lake import Lake
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


def origin_of(lake: Lake, question: Question, silver: Silver, doubt: str) -> Origin:
    """What ``silver`` has of the rows asked about; ``doubt`` as ``Origin`` has it."""
    table, asked = question.table, " AND ".join(question.in_silver.values()) or "true"
    is_valid, unmet = table.source.is_valid_sql(silver.types), table.select.conditions(silver.types)
    is_used = f"NOT {is_valid}" if table.is_quarantine else f"{is_valid} AND coalesce({all_of(unmet.values())}, false)"
    numbers = (
        {name: table.select.sql(name, silver.types) for name in table.select.aggregates} if table.key else table.numbers
    )
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
    select = ", ".join(f"{aggregate} AS {DATAFUSION.name(name)}" for name, aggregate in aggregates.items())
    [counted] = query(f"SELECT {select} FROM silver WHERE {asked}", silver=view)
    added: Mapping[str, Any] = {}
    if counted["used"] and numbers:
        select = ", ".join(f"{aggregate} AS {DATAFUSION.name(name)}" for name, aggregate in numbers.items())
        [added] = query(f"SELECT {select} FROM silver WHERE {asked} AND {unpruned(is_used)}", silver=view)
    shown = f"AND {unpruned(is_used)}" if counted["used"] else ""
    sample = query(f"SELECT * FROM silver WHERE {asked} {shown} LIMIT {ROWS_SHOWN}", silver=view)
    broken = counted["count"] - counted["valid"]
    return Origin(
        silver.version,
        doubt,
        counted["count"],
        counted["valid"],
        counted["used"],
        {name: counted[f"unmet {name}"] for name in unmet},
        added,
        sample,
        _quarantined(lake, question, broken),
    )


def _quarantined(lake: Lake, question: Question, broken: int) -> Rows:
    table = next((table for table in lake.tables if table.is_quarantine), None)
    if not broken or table is None or (quarantine := lake.open(table)) is None:
        return []
    where = " AND ".join([question.on_date, *question.in_silver.values()])
    return query(
        f"SELECT {VIOLATIONS}, * EXCEPT ({VIOLATIONS}) FROM rows LIMIT {ROWS_SHOWN}", rows=View(quarantine, "*", where)
    )
