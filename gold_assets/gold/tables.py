"""The tables that are made from Silver, each declared once. Assets, checks, maintenance and docs iterate over TABLES."""

from dataclasses import replace

from gold_assets.delta.dates import EVENT_DATE
from gold_assets.gold import transformations as t
from gold_assets.gold.declaration import KeysTwin, RowsTwin, Table, Value
from gold_assets.silver import contract
from gold_assets.silver.contract import VIOLATIONS, Column

_DATE = Column(EVENT_DATE, "date", "UTC date of the transactions; the partition.", made_from=(EVENT_DATE,))

_HIGH_RISK = RowsTwin(
    of_valid=True,
    conditions={
        "risk_level is high": "risk_level = 'high'",
        "usage_cost_ratio < 0.2": lambda silver: silver.ratio_is_below("0.2"),
    },
)

USER_SPEND_SUMMARY = Table(
    name="user_spend_summary",
    code_version="1",
    description="Total amount spent per user per day. One row for each user with a valid transaction on that day.",
    path_setting="GOLD_WRITE_PATH_SPEND_SUMMARY",
    rows=contract.valid_rows,
    transformation=t.user_spend_summary,
    columns=(
        Column("user_id", contract.KEY_TYPE, "Who spent.", made_from=("user_id",), keeps_type=True),
        Column(
            "total_spend",
            "decimal(28,4)",
            "Sum of amount over the user's transactions of the day, exact.",
            made_from=("amount",),
            adds="sum",
        ),
        Column("transaction_count", "long", "How many transactions that were.", adds="count"),
        _DATE,
    ),
    key=("user_id", EVENT_DATE),
    zorder_by=("user_id",),
    twin=KeysTwin(
        values={
            "transaction_count": Value("count(*)", "sum(transaction_count)"),
            "total_spend": Value(lambda silver: silver.money_sum, "sum(total_spend)"),
        },
        # Refunds make negative totals legal.
        senses={
            "transaction_counts_below_one": "transaction_count >= 1",
            "totals_without_value": "total_spend IS NOT NULL",
        },
    ),
    numbers={"spend": "sum(total_spend)", "transactions": "sum(transaction_count)"},
    measure="total_spend",
)

PRODUCT_USAGE_METRICS = Table(
    name="product_usage_metrics",
    code_version="2",
    description="Average usage_cost_ratio per product per day. One row for each product with a valid transaction on that day.",
    rows=contract.valid_rows,
    transformation=t.product_usage_metrics,
    columns=(
        Column("product_id", contract.KEY_TYPE, "What was bought.", made_from=("product_id",), keeps_type=True),
        Column(
            "avg_usage_cost_ratio",
            "double",
            "Mean usage_cost_ratio of the rated transactions; NULL where none is.",
            made_from=("usage_cost_ratio",),
            adds="average",
            counted_by="rated_count",
        ),
        Column(
            "rated_count",
            "long",
            "How many transactions have a usage_cost_ratio.",
            made_from=("usage_cost_ratio",),
            adds="count",
        ),
        Column("transaction_count", "long", "How many transactions there were.", adds="count"),
        _DATE,
    ),
    key=("product_id", EVENT_DATE),
    zorder_by=("product_id",),
    twin=KeysTwin(
        values={
            "transaction_count": Value("count(*)", "sum(transaction_count)"),
            "rated_count": Value("count(usage_cost_ratio)", "sum(rated_count)"),
            "average": Value(
                lambda silver: f"avg({silver.ratio})",
                "max(avg_usage_cost_ratio)",
                counted_by="rated_count",
            ),
        },
        senses={
            "transaction_counts_below_one": "transaction_count >= 1",
            "rated_counts_out_of_range": "rated_count >= 0 AND rated_count <= transaction_count",
            "averages_without_reason": "(avg_usage_cost_ratio IS NULL) = (rated_count = 0)",
            "averages_not_finite": "avg_usage_cost_ratio IS NULL "
            "OR abs(avg_usage_cost_ratio) < CAST('Infinity' AS DOUBLE)",
        },
    ),
    numbers={
        "avg_usage_cost_ratio": "sum(avg_usage_cost_ratio * rated_count) / sum(rated_count)",
        "rated_share": "sum(rated_count) / CAST(sum(transaction_count) AS DOUBLE)",
    },
    measure="avg_usage_cost_ratio",
)

HIGH_RISK_TXNS = Table(
    name="high_risk_txns",
    code_version="1",
    description=f"Transactions flagged high-risk: risk_level is high and usage_cost_ratio < {t.HIGH_RISK_RATIO}. "
    "One row for each flagged Silver row, with all of Silver's columns.",
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
    appends=True,
    twin=replace(
        _HIGH_RISK, sense=("rows_not_high_risk", lambda gold: f"{_HIGH_RISK.condition(gold)} AND is_high_risk")
    ),
    numbers={"amount": "sum(amount)", "users": "count(DISTINCT user_id)"},
    measure="amount",
    keeps_silver_columns=True,
)

QUARANTINED_TXNS = Table(
    name="quarantined_txns",
    code_version="1",
    description="Silver rows that break a rule of the contract and therefore count in no Gold table. "
    "One row for each of them, with all of Silver's columns and the names of the rules it breaks.",
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
    appends=True,
    twin=RowsTwin(of_valid=False),
    path_setting="GOLD_BAD_RECORDS_PATH",
    default_path="quarantine/transactions",
    keeps_silver_columns=True,
)

TABLES = (USER_SPEND_SUMMARY, PRODUCT_USAGE_METRICS, HIGH_RISK_TXNS, QUARANTINED_TXNS)
