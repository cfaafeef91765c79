"""Silver as Dagster sees it: a source whose dates change."""

import datetime as dt
from collections.abc import Collection

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
        versions = new_data_versions(context.instance, key, silver, changes, -1, dates)
        return dg.DataVersionsByPartition({str(date): version for date, version in versions})

    return observe


def new_data_versions(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    silver: Silver,
    changes: SilverChanges,
    since: int,
    dates: Collection[dt.date],
) -> list[tuple[dt.date, str]]:
    """The data version of each date that was not observed at it before, in order of date.

    A date's data version names the newest commit that changed its rows, as ``changes`` after version ``since`` tell, and the Silver
    table, whose versions begin anew when it is made anew: ``41@3f0c9a1e``. An OPTIMIZE changes no rows, so it changes no
    data version. Where no such commit is known, an earlier observation stands; without one it is the version that the log was
    read back to.
    """
    if not dates:
        return []
    # The public way to ask gives events one by one, also those that newer ones have replaced.
    newest = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_OBSERVATION, [DATA_VERSION_TAG]
    )
    table_id = silver.table_id[:8]
    told = {partition: tags[DATA_VERSION_TAG].partition("@") for partition, tags in newest.items()}
    observed = {partition: int(version) for partition, (version, _, of) in told.items() if of == table_id}
    versions = []
    for date in sorted(dates):
        version, earlier = changes.last_after(date, since), observed.get(str(date))
        if version is None:
            version = changes.oldest_known(since) if earlier is None else -1
        if version > (-1 if earlier is None else earlier):
            versions.append((date, f"{version}@{table_id}"))
    return versions
