"""Scheduled maintenance of Gold and the quarantine: OPTIMIZE ZORDER BY, VACUUM, checkpoints."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from gold_assets.config import Settings
from gold_assets.declaring.project import Project
from gold_assets.delta.dates import dates_text
from gold_assets.gold.maintenance import Maintained, MaintenanceFailed, maintain
from gold_assets.gold.open_table import RETENTION_HOURS
from gold_assets.jobs.making import asked_dates, nightly, one_op_job, tables_field
from gold_assets.resources import Lakehouse, asset_key

_PATHS_SHOWN = 1_000


def maintenance_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of the job ``maintenance``: one op that looks after the tables one by one."""

    class MaintenanceConfig(dg.Config):
        """What the launchpad asks for."""

        tables: list[str] = tables_field(settings.project, "maintain")
        dates: list[str] = Field(
            default=[],
            description="Look at these dates only, such as 2017-01-31; by default at all. Of them, those are ordered whose "
            "files changed since they were last ordered, never today's (UTC).",
        )
        zorder: bool = Field(
            default=True, description="OPTIMIZE ZORDER BY: compact those dates and cluster them by the table's columns."
        )
        vacuum: bool = Field(
            default=True, description="VACUUM: delete the files that no version within retention_hours needs."
        )
        retention_hours: int = Field(
            default=RETENTION_HOURS, description="What VACUUM keeps for readers and time travel."
        )
        allow_short_retention: bool = Field(
            default=False,
            description=f"Allow retention_hours below {RETENTION_HOURS}. DANGEROUS: running readers and time travel lose "
            "their files, for good.",
        )
        dry_run: bool = Field(default=False, description="Change nothing; say what would be ordered and deleted.")

    project = settings.project
    said = "OPTIMIZE ZORDER BY and VACUUM of Gold and the quarantine, where there is something to gain."

    @one_op_job(project, "maintenance", "maintain_gold", said, writes=True)
    def maintenance(context: dg.OpExecutionContext, config: MaintenanceConfig, lakehouse: Lakehouse) -> None:
        """OPTIMIZE ZORDER BY the dates whose files changed, VACUUM, and look after the log, table by table."""
        lake, dates = lakehouse.lake(project), asked_dates(config.dates)
        options = config.model_dump(exclude={"tables", "dates"})
        try:
            done = maintain(lake, lakehouse.started_engine(), lake.named(config.tables), dates, **options)
        except MaintenanceFailed as failed:
            _report(context, project, failed.maintained)
            raise
        _report(context, project, done)
        context.add_output_metadata({"summary": _summary(done)})

    return nightly(project, "maintenance_schedule", maintenance, 3, "Every night at 03:00 UTC.")


def _report(context: dg.OpExecutionContext, project: Project, done: Mapping[str, Maintained]) -> None:
    for name, maintained in done.items():
        key, said = asset_key(project, name), "Dry run of maintenance" if maintained.dry_run else "Maintained"
        context.log_event(dg.AssetObservation(key, description=said, metadata=_metadata(maintained)))


def _metadata(maintained: Maintained) -> dict[str, Any]:
    """What the UI plots over time. A dry run's numbers have names of their own: they did not happen."""
    ordered, dates, files = dates_text(maintained.ordered) or "none", len(maintained.ordered), len(maintained.deleted)
    if maintained.dry_run:
        done: dict[str, Any] = {"would_order": ordered, "would_order_dates": dates, "would_delete_files": files}
        done |= {"would_delete": list(maintained.deleted[:_PATHS_SHOWN]), "would_free_bytes": maintained.bytes_freed}
    else:
        as_they_are = ("files_before", "files_after", "bytes_before", "bytes_after", "bytes_freed")
        done = {name: getattr(maintained, name) for name in as_they_are}
        done |= {"ordered": ordered, "dates_ordered": dates, "dates_skipped": len(maintained.skipped)}
        done |= {"files_deleted": files}
    left_undone = {"held_back": maintained.held_back, "not_ordered": maintained.not_ordered}
    done |= {name: why for name, why in left_undone.items() if why}
    return done | {"retention_hours": maintained.retention_hours, "seconds": round(maintained.seconds, 3)}


def _summary(done: Mapping[str, Maintained]) -> dg.MetadataValue:
    lines = [
        f"| {name} | {len(m.ordered)} | {len(m.skipped)} | {m.files_before} → {m.files_after} "
        f"| {m.bytes_before:,} → {m.bytes_after:,} | {len(m.deleted)} | {m.bytes_freed:,} | {m.seconds:.1f} |"
        for name, m in done.items()
    ]
    head = "| table | dates ordered | dates skipped | files | bytes | files deleted | bytes freed | seconds |"
    return dg.MetadataValue.md("\n".join([head, "|---|--:|--:|--:|--:|--:|--:|--:|", *lines]))
