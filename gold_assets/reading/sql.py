"""Answers to SQL from the published state, by DuckDB. Nothing can be written, and no other file be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gold_assets.delta.errors import UserError
from gold_assets.delta.storage import without_secrets
from gold_assets.reading.published import Published

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

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


class Questions:
    """A connection to the published tables that answers SELECTs and nothing else. Raises ``UserError`` as ``Published`` does."""

    def __init__(self, reader: Published) -> None:
        self._names = ", ".join(reader.names)
        self._connection = reader.duckdb()
        for lock in _LOCKS:
            self._connection.execute(lock)

    def answer(self, sql: str) -> Answer:
        """What one SELECT gives, or one of DuckDB's other forms of it. Raises ``UserError``, while rows are fetched too."""
        import duckdb

        try:
            statements = self._connection.extract_statements(sql)
            reads = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)  # a PIVOT is several
            if len(statements) != 1 or statements[0].type not in reads:
                raise UserError(f"The SQL is no question, expected one SELECT over {self._names}: correct it.")
            self._connection.execute(statements[0])
        except duckdb.Error as error:
            raise self._unanswered(error) from error
        return Answer([column[0] for column in self._connection.description or ()], self._rows(self._connection))

    def _rows(self, connection: "DuckDBPyConnection") -> Iterator[Sequence[Any]]:
        import duckdb

        try:
            while rows := connection.fetchmany(_ROWS_A_FETCH):
                yield from rows
        except duckdb.Error as error:
            raise self._unanswered(error) from error

    def _unanswered(self, error: Exception) -> UserError:
        told = without_secrets(str(error)).split("\n\nLINE ")[0]
        said = " ".join(told.split()).rstrip(".!")
        return UserError(f"The SQL cannot be answered ({said}): correct it; the tables are {self._names}.")
