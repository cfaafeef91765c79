"""The jobs by which people decide of dates that are held, for those who have the UI and no shell."""

import dagster as dg
from pydantic import Field

from gold_assets.config import Settings
from gold_assets.delta.dates import asked_in_text
from gold_assets.gold.decisions import Verdict
from gold_assets.gold.held import decide
from gold_assets.jobs.making import one_op_job
from gold_assets.resources import Lakehouse


def deciding_job(settings: Settings, verdict: Verdict, description: str) -> dg.JobDefinition:
    """The job ``approve`` or ``keep``."""

    class DecisionConfig(dg.Config):
        """What the launchpad asks for."""

        dates: str = Field(
            description="The dates, such as 2026-01-01 to 2026-01-31, 2026-02-03: those of them that are held count."
        )
        by: str = Field(description="Who decides.")
        reason: str = Field(description="Why, as it stays on record.")

    @one_op_job(settings.project, verdict, f"{verdict}_held_dates", description)
    def job(context: dg.OpExecutionContext, config: DecisionConfig, lakehouse: Lakehouse) -> None:
        """Decide of the held dates, of Silver as it is now; the sensor acts on it."""
        dates = asked_in_text("dates", config.dates)
        made = decide(lakehouse.lake(settings.project), verdict, dates, config.by, config.reason)
        context.log.info(f"{made.summary}.")
        context.add_output_metadata({"summary": made.summary, "dates_decided": len(made.dates)})

    return job


def deciding_jobs(settings: Settings) -> list[dg.JobDefinition]:
    """Both."""
    return [
        deciding_job(settings, "approve", "Let Gold follow Silver on dates that are held, as Silver is now."),
        deciding_job(settings, "keep", "Keep what Gold has of dates that are held, and seal them."),
    ]
