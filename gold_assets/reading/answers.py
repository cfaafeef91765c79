"""Answers to SQL from the published state, by DuckDB; and rows of an answer as people read them, as CSV and as JSON.

Nothing can be written, and no other file be read.
"""

import csv
import datetime as dt
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TextIO

from tabulate import tabulate

from gold_assets.delta.errors import UserError
from gold_assets.delta.plural import plural
from gold_assets.delta.storage import without_secrets
from gold_assets.reading.published import Published

_ROWS_SHOWN = 200
_ROWS_A_FETCH = 1000
_LOCKS = (
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
    "SET lock_configuration = true",
)


@dataclass(frozen=True)
class Answer:
    """The names of the columns, and the rows, which are worked out as they are asked for."""

    columns: Sequence[str]
    rows: Iterator[Sequence[Any]]


def answer(reader: Published, sql: str) -> Answer:
    """What one SELECT gives from the published tables, or one of DuckDB's other forms of it.

    Raises ``UserError`` as ``Published`` does, and for SQL that is no question or cannot be answered, while rows are fetched too.
    """
    connection = reader.duckdb()
    import duckdb

    names = ", ".join(reader.names)

    @contextmanager
    def in_one_sentence() -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            told = without_secrets(str(error)).split("\n\nLINE ")[0]
            said = " ".join(told.split()).rstrip(".!")
            raise UserError(f"The SQL cannot be answered ({said}): correct it; the tables are {names}.") from error

    def rows() -> Iterator[Sequence[Any]]:
        with in_one_sentence():
            while fetched := connection.fetchmany(_ROWS_A_FETCH):
                yield from fetched

    for lock in _LOCKS:
        connection.execute(lock)
    with in_one_sentence():
        statements = connection.extract_statements(sql)
        reads = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)  # a PIVOT is several
        if len(statements) != 1 or statements[0].type not in reads:
            raise UserError(f"The SQL is no question, expected one SELECT over {names}: correct it.")
        connection.execute(statements[0])
    return Answer([column[0] for column in connection.description or ()], rows())


def as_text(answer: Answer, width: int) -> str:
    """The first rows as ``table_of`` has them, and how many there are."""
    rows = list(itertools.islice(answer.rows, _ROWS_SHOWN))
    more = next(answer.rows, None) is not None
    counted = f"the first {_ROWS_SHOWN} rows; --csv and --json have all" if more else plural(len(rows), "row")
    return f"{table_of(answer.columns, rows, width)}\n({counted})"


def table_of(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> str:
    """Rows as a table; where that is wider than ``width``, each row as a block with a line for each column."""
    texts = [[shown(value) for value in row] for row in rows]
    sides = ["right" if any(_is_number(row[n]) for row in rows) else "left" for n in range(len(columns))]
    text: str = tabulate(texts, columns, "simple", disable_numparse=True, colalign=sides if rows else None)
    if max(map(len, text.splitlines()), default=0) > width:
        text = _as_blocks(columns, texts)
    return text


def _as_blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    longest = max(map(len, columns))
    blocks = [
        "\n".join(
            [f"-- row {number} --", *(f"{name:<{longest}}  {value}" for name, value in zip(columns, row, strict=True))]
        )
        for number, row in enumerate(rows, start=1)
    ]
    return "\n".join(blocks)


def write_csv(answer: Answer, stream: TextIO) -> None:
    """With a line of names. NULL is empty, a list is JSON."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([_text(value) for value in row] for row in answer.rows)


def write_json(answer: Answer, stream: TextIO) -> None:
    """A list of objects. Decimals are text, to keep every digit; so are dates, and NaN and the infinities, which JSON has not."""
    if twice := [name for name in answer.columns if list(answer.columns).count(name) > 1]:
        raise UserError(
            f"The answer has two columns {twice[0]}, which JSON cannot tell apart: name one of them with AS."
        )
    stream.write("[")
    for between, row in zip(itertools.chain([""], itertools.repeat(",")), answer.rows, strict=False):
        stream.write(f"{between}\n{_json(dict(zip(answer.columns, row, strict=True)))}")
    stream.write("\n]\n")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value for people, on one line."""
    text = "NULL" if value is None else _text(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return _json(value) if isinstance(value, list | dict | tuple) else str(value)


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def plain(value: Any) -> Any:
    """The value as JSON can have it, as ``write_json`` says."""
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return _text(value)
