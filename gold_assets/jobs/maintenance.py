"""Scheduled maintenance of Gold and the quarantine: OPTIMIZE ZORDER BY, VACUUM, checkpoints."""

import datetime as dt
from collections.abc import Mapping, Sequence

import dagster as dg
from pydantic import Field

from gold_assets.config import Settings
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError
from gold_assets.gold.maintenance import Maintained, MaintenanceFailed, maintain
from gold_assets.gold.open_table import RETENTION_HOURS
from gold_assets.resources import GOLD_WRITERS_POOL, Lakehouse, one_sentence_failures

_PATHS_SHOWN = 1_000


class MaintenanceConfig(dg.Config):
    """What the launchpad asks for."""

    tables: list[str] = Field(description="The tables to maintain, by default all.")
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
    retention_hours: int = Field(default=RETENTION_HOURS, description="What VACUUM keeps for readers and time travel.")
    allow_short_retention: bool = Field(
        default=False,
        description=f"Allow retention_hours below {RETENTION_HOURS}. DANGEROUS: running readers and time travel lose "
        "their files, for good.",
    )
    dry_run: bool = Field(default=False, description="Change nothing; say what would be ordered and deleted.")


def maintenance_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of the maintenance, which is its job: one op that looks after the tables one by one."""

    class AllTables(MaintenanceConfig):
        tables: list[str] = Field(
            default=[table.name for table in settings.tables], description="The tables to maintain, by default all."
        )

    @dg.op(pool=GOLD_WRITERS_POOL)
    def maintain_gold(context: dg.OpExecutionContext, config: AllTables, lakehouse: Lakehouse) -> None:
        """OPTIMIZE ZORDER BY the dates whose files changed, VACUUM, and look after the log, table by table."""
        with one_sentence_failures():
            lake, dates = lakehouse.lake(settings.project), asked_dates(config.dates)
            try:
                done = maintain(
                    lake,
                    lakehouse.started_engine(),
                    lake.named(config.tables),
                    dates,
                    zorder=config.zorder,
                    vacuum=config.vacuum,
                    retention_hours=config.retention_hours,
                    allow_short_retention=config.allow_short_retention,
                    dry_run=config.dry_run,
                )
            except MaintenanceFailed as failed:
                _report(context, failed.maintained)
                raise
        _report(context, done)
        context.add_output_metadata({"summary": _summary(done)})

    @dg.job(description="OPTIMIZE ZORDER BY and VACUUM of Gold and the quarantine, where there is something to gain.")
    def maintenance() -> None:
        maintain_gold()

    return dg.ScheduleDefinition(
        name="maintenance_schedule",
        job=maintenance,
        cron_schedule="0 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night at 03:00 UTC.",
    )


def asked_dates(texts: Sequence[str]) -> set[dt.date] | None:
    """The dates that a config names, None where it names none."""
    try:
        return {dt.date.fromisoformat(text) for text in texts} or None
    except ValueError as error:
        raise UserError(f"dates holds no date ({error}), expected dates such as 2017-01-31: correct it.") from None


def _report(context: dg.OpExecutionContext, done: Mapping[str, Maintained]) -> None:
    for name, maintained in done.items():
        context.log_event(
            dg.AssetObservation(
                name,
                description="Dry run of maintenance" if maintained.dry_run else "Maintained",
                metadata=_metadata(maintained),
            )
        )


def _metadata(maintained: Maintained) -> dict[str, dg.MetadataValue]:
    """What the UI plots over time. A dry run's numbers have names of their own: they did not happen."""
    said = {"held_back": maintained.held_back, "not_ordered": maintained.not_ordered}
    left_undone = {name: dg.MetadataValue.text(why) for name, why in said.items() if why}
    if maintained.dry_run:
        return {
            "would_order": dg.MetadataValue.text(_ranges(maintained.ordered)),
            "would_order_dates": dg.MetadataValue.int(len(maintained.ordered)),
            "would_delete": dg.MetadataValue.json(list(maintained.deleted[:_PATHS_SHOWN])),
            "would_delete_files": dg.MetadataValue.int(len(maintained.deleted)),
            "would_free_bytes": dg.MetadataValue.int(maintained.bytes_freed),
            "retention_hours": dg.MetadataValue.int(maintained.retention_hours),
            **left_undone,
            "seconds": dg.MetadataValue.float(round(maintained.seconds, 3)),
        }
    return {
        "files_before": dg.MetadataValue.int(maintained.files_before),
        "files_after": dg.MetadataValue.int(maintained.files_after),
        "bytes_before": dg.MetadataValue.int(maintained.bytes_before),
        "bytes_after": dg.MetadataValue.int(maintained.bytes_after),
        "dates_ordered": dg.MetadataValue.int(len(maintained.ordered)),
        "dates_skipped": dg.MetadataValue.int(len(maintained.skipped)),
        "ordered": dg.MetadataValue.text(_ranges(maintained.ordered)),
        "files_deleted": dg.MetadataValue.int(len(maintained.deleted)),
        "bytes_freed": dg.MetadataValue.int(maintained.bytes_freed),
        "retention_hours": dg.MetadataValue.int(maintained.retention_hours),
        **left_undone,
        "seconds": dg.MetadataValue.float(round(maintained.seconds, 3)),
    }


def _ranges(dates: Sequence[dt.date]) -> str:
    return dates_text(dates) or "none"


def _summary(done: Mapping[str, Maintained]) -> dg.MetadataValue:
    lines = [
        f"| {name} | {len(m.ordered)} | {len(m.skipped)} | {m.files_before} → {m.files_after} "
        f"| {m.bytes_before:,} → {m.bytes_after:,} | {len(m.deleted)} | {m.bytes_freed:,} | {m.seconds:.1f} |"
        for name, m in done.items()
    ]
    head = "| table | dates ordered | dates skipped | files | bytes | files deleted | bytes freed | seconds |"
    return dg.MetadataValue.md("\n".join([head, "|---|--:|--:|--:|--:|--:|--:|--:|", *lines]))
