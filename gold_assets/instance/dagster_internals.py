"""What Dagster keeps private and the project cannot do without. A comment says which public door is missing, and where it was read."""

from typing import Any

import dagster as dg
from dagster import _serdes as serdes
from dagster._core import event_api
from dagster._core.definitions import data_version
from dagster._core.definitions.asset_checks import asset_check_evaluation
from dagster._core.launcher import base as launcher
from dagster._core.storage import asset_check_execution_record, asset_check_state, sqlite, sqlite_storage, tags
from dagster._core.storage.event_log import sql_event_log
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._utils import concurrency

# An observation from a sensor carries a data version by this tag alone: only a run has a public way to yield one. 1.13.27
DATA_VERSION_TAG = data_version.DATA_VERSION_TAG

# What a run stores of its inputs, by which the UI knows what is stale. An event reported without a run has no public way
# to say it. 1.13.27
CODE_VERSION_TAG = data_version.CODE_VERSION_TAG
DATA_VERSION_IS_USER_PROVIDED_TAG = data_version.DATA_VERSION_IS_USER_PROVIDED_TAG
compute_logical_data_version = data_version.compute_logical_data_version
extract_data_version_from_entry = data_version.extract_data_version_from_entry
get_input_data_version_tag = data_version.get_input_data_version_tag
get_input_event_pointer_tag = data_version.get_input_event_pointer_tag

# An AssetCheckResult finds the materialization that it judges, but is stored without a partition in a run over a range; an
# AssetCheckEvaluation is stored with it, and has to bring the materialization. 1.13.27
AssetCheckEvaluationTargetMaterializationData = asset_check_evaluation.AssetCheckEvaluationTargetMaterializationData

# The latest outcome of a check for each partition: the instance's public methods know an asset check's latest one alone. 1.13.27
AssetCheckExecutionRecord = asset_check_execution_record.AssetCheckExecutionRecord
AssetCheckExecutionRecordStatus = asset_check_execution_record.AssetCheckExecutionRecordStatus
PartitionKeyFilter = event_api.PartitionKeyFilter

# The storage that claims the slots of a pool and opens SQLite's files: a storage of one's own is configured by a public setting,
# and has no public base class. Overridden are _connect and connect, which open a file anew each time. 1.13.27
ConcurrencyClaimStatus = concurrency.ConcurrencyClaimStatus
ConfigurableClassData = serdes.ConfigurableClassData
DagsterSqliteStorage = sqlite_storage.DagsterSqliteStorage
SqlEventLogStorage = sql_event_log.SqlEventLogStorage
SqliteEventLogStorage = sqlite_event_log.SqliteEventLogStorage
event_logs_directory = sqlite_storage._event_logs_directory
SQLITE_BUSY_TIMEOUT_SECONDS = sqlite.SQLITE_BUSY_TIMEOUT_SECONDS
SqliteRunStorage = sqlite_run_storage.SqliteRunStorage
runs_directory = sqlite_storage._runs_directory

# What run monitoring asks of a launcher, and where a run's code server is: a launcher of one's own is configured by a public setting, and
# these have no public name. 1.13.27
CheckRunHealthResult = launcher.CheckRunHealthResult
WorkerStatus = launcher.WorkerStatus
GRPC_INFO_TAG = tags.GRPC_INFO_TAG

# On which partitions a check passed, of which the user interface asks a storage, and which nothing remembers. 1.13.27
AssetCheckPartitionInfo = asset_check_execution_record.AssetCheckPartitionInfo
AssetCheckState = asset_check_state.AssetCheckState


def report_materializations_oneself(context: dg.AssetExecutionContext) -> None:
    """Let the run's outputs be no materializations: the step logs its own."""
    # A step materializes every partition of its run or none: there is no public way to leave some out and go on with what is
    # downstream. By this tag a run leaves its events to others. It is read as an output is stored, in this process. 1.13.27
    run_tags: Any = context.run.tags
    run_tags[tags.EXTERNALLY_MANAGED_ASSETS_TAG] = "true"
