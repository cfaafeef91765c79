"""The Gold tables and the quarantine, one multi-asset over their declarations."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from gold_assets.assets.metadata import declared_metadata, metadata_by_date
from gold_assets.assets.silver import SILVER
from gold_assets.config import Settings
from gold_assets.gold.declaration import Table
from gold_assets.gold.refresh import refresh
from gold_assets.partitions import daily_partitions, freshness
from gold_assets.resources import GOLD_WRITERS_POOL, Lakehouse, one_sentence_failures


def gold_assets(settings: Settings) -> dg.AssetsDefinition:
    """The tables as assets, of which a run materializes any, on any dates."""

    @dg.multi_asset(
        specs=[_spec(table, settings) for table in settings.tables],
        can_subset=True,
        partitions_def=daily_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=GOLD_WRITERS_POOL,
    )
    def gold_tables(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[dg.MaterializeResult]:
        """Recompute the asked dates of the selected tables from Silver's newest version."""
        dates = [dt.date.fromisoformat(key) for key in context.partition_keys]
        with one_sentence_failures():
            lake = lakehouse.lake(settings.tables)
            selected = lake.named([key.to_user_string() for key in context.selected_asset_keys])
            refreshed = refresh(lake, lakehouse.started_engine(), dates, tables=selected)
        for table in selected:
            for date, metadata in metadata_by_date(table, lake.places[table.name], refreshed).items():
                context.add_asset_metadata(metadata, table.name, str(date))
            yield dg.MaterializeResult(table.name)

    return gold_tables


def _spec(table: Table, settings: Settings) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=[SILVER],
        description=table.description,
        group_name="quarantine" if table.is_quarantine else "gold",
        kinds={"pyspark", "deltalake"},
        owners=["team:data-engineering"],
        code_version=table.code_version,
        freshness_policy=freshness(settings),
        metadata=declared_metadata(table, settings.lake.places[table.name]),
    )
