"""Everything Dagster loads: the transactions' tables."""

from gold_assets import transactions
from gold_assets.code_location import definitions

defs = definitions(transactions.project)
