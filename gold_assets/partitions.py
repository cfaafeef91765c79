"""The one partitions definition: a UTC date of Silver is a partition of every table; and when it is due."""

import datetime as dt

import dagster as dg

from gold_assets.config import Settings


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """The dates from GOLD_PARTITIONS_START to GOLD_PARTITIONS_END; without an end, up to today, included."""
    end = settings.partitions_end
    return dg.DailyPartitionsDefinition(
        start_date=settings.partitions_start.isoformat(),
        # Dagster's end is exclusive.
        end_date=None if end is None else (end + dt.timedelta(days=1)).isoformat(),
        end_offset=1 if end is None else 0,
        timezone="UTC",
    )


def freshness(settings: Settings) -> dg.FreshnessPolicy | None:
    """That something of a table is made every day. Where the window is closed nothing is due; which date it was is a check's to see."""
    if settings.partitions_end is not None:
        return None
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"0 {settings.fresh_by_hour} * * *", lower_bound_delta=dt.timedelta(days=1), timezone="UTC"
    )
