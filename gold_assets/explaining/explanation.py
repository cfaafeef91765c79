"""Why a number is what it is: the rows asked about, how they were made, the rows of Silver behind them, and their history."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from deltalake import DeltaTable

from gold_assets.checks.pairs import OF_ROW, Sides, compared
from gold_assets.delta.errors import UserError
from gold_assets.delta.plural import plural
from gold_assets.delta.query import Unreadable, query
from gold_assets.explaining.history import CommitInfo, History, history_of
from gold_assets.explaining.origin import Origin, not_there, origin_of, why_absent
from gold_assets.explaining.question import ROWS_SHOWN, Question, question_of
from gold_assets.explaining.rows import Rows
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Basis, Moment
from gold_assets.gold.provenance import MadeFrom
from gold_assets.gold.publication import Publications
from gold_assets.silver.pin import Silver


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
        if not self.source.refresh_id:
            return "as a comparison has found"
        if self.source.patches:
            return f"patched, the {plural(self.source.patches, 'patch')} since it was recomputed"
        return "recomputed"


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
    second_opinion: SecondOpinion
    history: History
    absent: str


def explain(lake: Lake, table_name: str, date: str, conditions: Sequence[str]) -> Explanation:
    """Explain the rows of a table on a date that meet conditions such as ``user_id=1609``.

    Args:
        date: as ``question_of`` has it.

    Raises ``UserError`` where there is no such table, date, column or key, with the nearest that there is; and where a table cannot be read.
    """
    [table] = lake.named([table_name])
    moment = Moment(lake)
    if (gold := moment.gold(table)) is None:
        place = lake.places[table.name]
        raise UserError(f"There is no Delta table at {place}, where {table.name} is expected: materialize it.")
    question = question_of(table, gold, date, conditions)
    history = history_of(question, moment)
    now = _held(question, gold)
    basis = moment.basis(table, question.date)
    try:
        origin, opinion = _compared(question, moment, basis)
    except Unreadable:
        if basis.version == moment.silver.version:
            raise
        doubt = f"Silver version {basis.version}, which it was made from, cannot be read any more"
        origin, opinion = _compared(question, moment, Basis(moment.silver.version, doubt))
    is_coming = any(commit.came != [] or commit.went != [] for commit in history.waiting)
    if not now.count and not origin.count and not history.changes and not is_coming:
        raise not_there(question, gold, moment.silver)
    published, published_at, unpublished = _published(lake, question)
    absent = "" if now.count else why_absent(question, origin, history)
    made = _made(moment, question)
    return Explanation(question, now, published, published_at, unpublished, made, origin, opinion, history, absent)


def _held(question: Question, gold: DeltaTable) -> Held:
    rows = question.rows_in(gold)
    [counted] = query("SELECT count(*) AS n FROM rows", rows=rows)
    shown = query(f"SELECT * FROM rows ORDER BY {question.table.row_order} LIMIT {ROWS_SHOWN}", rows=rows)
    return Held(gold.version(), counted["n"], shown)


def _made(moment: Moment, question: Question) -> Made | None:
    if (source := moment.standing(question.table, question.date).made) is None:
        return None
    info: Mapping[str, Any] = {}
    with suppress(FileNotFoundError):  # what the date was made from is known for longer than its commit
        info = moment.log(question.table).commit(source.table_version).info
    return Made(source, CommitInfo.of(source.table_version, info))


def _compared(question: Question, moment: Moment, basis: Basis) -> tuple[Origin, SecondOpinion]:
    """The rows asked about beside what Silver has of them at a version that can be opened."""
    silver = moment.silver_at(basis.version)
    assert silver is not None
    opinion = _second_opinion(question, moment, silver)
    return origin_of(question, moment, silver, basis.doubt, opinion.pairs), opinion


def _second_opinion(question: Question, moment: Moment, silver: Silver) -> SecondOpinion:
    table, asked = question.table, question.in_silver
    sides = Sides(silver, moment.log(table).table)
    views = sides.views([question.date])
    of_rows = " AND ".join([question.on_date, *asked.values()])
    views["gold"] = dataclasses.replace(views["gold"], where=question.in_table if table.key else of_rows)
    ask = partial(compared, table, sides, views, [question.date], only=list(asked.values()))
    [counted] = ask("SELECT count(*) FILTER (WHERE NOT agrees) AS n FROM pairs")
    rows = ask(f"SELECT * FROM pairs ORDER BY agrees LIMIT {ROWS_SHOWN}")
    plain = [{name.removeprefix(OF_ROW): row[name] for name in row if name != "gold_fault"} for row in rows]
    is_exact = all(row[f"silver_{name}"] == row[f"gold_{name}"] for row in plain for name in table.select.aggregates)
    return SecondOpinion(counted["n"] == 0, counted["n"] == 0 and is_exact, plain)


def _published(lake: Lake, question: Question) -> tuple[Held | None, dt.datetime | None, str]:
    """The rows in the published version, when that was; or why there are none."""
    if lake.published is None:
        return None, None, "the lake has no place for publications"
    publication = Publications(lake.published, lake.places, lake.project.env_prefix).newest()
    if publication is None or question.table.name not in publication.tables:
        return None, None, "nothing is published yet"
    try:
        return _held(question, publication.tables[question.table.name].open()), publication.at, ""
    except UserError as error:
        return None, publication.at, str(error)
