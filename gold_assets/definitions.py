"""Everything Dagster loads."""

import dagster as dg

from gold_assets.assets.checks import (
    daily_metadata_checks,
    gold_checks,
    run_checks,
    run_metadata_checks,
    silver_checks,
)
from gold_assets.assets.gold import gold_tables
from gold_assets.assets.silver import silver_transactions
from gold_assets.automation.maintenance import maintenance, maintenance_schedule
from gold_assets.automation.micro_batch import micro_batch_sensor
from gold_assets.config import load_settings
from gold_assets.resources import Lakehouse

defs = dg.Definitions(
    assets=[silver_transactions, gold_tables],
    asset_checks=[silver_checks, gold_checks],
    jobs=[
        dg.define_asset_job("observe_silver", selection=[silver_transactions]),
        run_checks,
        run_metadata_checks,
        maintenance,
    ],
    schedules=[daily_metadata_checks, maintenance_schedule],
    sensors=[micro_batch_sensor],
    resources={"lakehouse": Lakehouse.from_settings(load_settings())},
    # One short step a run: a process of its own for it would cost more than it does.
    executor=dg.in_process_executor,
)
