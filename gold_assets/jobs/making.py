"""How the project's jobs and their schedules are made."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from gold_assets.declaring.project import Project
from gold_assets.delta.errors import UserError
from gold_assets.resources import Lakehouse, lakehouse_of, named, on_lakehouse, one_sentence_failures

_Step = Callable[[dg.OpExecutionContext, Any, Lakehouse], None]


def one_op_job(
    project: Project, name: str, op: str, description: str, *, writes: bool = False
) -> Callable[[_Step], dg.JobDefinition]:
    """Make a function a job of one op, which ``writes`` Gold or only reads; the function's second parameter is what the launchpad asks for."""

    def decorate(function: _Step) -> dg.JobDefinition:
        def run(context: dg.OpExecutionContext, config: Any) -> None:
            with one_sentence_failures():
                function(context, config, lakehouse_of(context, project))

        run.__annotations__["config"] = function.__annotations__["config"]
        needs = on_lakehouse(project, writes=writes)
        step = dg.op(name=named(project, op), description=function.__doc__, **needs)(run)

        @dg.job(name=named(project, name), description=description)
        def job() -> None:
            step()

        return job

    return decorate


def tables_field(project: Project, to: str) -> Any:
    """Of what the launchpad asks for, the names of the tables ``to`` do something with."""
    return Field(default=[table.name for table in project.tables], description=f"The tables to {to}, by default all.")


def asked_dates(texts: Sequence[str]) -> set[dt.date] | None:
    """The dates that a config names, None where it names none."""
    try:
        return {dt.date.fromisoformat(text) for text in texts} or None
    except ValueError as error:
        raise UserError(f"dates holds no date ({error}), expected dates such as 2017-01-31: correct it.") from None


def nightly(
    project: Project, name: str, job: Any, hour: int, description: str, *, runs_by_default: bool = True
) -> dg.ScheduleDefinition:
    """The schedule that runs the job every day at the hour, UTC."""
    default = dg.DefaultScheduleStatus.RUNNING if runs_by_default else dg.DefaultScheduleStatus.STOPPED
    return dg.ScheduleDefinition(
        name=named(project, name),
        job=job,
        cron_schedule=f"0 {hour} * * *",
        execution_timezone="UTC",
        default_status=default,
        description=description,
    )
