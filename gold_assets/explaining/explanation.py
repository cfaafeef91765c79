"""Why a number is what it is: the rows asked about, how they were made, the rows of Silver behind them, and their history."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable

from gold_assets.checks.pairs import OF_ROW, Sides, compared, of_row
from gold_assets.declaring.reference import all_of
from gold_assets.declaring.source import VIOLATIONS
from gold_assets.delta.commit_info import CommitInfo
from gold_assets.delta.dates import predicate
from gold_assets.delta.errors import UserError, store_failures_told
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.plural import plural
from gold_assets.delta.query import Unreadable, View, query
from gold_assets.delta.sql import DATAFUSION, unpruned
from gold_assets.explaining.history import History, history_of
from gold_assets.explaining.question import ROWS_SHOWN, Question, Rows, SilverRows, question_of, quoted
from gold_assets.gold.held import held_date
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.standing import Basis
from gold_assets.silver.pin import Silver


@dataclass(frozen=True)
class Held:
    """The rows asked about in a version of the table: how many, and the first of them."""

    table_version: int
    count: int
    rows: Rows


@dataclass(frozen=True)
class HeldThen(Held):
    """The same of a published version, and when it was published."""

    at: dt.datetime


@dataclass(frozen=True)
class Made:
    """How the rows of the date that are there were made.

    Attributes:
        how: as ``Stamp.how`` has it; or that no refresh but a comparison told of which version of Silver they are.
        by, at, table_version: who asked for it, when, and by which version of the table.
        overwritten_in: the version in which somebody else changed rows of the date since, None where nobody did.
    """

    silver_version: int
    how: str
    patches: int
    by: str
    at: dt.datetime | None
    table_version: int
    overwritten_in: int | None


@dataclass(frozen=True)
class OfSilver:
    """The rows of Silver that those asked about can be made from.

    Attributes:
        version: of Silver: that which the date was made from.
        doubt: why it is the newest in its place, where it is.
        rows, valid_rows: how many rows, and how many of them meet the contract.
        used_rows: how many of them the table is made of.
        valid_rows_that_miss: by each condition of the table, how many of the valid rows do not meet it.
        numbers: what the rows that are used add up to, by name.
        sample: the first of those that are used, or else of all.
        quarantined: the first of those that break a rule, with the rules.
    """

    version: int
    doubt: str | None
    rows: int
    valid_rows: int
    used_rows: int
    valid_rows_that_miss: Mapping[str, int]
    numbers: Mapping[str, Any]
    sample: Rows
    quarantined: Rows


@dataclass(frozen=True)
class SecondOpinion:
    """What SQL makes of Silver's rows beside what the table has.

    Attributes:
        agrees: whether the two do, as the checks ask for.
        exact: whether to the last digit, which is too much to ask of an average.
    """

    agrees: bool
    exact: bool
    pairs: Rows


@dataclass(frozen=True)
class Explanation:
    """The answer.

    Attributes:
        key: by column, the values that were asked for.
        now: the rows in the newest version.
        absent_because: why the table has no such row, where it has none.
        held_because: why the table keeps what it has of the date, though Silver has changed it; None where it does not.
        published: the rows in the published version, None where there is none, ``unpublished_because`` says why.
        made: None where the table's log does not tell.
    """

    table: str
    date: dt.date | None
    key: Mapping[str, str]
    now: Held
    absent_because: str | None
    held_because: str | None
    published: HeldThen | None
    unpublished_because: str | None
    made: Made | None
    silver: OfSilver
    second_opinion: SecondOpinion
    history: History


@store_failures_told()
def explain(lake: Lake, table_name: str, date: str, conditions: Sequence[str]) -> Explanation:
    """Explain the rows of a table on a date that meet conditions such as ``user_id=1609``.

    Args:
        date: as ``question_of`` has it.

    Raises ``UserError`` where there is no such table, date, column or key, with the nearest that there is; and where a table cannot be read.
    """
    [table] = lake.named([table_name])
    moment = Moment(lake)
    if (gold := moment.gold(table)) is None:
        place = lake.place(table.name)
        raise UserError(f"There is no Delta table at {place}, where {table.name} is expected: materialize it.")
    question = question_of(table, gold, date, conditions)
    history = history_of(question, moment)
    now = _held(question, gold)
    basis = moment.basis_in_silver(table, question.date)
    try:
        silver, opinion = _compared(question, moment, basis)
    except Unreadable:
        if basis.version == moment.silver.version:
            raise
        doubt = f"Silver version {basis.version}, which it was made from, cannot be read any more"
        silver, opinion = _compared(question, moment, Basis(moment.silver.version, doubt))
    is_coming = any(commit.came != [] or commit.went != [] for commit in history.not_in_the_table_yet)
    if not now.count and not silver.rows and not history.changes and not is_coming:
        raise _not_there(question, gold, moment.silver)
    published, unpublished = _published(lake, question)
    absent = None if now.count else _why_absent(question, silver, opinion, history)
    held = None if question.date is None else held_date(moment, question.date)
    return Explanation(
        table.name,
        question.date,
        question.values,
        now,
        absent,
        held.summary if held is not None and table.name in held.tables else None,
        published,
        unpublished,
        _made(moment, question),
        silver,
        opinion,
        history,
    )


def _held(question: Question, gold: DeltaTable) -> Held:
    rows = View(gold, "*", question.in_table)
    [counted] = query("SELECT count(*) AS n FROM rows", rows=rows)
    shown = query(f"SELECT * FROM rows ORDER BY {question.table.row_order} LIMIT {ROWS_SHOWN}", rows=rows)
    return Held(gold.version(), counted["n"], shown)


def _made(moment: Moment, question: Question) -> Made | None:
    if (source := moment.standing(question.table, question.date).made) is None:
        return None
    info: Mapping[str, Any] = {}
    how = "patched" if source.patches else "recomputed"
    with suppress(FileNotFoundError):  # what the date was made from is known for longer than its commit
        told = moment.log(question.table).commit(source.table_version)
        info, how = told.info, how if told.stamp is None else told.stamp.how
    commit = CommitInfo.of(source.table_version, info)
    return Made(
        source.silver_version,
        how if source.refresh_id else "as a comparison has found",
        source.patches,
        source.by or commit.by,
        commit.at,
        source.table_version,
        source.overwritten_in,
    )


def _compared(question: Question, moment: Moment, basis: Basis) -> tuple[OfSilver, SecondOpinion]:
    """The rows asked about beside what Silver has of them at a version that can be opened."""
    asked = SilverRows(question, moment.silver_of(basis))
    opinion = _second_opinion(asked, moment.log(question.table).table)
    return _of_silver(asked, basis.doubt or None, opinion), opinion


def _second_opinion(asked: SilverRows, gold: DeltaTable) -> SecondOpinion:
    table, question, dates = asked.question.table, asked.question, [asked.question.date]
    sides, only = Sides(asked.silver, gold), [asked.meet[name] for name in asked.plain]
    views, those_meant = sides.views(dates), "true"
    in_gold = " AND ".join([predicate(dates), *only])  # without what is asked of columns that Silver does not have
    if not table.keeps_source_columns:
        name_of = DATAFUSION.name if table.key else of_row
        those_meant = all_of([meets(name_of(name)) for name, meets in question.conditions.items()])
        in_gold = question.in_table
    views["gold"] = dataclasses.replace(views["gold"], where=in_gold)
    differing = "count(CASE WHEN NOT agrees THEN 1 END) OVER () AS differing"
    select = f"SELECT *, {differing} FROM pairs WHERE {those_meant} ORDER BY agrees LIMIT {ROWS_SHOWN}"
    rows = compared(table, sides, views, dates, select, only)
    agrees = not any(row.pop("differing") for row in rows)
    plain = [{name.removeprefix(OF_ROW): row[name] for name in row if name != "gold_fault"} for row in rows]
    is_exact = all(row[f"silver_{name}"] == row[f"gold_{name}"] for row in plain for name in table.select.aggregates)
    return SecondOpinion(agrees, agrees and is_exact, plain)


def _of_silver(asked: SilverRows, doubt: str | None, opinion: SecondOpinion) -> OfSilver:
    misses = [f'count(*) FILTER (WHERE "is valid" AND "misses {n}")' for n in range(len(asked.conditions))]
    [counted] = asked.ask(
        f"""SELECT count(*) AS rows, count(*) FILTER (WHERE "is valid") AS valid, count(*) FILTER (WHERE "is used") AS used
        {"".join(f", {count} AS misses_{n}" for n, count in enumerate(misses))} FROM asked"""
    )
    shown = '"is used"' if counted["used"] else "true"
    return OfSilver(
        asked.silver.version,
        doubt,
        counted["rows"],
        counted["valid"],
        counted["used"],
        {condition: counted[f"misses_{n}"] for n, condition in enumerate(asked.conditions)},
        _numbers(asked, opinion) if counted["used"] else {},
        asked.ask(f"SELECT {asked.columns} FROM asked WHERE {shown} LIMIT {ROWS_SHOWN}"),
        _quarantined(asked) if counted["rows"] > counted["valid"] else [],
    )


def _numbers(asked: SilverRows, opinion: SecondOpinion) -> dict[str, Any]:
    table = asked.question.table
    if table.key:
        return {name: pair[f"silver_{name}"] for pair in opinion.pairs for name in table.select.aggregates}
    if not table.numbers:
        return {}
    made_of = asked.columns
    if not table.keeps_source_columns:
        values = {column.name: table.select.sql(column.name, asked.silver.types) for column in table.columns}
        made_of = ", ".join(f"{sql} AS {DATAFUSION.name(name)}" for name, sql in values.items())
    select = ", ".join(f"{sql} AS {name}" for name, sql in table.numbers.items())
    return asked.ask(f'SELECT {select} FROM (SELECT {made_of} FROM asked WHERE "is used") AS made')[0]


def _quarantined(asked: SilverRows) -> Rows:
    rules = [rule.name for rule in asked.question.table.source.rules]
    breaks, is_broken = ", ".join(f'"breaks {n}"' for n in range(len(rules))), unpruned('NOT "is valid"')
    rows = asked.ask(f"SELECT {breaks}, {asked.columns} FROM asked WHERE {is_broken} LIMIT {ROWS_SHOWN}")
    return [{VIOLATIONS: [rule for n, rule in enumerate(rules) if row.pop(f"breaks {n}")], **row} for row in rows]


def _published(lake: Lake, question: Question) -> tuple[HeldThen | None, str | None]:
    """The rows in the published version; or why there are none."""
    if lake.published is None:
        return None, "the lake has no place for publications"
    publication = lake.publications().newest()
    if publication is None or question.table.name not in publication.tables:
        return None, "nothing is published yet"
    table = publication.tables[question.table.name]
    try:
        return HeldThen(**vars(_held(question, table.open())), at=publication.at), None
    except UserError as error:
        return None, str(error)


def _why_absent(question: Question, silver: OfSilver, opinion: SecondOpinion, history: History) -> str:
    """Why the table has no such row."""
    broken = silver.rows - silver.valid_rows
    rows = plural(silver.rows, "row")
    at = f"Silver's version {silver.version}"
    if silver.used_rows and opinion.agrees:
        why = f"what its {plural(silver.used_rows, 'row')} in {at} make does not meet the HAVING of its SELECT"
    elif silver.used_rows:
        why = f"{plural(silver.used_rows, 'row')} of {at} should be in it: materialize the date again"
    elif not silver.rows:
        why = f"{at} has no row of it"
    elif question.table.is_quarantine:
        why = f"its {rows} in {at} break no rule"
    elif not silver.valid_rows:
        why = f"its {rows} in {at} break a rule and {'is' if silver.rows == 1 else 'are'} in the quarantine"
    else:
        unmet = silver.valid_rows_that_miss.items()
        missed = ", ".join(f"{name} is not true of {count}" for name, count in unmet if count)
        quarantined = f"; {broken} more in the quarantine" if broken else ""
        why = f"none of its {plural(silver.valid_rows, 'valid row')} in {at} belongs there: {missed}{quarantined}"
    if history.not_in_the_table_yet:
        versions = ", ".join(str(commit.version) for commit in history.not_in_the_table_yet)
        why += f"; later commits of Silver that touched the date are not in the table yet: {versions}"
    return f"{question.table.name} has no such row, for {why}."


def _not_there(question: Question, gold: DeltaTable, silver: Silver) -> UserError:
    """That neither Silver nor the table has such a row, nor ever had one that the logs tell of; and what is nearest."""
    neither, date = f"Neither Silver nor {question.table.name} has", question.date
    if date is not None:
        dates = {other for other in FileDates(gold).dates() | silver.file_dates.dates() if other is not None}
        if date not in dates:
            nearest = min(dates, key=lambda other: (abs(other - date), other), default=None)
            found = "neither has any date" if nearest is None else f"the nearest date that either has is {nearest}"
            return UserError(f"{neither} rows on {date}; {found}: ask for another.")
    asked = SilverRows(question, silver)
    for name in asked.made_of:
        value, text = question.values[name], DATAFUSION.name(f"text of {name}")
        if asked.ask("SELECT 1 AS one FROM asked LIMIT 1", [name]):
            continue
        nearest_first = f"GROUP BY 1 ORDER BY levenshtein({text}, {quoted(value)}), 1"
        values = asked.ask(f"SELECT {text} AS value FROM asked WHERE {text} IS NOT NULL {nearest_first} LIMIT 1", [])
        near = f"the nearest is {values[0]['value']}" if values else "it has no value at all"
        return UserError(f"{neither} {name}={value} on {date or 'no date'}; {near}: ask for another.")
    return UserError(f"{neither} a row with {question}, though one with each of the values: leave out one.")
