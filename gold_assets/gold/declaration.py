"""What it takes to declare a table that is made from Silver: its columns, its transformation, and the same once more in SQL."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pyspark.sql import DataFrame

from gold_assets.gold.addition import Addition
from gold_assets.silver.contract import VIOLATIONS, Column
from gold_assets.silver.contract_sql import SilverSql, Sql


@dataclass(frozen=True)
class Value:
    """A value of a keyed table's rows, worked out once more: an aggregate over Silver's valid rows of a key and a date.

    Attributes:
        silver: the aggregate, in SQL.
        gold: an aggregate over Gold's rows of the key, of which there must be one.
        average_of: where it is an average, of what, in SQL over Silver's columns. Equality is too much to ask of one.
        counted_by: the value that counts what it is the average of. The other values add up.
    """

    silver: Sql
    gold: str
    average_of: Sql | None = None
    counted_by: str | None = None


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
class Picture:
    """What is drawn of a table: a number of ``Table.numbers`` by day, or how a column's values from 0 to 1 are spread."""

    of: str
    title: str
    kind: Literal["by_day", "spread"] = "by_day"


@dataclass(frozen=True)
class Table:
    """A table that is a function of Silver, partitioned by event_date.

    Attributes:
        name: the table's and the asset's name.
        code_version: raise it when the transformation changes what it computes; the UI then shows the table as stale.
        description: what a row means, for an analyst.
        transformation: from the rows of Silver that feed the table to the table's.
        columns: the declared columns, in order. Where ``keeps_silver_columns``, Silver's columns come before them.
        key: the columns whose values are unique and not NULL; empty where each row stands for one of Silver's.
        zorder_by: the columns OPTIMIZE clusters by.
        rows: which of Silver's rows feed the table: ``contract.valid_rows`` or ``contract.quarantined_rows``.
        addition: how rows that Silver gains are added to the table's; without it every date is always computed as a whole.
        twin: the same in SQL, by which the table is compared with Silver; without it, it is not.
        numbers: by name, an aggregate over a date's rows, as it is plotted beside their count.
        first_rows: which rows are worth seeing first, as SQL's ORDER BY has it.
        measure: the column by which a change of the table is told; without it, by rows.
        picture: what is drawn of the table.
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
    addition: Addition | None = None
    twin: KeysTwin | RowsTwin | None = None
    numbers: Mapping[str, str] = field(default_factory=dict)
    first_rows: str = "1"
    measure: str = ""
    picture: Picture = Picture("rows", "Rows by day")
    path_setting: str = ""
    default_path: str = ""

    def __post_init__(self) -> None:
        if not self.path_setting:
            object.__setattr__(self, "path_setting", f"GOLD_WRITE_PATH_{self.name.upper()}")
        if not self.default_path:
            object.__setattr__(self, "default_path", f"gold/{self.name}")

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
