"""This business: enriched transactions, and the tables that are made from them."""

from gold_assets.declaring.project import Project
from gold_assets.declaring.source import Source
from gold_assets.gold.tables import TABLES
from gold_assets.silver.contract import RULES, SILVER_COLUMNS

source = Source(
    "transactions",
    SILVER_COLUMNS,
    RULES,
    description="Enriched transactions, a Delta table that others write: append, update, delete, late rows. "
    "Each row is one transaction. Observing it finds the dates that have changed.",
)
project = Project("transactions", source, TABLES)
