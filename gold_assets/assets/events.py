"""A materialization that is reported by itself, not as the output of a step."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dagster as dg

from gold_assets.assets.silver import SILVER
from gold_assets.dagster_internals import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    compute_logical_data_version,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from gold_assets.gold.declaration import Table


def materialization(
    instance: dg.DagsterInstance, table: Table, date: dt.date, metadata: Mapping[str, Any], description: str
) -> dg.AssetMaterialization:
    """Of a date of the table, with the provenance by which the UI knows that it is in sync with Silver as last observed."""
    tags = {CODE_VERSION_TAG: table.code_version}
    observed = instance.get_latest_data_version_record(SILVER, partition_key=str(date))
    version = None if observed is None else extract_data_version_from_entry(observed.event_log_entry)
    if observed is not None and version is not None:
        # What a run stores of its inputs.
        tags |= {
            get_input_data_version_tag(SILVER): version.value,
            get_input_event_pointer_tag(SILVER): str(observed.storage_id),
            DATA_VERSION_TAG: compute_logical_data_version(table.code_version, {SILVER: version}).value,
        }
    return dg.AssetMaterialization(
        table.name, partition=str(date), description=description, metadata=metadata, tags=tags
    )
