"""The checks as Dagster runs them: beside a materialization, alone from the UI, or by a job; stored per partition."""

import datetime as dt
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import dagster as dg

from gold_assets.assets.events import latest_materializations
from gold_assets.assets.metadata import table_of
from gold_assets.assets.outcomes import COMPLETED, key_of, latest_outcomes
from gold_assets.assets.published import IS_CURRENT, events_of, is_current
from gold_assets.assets.silver import SILVER
from gold_assets.checks.catalogue import GOLD_FOLLOWS, RECONCILES, SILVER_CHECKS, all_checks, gold_checks, run
from gold_assets.checks.findings import Check, Finding
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import Checked, publish
from gold_assets.checks.rows import COMPARED_IN_FULL
from gold_assets.config import Settings
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import dates_text
from gold_assets.delta.file_dates import FileDates
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.instance.dagster_internals import AssetCheckEvaluationTargetMaterializationData, PartitionKeyFilter
from gold_assets.partitions import daily_partitions, touched_dates
from gold_assets.resources import GOLD_WRITERS_POOL, Lakehouse, one_sentence_failures

NO_FAILED_DATES = "no_failed_dates"
"""The one check that asks Dagster's own records, for the UI shows an asset's latest evaluation alone."""

_DATES_SHOWN = 50
_DATES_TAG = "gold_assets/dates"
_PATCHED = "patched since they were last compared in full"


def gold_asset_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """The checks of the tables, and Silver's check of whether they follow it: what is checked once Gold is made."""
    checks = (*gold_checks(settings.tables), GOLD_FOLLOWS)
    records = [_no_failed_dates_spec(table) for table in settings.tables]

    # In the pool of Gold's writers: no table is seen in the middle of a refresh of the four.
    @dg.multi_asset_check(
        name="gold_checks",
        specs=[*_specs(checks, settings), *records, IS_CURRENT],
        can_subset=True,
        pool=GOLD_WRITERS_POOL,
    )
    def evaluate_gold(context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse) -> Iterator[object]:
        """Check the run's dates of the tables, all dates where the run is not partitioned; then publish."""
        checked = yield from _evaluate(context, lakehouse, settings, checks)
        yield from _publish(context, settings, checked)
        for spec in records:
            if spec.key in context.selected_asset_check_keys:
                yield _no_failed_dates(context.instance, spec.key, checks)
                yield dg.Output(None, spec.get_python_identifier())
        if IS_CURRENT.key in context.selected_asset_check_keys:
            with one_sentence_failures():
                yield is_current(checked.inspection.lake, settings)
            yield dg.Output(None, IS_CURRENT.get_python_identifier())

    return evaluate_gold


def silver_asset_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """The checks of Silver by itself."""

    @dg.multi_asset_check(name="silver_checks", specs=_specs(SILVER_CHECKS, settings), can_subset=True)
    def evaluate_silver(context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse) -> Iterator[object]:
        """Check the run's dates of Silver; all dates where the run is not partitioned."""
        yield from _evaluate(context, lakehouse, settings, SILVER_CHECKS)

    return evaluate_silver


run_checks = dg.define_asset_job(
    "run_checks",
    selection=dg.AssetSelection.all_asset_checks(),
    description="Every check and nothing else, on all dates, or on those of the tags "
    "dagster/asset_partition_range_start and dagster/asset_partition_range_end.",
)

_BY_METADATA = {"schema", "dates_in_window", "gold_follows", "yesterday_is_there"}


def daily_metadata_checks(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of ``run_metadata_checks``, which is its job."""
    job = dg.define_asset_job(
        "run_metadata_checks",
        selection=dg.AssetSelection.checks(
            *(key_of(check) for check in all_checks(settings.tables) if check.name in _BY_METADATA),
            *(_no_failed_dates_spec(table).key for table in settings.tables),
            IS_CURRENT.key,
        ),
        description="The checks that read logs and records alone: schemas, freshness, dates that Gold has not followed, failed dates.",
    )
    return dg.ScheduleDefinition(
        name="daily_metadata_checks",
        job=job,
        cron_schedule=f"0 {settings.fresh_by_hour} * * *",
        execution_timezone="UTC",
        description="Once yesterday is due: a day that nothing materializes is told of too.",
    )


def compare_patched_dates(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of the job of its name, which looks at the rows of patched dates as a whole."""
    by_rows = {RECONCILES, "undated_rows_reconcile", "sound_rows", "share"}
    job = dg.define_asset_job(
        "compare_patched_dates",
        selection=dg.AssetSelection.checks(
            *(key_of(check) for check in gold_checks(settings.tables) if check.name in by_rows)
        ),
        tags={_DATES_TAG: _PATCHED},
        description="Compares with Silver, in full, every date that was patched since that was last done.",
    )
    return dg.ScheduleDefinition(
        name="daily_comparison_of_patched_dates",
        job=job,
        cron_schedule="0 4 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night at 04:00 UTC: a micro-batch's checks compare what the batch added, this the dates as a whole.",
    )


def _specs(checks: Sequence[Check], settings: Settings) -> list[dg.AssetCheckSpec]:
    partitions = daily_partitions(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=check.table,
                description=check.description,
                blocking=check.blocking,
                partitions_def=partitions if check.by_date else None,
            )
            for check in checks
        ]


def _no_failed_dates_spec(table: Table) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        NO_FAILED_DATES,
        asset=table.name,
        description="No date's latest evaluation of an error-level check has failed: an older wrong day does not hide.",
    )


def _evaluate(
    context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse, settings: Settings, checks: Sequence[Check]
) -> Generator[object, None, Checked]:
    selected = [check for check in checks if key_of(check) in context.selected_asset_check_keys]
    touched, dates = touched_dates(context.run), _dates(context)
    if touched is not None and dates is not None:
        dates = sorted(touched & set(dates))
    with one_sentence_failures():
        lake = lakehouse.lake(settings.project)
        if context.run.tags.get(_DATES_TAG) == _PATCHED:
            dates = _patched_dates(context.instance, lake, settings)
            context.log.info("Patched since they were last compared in full: %s", dates_text(dates) or "no date")
        inspection = Inspection(lake, dates, settings.limits, patches=touched is not None)
        found: list[Finding] = []
        for check in selected:
            findings = list(run([check], inspection))
            found += findings
            targets = _targets(context.instance, check, findings)
            for finding in findings:
                yield _evaluation(finding, targets.get(_partition(finding)), settings)
            yield dg.Output(None, dg.AssetCheckSpec(check.name, asset=check.table).get_python_identifier())
    return Checked(inspection, found)


def _publish(context: dg.AssetCheckExecutionContext, settings: Settings, checked: Checked) -> Iterator[object]:
    lake = checked.inspection.lake
    with one_sentence_failures():
        outcome = publish(lake, settings.limits, checked, run_id=context.run.run_id)
        context.log.info(outcome.summary)
        yield from events_of(
            outcome, lake, settings, {table.name: checked.inspection.gold(table) for table in lake.tables}
        )


def _patched_dates(instance: dg.DagsterInstance, lake: Lake, settings: Settings) -> list[dt.date]:
    """The dates of which a table was patched last, and not compared in full since, as far as Dagster knows."""
    patched: set[dt.date] = set()
    for table in lake.tables:
        if (gold := lake.open(table)) is None:
            continue
        held = {
            date
            for date in FileDates(gold).dates()
            if date and settings.limits.first_date <= date <= settings.limits.end
        }
        for date, made in GoldLog(gold).made_from(held - patched).items():
            if date is not None and made.patches and _compared_in_full(instance, table, date) < made.table_version:
                patched.add(date)
    return sorted(patched)


def _compared_in_full(instance: dg.DagsterInstance, table: Table, date: dt.date) -> int:
    """The table's version when the date's latest comparison was one in full, else -1."""
    latest = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(table.name), RECONCILES),
        limit=1,
        status=COMPLETED,
        partition_filter=PartitionKeyFilter(key=str(date)),
    )
    for record in latest:
        metadata = record.evaluation.metadata if record.evaluation is not None else {}
        version = metadata.get("table_version")
        if metadata.get("compared") == dg.MetadataValue.text(COMPARED_IN_FULL) and isinstance(
            version, dg.IntMetadataValue
        ):
            return version.value or 0
    return -1


def _dates(context: dg.AssetCheckExecutionContext) -> list[dt.date] | None:
    if context.has_partition_key or context.has_partition_key_range:
        return [dt.date.fromisoformat(key) for key in context.partition_keys]
    return None


def _partition(finding: Finding) -> str | None:
    return None if finding.date is None else str(finding.date)


def _evaluation(
    finding: Finding, target: AssetCheckEvaluationTargetMaterializationData | None, settings: Settings
) -> dg.AssetCheckEvaluation:
    # Not an AssetCheckResult: in a run over a range that is stored without a partition.
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(finding.check.table),
        check_name=finding.check.name,
        passed=finding.passed,
        description=finding.summary,
        severity=dg.AssetCheckSeverity.ERROR if finding.severity == "error" else dg.AssetCheckSeverity.WARN,
        blocking=finding.check.blocking,
        partition=_partition(finding),
        metadata=_metadata(finding, settings),
        target_materialization_data=target,
    )


def _metadata(finding: Finding, settings: Settings) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {}
    for name, value in finding.numbers.items():
        if isinstance(value, (Decimal, float)):
            metadata[name] = dg.MetadataValue.float(float(value))
        else:
            metadata[name] = dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.text(value)
    if rows := finding.rows if settings.examples else finding.rows_without_values:
        metadata["rows"] = table_of(rows)
    return metadata


def _targets(
    instance: dg.DagsterInstance, check: Check, findings: Iterable[Finding]
) -> Mapping[str | None, AssetCheckEvaluationTargetMaterializationData]:
    """By partition, the materialization that is judged. Without it the UI takes an evaluation for older than the data."""
    partitions = {str(finding.date) for finding in findings if finding.date is not None}
    if not partitions or check.table == SILVER.to_user_string():
        return {}
    latest = latest_materializations(instance, dg.AssetKey(check.table), partitions)
    return {
        partition: AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for partition, record in latest.items()
    }


def _no_failed_dates(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, checks: Iterable[Check]
) -> dg.AssetCheckEvaluation:
    failed: dict[dt.date, list[str]] = {}
    looked_at: set[dt.date] = set()
    for check in checks:
        if dg.AssetKey(check.table) == key.asset_key and check.by_date and check.severity == "error":
            evaluated = dict(latest_outcomes(instance, key_of(check)))
            looked_at |= evaluated.keys()
            for date, passed in evaluated.items():
                if not passed:
                    failed.setdefault(date, []).append(check.name)
    dates = sorted(failed)
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=not failed,
        description=f"Of {len(looked_at)} dates, {len(dates)} failed when last checked: "
        f"{dates_text(dates, 5)}. Materialize them again."
        if failed
        else f"Of {len(looked_at)} dates none failed when last checked.",
        metadata={
            "dates_failed": len(dates),
            "dates_checked": len(looked_at),
            **(
                {
                    "dates": dg.MetadataValue.table(
                        [
                            dg.TableRecord({"event_date": str(date), "checks": ", ".join(failed[date])})
                            for date in dates[:_DATES_SHOWN]
                        ]
                    )
                }
                if failed
                else {}
            ),
        },
    )
