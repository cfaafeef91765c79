"""What Dagster's records say of the checks: the latest outcome of each, date by date."""

import datetime as dt
from collections.abc import Iterable, Iterator

import dagster as dg

from gold_assets.checks.findings import Check
from gold_assets.instance.dagster_internals import AssetCheckExecutionRecordStatus, PartitionKeyFilter
from gold_assets.partitions import touched_dates

COMPLETED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def key_of(check: Check) -> dg.AssetCheckKey:
    """The check's key in Dagster."""
    return dg.AssetCheckKey(dg.AssetKey(check.table), check.name)


def latest_outcomes(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, *, evaluated: bool = False
) -> Iterator[tuple[dt.date, bool]]:
    """By date, whether the latest evaluation passed.

    One whose run ended without it did not, unless the run left the date alone; where ``evaluated``, the one before counts.
    """
    storage = instance.event_log_storage
    for info in storage.get_asset_check_partition_info([key]):
        if info.partition_key is None:
            continue
        status = info.latest_execution_status
        if status == AssetCheckExecutionRecordStatus.PLANNED and (
            evaluated or not _should_have_come(instance, info.latest_planned_run_id, info.partition_key)
        ):
            completed = storage.get_asset_check_execution_history(
                key,
                limit=1,
                status=COMPLETED,
                partition_filter=PartitionKeyFilter(key=info.partition_key),
            )
            if not completed:
                continue
            status = completed[0].status
        yield dt.date.fromisoformat(info.partition_key), status == AssetCheckExecutionRecordStatus.SUCCEEDED


def failing_checks(
    instance: dg.DagsterInstance, checks: Iterable[Check]
) -> Iterator[tuple[Check, set[dt.date] | None]]:
    """The checks at error level that failed when last evaluated, with the dates on which they did; None where they have none."""
    storage = instance.event_log_storage
    for check in checks:
        if check.severity != "error":
            continue
        if check.by_date:
            outcomes = latest_outcomes(instance, key_of(check), evaluated=True)
            if failed := {date for date, passed in outcomes if not passed}:
                yield check, failed
            continue
        latest = storage.get_asset_check_execution_history(key_of(check), limit=1, status=COMPLETED)
        if latest and latest[0].status == AssetCheckExecutionRecordStatus.FAILED:
            yield check, None


def summary_of_failure(instance: dg.DagsterInstance, check: Check, date: str | None) -> str:
    """What the latest failed evaluation of the date says, of the table as a whole where None."""
    latest = instance.event_log_storage.get_asset_check_execution_history(
        key_of(check),
        limit=1,
        status={AssetCheckExecutionRecordStatus.FAILED},
        partition_filter=None if date is None else PartitionKeyFilter(key=date),
    )
    told = latest[0].evaluation.description if latest and latest[0].evaluation else None
    return told or "no reason is on record"


def _should_have_come(instance: dg.DagsterInstance, run_id: str, partition: str) -> bool:
    """Whether the run has ended, and was asked for the partition: a range of the sensor's may reach over dates to leave alone."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        return True
    touched = touched_dates(run)
    return run.is_finished and (touched is None or dt.date.fromisoformat(partition) in touched)
