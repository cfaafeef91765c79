"""Everything Dagster loads."""

import dagster as dg

from gold_assets.assets.gold import gold_tables
from gold_assets.assets.silver import silver_transactions
from gold_assets.config import load_settings
from gold_assets.resources import Lakehouse

defs = dg.Definitions(
    assets=[silver_transactions, gold_tables],
    jobs=[dg.define_asset_job("observe_silver", selection=[silver_transactions])],
    resources={"lakehouse": Lakehouse.from_settings(load_settings())},
    # One short step a run: a process of its own for it would cost more than it does.
    executor=dg.in_process_executor,
)
