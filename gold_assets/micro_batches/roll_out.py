"""The sensor that rolls out a new version of a table: it asks for the dates that earlier versions made, the newest first.

It lets micro-batches go first: it asks for few dates at a time, and for none while a run makes Gold. Readers keep the
publication of the earlier version until all dates are made by the new one.
"""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import dagster as dg
from deltalake import DeltaTable
from pydantic import TypeAdapter, ValidationError

from gold_assets.assets.published import published_key
from gold_assets.config import Settings
from gold_assets.delta.dates import dates_text, slices_of
from gold_assets.delta.errors import store_failures_told
from gold_assets.delta.plural import plural
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.micro_batches.asked_runs import run_over
from gold_assets.partitions import Range, daily_partitions, range_of, window_of, within
from gold_assets.resources import is_of, lakehouse_of, named, on_lakehouse

ROLL_OUT_TAG = "gold_assets/roll_out"

_MOST_ROWS, _MOST_DATES = 4_000_000, 31
"""How much of Silver a run reads, unless one date has more: a micro-batch waits no longer than that takes."""

_PAUSE, _LONGEST_PAUSE = 60, 3_600
"""Seconds until what failed is tried again, twice as long after each failure."""


@dataclass(frozen=True)
class Progress:
    """What the sensor remembers.

    Attributes:
        done: by table, the version of it that has made all dates of the window.
        failed: how many runs in a row did not succeed; ``again_at``, in seconds since 1970, when the next is asked for.
        number: of the runs that were asked for.
    """

    done: Mapping[str, str] = field(default_factory=dict)
    window: Range | None = None
    failed: int = 0
    again_at: float = 0.0
    number: int = 0

    def dumps(self) -> str:
        return _JSON.dump_json(self).decode()

    @classmethod
    def loads(cls, text: str | None) -> "Progress":
        """As it was written; the first where there is none, or none that makes sense."""
        try:
            return _JSON.validate_json(text or "{}")
        except ValidationError:
            return cls()


_JSON = TypeAdapter(Progress)


def roll_out_sensor(gold: dg.AssetsDefinition, settings: Settings) -> dg.SensorDefinition:
    """The sensor, of the ``gold`` assets."""
    partitions, project = daily_partitions(settings), settings.project

    @dg.sensor(
        name=named(project, "roll_out_sensor"),
        **on_lakehouse(project),
        target=gold,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="After a change of a table's declaration: asks for the dates that earlier versions made, the newest first, "
        "while no other run makes Gold.",
    )
    def roll_out(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if (window := window_of(partitions)) is None:
            return dg.SensorResult(skip_reason="The partition window has no date yet.")
        return tick(context, lakehouse_of(context, project).lake(project), window, time.time())

    return roll_out


@store_failures_told()
def tick(context: dg.SensorEvaluationContext, lake: Lake, window: Range, now: float) -> dg.SensorResult:
    """One look. Where every table's version is rolled out, no log is read. ``now`` is in seconds since 1970."""
    progress = Progress.loads(context.cursor)
    current = {table.name: table.code_version for table in lake.tables}
    if progress.done == current and progress.window == window:
        return _skip(progress, "All dates are made by the newest version of their tables.")
    if running := _running(context.instance, lake):
        return _skip(progress, f"Waits for {plural(running, 'run')} to make Gold.")
    progress = _after_last_run(context.instance, lake, progress, now)
    if progress.again_at > now:
        said = f"{plural(progress.failed, 'run')} in a row did not succeed; the next follows in {progress.again_at - now:.0f} s."
        return _skip(progress, said)
    if not DeltaTable.is_deltatable(lake.silver):
        return _skip(progress, f"There is no Silver table at {lake.silver} yet.")
    moment = Moment(lake)
    behind, of_all = _behind(moment, window)
    if not behind:
        done = Progress(current, window, number=progress.number)
        return _skip(done, "All dates are made by the newest version of their tables.")
    dates = _next(moment, behind)
    left, percent = len(behind), 100 * (of_all - len(behind)) // of_all
    said = f"{plural(left, 'date')} of {of_all} are to be made by the newest version of their tables; next {dates_text(dates)}."
    context.log.info(said)
    asked = replace(progress, again_at=0.0, number=progress.number + 1)
    tags = {ROLL_OUT_TAG: _tag(lake, asked.number)}
    return dg.SensorResult(
        run_requests=[run_over(lake.project, (dates[0], dates[-1]), dates, tags)],
        cursor=asked.dumps(),
        asset_events=[
            dg.AssetObservation(
                published_key(lake.project),
                description=f"Rolled out: {percent} %",
                metadata={"rolled_out_percent": percent, "dates_to_roll_out": left},
            )
        ],
    )


def _behind(moment: Moment, window: Range) -> tuple[list[dt.date], int]:
    """The dates of the window that another version of a table made, the newest first; and how many dates there are."""
    dates = [date for date in moment.dates if date is not None and within(date, window)]
    behind: set[dt.date] = set()
    for table in moment.lake.tables:
        made = moment.made_by(table, dates)
        behind |= set().union(*(of for version, of in made.items() if version != table.code_version))
        behind |= set(moment.to_make(table)).intersection(dates)
    return sorted(behind, reverse=True), len(dates)


def _next(moment: Moment, behind: list[dt.date]) -> list[dt.date]:
    """The newest of the dates, as many as a run makes."""
    newest = behind[:_MOST_DATES]
    sizes = moment.silver.file_dates.rows_told(newest)
    return sorted(slices_of(newest, sizes, _MOST_ROWS, _MOST_DATES)[0])


def _running(instance: dg.DagsterInstance, lake: Lake) -> int:
    """How many runs that have not ended make Gold, or wait to."""
    unfinished = [status for status in dg.DagsterRunStatus if status not in _ENDED]
    runs = instance.get_runs(dg.RunsFilter(statuses=unfinished))
    return sum(range_of(run) is not None and is_of(lake.project, run, instance) for run in runs)


_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def _tag(lake: Lake, number: int) -> str:
    return named(lake.project, str(number))


def _after_last_run(instance: dg.DagsterInstance, lake: Lake, progress: Progress, now: float) -> Progress:
    """What is remembered once the run that was asked for last has ended: what failed is asked for again after a pause."""
    runs = instance.get_runs(dg.RunsFilter(tags={ROLL_OUT_TAG: _tag(lake, progress.number)}), limit=1)
    if not runs or runs[0].status == dg.DagsterRunStatus.SUCCESS:
        return replace(progress, failed=0, again_at=0.0)
    if progress.again_at:
        return progress
    failed = progress.failed + 1
    pause = min(_PAUSE * 2 ** (failed - 1), _LONGEST_PAUSE)
    return replace(progress, failed=failed, again_at=now + pause)


def _skip(progress: Progress, reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=progress.dumps())
