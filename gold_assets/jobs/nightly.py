"""Schedules of what is done once a day."""

from typing import Any

import dagster as dg


def nightly(name: str, job: Any, hour: int, description: str, *, runs_by_default: bool = True) -> dg.ScheduleDefinition:
    """The schedule that runs the job every day at the hour, UTC."""
    default = dg.DefaultScheduleStatus.RUNNING if runs_by_default else dg.DefaultScheduleStatus.STOPPED
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=f"0 {hour} * * *",
        execution_timezone="UTC",
        default_status=default,
        description=description,
    )
