"""The one partitions definition: a UTC date of Silver is a partition of every table; when it is due, and what a run asks of it."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from gold_assets.config import Settings
from gold_assets.delta.dates import asked_in_text, dates_in, dates_text
from gold_assets.delta.errors import UserError

_PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

_TOUCHED = "touched_dates"
_OPENED, _OPENED_BY = "opened_dates", "opened_by"

GOLD_STEP_CONFIG = {
    _TOUCHED: dg.Field(
        str,
        is_required=False,
        description="For the sensor: the dates of the run that are to be patched, where that is exact; the others are left as "
        "they are. Without it each date is recomputed.",
    ),
    _OPENED: dg.Field(
        str,
        is_required=False,
        description="Dates of the run that are made though they are sealed, or lose or gain more rows than is usual, such as "
        "2026-01-01 to 2026-01-31, 2026-02-03. The others of such dates are left as they are.",
    ),
    _OPENED_BY: dg.Field(
        str,
        is_required=False,
        description="Who opens them, and why, as their commits will tell: needed with opened_dates.",
    ),
}
"""What that step is configured with: a run keeps it whole, however long, where PostgreSQL takes no tag of more than 2,704 bytes."""

_TOUCHED_TAG = "gold_assets/touched_dates"
"""Where the runs of earlier releases say it."""

Range = tuple[dt.date, dt.date]
"""First and last date, both included."""


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """The dates of the settings' window; without an end, up to today, included."""
    end = settings.partitions_end
    return dg.DailyPartitionsDefinition(
        start_date=settings.partitions_start.isoformat(),
        # Dagster's end is exclusive.
        end_date=None if end is None else (end + dt.timedelta(days=1)).isoformat(),
        end_offset=1 if end is None else 0,
        timezone="UTC",
    )


def window_of(partitions: dg.DailyPartitionsDefinition) -> Range | None:
    """The first and the last of the dates by now; None where the first lies ahead."""
    return _as_range(partitions.get_first_partition_key(), partitions.get_last_partition_key())


def freshness(settings: Settings) -> dg.FreshnessPolicy | None:
    """That something of a table is made every day. Where the window is closed nothing is due; which date it was is a check's to see."""
    if settings.partitions_end is not None:
        return None
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"0 {settings.fresh_by_hour} * * *", lower_bound_delta=dt.timedelta(days=1), timezone="UTC"
    )


def touching(step: str, dates: Iterable[dt.date]) -> dict[str, Any]:
    """The configuration of a run of the sensor, whose step makes the tables: of its dates, those that Silver's commits touched.

    They are patched where that is exact, the others left as they are.
    """
    return {"ops": {step: {"config": {_TOUCHED: dates_text(dates)}}}}


def touched_dates(run: dg.DagsterRun) -> set[dt.date] | None:
    """The dates of the run that Silver's commits touched; None where a person asked for it, also by a re-execution."""
    if run.parent_run_id is not None:
        return None
    ops, told = run.run_config.get("ops"), run.tags.get(_TOUCHED_TAG)
    for op in ops.values() if isinstance(ops, Mapping) else ():
        config = op.get("config") if isinstance(op, Mapping) else None
        told = (config.get(_TOUCHED) if isinstance(config, Mapping) else None) or told
    return None if told is None else dates_in(told)


def opened_dates(config: Mapping[str, Any]) -> tuple[set[dt.date], str]:
    """The dates that the configuration of a step opens, and who does so and why. Raises ``UserError``."""
    told, by = str(config.get(_OPENED) or ""), str(config.get(_OPENED_BY) or "").strip()
    if not told:
        return set(), ""
    if not by:
        raise UserError(f"{_OPENED} is given without {_OPENED_BY}, expected who opens the dates, and why: give it.")
    return asked_in_text(_OPENED, told), f"opened by {by}"


def range_of(run: dg.DagsterRun) -> Range | None:
    """The dates that the run was started for; None where it is not partitioned."""
    single = run.tags.get(_PARTITION_TAG)
    return _as_range(single or run.tags.get(RANGE_START_TAG), single or run.tags.get(RANGE_END_TAG))


def _as_range(first: str | None, last: str | None) -> Range | None:
    return (dt.date.fromisoformat(first), dt.date.fromisoformat(last)) if first and last else None


def within(date: dt.date, dates: Range) -> bool:
    """Whether the range has the date."""
    return dates[0] <= date <= dates[1]


def range_text(dates: Range) -> str:
    """The range for people."""
    first, last = dates
    return str(first) if first == last else f"{first} to {last}"
