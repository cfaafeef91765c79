"""The dates that a micro-batch has patched, and that were not compared with Silver in full since."""

import datetime as dt

import dagster as dg

from gold_assets.assets.outcomes import COMPLETED
from gold_assets.checks.catalogue import RECONCILES
from gold_assets.checks.findings import Limits
from gold_assets.checks.rows import COMPARED_IN_FULL
from gold_assets.gold.moment import Moment
from gold_assets.instance.dagster_internals import PartitionKeyFilter

ASKS_FOR_PATCHED_DATES = {"gold_assets/dates": "patched since they were last compared in full"}
"""The tag of a run of checks that is to find its dates by itself."""


def patched_dates(instance: dg.DagsterInstance, moment: Moment, limits: Limits) -> list[dt.date]:
    """The dates of which a table was patched last, and not compared in full since, as far as Dagster knows."""
    patched: set[dt.date] = set()
    for table in moment.lake.tables:
        held = {date for date in moment.held(table) if date and date in limits}
        for date, made in moment.made_from(table, held - patched).items():
            if date is not None and made.patches and _compared_in_full(instance, table.name, date) < made.table_version:
                patched.add(date)
    return sorted(patched)


def _compared_in_full(instance: dg.DagsterInstance, table: str, date: dt.date) -> int:
    """The table's version when the date's latest comparison was one in full, else -1."""
    latest = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(table), RECONCILES),
        limit=1,
        status=COMPLETED,
        partition_filter=PartitionKeyFilter(key=str(date)),
    )
    metadata = latest[0].evaluation.metadata if latest and latest[0].evaluation is not None else {}
    version = metadata.get("table_version")
    is_full = metadata.get("compared") == dg.MetadataValue.text(COMPARED_IN_FULL)
    return version.value or 0 if is_full and isinstance(version, dg.IntMetadataValue) else -1
