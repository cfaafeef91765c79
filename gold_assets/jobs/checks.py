"""The jobs of checks alone: of all, of those that read no rows, of those that compare patched dates in full."""

import dagster as dg

from gold_assets.assets.outcomes import ASKS_FOR_PATCHED_DATES, key_of, no_failed_dates_spec
from gold_assets.assets.published import IS_CURRENT
from gold_assets.checks.catalogue import RECONCILES, all_checks, gold_checks
from gold_assets.config import Settings
from gold_assets.jobs.nightly import nightly

_BY_METADATA = {"schema", "dates_in_window", "gold_follows", "yesterday_is_there"}
_BY_ROWS = {RECONCILES, "undated_rows_reconcile", "sound_rows", "share"}

run_checks = dg.define_asset_job(
    "run_checks",
    selection=dg.AssetSelection.all_asset_checks(),
    description="Every check and nothing else, on all dates, or on those of the tags "
    "dagster/asset_partition_range_start and dagster/asset_partition_range_end.",
)


def daily_metadata_checks(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of ``run_metadata_checks``, which is its job."""
    job = dg.define_asset_job(
        "run_metadata_checks",
        selection=dg.AssetSelection.checks(
            *(key_of(check) for check in all_checks(settings.project) if check.name in _BY_METADATA),
            *(no_failed_dates_spec(table.name).key for table in settings.tables),
            IS_CURRENT.key,
        ),
        description="The checks that read logs and records alone: schemas, freshness, dates that Gold has not followed, failed dates.",
    )
    said = "Once yesterday is due: a day that nothing materializes is told of too."
    return nightly("daily_metadata_checks", job, settings.fresh_by_hour, said, runs_by_default=False)


def compare_patched_dates(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of the job of its name, which looks at the rows of patched dates as a whole."""
    job = dg.define_asset_job(
        "compare_patched_dates",
        selection=dg.AssetSelection.checks(
            *(key_of(check) for check in gold_checks(settings.tables) if check.name in _BY_ROWS)
        ),
        tags=ASKS_FOR_PATCHED_DATES,
        description="Compares with Silver, in full, every date that was patched since that was last done.",
    )
    said = "Every night at 04:00 UTC: a micro-batch's checks compare what the batch added, this the dates as a whole."
    return nightly("daily_comparison_of_patched_dates", job, 4, said)
