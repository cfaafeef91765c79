"""What Dagster's records say of the checks: the latest outcome of each, date by date, and which dates are still to be compared in full."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set

import dagster as dg

from gold_assets.assets.metadata import table_of
from gold_assets.checks.catalogue import RECONCILES, all_checks
from gold_assets.checks.findings import Check, Limits
from gold_assets.checks.rows import COMPARED_IN_FULL
from gold_assets.declaring.project import Project
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import dates_text
from gold_assets.gold.moment import Moment
from gold_assets.instance.dagster_internals import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
    PartitionKeyFilter,
)
from gold_assets.partitions import touched_dates
from gold_assets.resources import asset_key

_COMPLETED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
ASKS_FOR_PATCHED_DATES = {"gold_assets/dates": "patched since they were last compared in full"}
"""The tag of a run of checks that is to find its dates by itself."""

NO_FAILED_DATES = "no_failed_dates"
_DATES_SHOWN = 50


def key_of(project: Project, check: Check) -> dg.AssetCheckKey:
    """The check's key in Dagster."""
    return dg.AssetCheckKey(asset_key(project, check.table), check.name)


def latest_outcomes(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, *, evaluated: bool = False
) -> Iterator[tuple[dt.date, bool]]:
    """By date, whether the latest evaluation passed.

    One whose run ended without it did not, unless the run left the date alone; where ``evaluated``, the one before counts.
    """
    for info in instance.event_log_storage.get_asset_check_partition_info([key]):
        if info.partition_key is None:
            continue
        status = info.latest_execution_status
        if status == AssetCheckExecutionRecordStatus.PLANNED and (
            evaluated or not _should_have_come(instance, info.latest_planned_run_id, info.partition_key)
        ):
            if (completed := _latest(instance, key, info.partition_key)) is None:
                continue
            status = completed.status
        yield dt.date.fromisoformat(info.partition_key), status == AssetCheckExecutionRecordStatus.SUCCEEDED


def failing_checks(instance: dg.DagsterInstance, project: Project) -> Iterator[tuple[Check, set[dt.date] | None]]:
    """The project's checks that failed at error level when last evaluated, with the dates on which they did; None where they have none."""
    for check in all_checks(project):
        key = key_of(project, check)
        if check.severity != "error":
            continue
        if check.by_date:
            outcomes = latest_outcomes(instance, key, evaluated=True)
            if failed := {
                date for date, passed in outcomes if not passed and _is_error(_latest(instance, key, str(date)))
            }:
                yield check, failed
        elif _is_error(_latest(instance, key)):
            yield check, None


def _is_error(latest: AssetCheckExecutionRecord | None) -> bool:
    """Whether the evaluation failed, and not as a milder finding of a check of errors."""
    if latest is None or latest.status != AssetCheckExecutionRecordStatus.FAILED:
        return False
    return latest.evaluation is None or latest.evaluation.severity == dg.AssetCheckSeverity.ERROR


def summary_of_failure(instance: dg.DagsterInstance, key: dg.AssetCheckKey, date: str | None) -> str:
    """What the latest failed evaluation of the date says, of the table as a whole where None."""
    latest = _latest(instance, key, date, {AssetCheckExecutionRecordStatus.FAILED})
    told = latest.evaluation.description if latest and latest.evaluation else None
    return told or "no reason is on record"


def _latest(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    partition: str | None = None,
    status: Set[AssetCheckExecutionRecordStatus] = _COMPLETED,
) -> AssetCheckExecutionRecord | None:
    """The latest evaluation of the partition, without one of any."""
    of = None if partition is None else PartitionKeyFilter(key=partition)
    storage = instance.event_log_storage
    found = storage.get_asset_check_execution_history(key, limit=1, status=set(status), partition_filter=of)
    return found[0] if found else None


def _should_have_come(instance: dg.DagsterInstance, run_id: str, partition: str) -> bool:
    """Whether the run has ended, and was asked for the partition: a range of the sensor's may reach over dates to leave alone."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        return True
    touched = touched_dates(run)
    return run.is_finished and (touched is None or dt.date.fromisoformat(partition) in touched)


def no_failed_dates_spec(project: Project, table: Table) -> dg.AssetCheckSpec:
    """The check of a table."""
    return dg.AssetCheckSpec(
        NO_FAILED_DATES,
        asset=asset_key(project, table.name),
        description="No date's latest evaluation of an error-level check has failed: an older wrong day does not hide.",
    )


def no_failed_dates(
    instance: dg.DagsterInstance, spec: dg.AssetCheckSpec, checks: Iterable[Check]
) -> dg.AssetCheckEvaluation:
    """Whether each date passed when last evaluated, by the table's other ``checks``."""
    failed: dict[dt.date, list[str]] = defaultdict(list)
    checked: set[dt.date] = set()
    for check in checks:
        if check.by_date and check.severity == "error":
            for date, passed in latest_outcomes(instance, dg.AssetCheckKey(spec.asset_key, check.name)):
                checked.add(date)
                if not passed:
                    failed[date].append(check.name)
    dates = sorted(failed)
    metadata: dict[str, int | dg.TableMetadataValue] = {"dates_failed": len(dates), "dates_checked": len(checked)}
    said = f"Of {len(checked)} dates none failed when last checked."
    if failed:
        said = f"Of {len(checked)} dates, {len(dates)} failed when last checked: {dates_text(dates, 5)}. Materialize them again."
        shown = [{"event_date": str(date), "checks": ", ".join(failed[date])} for date in dates[:_DATES_SHOWN]]
        metadata["dates"] = table_of(shown)
    return dg.AssetCheckEvaluation(
        asset_key=spec.asset_key, check_name=spec.name, passed=not failed, description=said, metadata=metadata
    )


def patched_dates(instance: dg.DagsterInstance, moment: Moment, limits: Limits) -> list[dt.date]:
    """The dates of which a table was patched last, and not compared in full since, as far as Dagster knows."""
    patched: set[dt.date] = set()
    for table in moment.lake.tables:
        held = {date for date in moment.held(table) if date and date in limits}
        for date, made in moment.made_from(table, held - patched).items():
            key = dg.AssetCheckKey(asset_key(moment.lake.project, table.name), RECONCILES)
            if date is not None and made.patches and _compared_in_full(instance, key, date) < made.table_version:
                patched.add(date)
    return sorted(patched)


def _compared_in_full(instance: dg.DagsterInstance, reconciles: dg.AssetCheckKey, date: dt.date) -> int:
    """The table's version when the date's latest comparison was one in full, else -1."""
    latest = _latest(instance, reconciles, str(date))
    metadata = latest.evaluation.metadata if latest and latest.evaluation else {}
    version = metadata.get("table_version")
    is_full = metadata.get("compared") == dg.MetadataValue.text(COMPARED_IN_FULL)
    return version.value or 0 if is_full and isinstance(version, dg.IntMetadataValue) else -1
