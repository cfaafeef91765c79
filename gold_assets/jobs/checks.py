"""The jobs of checks alone: of all, of those that read no rows, of those that compare patched dates in full."""

from typing import Any

import dagster as dg

from gold_assets.assets.outcomes import ASKS_FOR_PATCHED_DATES, key_of, no_failed_dates_spec
from gold_assets.assets.published import is_current_spec, published_key
from gold_assets.checks.catalogue import RECONCILES, all_checks, gold_checks
from gold_assets.config import Settings
from gold_assets.jobs.making import nightly
from gold_assets.resources import asset_key, named

_BY_METADATA = {"schema", "dates_in_window", "gold_follows", "nothing_is_held", "yesterday_is_there"}
_BY_ROWS = {RECONCILES, "undated_rows_reconcile", "sound_rows", "share"}


def run_checks(settings: Settings) -> Any:
    """The job of all checks of the project's assets, a user's own among them."""
    project = settings.project
    tables = (asset_key(project, name) for name in (project.source.asset, *(table.name for table in settings.tables)))
    return dg.define_asset_job(
        named(project, "run_checks"),
        selection=dg.AssetSelection.checks_for_assets(*tables, published_key(project)),
        description="Every check and nothing else, on all dates, or on those of the tags "
        "dagster/asset_partition_range_start and dagster/asset_partition_range_end.",
    )


def daily_metadata_checks(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of ``run_metadata_checks``, which is its job."""
    project = settings.project
    job = dg.define_asset_job(
        named(project, "run_metadata_checks"),
        selection=dg.AssetSelection.checks(
            *(key_of(project, check) for check in all_checks(project) if check.name in _BY_METADATA),
            *(no_failed_dates_spec(project, table).key for table in settings.tables),
            is_current_spec(settings).key,
        ),
        description="The checks that read logs and records alone: schemas, freshness, dates that Gold has not followed, failed dates.",
    )
    said = "Once yesterday is due: a day that nothing materializes is told of too."
    return nightly(project, "daily_metadata_checks", job, settings.fresh_by_hour, said, runs_by_default=False)


def compare_patched_dates(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of the job of its name, which looks at the rows of patched dates as a whole."""
    project = settings.project
    job = dg.define_asset_job(
        named(project, "compare_patched_dates"),
        selection=dg.AssetSelection.checks(
            *(key_of(project, check) for check in gold_checks(settings.tables) if check.name in _BY_ROWS)
        ),
        tags=ASKS_FOR_PATCHED_DATES,
        description="Compares with Silver, in full, every date that was patched since that was last done.",
    )
    said = "Every night at 04:00 UTC: a micro-batch's checks compare what the batch added, this the dates as a whole."
    return nightly(project, "daily_comparison_of_patched_dates", job, 4, said)
