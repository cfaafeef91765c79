"""Two ways to run the same PySpark code, behind one small interface."""

from typing import Protocol

from deltalake import DeltaTable
from pyspark.sql import DataFrame


class CommitConflict(Exception):
    """Another writer committed first; nothing was written. Compute again and try again."""


class Engine(Protocol):
    """Reads one version of a Delta table, and replaces part of a table in one commit."""

    def read(self, uri: str, version: int) -> DataFrame:
        """The Delta table at ``uri`` as of ``version``."""
        ...

    def replace(self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str) -> None:
        """Replace the rows of ``table`` that meet ``predicate`` by ``rows``, in one commit stamped ``user_metadata``.

        ``rows`` has the table's columns and only rows that meet the predicate; anything else is refused. Raises
        ``CommitConflict`` where another writer was faster, ``OSError`` or ``DeltaError`` where writing fails.
        """
        ...

    def close(self) -> None:
        """Stop what was started."""
        ...
