"""The tables as pure functions of the valid transactions, DataFrame to DataFrame."""

from decimal import Decimal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets.declaring.averages import averaged
from gold_assets.declaring.column import decimal_sum, is_below, value
from gold_assets.transactions.source import AMOUNT, RATIO

HIGH_RISK_RATIO = Decimal("0.2")
"""A high-risk transaction pays for less than this share of what it uses."""


def user_spend_summary(transactions: DataFrame) -> DataFrame:
    """Total spent per user per day.

    Columns: user_id as in Silver, total_spend decimal(28,4), transaction_count bigint, event_date date. Money is summed as
    DECIMAL, so the total does not depend on the order of the rows.
    """
    return (
        transactions.groupBy("user_id", "event_date")
        .agg(decimal_sum(AMOUNT, transactions).alias("total_spend"), F.count("*").alias("transaction_count"))
        .select("user_id", "total_spend", "transaction_count", "event_date")
    )


def product_usage_metrics(transactions: DataFrame) -> DataFrame:
    """Average usage_cost_ratio per product per day.

    Columns: product_id as in Silver, avg_usage_cost_ratio double (NULL where no row has a ratio), rated_count bigint
    (rows with a ratio), transaction_count bigint, event_date date. The average does not depend on the order of the rows
    either.
    """
    rated = transactions.withColumn("usage_cost_ratio", value(RATIO, transactions))
    return averaged(
        rated,
        ["product_id", "event_date"],
        {"avg_usage_cost_ratio": "usage_cost_ratio"},
        {"rated_count": "count(usage_cost_ratio)", "transaction_count": "count(*)"},
    ).select("product_id", "avg_usage_cost_ratio", "rated_count", "transaction_count", "event_date")


def flag_high_risk_txns(transactions: DataFrame) -> DataFrame:
    """Every transaction, with ``is_high_risk`` boolean: risk_level is high and usage_cost_ratio < 0.2; never NULL."""
    rated_high = F.col("risk_level") == F.lit("high")
    pays_little = is_below(RATIO, HIGH_RISK_RATIO, transactions)
    return transactions.withColumn("is_high_risk", F.coalesce(rated_high & pays_little, F.lit(False)))


def high_risk_txns(transactions: DataFrame) -> DataFrame:
    """The transactions flagged high-risk, one row each, with Silver's columns and ``is_high_risk``."""
    return flag_high_risk_txns(transactions).filter("is_high_risk")
