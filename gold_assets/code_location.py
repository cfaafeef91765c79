"""What Dagster loads of a project."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from gold_assets.alerts.alerts import alert_sensor
from gold_assets.assets.checks import gold_asset_checks, silver_asset_checks
from gold_assets.assets.gold import gold_assets, unchanged_assets
from gold_assets.assets.published import published_asset
from gold_assets.assets.silver import silver_asset
from gold_assets.config import Settings
from gold_assets.declaring.project import Project
from gold_assets.environment import load_settings
from gold_assets.jobs.answers import explain_job, plan_job
from gold_assets.jobs.checks import compare_patched_dates, daily_metadata_checks, run_checks
from gold_assets.jobs.deciding import deciding_jobs
from gold_assets.jobs.maintenance import maintenance_schedule
from gold_assets.micro_batches.micro_batch import sensor_of
from gold_assets.micro_batches.roll_out import roll_out_sensor
from gold_assets.resources import Lakehouse, named

logger = logging.getLogger(__name__)


@contextmanager
def _without_beta_warnings() -> Iterator[None]:
    """Of what Dagster calls beta or preview, this package uses some: nothing that who calls a command could mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield


@_without_beta_warnings()
def definitions(project: Project, settings: Settings | None = None) -> dg.Definitions:
    """The project's assets, checks, jobs, schedules and sensors: what the module has that Dagster is told to load.

    Args:
        project: what they are of.
        settings: where the lake is, its window and its limits; by default the settings of this process.

    Returns:
        Definitions, which ``dg.Definitions.merge`` puts beside others.

    Raises:
        UserError: a setting makes no sense.

    Examples:
        >>> from gold_assets import transactions
        >>> defs = definitions(transactions.project)
        >>> sorted(key.to_user_string() for key in defs.resolve_all_asset_keys())[:2]
        ['high_risk_txns', 'product_usage_metrics']
    """
    settings = load_settings(project) if settings is None else settings
    silver = silver_asset(settings)
    of_lake = dg.Definitions(
        assets=[silver, *unchanged_assets(settings), published_asset(settings)],
        asset_checks=[silver_asset_checks(settings)],
        jobs=[dg.define_asset_job(named(project, "observe_silver"), selection=[silver])],
        resources=Lakehouse.by_key(settings),
        # One short step a run: a process of its own for it would cost more than it does.
        executor=dg.in_process_executor,
    )
    if not settings.tables:  # of a branch
        logger.warning("%s", settings.of_branch)
        return of_lake
    return dg.Definitions.merge(of_lake, _of_tables(settings))


def _of_tables(settings: Settings) -> dg.Definitions:
    """What makes the tables, checks them and looks after them."""
    gold = gold_assets(settings)
    return dg.Definitions(
        assets=[gold],
        asset_checks=[gold_asset_checks(settings)],
        jobs=[
            run_checks(settings),
            plan_job(settings),
            *deciding_jobs(settings),
            *([explain_job(settings)] if settings.examples else []),  # what it finds, and is asked for, stays on record
        ],
        schedules=[
            daily_metadata_checks(settings),
            compare_patched_dates(settings),
            maintenance_schedule(settings),
        ],
        sensors=[
            sensor_of(gold, settings),
            *([roll_out_sensor(gold, settings)] if settings.roll_out else []),
            *([alert_sensor(settings)] if settings.alert_addresses() else []),
        ],
    )
