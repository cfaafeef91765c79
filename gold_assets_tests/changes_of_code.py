"""Three changes of the transactions' code: a column more, a rule more, another threshold."""

import dataclasses

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets import transactions
from gold_assets.declaring.column import Column, value
from gold_assets.declaring.project import Project
from gold_assets.declaring.source import Rule
from gold_assets.declaring.table import Table
from gold_assets.transactions.source import AMOUNT, RATIO, source
from gold_assets.transactions.tables import HIGH_RISK_TXNS, USER_SPEND_SUMMARY
from gold_assets.transactions.transformations import HIGH_RISK_RATIO


def with_tables(*changed: Table) -> Project:
    """The transactions with these tables in place of those of their names."""
    by_name = {table.name: table for table in (*transactions.project.tables, *changed)}
    return dataclasses.replace(transactions.project, tables=tuple(by_name.values()))


def largest_amount(rows: DataFrame) -> DataFrame:
    more = rows.groupBy("user_id", "event_date").agg(F.max(value(AMOUNT, rows)).alias("largest_amount"))
    made = USER_SPEND_SUMMARY.transformation(rows).join(more, ["user_id", "event_date"])
    return made.select("user_id", "total_spend", "transaction_count", "largest_amount", "event_date")


A_COLUMN_MORE = dataclasses.replace(
    USER_SPEND_SUMMARY,
    reference=USER_SPEND_SUMMARY.reference.replace(", event_date\n", ", max(amount) AS largest_amount, event_date\n"),
    transformation=largest_amount,
    columns=(
        *USER_SPEND_SUMMARY.columns[:-1],
        Column("largest_amount", "decimal(18,4)"),
        USER_SPEND_SUMMARY.columns[-1],
    ),
)


def with_another_rule() -> Project:
    """The transactions in which an amount must be above zero."""
    stricter = dataclasses.replace(
        source, rules=(*source.rules, Rule("amount_is_not_above_zero", condition="amount > 0"))
    )
    tables = tuple(dataclasses.replace(table, source=stricter) for table in transactions.project.tables)
    return dataclasses.replace(transactions.project, source=stricter, tables=tables)


def below(limit: str) -> Table:
    """The high-risk transactions by another threshold."""

    def flagged(rows: DataFrame) -> DataFrame:
        is_high = (F.col("risk_level") == "high") & (value(RATIO, rows) < F.lit(float(limit)))
        return rows.filter(is_high).withColumn("is_high_risk", F.lit(True))

    reference = HIGH_RISK_TXNS.reference.replace(f"< {HIGH_RISK_RATIO}", f"< {limit}")
    return dataclasses.replace(HIGH_RISK_TXNS, reference=reference, transformation=flagged)
