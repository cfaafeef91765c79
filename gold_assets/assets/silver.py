"""Silver as Dagster sees it: a source whose dates change."""

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from gold_assets.assets.metadata import columns_in_silver, table_schema
from gold_assets.config import Settings
from gold_assets.instance.dagster_internals import DATA_VERSION_TAG
from gold_assets.partitions import daily_partitions
from gold_assets.resources import asset_key, lakehouse_of, named, on_lakehouse, one_sentence_failures
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver


def silver_asset(settings: Settings) -> dg.SourceAsset:
    """Silver as an asset that others write, and that is observed."""
    project, partitions = settings.project, daily_partitions(settings)
    source, key = project.source, asset_key(project, project.source.asset)

    @dg.observable_source_asset(
        key=key,
        **on_lakehouse(project),
        description=source.description,
        group_name=named(project, "silver"),
        partitions_def=partitions,
        metadata={
            "dagster/column_schema": table_schema(columns_in_silver(source)),
            "dagster/uri": settings.source_path,
        },
        tags={"dagster/kind/deltalake": ""},
    )
    def observe(context: dg.AssetExecutionContext) -> dg.DataVersionsByPartition:
        with one_sentence_failures():
            silver = lakehouse_of(context, project).lake(project).pin()
            changes = SilverChanges(silver)
            known = changes.dates_after(-1) | silver.file_dates.dates()
        within = set(partitions.get_partition_keys())
        dates = [date for date in known if date is not None and str(date) in within]
        last = {date: changes.last_after(date, -1) for date in dates}
        versions = new_data_versions(context.instance, key, silver, last, changes.oldest_known(-1))
        return dg.DataVersionsByPartition({str(date): version for date, version in versions})

    return observe


def new_data_versions(
    instance: dg.DagsterInstance, key: dg.AssetKey, silver: Silver, last: Mapping[dt.date, int | None], oldest: int
) -> list[tuple[dt.date, str]]:
    """The data version of each date that was not observed at it before, in order of date.

    A date's data version names the newest commit that changed its rows, as ``last`` tells, and the Silver table, whose
    versions begin anew when it is made anew: ``41@3f0c9a1e``. An OPTIMIZE changes no rows, so it changes no data
    version. Where no such commit is known, an earlier observation stands; without one it is ``oldest``, the version
    that the log was read back to.
    """
    observed = _observed(instance, key, silver)
    versions = []
    for date, version in sorted(last.items()):
        earlier = observed.get(str(date))
        if version is None:
            version = oldest if earlier is None else -1
        if version > (-1 if earlier is None else earlier):
            versions.append((date, f"{version}@{silver.table_id[:8]}"))
    return versions


def _observed(instance: dg.DagsterInstance, key: dg.AssetKey, silver: Silver) -> Mapping[str, int]:
    """By partition, the Silver version of the newest observation, where it was of this table."""
    # The public way to ask gives events one by one, also those that newer ones have replaced.
    newest = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_OBSERVATION, [DATA_VERSION_TAG]
    )
    observed = {}
    for partition, tags in newest.items():
        version, _, table = tags[DATA_VERSION_TAG].partition("@")
        if table == silver.table_id[:8]:
            observed[partition] = int(version)
    return observed
