"""Why a number is what it is, as a job for those who have the UI and no shell."""

import shlex

import dagster as dg
from pydantic import Field

from gold_assets.config import Settings
from gold_assets.explaining.explanation import explain
from gold_assets.explaining.rendering import as_markdown, as_text
from gold_assets.resources import Lakehouse, one_sentence_failures

_WIDTH = 120


def explain_job(settings: Settings) -> dg.JobDefinition:
    """The job ``explain``: one op that says why a row is what it is, and writes nothing."""

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

    @dg.op
    def explain_row(context: dg.OpExecutionContext, config: Row, lakehouse: Lakehouse) -> None:
        """Tell what a row is made from, when it changed, and by whose doing."""
        with one_sentence_failures():
            found = explain(lakehouse.lake(settings.project), config.table, config.date, shlex.split(config.key))
        context.log.info(as_text(found, _WIDTH))
        context.add_output_metadata(
            {
                "explanation": dg.MetadataValue.md(as_markdown(found)),
                "sql_agrees": dg.MetadataValue.bool(found.second_opinion.agrees),
            }
        )

    @dg.job(
        name="explain",
        description="What a row of a table is made from, when it changed, and by whose doing; changes nothing.",
    )
    def job() -> None:
        explain_row()

    return job
