"""What a check found of a date, as Dagster stores it: by partition, beside the materialization that is judged."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import dagster as dg

from gold_assets.assets.events import latest_materializations
from gold_assets.assets.metadata import table_of
from gold_assets.checks.findings import Check, Finding
from gold_assets.instance.dagster_internals import AssetCheckEvaluationTargetMaterializationData


def evaluations(
    instance: dg.DagsterInstance, check: Check, findings: Iterable[Finding], *, examples: bool
) -> Iterator[dg.AssetCheckEvaluation]:
    """An evaluation for each finding of the check; with ``examples`` it holds rows."""
    findings = list(findings)
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
