"""The transactions as one deployment after another declares them: now with a column more, now without it, always with the same numbers."""

import dataclasses
import os
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets import Column, Project, transactions
from gold_assets.code_location import definitions
from gold_assets.transactions.tables import HIGH_RISK_TXNS, USER_SPEND_SUMMARY
from gold_assets.transactions.transformations import user_spend_summary

FILE = "CHAOS_DEPLOYED"
"""The environment variable that names the file with the number of the deployment."""


def project_of(number: int) -> Project:
    """Each has another version of two tables. One of them has in every second deployment a column more, and then its next place."""
    of_risk = dataclasses.replace(HIGH_RISK_TXNS, version=f"deployed {number}")
    of_spend = dataclasses.replace(USER_SPEND_SUMMARY, version=f"deployed {number}")
    if number % 2:
        of_spend = dataclasses.replace(
            of_spend,
            reference=USER_SPEND_SUMMARY.reference.replace(
                "count(*) AS transaction_count", "count(*) AS transaction_count, count(usage_cost_ratio) AS rated_count"
            ),
            transformation=_with_rated_count,
            columns=[*of_spend.columns[:-1], Column("rated_count", "long"), of_spend.columns[-1]],
        )
    changed = {table.name: table for table in (of_spend, of_risk)} if number else {}
    tables = tuple(changed.get(table.name, table) for table in transactions.project.tables)
    return dataclasses.replace(transactions.project, tables=tables)


def _with_rated_count(rows: DataFrame) -> DataFrame:
    rated = rows.groupBy("user_id", "event_date").agg(F.count("usage_cost_ratio").alias("rated_count"))
    return (
        user_spend_summary(rows)
        .join(rated, ["user_id", "event_date"])
        .select("user_id", "total_spend", "transaction_count", "rated_count", "event_date")
    )


if FILE in os.environ:
    project = project_of(int(Path(os.environ[FILE]).read_text()))
    defs = definitions(project)
