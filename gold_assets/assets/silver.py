"""Silver as Dagster sees it: a source whose dates change."""

import dagster as dg

from gold_assets.assets.columns import table_schema
from gold_assets.config import load_settings
from gold_assets.lakehouse.contract import SILVER_COLUMNS
from gold_assets.lakehouse.silver import pin_silver
from gold_assets.partitions import daily_partitions
from gold_assets.resources import Lakehouse, one_sentence_failures

SILVER = dg.AssetKey("silver_transactions")


@dg.observable_source_asset(
    key=SILVER,
    description="Enriched transactions, a Delta table that others write: append, update, delete, late rows. "
    "Each row is one transaction. Observing it finds the dates that have changed.",
    group_name="silver",
    partitions_def=daily_partitions,
    metadata={
        "dagster/column_schema": table_schema(SILVER_COLUMNS),
        "dagster/uri": load_settings().source_path,
    },
    tags={"dagster/kind/deltalake": ""},
)
def silver_transactions(lakehouse: Lakehouse) -> dg.DataVersionsByPartition:
    with one_sentence_failures():
        silver = pin_silver(lakehouse.silver)
    known = set(daily_partitions.get_partition_keys())
    return dg.DataVersionsByPartition(
        {str(date): str(silver.version) for date in silver.rows_by_date() if str(date) in known}
    )
