"""What a refresh of Gold and the quarantine would do now, as a job for those who have the UI and no shell."""

from typing import Any

import dagster as dg
from pydantic import Field

from gold_assets.assets.metadata import table_of
from gold_assets.config import Settings
from gold_assets.delta.dates import days
from gold_assets.gold.lake_plan import LakePlan, lake_plan
from gold_assets.jobs.maintenance import asked_dates
from gold_assets.resources import Lakehouse, one_sentence_failures

_LINES_SHOWN = 1_000


def plan_job(settings: Settings) -> dg.JobDefinition:
    """The job ``plan``: one op that says what there is to do, and writes nothing."""

    class PlanConfig(dg.Config):
        """What the launchpad asks for."""

        tables: list[str] = Field(
            default=[table.name for table in settings.tables], description="The tables to plan, by default all."
        )
        dates: list[str] = Field(
            default=[],
            description="Look at these dates only, such as 2017-01-31; by default at all in the window of partitions. Of them, "
            "those are planned that Silver or a table has.",
        )

    @dg.op
    def plan_gold(context: dg.OpExecutionContext, config: PlanConfig, lakehouse: Lakehouse) -> None:
        """Say by the logs which dates would be patched or recomputed, how many of Silver's rows that reads, and why."""
        with one_sentence_failures():
            lake, limits = lakehouse.lake(settings.project), settings.limits
            dates = asked_dates(config.dates) or days(limits.first_date, limits.end)
            planned = lake_plan(lake, lake.named(config.tables), dates)
        context.log.info(planned.text(_LINES_SHOWN))
        context.add_output_metadata(_metadata(planned))

    @dg.job(
        description="Which dates of Gold and the quarantine are not current, and what a refresh would do; changes nothing."
    )
    def plan() -> None:
        plan_gold()

    return plan


def _metadata(planned: LakePlan) -> dict[str, Any]:
    records = planned.records()[:_LINES_SHOWN]
    return {
        "summary": planned.summary,
        "silver_version": planned.silver.version,
        "dates_to_patch": planned.dates("patched"),
        "dates_to_recompute": planned.dates("recomputed"),
        "dates_current": planned.dates("current"),
        **({} if planned.rows is None else {"rows_to_read": planned.rows}),
        **({"plan": table_of(records)} if records else {}),
    }
