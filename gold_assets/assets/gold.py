"""The three Gold tables and the quarantine, one multi-asset over their declarations."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from gold_assets.assets.columns import columns_of, table_schema
from gold_assets.assets.silver import SILVER
from gold_assets.config import load_settings
from gold_assets.lakehouse.refresh import Refreshed
from gold_assets.lakehouse.tables import GOLD_TABLES, TABLES, Table, tables_named
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
        metadata={
            "dagster/column_schema": table_schema(columns_of(table)),
            "dagster/uri": load_settings().lake.tables[table.name],
            "key": ", ".join(table.key) or "one row per Silver row",
            "zorder_by": ", ".join(table.zorder_by),
        },
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
        for date in dates:
            context.add_asset_metadata(_date_metadata(refreshed, table, date), table.name, str(date))
        yield dg.MaterializeResult(table.name)


def _date_metadata(refreshed: Refreshed, table: Table, date: dt.date) -> dict[str, int | float]:
    written = refreshed.dates[table.name][date]
    return {
        "dagster/partition_row_count": written.rows,
        "silver_version": refreshed.silver_version,
        "table_version": written.table_version,
        "seconds": round(written.seconds, 3),
    }
