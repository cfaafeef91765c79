"""The check ``no_failed_dates``, which asks Dagster's own records, for the UI shows an asset's latest evaluation alone."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

import dagster as dg

from gold_assets.assets.metadata import table_of
from gold_assets.assets.outcomes import key_of, latest_outcomes
from gold_assets.checks.findings import Check
from gold_assets.delta.dates import dates_text

NO_FAILED_DATES = "no_failed_dates"
_DATES_SHOWN = 50


def no_failed_dates_spec(table: str) -> dg.AssetCheckSpec:
    """The check of a table."""
    return dg.AssetCheckSpec(
        NO_FAILED_DATES,
        asset=table,
        description="No date's latest evaluation of an error-level check has failed: an older wrong day does not hide.",
    )


def no_failed_dates(
    instance: dg.DagsterInstance, spec: dg.AssetCheckSpec, checks: Iterable[Check]
) -> dg.AssetCheckEvaluation:
    """Whether each date passed when last evaluated, by those of the checks that are its table's."""
    failed: dict[dt.date, list[str]] = defaultdict(list)
    checked: set[dt.date] = set()
    for check in checks:
        if dg.AssetKey(check.table) == spec.asset_key and check.by_date and check.severity == "error":
            for date, passed in latest_outcomes(instance, key_of(check)):
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
