"""What there is to do, and why a number is what it is, as jobs for those who have the UI and no shell. They write nothing."""

import shlex
from typing import Any

import dagster as dg
from pydantic import Field

from gold_assets.assets.metadata import table_of
from gold_assets.config import Settings
from gold_assets.delta.dates import days
from gold_assets.explaining.explanation import explain
from gold_assets.explaining.rendering import as_markdown, as_text
from gold_assets.gold.lake_plan import LakePlan, lake_plan
from gold_assets.jobs.making import asked_dates, one_op_job, tables_field
from gold_assets.resources import Lakehouse

_LINES_SHOWN = 1_000
_WIDTH = 120


def plan_job(settings: Settings) -> dg.JobDefinition:
    """The job ``plan``: one op that says what there is to do."""

    class PlanConfig(dg.Config):
        """What the launchpad asks for."""

        tables: list[str] = tables_field(settings.project, "plan")
        dates: list[str] = Field(
            default=[],
            description="Look at these dates only, such as 2017-01-31; by default at all in the window of partitions. Of them, "
            "those are planned that Silver or a table has.",
        )

    said = "Which dates of Gold and the quarantine are not current, and what a refresh would do; changes nothing."

    @one_op_job(settings.project, "plan", "plan_gold", said)
    def plan_gold(context: dg.OpExecutionContext, config: PlanConfig, lakehouse: Lakehouse) -> None:
        """Say by the logs which dates would be patched, brought up by their changed keys, or recomputed, how many of Silver's rows that reads, and why."""
        lake, limits = lakehouse.lake(settings.project), settings.limits
        dates = asked_dates(config.dates) or days(limits.first_date, limits.end)
        planned = lake_plan(lake, lake.named(config.tables), dates)
        context.log.info(planned.text(_LINES_SHOWN))
        context.add_output_metadata(_metadata(planned))

    return plan_gold


def _metadata(planned: LakePlan) -> dict[str, Any]:
    records = planned.records()[:_LINES_SHOWN]
    return {
        "summary": planned.summary,
        "silver_version": planned.silver.version,
        "dates_to_patch": planned.dates("patched"),
        "dates_by_keys": planned.dates("keys"),
        "dates_to_recompute": planned.dates("recomputed"),
        "dates_current": planned.dates("current"),
        "dates_held": planned.dates("held"),
        "dates_sealed": planned.dates("sealed"),
        **({} if planned.rows is None else {"rows_to_read": planned.rows}),
        **({"plan": table_of(records)} if records else {}),
    }


def explain_job(settings: Settings) -> dg.JobDefinition:
    """The job ``explain``: one op that says why a row is what it is."""

    class Row(dg.Config):
        """What the launchpad asks for, filled in as far as it can be."""

        table: str = Field(default=settings.tables[0].name, description="The table.")
        date: str = Field(
            default=str(settings.limits.end), description="The day, such as 2026-01-31; none for rows without a date."
        )
        key: str = Field(
            default="",
            description="The row, by its key, such as user_id=1609; by any of its columns where the table has no key. "
            "NULL stands for no value.",
        )

    said = "What a row of a table is made from, when it changed, and by whose doing; changes nothing."

    @one_op_job(settings.project, "explain", "explain_row", said)
    def explain_row(context: dg.OpExecutionContext, config: Row, lakehouse: Lakehouse) -> None:
        """Tell what a row is made from, when it changed, and by whose doing."""
        found = explain(lakehouse.lake(settings.project), config.table, config.date, shlex.split(config.key))
        context.log.info(as_text(found, _WIDTH))
        context.add_output_metadata(
            {
                "explanation": dg.MetadataValue.md(as_markdown(found)),
                "sql_agrees": found.second_opinion.agrees,
            }
        )

    return explain_row
