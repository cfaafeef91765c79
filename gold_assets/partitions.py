"""The one partitions definition: a UTC date of Silver is a partition of every table; and when it is due."""

import datetime as dt

import dagster as dg

from gold_assets.config import load_settings

_settings = load_settings()
_end = _settings.partitions_end

daily_partitions = dg.DailyPartitionsDefinition(
    start_date=_settings.partitions_start.isoformat(),
    # Dagster's end is exclusive. Without one the window runs up to today, included.
    end_date=None if _end is None else (_end + dt.timedelta(days=1)).isoformat(),
    end_offset=1 if _end is None else 0,
    timezone="UTC",
)

freshness = (
    dg.FreshnessPolicy.cron(
        deadline_cron=f"0 {_settings.fresh_by_hour} * * *", lower_bound_delta=dt.timedelta(days=1), timezone="UTC"
    )
    if _end is None
    else None
)
"""That something of a table is made every day. Where the window is closed nothing is due; which date it was is a check's to see."""
