"""Why a number is what it is: the rows asked about, how they were made, the rows of Silver behind them, and their history."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from gold_assets.checks.pairs import OF_ROW, Sides, pairs
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.log import DeltaLog
from gold_assets.delta.query import Unreadable, View, query
from gold_assets.delta.sql import DATAFUSION
from gold_assets.delta.words import count_of
from gold_assets.explaining.commits import CommitInfo
from gold_assets.explaining.history import History, history_of
from gold_assets.explaining.question import Question, question_of, quoted
from gold_assets.explaining.rows import Rows
from gold_assets.gold.declaration import KeysTwin, RowsTwin, Table
from gold_assets.gold.lake import Lake
from gold_assets.gold.plan import MOST_COMMITS
from gold_assets.gold.provenance import MadeFrom, made_from
from gold_assets.gold.publication import Publications
from gold_assets.silver.contract import VIOLATIONS
from gold_assets.silver.contract_sql import SilverSql, unpruned
from gold_assets.silver.pin import Silver

ROWS_SHOWN = 5
"""Of each kind."""


@dataclass(frozen=True)
class Held:
    """The rows asked about in a version of the table: how many, and the first of them."""

    table_version: int
    count: int
    rows: Rows


@dataclass(frozen=True)
class Made:
    """How the rows of the date that are there were made, and by the commit of which version."""

    source: MadeFrom
    commit: CommitInfo

    @property
    def how(self) -> str:
        """In a few words."""
        if self.source.patches:
            return f"patched, the {count_of(self.source.patches, 'patch').replace('patchs', 'patches')} since it was recomputed"
        return "recomputed"


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


@dataclass(frozen=True)
class SecondOpinion:
    """What SQL makes of Silver's rows beside what the table has.

    Attributes:
        agrees: whether the two do, as the checks ask for.
        is_exact: whether to the last digit, which is too much to ask of an average.
    """

    agrees: bool
    is_exact: bool
    pairs: Rows


@dataclass(frozen=True)
class Explanation:
    """The answer.

    Attributes:
        now, published: the rows in the newest version, and in the published one; None where there is none, ``unpublished`` says why.
        published_at: when that was.
        made: None where the table's log does not tell.
        absent: why the table has no such row, empty where it has.
    """

    question: Question
    now: Held
    published: Held | None
    published_at: dt.datetime | None
    unpublished: str
    made: Made | None
    origin: Origin
    second_opinion: SecondOpinion | None
    history: History
    absent: str


def explain(lake: Lake, table_name: str, date: str, conditions: Sequence[str]) -> Explanation:
    """Explain the rows of a table on a date that meet conditions such as ``user_id=1609``.

    Args:
        date: as ``question_of`` has it.

    Raises ``UserError`` where there is no such table, date, column or key, with the nearest that there is; and where a table cannot be read.
    """
    [table] = lake.named([table_name])
    gold = _open(lake, table)
    question = question_of(table, gold, date, conditions)
    silver = lake.pin()
    history = history_of(question, gold, silver)
    now = _held(question, gold)
    made = _made(gold, question.date)
    basis, doubt = _basis(lake, silver, made)
    try:
        origin, opinion = _origin(lake, question, basis, doubt), _second_opinion(question, basis, gold)
    except Unreadable:
        if basis is silver:
            raise
        doubt = f"version {basis.version}, which the date was made from, cannot be read any more"
        origin, opinion = _origin(lake, question, silver, doubt), _second_opinion(question, silver, gold)
    is_coming = any(commit.came != [] or commit.went != [] for commit in history.waiting)
    if not now.count and not origin.count and not history.changes and not is_coming:
        raise _not_there(question, gold, silver)
    published, published_at, unpublished = _published(lake, question)
    absent = "" if now.count else _absent(question, origin, history)
    return Explanation(question, now, published, published_at, unpublished, made, origin, opinion, history, absent)


def _open(lake: Lake, table: Table) -> DeltaTable:
    place = lake.places[table.name]
    try:
        return DeltaTable(place)
    except TableNotFoundError:
        raise UserError(
            f"There is no Delta table at {place}, where {table.name} is expected: materialize it."
        ) from None
    except (DeltaError, OSError) as error:
        raise UserError(
            f"{table.name} at {place} cannot be opened ({reason(error)}): see that the place is a Delta table and can be read."
        ) from error


def _held(question: Question, gold: DeltaTable) -> Held:
    rows = question.rows_in(gold)
    [counted] = query("SELECT count(*) AS n FROM rows", rows=rows)
    shown = query(f"SELECT * FROM rows ORDER BY {question.table.first_rows} LIMIT {ROWS_SHOWN}", rows=rows)
    return Held(gold.version(), counted["n"], shown)


def _made(gold: DeltaTable, date: dt.date | None) -> Made | None:
    source = made_from(gold, [date], most_commits=MOST_COMMITS).get(date)
    if source is None:
        return None
    info = DeltaLog(gold).commit(source.table_version).info
    return Made(source, CommitInfo.of(source.table_version, info))


def _basis(lake: Lake, silver: Silver, made: Made | None) -> tuple[Silver, str]:
    """The Silver that the date was made from, else the newest and why."""
    if made is None:
        return silver, "the table's log tells of no refresh of the date"
    if made.source.silver_table_id != silver.table_id:
        return silver, "the date was made from another Silver table"
    if made.source.silver_version == silver.version:
        return silver, ""
    try:
        return lake.pin(made.source.silver_version), ""
    except UserError:
        return silver, f"version {made.source.silver_version}, which the date was made from, cannot be opened any more"


def _origin(lake: Lake, question: Question, silver: Silver, doubt: str) -> Origin:
    sql, twin = SilverSql.of(silver), question.table.twin
    asked = " AND ".join(question.in_silver.values()) or "true"
    is_used = sql.is_valid
    conditions: Mapping[str, str] = {}
    if isinstance(twin, RowsTwin):
        conditions = twin.conditions
        is_used = f"{sql.is_valid} AND coalesce({twin.condition}, false)" if twin.of_valid else f"NOT {sql.is_valid}"
    numbers = _numbers(question.table, sql)
    aggregates = {
        "count": "count(*)",
        "valid": f"count(*) FILTER (WHERE {sql.is_valid})",
        "used": f"count(*) FILTER (WHERE {is_used})",
        **{
            f"unmet {name}": f"count(*) FILTER (WHERE {sql.is_valid} AND NOT coalesce({condition}, false))"
            for name, condition in conditions.items()
        },
    }
    view = silver.view([] if question.date is None else [question.date], and_null=question.date is None)
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
        {name: counted[f"unmet {name}"] for name in conditions},
        added,
        sample,
        _quarantined(lake, question, broken),
    )


def _numbers(table: Table, sql: SilverSql) -> Mapping[str, str]:
    """By name, what is added up of Silver's rows of a key."""
    if isinstance(table.twin, KeysTwin):
        return {
            name: value.silver if isinstance(value.silver, str) else value.silver(sql)
            for name, value in table.twin.values.items()
        }
    return table.numbers


def _quarantined(lake: Lake, question: Question, broken: int) -> Rows:
    place = next((lake.places[table.name] for table in lake.tables if table.is_quarantine), None)
    if not broken or place is None:
        return []
    try:
        quarantine = DeltaTable(place)
    except (DeltaError, OSError):
        return []
    where = " AND ".join([question.on_date, *question.in_silver.values()])
    return query(
        f"SELECT {VIOLATIONS}, * EXCEPT ({VIOLATIONS}) FROM rows LIMIT {ROWS_SHOWN}", rows=View(quarantine, "*", where)
    )


def _second_opinion(question: Question, silver: Silver, gold: DeltaTable) -> SecondOpinion | None:
    table, asked = question.table, question.in_silver
    if table.twin is None:
        return None
    sides = Sides(silver, gold)
    dates = [] if question.date is None else [question.date]
    views = sides.views(dates, undated=question.date is None)
    in_gold = asked
    if isinstance(table.twin, KeysTwin):
        in_gold = {name: meets(DATAFUSION.name(name)) for name, meets in question.conditions.items()}
    views["gold"] = dataclasses.replace(views["gold"], where=" AND ".join([question.on_date, *in_gold.values()]))
    compared = pairs(table, sides, dates, list(asked.values()))
    [counted] = query(f"SELECT count(*) FILTER (WHERE NOT agrees) AS n FROM ({compared})", **views)
    rows = query(f"SELECT * FROM ({compared}) ORDER BY agrees LIMIT {ROWS_SHOWN}", **views)
    plain = [
        {name.removeprefix(OF_ROW): value for name, value in row.items() if name not in ("gold_fault",)} for row in rows
    ]
    values = table.twin.values if isinstance(table.twin, KeysTwin) else ()
    is_exact = all(row[f"silver_{name}"] == row[f"gold_{name}"] for row in plain for name in values)
    return SecondOpinion(counted["n"] == 0, counted["n"] == 0 and is_exact, plain)


def _published(lake: Lake, question: Question) -> tuple[Held | None, dt.datetime | None, str]:
    """The rows in the published version, when that was; or why there are none."""
    if lake.published is None:
        return None, None, "the lake has no place for publications"
    publication = Publications(lake.published).newest()
    if publication is None or question.table.name not in publication.tables:
        return None, None, "nothing is published yet"
    try:
        return _held(question, publication.tables[question.table.name].open()), publication.at, ""
    except UserError as error:
        return None, publication.at, str(error)


def _absent(question: Question, origin: Origin, history: History) -> str:
    """Why the table has no such row."""
    twin = question.table.twin
    broken = origin.count - origin.valid
    rows = count_of(origin.count, "row")
    at = f"Silver's version {origin.version}"
    if origin.used:
        why = f"{count_of(origin.used, 'row')} of {at} should be in it: materialize the date again"
    elif not origin.count:
        why = f"{at} has no row of it"
    elif isinstance(twin, RowsTwin) and not twin.of_valid:
        why = f"its {rows} in {at} break no rule"
    elif not origin.valid:
        why = f"its {rows} in {at} break a rule and {'is' if origin.count == 1 else 'are'} in the quarantine"
    else:
        unmet = ", ".join(f"{name} is not true of {count}" for name, count in origin.unmet.items() if count)
        quarantined = f"; {count_of(broken, 'more')} in the quarantine".replace("mores", "more") if broken else ""
        why = f"none of its {count_of(origin.valid, 'valid row')} in {at} belongs there: {unmet}{quarantined}"
    if history.waiting:
        versions = ", ".join(str(commit.info.version) for commit in history.waiting)
        why += f"; later commits of Silver that touched the date are not in the table yet: {versions}"
    return f"{question.table.name} has no such row, for {why}."


def _not_there(question: Question, gold: DeltaTable, silver: Silver) -> UserError:
    """That neither Silver nor the table has such a row, nor ever had one that the logs tell of; and what is nearest."""
    if question.date is not None:
        dates = {date for date in FileDates(gold).dates() | silver.dates() if date is not None}
        if question.date not in dates:
            date = question.date
            nearest = min(dates, key=lambda other: (abs(other - date), other), default=None)
            found = "neither has any date" if nearest is None else f"the nearest date that either has is {nearest}"
            return UserError(
                f"Neither Silver nor {question.table.name} has rows on {question.date}; {found}: ask for another."
            )
    view = silver.view([] if question.date is None else [question.date], and_null=question.date is None)
    made = question.table.twin.keys if isinstance(question.table.twin, KeysTwin) else {}
    for name, condition in question.in_silver.items():
        value, column = question.values[name], f"CAST({made.get(name, DATAFUSION.name(name))} AS VARCHAR)"
        [counted] = query(f"SELECT count(*) AS n FROM silver WHERE {condition}", silver=view)
        if not counted["n"]:
            distance = f"levenshtein({column}, {quoted(value)})"
            values = query(
                f"SELECT {column} AS value FROM silver WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY {distance}, 1 LIMIT 1",
                silver=view,
            )
            near = f"the nearest is {values[0]['value']}" if values else "it has no value at all"
            return UserError(
                f"Neither Silver nor {question.table.name} has {name}={value} on {question.date or 'no date'}; {near}: ask for another."
            )
    return UserError(
        f"Neither Silver nor {question.table.name} has a row with {question}, though one with each of the values: leave out one."
    )
