"""What it takes to declare a table that is made from Silver: its columns, its transformation, and the same once more in SQL."""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame

from gold_assets.delta.errors import UserError
from gold_assets.silver.contract import VIOLATIONS, Column
from gold_assets.silver.contract_sql import SilverSql, Sql

_CALL = re.compile(r"\s*(sum|count|min|max|avg)\s*\(", re.IGNORECASE)
_FILTER = re.compile(r"\s*FILTER\s*\(\s*WHERE\b", re.IGNORECASE)
_TIMES_A_NUMBER = re.compile(r"\s*\*\s*CAST\('[0-9.]+' AS DECIMAL\(\d+, \d+\)\)")
_OF_A_COLUMN = re.compile(r'\s*\w+\s*\(\s*"?(\w+)"?\s*\)\s*')
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_ANY_TYPES = SilverSql(defaultdict(lambda: "double"))
_ADDED_ALIKE = {"count": "sum", "avg": "average"}


@dataclass(frozen=True)
class Aggregate:
    """What SQL aggregates, where it is one aggregate and no more.

    Attributes:
        function: ``sum``, ``count``, ``min``, ``max`` or ``avg``; with ``distinct``, as in ``count distinct``, where it
            takes each value once.
        of: what it is the aggregate of.
    """

    function: str
    of: str

    @classmethod
    def in_sql(cls, sql: str) -> "Aggregate | None":
        """The aggregate that ``sql`` calls, with a ``FILTER`` or multiplied by a number at most; None where it is anything else."""
        if (call := _CALL.match(sql)) is None:
            return None
        of, rest = _until_closed(sql[call.end() :])
        if (filter := _FILTER.match(rest)) is not None:
            condition, rest = _until_closed(rest[filter.end() :])
            of = f"CASE WHEN {condition} THEN {'1' if of.strip() == '*' else of} END"
        if rest.strip() and (call[1].lower() == "avg" or not _TIMES_A_NUMBER.fullmatch(rest.rstrip())):
            return None
        distinct = re.match(r"\s*DISTINCT\b", of, re.IGNORECASE)
        function = call[1].lower()
        return cls(f"{function} distinct" if distinct and function not in ("min", "max") else function, of)


def _until_closed(sql: str) -> tuple[str, str]:
    """What stands before the bracket that closes the one that was opened before ``sql``, and what after it."""
    depth = 1
    plain = _QUOTED.sub(lambda quoted: "x" * len(quoted[0]), sql)
    for place, character in enumerate(plain):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return sql[:place], sql[place + 1 :]
    return sql, ""


@dataclass(frozen=True)
class Value:
    """A value of a keyed table's rows, worked out once more: an aggregate over Silver's valid rows of a key and a date.

    Attributes:
        silver: the aggregate, in SQL. Where it is ``avg(…)``, it is worked out by ``gold.averages``, and equality is
            not asked for.
        gold: an aggregate over Gold's rows of the key, of which there must be one.
        counted_by: where it is an average, the value that counts what it is the average of.

    By these a patch is checked: a sum, a count, a minimum, a maximum, or an average that is counted by another value is
    worked out from what Gold had and what the new rows make. Where a value is anything else, dates are compared as a
    whole after a patch too.
    """

    silver: Sql
    gold: str
    counted_by: str | None = None

    def aggregate(self, sql: SilverSql) -> Aggregate | None:
        """What it aggregates, over Silver's columns."""
        return Aggregate.in_sql(sql.text(self.silver))

    @property
    def column(self) -> str | None:
        """The column of Gold's that it is, where it is one."""
        found = _OF_A_COLUMN.fullmatch(self.gold)
        return None if found is None else found[1]


@dataclass(frozen=True)
class KeysTwin:
    """The SQL twin of a table with a key.

    Attributes:
        values: the values of its rows by name.
        senses: by name of what is wrong, what each of its rows must meet by itself, in SQL.
        keys: those columns of the key that are not Silver's own, in SQL over Silver's columns.
    """

    values: Mapping[str, Value]
    senses: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RowsTwin:
    """The SQL twin of a table whose rows are Silver's: which of Silver's rows it holds.

    Attributes:
        of_valid: whether those are among the valid rows, else among the quarantined ones.
        conditions: which of them, by what each must be in words, in SQL over Silver's columns; by default all.
        sense: what each of the table's rows must meet by itself, in SQL, and the name of a row that does not.
    """

    of_valid: bool
    conditions: Mapping[str, Sql] = field(default_factory=dict)
    sense: tuple[str, Sql] | None = None

    def condition(self, sql: SilverSql) -> str:
        """All of the conditions as one."""
        return " AND ".join(map(sql.text, self.conditions.values())) or "true"


@dataclass(frozen=True)
class Table:
    """A table that is a function of Silver, partitioned by event_date.

    Attributes:
        name: the table's and the asset's name.
        code_version: raise it when the transformation changes what it computes; the UI then shows the table as stale.
        description: what a row means, for an analyst.
        transformation: from the rows of Silver that feed the table to the table's.
        columns: the declared columns, in order. Where ``keeps_silver_columns``, Silver's columns come before them.
        key: the columns whose values are unique and not NULL; empty where each row stands for one of Silver's. What new
            rows of Silver change is added to a date where each other column says how it ``adds`` up; else the date is
            computed as a whole.
        zorder_by: the columns OPTIMIZE clusters by.
        rows: which of Silver's rows feed the table: ``contract.valid_rows`` or ``contract.quarantined_rows``.
        appends: whether, without a key, what new rows of Silver make is added to a date; else the date is computed as a
            whole.
        twin: the same in SQL, by which the table is compared with Silver; without it, it is not.
        numbers: by name, an aggregate over a date's rows, as it is plotted beside their count.
        measure: the column by which a change of the table is told; without it, by rows.
        path_setting: the setting that holds the table's path, by default ``GOLD_WRITE_PATH_`` and the name.
        default_path: the table's path below the lake's root, by default ``gold/`` and the name.
    """

    name: str
    code_version: str
    description: str
    transformation: Callable[[DataFrame], DataFrame]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    zorder_by: tuple[str, ...]
    rows: Callable[[DataFrame, Collection[dt.date | None] | None], DataFrame]
    keeps_silver_columns: bool = False
    appends: bool = False
    twin: KeysTwin | RowsTwin | None = None
    numbers: Mapping[str, str] = field(default_factory=dict)
    measure: str = ""
    path_setting: str = ""
    default_path: str = ""

    def __post_init__(self) -> None:
        if not self.path_setting:
            object.__setattr__(self, "path_setting", f"GOLD_WRITE_PATH_{self.name.upper()}")
        if not self.default_path:
            object.__setattr__(self, "default_path", f"gold/{self.name}")
        if self.key and self.appends:
            raise UserError(f"{self.name} has a key and appends: leave out one of them, or a key would be there twice.")
        self._see_that_averages_are_counted()
        self._see_that_references_agree()

    @property
    def adds_up(self) -> bool:
        """Whether what new rows of Silver make can be added to the rows of a date."""
        if not self.key:
            return self.appends
        return not self.keeps_silver_columns and all(
            column.adds for column in self.columns if column.name not in self.key
        )

    @property
    def totals(self) -> Collection[str]:
        """The columns of which the sum over several keys means something."""
        said = {column.name for column in self.columns if column.adds in ("sum", "count")}
        values = self.twin.values.values() if isinstance(self.twin, KeysTwin) else ()
        aggregates = {value.column: value.aggregate(_ANY_TYPES) for value in values}
        return said | {
            name for name, found in aggregates.items() if name and found and found.function in ("sum", "count")
        }

    def _see_that_averages_are_counted(self) -> None:
        counts = [column.name for column in self.columns if column.adds == "count"]
        for column in self.columns:
            if column.adds == "average" and column.counted_by not in counts:
                raise UserError(
                    f"{self.name}.{column.name} is declared as an average that {column.counted_by or 'no column'} counts, and the "
                    f'columns with adds="count" are {", ".join(counts) or "none"}: name one of them, or leave adds out, and dates '
                    "are computed as a whole."
                )

    def _see_that_references_agree(self) -> None:
        if not isinstance(self.twin, KeysTwin):
            return
        declared = {column.name: column for column in self.columns}
        for value in self.twin.values.values():
            column, aggregate = declared.get(value.column or ""), value.aggregate(_ANY_TYPES)
            if column is None or column.adds is None or aggregate is None:
                continue
            says, is_counted_by = _alike(column.adds), self.twin.values.get(value.counted_by or "")
            if says != _alike(aggregate.function):
                raise UserError(
                    f'{self.name}.{column.name} is declared with adds="{column.adds}", and the SQL it is compared with is '
                    f"{_ANY_TYPES.text(value.silver)}: make the two say the same, or leave adds out, and dates are computed as a whole."
                )
            if says == "average" and is_counted_by is not None and is_counted_by.column != column.counted_by:
                raise UserError(
                    f"{self.name}.{column.name} is declared to be counted by {column.counted_by}, and the SQL it is compared with by "
                    f"{is_counted_by.column}: make the two say the same."
                )

    @property
    def row_order(self) -> str:
        """The order in which rows are shown, as SQL's ORDER BY has it: by key, else by what OPTIMIZE clusters by."""
        return ", ".join(self.key or self.zorder_by) or "1"

    @property
    def what(self) -> str:
        """What a row stands for, in a word."""
        return self.key[0].removesuffix("_id") if self.key else "row"

    @property
    def is_quarantine(self) -> bool:
        """Whether the table holds what breaks the contract, rows without a date among it."""
        return VIOLATIONS in (column.name for column in self.columns)

    def of(self, silver: DataFrame, broken_dates: Collection[dt.date | None] | None = None) -> DataFrame:
        """The table's content as the function of Silver that it is; ``broken_dates`` as in ``contract.valid_rows``."""
        return self.transformation(self.rows(silver, broken_dates))


def _alike(adds: str) -> str:
    """A name for each way of adding up."""
    return _ADDED_ALIKE.get(adds, adds)
