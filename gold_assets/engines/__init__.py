"""Two ways to run the same PySpark code, behind one small interface."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any, Literal, Protocol

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets.delta.dates import RowsOn
from gold_assets.delta.sql import SPARK

FAILURES = (DeltaError, OSError, PySparkException, Py4JError)
"""What reading, computing and writing fail with."""

TARGET_FILE_BYTES = 100 << 20
"""Of what OPTIMIZE writes. A date that is larger becomes several files, and a look-up opens those that may hold its key."""
ROWS_A_ROW_GROUP = 8_192
"""A look-up reads whole row groups. Ordered and this small, it reads a seventh of what one row group a file costs it."""


@dataclass(frozen=True)
class SliceBounds:
    """How much of Silver is computed and written together: at most so many rows, unless one date has more, and dates."""

    rows: int = 4_000_000
    dates: int = 92


class CannotOrder(Exception):
    """An engine that cannot cluster a table says why; the table stays as it is."""


class Engine(Protocol):
    """Reads a Delta table at one version, replaces part of a table in one commit, and maintains its files."""

    slice_bounds: SliceBounds
    """What fits into the engine's memory, however long the range; each slice is a commit of each table."""

    def read(
        self,
        table: DeltaTable,
        on: RowsOn | None = None,
        files: Collection[Mapping[str, Any]] | None = None,
        among: Collection[pa.Table] | None = None,
    ) -> DataFrame:
        """The rows of ``table`` at the version that it is loaded at; of ``files`` alone, which its log adds, where they are given.

        Rows may be left out whose values are ``among`` none of those given, each a column of the table, NULL among them where it counts.
        """
        ...

    def rows(self, rows: pa.Table) -> DataFrame:
        """Rows that are in memory."""
        ...

    def replace(
        self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str, keys: pa.Table | None = None
    ) -> None:
        """Replace the rows of ``table`` that meet ``predicate`` by ``rows``, in one commit stamped ``user_metadata``.

        With ``keys``, whose columns are some of the table's, those rows alone are replaced that have one of them; ``rows`` then has rows of
        these keys. ``rows`` has the table's columns and only rows that meet the predicate; anything else is refused. Raises
        ``CommitConflict`` where another writer was faster, ``Unreadable`` where rows that stay cannot be read, ``OSError`` or
        ``DeltaError`` where writing fails.
        """
        ...

    def append(self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str) -> None:
        """Add ``rows``, which meet ``predicate``, in one commit as ``replace`` does; of two writers at once the second is refused."""
        ...

    def optimize(
        self, table: DeltaTable, dates: Collection[dt.date], zorder_by: Sequence[str], user_metadata: str
    ) -> None:
        """Rewrite the files of ``dates``, compacted and clustered by the columns, where there are any, in one commit stamped ``user_metadata``.

        Rewrites them each time it is asked to; content does not change. Raises ``CommitConflict`` where another writer
        replaced one of the files first, ``CannotOrder`` where the engine cannot rewrite such a table.
        """
        ...

    def close(self) -> None:
        """Stop what was started."""
        ...


def having_keys(rows: DataFrame, keys: DataFrame, how: Literal["left_semi", "left_anti"] = "left_semi") -> DataFrame:
    """The rows that have one of the ``keys``, whose columns are some of theirs, or none of them. NULL is a value like any other."""
    names = {name: f"__gold_assets_key_{number}" for number, name in enumerate(keys.columns)}
    same = (F.col(SPARK.name(name)).eqNullSafe(F.col(key)) for name, key in names.items())
    return rows.join(keys.toDF(*names.values()), reduce(and_, same), how)
