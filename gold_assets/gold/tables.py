"""The tables that are made from Silver, each declared once. Assets, checks, maintenance and docs iterate over TABLES."""

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pyspark.sql import DataFrame

from gold_assets.delta.dates import EVENT_DATE
from gold_assets.gold import transformations as t
from gold_assets.silver import contract
from gold_assets.silver.contract import VIOLATIONS, Column

_DATE = Column(EVENT_DATE, "date", "UTC date of the transactions; the partition.", made_from=(EVENT_DATE,))


@dataclass(frozen=True)
class Table:
    """A table that is a function of Silver, partitioned by event_date.

    Attributes:
        name: the table's and the asset's name.
        code_version: raise it when the transformation changes what it computes; the UI then shows the table as stale.
        description: what a row means, for an analyst.
        path_setting: the setting that holds the table's path.
        rows: which of Silver's rows feed the table: ``contract.valid_rows`` or ``contract.quarantined_rows``.
        transformation: from those rows to the table's.
        columns: the declared columns, in order. Where ``keeps_silver_columns``, Silver's columns come before them.
        key: the columns whose values are unique and not NULL; empty where each row stands for one of Silver's.
        zorder_by: the columns OPTIMIZE clusters by.
    """

    name: str
    code_version: str
    description: str
    path_setting: str
    rows: Callable[[DataFrame, Collection[dt.date] | None], DataFrame]
    transformation: Callable[[DataFrame], DataFrame]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    zorder_by: tuple[str, ...]
    keeps_silver_columns: bool = False

    def of(self, silver: DataFrame, broken_dates: Collection[dt.date] | None = None) -> DataFrame:
        """The table's content as the function of Silver that it is; ``broken_dates`` as in ``contract.valid_rows``."""
        return self.transformation(self.rows(silver, broken_dates))


USER_SPEND_SUMMARY = Table(
    name="user_spend_summary",
    code_version="1",
    description="Total amount spent per user per day. One row for each user with a valid transaction on that day.",
    path_setting="GOLD_WRITE_PATH_SPEND_SUMMARY",
    rows=contract.valid_rows,
    transformation=t.user_spend_summary,
    columns=(
        Column("user_id", "string", "Who spent.", made_from=("user_id",)),
        Column(
            "total_spend",
            "decimal(28,4)",
            "Sum of amount over the user's transactions of the day, exact.",
            made_from=("amount",),
        ),
        Column("transaction_count", "long", "How many transactions that were."),
        _DATE,
    ),
    key=("user_id", EVENT_DATE),
    zorder_by=("user_id",),
)

PRODUCT_USAGE_METRICS = Table(
    name="product_usage_metrics",
    code_version="1",
    description="Average usage_cost_ratio per product per day. One row for each product with a valid transaction on that day.",
    path_setting="GOLD_WRITE_PATH_PRODUCT_USAGE_METRICS",
    rows=contract.valid_rows,
    transformation=t.product_usage_metrics,
    columns=(
        Column("product_id", "string", "What was bought.", made_from=("product_id",)),
        Column(
            "avg_usage_cost_ratio",
            "double",
            "Mean usage_cost_ratio of the rated transactions; NULL where none is.",
            made_from=("usage_cost_ratio",),
        ),
        Column(
            "rated_count",
            "long",
            "How many transactions have a usage_cost_ratio.",
            made_from=("usage_cost_ratio",),
        ),
        Column("transaction_count", "long", "How many transactions there were."),
        _DATE,
    ),
    key=("product_id", EVENT_DATE),
    zorder_by=("product_id",),
)

HIGH_RISK_TXNS = Table(
    name="high_risk_txns",
    code_version="1",
    description=f"Transactions flagged high-risk: risk_level is high and usage_cost_ratio < {t.HIGH_RISK_RATIO}. "
    "One row for each flagged Silver row, with all of Silver's columns.",
    path_setting="GOLD_WRITE_PATH_HIGH_RISK_TXNS",
    rows=contract.valid_rows,
    transformation=t.high_risk_txns,
    columns=(
        Column(
            "is_high_risk",
            "boolean",
            "True on every row of this table.",
            made_from=("risk_level", "usage_cost_ratio"),
        ),
        _DATE,
    ),
    key=(),
    zorder_by=("user_id",),
    keeps_silver_columns=True,
)

QUARANTINED_TXNS = Table(
    name="quarantined_txns",
    code_version="1",
    description="Silver rows that break a rule of the contract and therefore count in no Gold table. "
    "One row for each of them, with all of Silver's columns and the names of the rules it breaks.",
    path_setting="GOLD_BAD_RECORDS_PATH",
    rows=contract.quarantined_rows,
    transformation=lambda rows: rows,
    columns=(
        Column(
            VIOLATIONS,
            "array<string>",
            "Names of the broken rules.",
            made_from=tuple(column.name for column in contract.SILVER_COLUMNS),
        ),
        _DATE,
    ),
    key=(),
    zorder_by=("user_id",),
    keeps_silver_columns=True,
)

TABLES = (USER_SPEND_SUMMARY, PRODUCT_USAGE_METRICS, HIGH_RISK_TXNS, QUARANTINED_TXNS)
GOLD_TABLES = (USER_SPEND_SUMMARY, PRODUCT_USAGE_METRICS, HIGH_RISK_TXNS)


def tables_named(names: list[str] | tuple[str, ...]) -> tuple[Table, ...]:
    """The declarations with these names, in the order of TABLES."""
    return tuple(table for table in TABLES if table.name in names)
