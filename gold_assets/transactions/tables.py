"""What is made from transactions: three tables, and the quarantine of the rows that break a rule."""

from gold_assets.declaring.column import Column
from gold_assets.declaring.table import Table
from gold_assets.transactions import transformations as t
from gold_assets.transactions.source import source

_DATE = Column("event_date", "date", "UTC date of the transactions; the partition.")

USER_SPEND_SUMMARY = Table(
    "user_spend_summary",
    source,
    version="1",
    description="Total amount spent per user per day. One row for each user with a valid transaction on that day.",
    reference="""
        SELECT user_id, sum(amount) AS total_spend, count(*) AS transaction_count, event_date
        FROM transactions GROUP BY user_id, event_date""",
    transformation=t.user_spend_summary,
    columns=(
        Column("user_id", "key", "Who spent."),
        Column("total_spend", "decimal(28,4)", "Sum of amount over the user's transactions of the day, exact."),
        Column("transaction_count", "long", "How many transactions that were."),
        _DATE,
    ),
    key=("user_id", "event_date"),
    zorder_by=("user_id",),
    # Refunds make negative totals legal.
    invariants={
        "transaction_counts_below_one": "transaction_count >= 1",
        "totals_without_value": "total_spend IS NOT NULL",
    },
    numbers={"spend": "sum(total_spend)", "transactions": "sum(transaction_count)"},
    measure="total_spend",
    path_setting="GOLD_WRITE_PATH_SPEND_SUMMARY",
    stands_for="87ec8df0fd26",
)

PRODUCT_USAGE_METRICS = Table(
    "product_usage_metrics",
    source,
    version="2",
    description="Average usage_cost_ratio per product per day. One row for each product with a valid transaction on that day.",
    reference="""
        SELECT product_id, avg(usage_cost_ratio) AS avg_usage_cost_ratio, count(usage_cost_ratio) AS rated_count,
            count(*) AS transaction_count, event_date
        FROM transactions GROUP BY product_id, event_date""",
    transformation=t.product_usage_metrics,
    columns=(
        Column("product_id", "key", "What was bought."),
        Column(
            "avg_usage_cost_ratio", "double", "Mean usage_cost_ratio of the rated transactions; NULL where none is."
        ),
        Column("rated_count", "long", "How many transactions have a usage_cost_ratio."),
        Column("transaction_count", "long", "How many transactions there were."),
        _DATE,
    ),
    key=("product_id", "event_date"),
    zorder_by=("product_id",),
    invariants={
        "transaction_counts_below_one": "transaction_count >= 1",
        "rated_counts_out_of_range": "rated_count >= 0 AND rated_count <= transaction_count",
        "averages_without_reason": "(avg_usage_cost_ratio IS NULL) = (rated_count = 0)",
        "averages_not_finite": "avg_usage_cost_ratio IS NULL OR abs(avg_usage_cost_ratio) < CAST('Infinity' AS DOUBLE)",
    },
    numbers={
        "avg_usage_cost_ratio": "sum(avg_usage_cost_ratio * rated_count) / sum(rated_count)",
        "rated_share": "sum(rated_count) / CAST(sum(transaction_count) AS DOUBLE)",
    },
    measure="avg_usage_cost_ratio",
    stands_for="8ae973ee78da",
)

HIGH_RISK_TXNS = Table(
    "high_risk_txns",
    source,
    version="1",
    description=f"Transactions flagged high-risk: risk_level is high and usage_cost_ratio < {t.HIGH_RISK_RATIO}. "
    "One row for each flagged Silver row, with all of Silver's columns.",
    reference=f"""
        SELECT *, true AS is_high_risk FROM transactions
        WHERE risk_level = 'high' AND usage_cost_ratio < {t.HIGH_RISK_RATIO}""",
    transformation=t.high_risk_txns,
    columns=(Column("is_high_risk", "boolean", "True on every row of this table."), _DATE),
    zorder_by=("user_id",),
    numbers={"amount": "sum(amount)", "users": "count(DISTINCT user_id)"},
    measure="amount",
    stands_for="f9432d7bddeb",
)

QUARANTINED_TXNS = Table(
    "quarantined_txns",
    source,
    version="1",
    description="Silver rows that break a rule of the contract and therefore count in no Gold table. "
    "One row for each of them, with all of Silver's columns and the names of the rules it breaks.",
    reference="SELECT *, violations FROM transactions",
    transformation=lambda rows: rows,
    columns=(Column("violations", "array<string>", "Names of the broken rules."), _DATE),
    zorder_by=("user_id",),
    path_setting="GOLD_BAD_RECORDS_PATH",
    default_path="quarantine/transactions",
    stands_for="699486436c34",
)

TABLES = (USER_SPEND_SUMMARY, PRODUCT_USAGE_METRICS, HIGH_RISK_TXNS, QUARANTINED_TXNS)
