"""Everything Dagster loads of the transactions."""

from gold_assets.code_location import definitions
from gold_assets.transactions import project

defs = definitions(project)
