"""The three Gold tables and the quarantine, one multi-asset over their declarations."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from gold_assets.assets.metadata import declared_metadata, metadata_by_date
from gold_assets.assets.silver import SILVER
from gold_assets.gold.tables import GOLD_TABLES, TABLES, Table, tables_named
from gold_assets.partitions import daily_partitions, freshness
from gold_assets.resources import Lakehouse, one_sentence_failures

GOLD_WRITERS_POOL = "gold_writers"
"""Whatever writes Gold takes a slot of this pool, which the instance limits to one."""


def _spec(table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=[SILVER],
        description=table.description,
        group_name="gold" if table in GOLD_TABLES else "quarantine",
        kinds={"pyspark", "deltalake"},
        owners=["team:data-engineering"],
        code_version=table.code_version,
        freshness_policy=freshness,
        metadata=declared_metadata(table),
    )


@dg.multi_asset(
    specs=[_spec(table) for table in TABLES],
    can_subset=True,
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=GOLD_WRITERS_POOL,
)
def gold_tables(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[dg.MaterializeResult]:
    """Recompute the asked dates of the selected tables from Silver's newest version."""
    dates = [dt.date.fromisoformat(key) for key in context.partition_keys]
    selected = tables_named([key.to_user_string() for key in context.selected_asset_keys])
    with one_sentence_failures():
        refreshed = lakehouse.refresh(dates, selected)
    for table in selected:
        for date, metadata in metadata_by_date(table, lakehouse.places[table.name], refreshed).items():
            context.add_asset_metadata(metadata, table.name, str(date))
        yield dg.MaterializeResult(table.name)
