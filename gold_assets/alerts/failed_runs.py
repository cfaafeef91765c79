"""Runs that failed and whose work is not done yet, as Dagster's records tell."""

import datetime as dt
from collections.abc import Iterable, Sequence

import dagster as dg
from pydantic import BaseModel

from gold_assets.declaring.project import Project
from gold_assets.delta import storage
from gold_assets.delta.dates import dates_text, days
from gold_assets.partitions import range_of, touched_dates
from gold_assets.resources import is_of

_LOOKED_BACK_SECONDS = 60
"""A record may be written somewhat later than its time says."""

_MOST_LETTERS = 300


class FailedRun(BaseModel):
    """A run that failed, with the attempts after it.

    Attributes:
        run_id: of the first that failed.
        job: its name.
        assets: what it was to make or check; empty where that is nothing.
        dates: those that are not done yet; None where it has none.
        attempts: how many have failed.
    """

    run_id: str
    job: str
    assets: frozenset[str]
    dates: frozenset[dt.date] | None
    attempts: int = 1

    @property
    def what(self) -> str:
        """What it was for, in a few words."""
        return f"job {self.job}" if self.dates is None else f"Gold's {dates_text(self.dates, 5)}"

    def is_tried_again_by(self, other: "FailedRun") -> bool:
        if self.dates is None or other.dates is None:
            return self.dates == other.dates and self.job == other.job
        return self.assets == other.assets and not self.dates.isdisjoint(other.dates)

    def after_success_of(self, done: "FailedRun") -> "FailedRun | None":
        """What remains of it after a run that succeeded; None where it is over."""
        if self.dates is None or done.dates is None:
            return None if self.is_tried_again_by(done) else self
        left = self.dates - done.dates if self.assets <= done.assets else self.dates
        return self.model_copy(update={"dates": left}) if left else None


class RunsSeen(BaseModel):
    """How far Dagster's records of runs have been looked at.

    Attributes:
        until: the newest change of a record that was seen, in seconds since 1970.
        runs: those that had ended shortly before.
    """

    until: float
    runs: list[str] = []


def ended_runs(instance: dg.DagsterInstance, project: Project, seen: RunsSeen) -> tuple[list[dg.RunRecord], RunsSeen]:
    """The project's runs that have failed or succeeded since, the oldest first."""
    begin = dt.datetime.fromtimestamp(seen.until - _LOOKED_BACK_SECONDS, dt.timezone.utc)
    ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS], updated_after=begin)
    records = instance.get_run_records(ended, order_by="update_timestamp", ascending=True)
    until = max([seen.until, *(record.update_timestamp.timestamp() for record in records)])
    new = [record for record in records if record.dagster_run.run_id not in seen.runs]
    own = [record for record in new if is_of(project, record.dagster_run, instance)]
    return own, RunsSeen(until=until, runs=[record.dagster_run.run_id for record in records])


def after_runs(failed: Sequence[FailedRun], ended: Iterable[dg.RunRecord]) -> list[FailedRun]:
    """What has failed and is not done, after these runs, the oldest first."""
    unfinished = list(failed)
    for record in ended:
        run = _of(record)
        if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS:
            unfinished = [left for each in unfinished if (left := each.after_success_of(run)) is not None]
        elif again := next((each for each in unfinished if each.is_tried_again_by(run)), None):
            dates = None if again.dates is None else again.dates | (run.dates or frozenset())
            more = again.model_copy(update={"attempts": again.attempts + 1, "dates": dates})
            unfinished[unfinished.index(again)] = more
        else:
            unfinished.append(run)
    return unfinished


def why(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why the run failed, in a sentence as short as its error allows."""
    of_type = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for entry in instance.all_logs(run_id, of_type=of_type):
        data = entry.dagster_event.event_specific_data if entry.dagster_event else None
        said = getattr(getattr(data, "user_failure_data", None), "description", None)
        error = getattr(data, "error", None)
        while said is None and error is not None:
            said, error = (error.message, None) if error.cause is None else (None, error.cause)
        if text := " ".join(storage.without_secrets(said or entry.message or "").split()):
            return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"
    return "its records do not say why"


def _of(record: dg.RunRecord) -> FailedRun:
    run, dates, touched = record.dagster_run, range_of(record.dagster_run), touched_dates(record.dagster_run)
    return FailedRun(
        run_id=run.run_id,
        job=run.job_name,
        assets=frozenset(key.to_user_string() for key in run.asset_selection or ()),
        dates=None if dates is None else frozenset(touched if touched is not None else days(*dates)),
    )
