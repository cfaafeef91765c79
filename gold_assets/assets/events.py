"""Materializations that are reported by themselves, not as the output of a step."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from gold_assets.declaring.project import Project
from gold_assets.declaring.table import Table
from gold_assets.gold.plan import Step
from gold_assets.instance.dagster_internals import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    compute_logical_data_version,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from gold_assets.resources import asset_key


def materializations(
    instance: dg.DagsterInstance,
    project: Project,
    table: Table,
    written: Mapping[dt.date, Mapping[str, Any]],
    current: Mapping[dt.date | None, Step],
) -> Iterator[dg.AssetMaterialization]:
    """What a refresh did to dates of the table, with the provenance by which the UI knows that they are in sync with Silver.

    One of each date that was ``written``, given with its metadata; and of those that were ``current`` already one where Dagster was
    never told, as when a run was killed after its commit.
    """
    key, silver = (asset_key(project, name) for name in (table.name, table.source.asset))

    def event(date: dt.date, metadata: Mapping[str, Any]) -> dg.AssetMaterialization:
        tags = _provenance(instance, silver, table.code_version, date)
        said = str(metadata["how"])
        return dg.AssetMaterialization(key, partition=str(date), description=said, metadata=metadata, tags=tags)

    for date, metadata in written.items():
        yield event(date, metadata)
    left = {date: step.made for date, step in current.items() if date is not None and step.made is not None}
    known = latest_materializations(instance, key, map(str, left))
    for date, made_by in left.items():
        if str(date) in known and _table_version(known[str(date)].asset_materialization) >= made_by.table_version:
            continue
        versions = {"silver_version": made_by.silver_version, "table_version": made_by.table_version}
        yield event(date, {"how": str(current[date]), **versions})


def latest_materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Iterable[str]
) -> dict[str | None, dg.EventLogRecord]:
    """The latest of each of the partitions that was ever materialized."""
    latest = instance.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    )
    if not latest:
        return {}
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(key, storage_ids=list(latest.values())), limit=len(latest)
    ).records
    return {record.partition_key: record for record in records}


def newest_version_told(instance: dg.DagsterInstance, key: dg.AssetKey) -> int:
    """The table's version that its latest materialization tells of, -1 where it tells of none."""
    latest = instance.get_latest_materialization_event(key)
    return _table_version(None if latest is None else latest.asset_materialization)


def _table_version(materialization: dg.AssetMaterialization | None) -> int:
    told = None if materialization is None else materialization.metadata.get("table_version")
    return told.value or 0 if isinstance(told, dg.IntMetadataValue) else -1


def _provenance(instance: dg.DagsterInstance, silver: dg.AssetKey, code_version: str, date: dt.date) -> dict[str, str]:
    """What a run stores of its inputs, as Silver was last observed."""
    tags = {CODE_VERSION_TAG: code_version}
    observed = instance.get_latest_data_version_record(silver, partition_key=str(date))
    version = None if observed is None else extract_data_version_from_entry(observed.event_log_entry)
    if observed is not None and version is not None:
        tags |= {
            get_input_data_version_tag(silver): version.value,
            get_input_event_pointer_tag(silver): str(observed.storage_id),
            DATA_VERSION_TAG: compute_logical_data_version(code_version, {silver: version}).value,
        }
    return tags
