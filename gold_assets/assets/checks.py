"""The checks as Dagster runs them: beside a materialization, alone from the UI, or by a job; stored per partition."""

import datetime as dt
import warnings
from collections.abc import Generator, Iterator, Sequence
from decimal import Decimal

import dagster as dg

from gold_assets.assets.events import latest_materializations
from gold_assets.assets.metadata import table_of
from gold_assets.assets.outcomes import (
    ASKS_FOR_PATCHED_DATES,
    key_of,
    no_failed_dates,
    no_failed_dates_spec,
    patched_dates,
)
from gold_assets.assets.published import IS_CURRENT, events_of, is_current
from gold_assets.checks.catalogue import gold_checks, gold_follows, run, silver_checks
from gold_assets.checks.findings import Check, Finding
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import Checked, publish
from gold_assets.config import Settings
from gold_assets.delta.dates import dates_text
from gold_assets.gold.moment import Moment
from gold_assets.instance.dagster_internals import AssetCheckEvaluationTargetMaterializationData
from gold_assets.partitions import daily_partitions, touched_dates
from gold_assets.resources import GOLD_WRITERS_POOL, Lakehouse, one_sentence_failures


def gold_asset_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """The checks of the tables, and Silver's check of whether they follow it: what is checked once Gold is made."""
    checks = (*gold_checks(settings.tables), gold_follows(settings.project.source))
    of_records = [no_failed_dates_spec(table.name) for table in settings.tables]

    # In the pool of Gold's writers: no table is seen in the middle of a refresh of the four.
    @dg.multi_asset_check(
        name="gold_checks",
        specs=[*_specs(checks, settings), *of_records, IS_CURRENT],
        can_subset=True,
        pool=GOLD_WRITERS_POOL,
    )
    def evaluate_gold(context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse) -> Iterator[object]:
        """Check the run's dates of the tables, all dates where the run is not partitioned; then publish."""
        checked = yield from _evaluate(context, lakehouse, settings, checks)
        with one_sentence_failures():
            outcome = publish(checked.inspection.lake, settings.limits, checked, run_id=context.run.run_id)
            context.log.info(outcome.summary)
            yield from events_of(outcome, checked.inspection.moment, settings)
        for spec in of_records:
            if spec.key in context.selected_asset_check_keys:
                yield no_failed_dates(context.instance, spec, checks)
                yield dg.Output(None, spec.get_python_identifier())
        if IS_CURRENT.key in context.selected_asset_check_keys:
            with one_sentence_failures():
                yield is_current(checked.inspection.moment, settings)
            yield dg.Output(None, IS_CURRENT.get_python_identifier())

    return evaluate_gold


def silver_asset_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """The checks of Silver by itself."""
    checks = silver_checks(settings.project.source)

    @dg.multi_asset_check(name="silver_checks", specs=_specs(checks, settings), can_subset=True)
    def evaluate_silver(context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse) -> Iterator[object]:
        """Check the run's dates of Silver; all dates where the run is not partitioned."""
        yield from _evaluate(context, lakehouse, settings, checks)

    return evaluate_silver


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


def _evaluate(
    context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse, settings: Settings, checks: Sequence[Check]
) -> Generator[object, None, Checked]:
    selected = [check for check in checks if key_of(check) in context.selected_asset_check_keys]
    with one_sentence_failures():
        moment = Moment(lakehouse.lake(settings.project))
        is_patch = touched_dates(context.run) is not None
        dates = _dates(context, moment, settings)
        inspection = Inspection(moment.lake, dates, settings.limits, patches=is_patch, moment=moment)
        found: list[Finding] = []
        for check in selected:
            findings = list(run([check], inspection))
            found += findings
            yield from _evaluations(context.instance, check, findings, examples=settings.examples)
            yield dg.Output(None, dg.AssetCheckSpec(check.name, asset=check.table).get_python_identifier())
    return Checked(inspection, found)


def _dates(context: dg.AssetCheckExecutionContext, moment: Moment, settings: Settings) -> list[dt.date] | None:
    """The dates that the run is to check, None for all; of a micro-batch those that Silver touched."""
    if ASKS_FOR_PATCHED_DATES.items() <= context.run.tags.items():
        dates = patched_dates(context.instance, moment, settings.limits)
        context.log.info("Patched since they were last compared in full: %s", dates_text(dates) or "no date")
        return dates
    if not (context.has_partition_key or context.has_partition_key_range):
        return None
    asked = [dt.date.fromisoformat(key) for key in context.partition_keys]
    touched = touched_dates(context.run)
    return asked if touched is None else sorted(touched & set(asked))


def _evaluations(
    instance: dg.DagsterInstance, check: Check, findings: Sequence[Finding], *, examples: bool
) -> Iterator[dg.AssetCheckEvaluation]:
    """An evaluation for each finding of the check; with ``examples`` it holds rows."""
    judged = _judged(instance, check, {str(finding.date) for finding in findings if finding.date is not None})
    for finding in findings:
        partition = None if finding.date is None else str(finding.date)
        # Not an AssetCheckResult: in a run over a range that is stored without a partition.
        yield dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(check.table),
            check_name=check.name,
            passed=finding.passed,
            description=finding.summary,
            severity=dg.AssetCheckSeverity.ERROR if finding.severity == "error" else dg.AssetCheckSeverity.WARN,
            blocking=check.blocking,
            partition=partition,
            metadata=_metadata(finding, examples),
            target_materialization_data=judged.get(partition),
        )


def _metadata(finding: Finding, examples: bool) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {}
    for name, value in finding.numbers.items():
        if isinstance(value, (Decimal, float)):
            metadata[name] = dg.MetadataValue.float(float(value))
        else:
            metadata[name] = dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.text(value)
    if rows := finding.rows if examples else finding.rows_without_values:
        metadata["rows"] = table_of(rows)
    return metadata


def _judged(
    instance: dg.DagsterInstance, check: Check, partitions: set[str]
) -> dict[str | None, AssetCheckEvaluationTargetMaterializationData]:
    """The latest materialization of each partition. Without it the UI takes an evaluation for older than the data."""
    if not partitions:
        return {}
    return {
        partition: AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for partition, record in latest_materializations(instance, dg.AssetKey(check.table), partitions).items()
    }
