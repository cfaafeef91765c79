"""The report of the published state, written every night."""

from pathlib import Path

import dagster as dg

from gold_assets.config import Settings
from gold_assets.delta.errors import UserError
from gold_assets.reading.published import published
from gold_assets.reading.report import report
from gold_assets.reading.report_numbers import report_numbers
from gold_assets.resources import Lakehouse, one_sentence_failures


def report_schedule(settings: Settings, path: str) -> dg.ScheduleDefinition:
    """The schedule of the job ``report``, which writes the page to ``path``, in place of the one that is there."""

    @dg.op
    def write_report(context: dg.OpExecutionContext, lakehouse: Lakehouse) -> None:
        """Write one HTML file with plots of the tables as they are published."""
        with one_sentence_failures():
            lake = lakehouse.lake(settings.tables)
            reader = published(lake=lake)
            page = report(report_numbers(reader, lake, settings.limits))
            _replace(Path(path), page)
        context.add_output_metadata(
            {
                "path": dg.MetadataValue.path(path),
                "published_at": dg.MetadataValue.timestamp(reader.publication.at),
                "bytes": dg.MetadataValue.int(len(page.encode())),
            }
        )

    @dg.job(name="report", description="One HTML file with plots of what is published, as gold report writes it.")
    def report_job() -> None:
        write_report()

    return dg.ScheduleDefinition(
        name="nightly_report",
        job=report_job,
        cron_schedule="0 5 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night at 05:00 UTC, to GOLD_REPORT_PATH.",
    )


def _replace(path: Path, page: str) -> None:
    """Readers find the page before or the new one, never a half."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {path} ({error.strerror}): make the place writable or set GOLD_REPORT_PATH to another."
        ) from error
