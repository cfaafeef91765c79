"""The checks as Dagster runs them: beside a materialization, alone from the UI, or by a job; stored per partition."""

import datetime as dt
from collections.abc import Generator, Iterator, Sequence
from decimal import Decimal
from typing import Any

import dagster as dg

from gold_assets.assets.events import latest_materializations
from gold_assets.assets.metadata import table_of
from gold_assets.assets.outcomes import (
    ASKS_FOR_PATCHED_DATES,
    key_of,
    latest_outcomes,
    no_failed_dates,
    no_failed_dates_spec,
    patched_dates,
)
from gold_assets.assets.published import events_of, is_current, is_current_spec
from gold_assets.checks.catalogue import following_checks, gold_checks, run, silver_checks
from gold_assets.checks.findings import Check, Finding
from gold_assets.checks.freshness import NOTHING_IS_HELD
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import Checked, publish
from gold_assets.config import Settings
from gold_assets.delta.dates import dates_text
from gold_assets.gold.moment import Moment
from gold_assets.instance.dagster_internals import AssetCheckEvaluationTargetMaterializationData
from gold_assets.partitions import daily_partitions, touched_dates
from gold_assets.resources import asset_key, lakehouse_of, named, on_lakehouse, one_sentence_failures


def gold_asset_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """The checks of the tables, and Silver's checks of whether they follow it: what is checked once Gold is made."""
    checks = (*gold_checks(settings.tables), *following_checks(settings.project.source))
    of_records = {table.name: no_failed_dates_spec(settings.project, table) for table in settings.tables}
    of_publication = is_current_spec(settings)

    # In the pool of Gold's writers: no table is seen in the middle of a refresh of the four.
    @dg.multi_asset_check(
        name=named(settings.project, "gold_checks"),
        specs=[*_specs(checks, settings), *of_records.values(), of_publication],
        can_subset=True,
        **on_lakehouse(settings.project, writes=True),
    )
    def evaluate_gold(context: dg.AssetCheckExecutionContext) -> Iterator[object]:
        """Check the run's dates of the tables, all dates where the run is not partitioned; then publish."""
        checked = yield from _evaluate(context, settings, checks)
        yield from _held(context, settings, checked.inspection, checks)
        with one_sentence_failures():
            outcome = publish(checked.inspection.lake, settings.limits, checked, run_id=context.run.run_id)
            context.log.info(outcome.summary)
            yield from events_of(outcome, checked.inspection.moment, settings)
        for table, spec in of_records.items():
            if spec.key in context.selected_asset_check_keys:
                of_table = [check for check in checks if check.table == table]
                yield no_failed_dates(context.instance, spec, of_table)
                yield dg.Output(None, spec.get_python_identifier())
        if of_publication.key in context.selected_asset_check_keys:
            with one_sentence_failures():
                yield is_current(checked.inspection.moment, settings)
            yield dg.Output(None, of_publication.get_python_identifier())

    return evaluate_gold


def silver_asset_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """The checks of Silver by itself."""
    checks = silver_checks(settings.project.source)

    @dg.multi_asset_check(
        name=named(settings.project, "silver_checks"),
        specs=_specs(checks, settings),
        can_subset=True,
        **on_lakehouse(settings.project),
    )
    def evaluate_silver(context: dg.AssetCheckExecutionContext) -> Iterator[object]:
        """Check the run's dates of Silver; all dates where the run is not partitioned."""
        yield from _evaluate(context, settings, checks)

    return evaluate_silver


def _specs(checks: Sequence[Check], settings: Settings) -> list[dg.AssetCheckSpec]:
    partitions = daily_partitions(settings)
    return [
        dg.AssetCheckSpec(
            check.name,
            asset=asset_key(settings.project, check.table),
            description=check.description,
            blocking=check.blocking,
            partitions_def=partitions if check.by_date else None,
        )
        for check in checks
    ]


def _evaluate(
    context: dg.AssetCheckExecutionContext, settings: Settings, checks: Sequence[Check]
) -> Generator[object, None, Checked]:
    project = settings.project
    keys = {check: key_of(project, check) for check in checks}
    with one_sentence_failures():
        moment = Moment(lakehouse_of(context, project).lake(project))
        is_patch = touched_dates(context.run) is not None
        dates = _dates(context, moment, settings)
        inspection = Inspection(moment.lake, dates, settings.limits, patches=is_patch, moment=moment)
        found: list[Finding] = []
        for check, key in keys.items():
            if key in context.selected_asset_check_keys:
                findings = list(run([check], inspection))
                found += findings
                yield from _evaluations(context.instance, key, check, findings, examples=settings.examples)
                yield dg.Output(None, dg.AssetCheckSpec(key.name, asset=key.asset_key).get_python_identifier())
    return Checked(inspection, found)


def _held(
    context: dg.AssetCheckExecutionContext, settings: Settings, inspection: Inspection, checks: Sequence[Check]
) -> Iterator[object]:
    """What is held on the run's dates, and what is no more, though nobody selected that check, which is one of Silver's."""
    [check] = [check for check in checks if check.name == NOTHING_IS_HELD]
    if (key := key_of(settings.project, check)) in context.selected_asset_check_keys:
        return
    failed_before = {date for date, passed in latest_outcomes(context.instance, key) if not passed}
    with one_sentence_failures():
        found = [each for each in run([check], inspection) if not each.passed or each.date in failed_before]
        yield from _evaluations(context.instance, key, check, found, examples=settings.examples)


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
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, check: Check, findings: Sequence[Finding], *, examples: bool
) -> Iterator[dg.AssetCheckEvaluation]:
    """An evaluation for each finding of the check; with ``examples`` it holds rows."""
    judged = _judged(instance, key.asset_key, {str(finding.date) for finding in findings if finding.date is not None})
    for finding in findings:
        partition = None if finding.date is None else str(finding.date)
        # Not an AssetCheckResult: in a run over a range that is stored without a partition.
        yield dg.AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=finding.passed,
            description=finding.summary,
            severity=dg.AssetCheckSeverity.ERROR if finding.severity == "error" else dg.AssetCheckSeverity.WARN,
            blocking=check.blocking,
            partition=partition,
            metadata=_metadata(finding, examples),
            target_materialization_data=judged.get(partition),
        )


def _metadata(finding: Finding, examples: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        name: float(value) if isinstance(value, Decimal) else value for name, value in finding.numbers.items()
    }
    if rows := finding.rows if examples else finding.rows_without_values:
        metadata["rows"] = table_of(rows)
    return metadata


def _judged(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: set[str]
) -> dict[str | None, AssetCheckEvaluationTargetMaterializationData]:
    """The latest materialization of each partition. Without it the UI takes an evaluation for older than the data."""
    if not partitions:
        return {}
    return {
        partition: AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for partition, record in latest_materializations(instance, key, partitions).items()
    }
