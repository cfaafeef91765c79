"""The sensor that turns Silver's new commits into materializations of the dates they touch.

One window of Silver versions is in flight at a time. It counts as applied when every one of its runs has succeeded, and is
asked for again until then; what is committed meanwhile makes the next window. See ``Cursor`` for what is remembered.
"""

import dataclasses
import datetime as dt
import itertools
import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import dagster as dg
from deltalake import DeltaTable

from gold_assets.assets.silver import SILVER, new_data_versions
from gold_assets.config import Settings
from gold_assets.dagster_internals import DATA_VERSION_TAG
from gold_assets.delta.dates import contiguous, dates_text, days
from gold_assets.delta.errors import UserError
from gold_assets.delta.log import DeltaLog
from gold_assets.gold.lake import Lake, gold_dates
from gold_assets.gold.plan import Planner
from gold_assets.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    TOUCHED_TAG,
    Range,
    as_range,
    daily_partitions,
    range_of,
    window_of,
)
from gold_assets.resources import Lakehouse
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver

TABLE_TAG = "gold_assets/silver_table"
VERSIONS_TAG = "gold_assets/silver_versions"
ATTEMPT_TAG = "gold_assets/attempt"

MOST_RUNS = 4
"""A window's dates are asked for in no more runs than this, each with a range of dates, of which it leaves the untouched alone."""

_LOST_AFTER = 300
"""Seconds after which a run that was created and not even launched never will be."""

_LONGEST_PAUSE = 600


@dataclass(frozen=True)
class Request:
    """The window in flight: Silver's commits after ``Cursor.applied`` up to ``to``.

    ``touched`` are the dates that those touched, ``ranges`` what is asked for, a run each, of which nothing is known to be done: between
    the dates they may hold others. Where ``again_at`` is set, a run did not succeed, and at that moment, in
    seconds since 1970, they are asked for again.
    """

    to: int
    commit: str
    attempt: int
    ranges: tuple[Range, ...]
    touched: tuple[Range, ...]
    again_at: float | None = None


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers from tick to tick.

    Attributes:
        table_id: Silver's. Another one means that the table was made anew, and everything starts over.
        applied, commit: the Silver version that Gold has, -1 before the first, and the fingerprint of its commit.
        window: the partition window when dates were last asked for. A date of Silver that enters it is touched.
        requested: the window of commits in flight.
    """

    table_id: str | None = None
    applied: int = -1
    commit: str = ""
    window: Range | None = None
    requested: Request | None = None

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def loads(cls, text: str | None) -> "Cursor":
        """The cursor as it was written; one that makes no sense, or none, is the first: it asks for everything."""
        try:
            values = json.loads(text or "{}")
            window, requested = values.get("window"), values.get("requested")
            return cls(
                table_id=values.get("table_id"),
                applied=int(values.get("applied", -1)),
                commit=values.get("commit", ""),
                window=as_range(window) if window else None,
                requested=Request(
                    to=int(requested["to"]),
                    commit=requested["commit"],
                    attempt=int(requested["attempt"]),
                    ranges=tuple(map(as_range, requested["ranges"])),
                    touched=tuple(map(as_range, requested["touched"])),
                    again_at=requested["again_at"],
                )
                if requested
                else None,
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()


def sensor_of(gold: dg.AssetsDefinition, settings: Settings) -> dg.SensorDefinition:
    """The sensor that asks for materializations of the ``gold`` assets."""
    partitions = daily_partitions(settings)

    @dg.sensor(
        target=gold,
        # The daemon looks every 5 s; an interval of 5 s would miss every other look by milliseconds.
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Follows Silver's commits: asks for exactly the dates they touch, again until Gold has them, and reports "
        "what changed. Reads Delta logs only.",
    )
    def micro_batch_sensor(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SensorResult:
        if (window := window_of(partitions)) is None:
            return dg.SensorResult(
                skip_reason="The partition window has no date yet: GOLD_PARTITIONS_START lies ahead."
            )
        return tick(context, lakehouse.lake(settings.tables), window, time.time())

    return micro_batch_sensor


def tick(context: dg.SensorEvaluationContext, lake: Lake, window: Range, now: float) -> dg.SensorResult:
    """One look at Silver's log and at the runs in flight. ``now`` is in seconds since 1970.

    Raises ``UserError`` where Silver is there and not what it must be.
    """
    cursor = Cursor.loads(context.cursor)
    try:
        silver = lake.pin()
    except UserError:
        if DeltaTable.is_deltatable(lake.silver):
            raise
        return _skip(cursor, f"There is no Silver table at {lake.silver} yet.")
    if cursor.table_id != silver.table_id:
        lake.refuse_another_silver(silver)
    if cursor.table_id != silver.table_id or _was_put_back(silver, cursor):
        cursor = Cursor(table_id=silver.table_id)
    held = {date for date in silver.dates() if date is not None}
    outside = _outside(held, window)
    if cursor.requested is not None:
        cursor, waiting = _look_at_runs(context.instance, cursor, cursor.requested, now)
        if waiting:
            return _skip(cursor, waiting, outside)
        if cursor.requested is not None:
            return _ask(context, cursor, cursor.requested, [], outside)
    return _look_at_log(context, cursor, lake, silver, held, window, outside)


def _look_at_log(
    context: dg.SensorEvaluationContext,
    cursor: Cursor,
    lake: Lake,
    silver: Silver,
    held: set[dt.date],
    window: Range,
    outside: str,
) -> dg.SensorResult:
    entered = {date for date in held if cursor.window and not _within(date, cursor.window)}
    changes = SilverChanges(silver)
    changed = changes.dates_after(cursor.applied)
    touched = {date for date in changed if date is not None} | entered
    every_date = changes.every_date_after(cursor.applied)
    if cursor.applied < 0 or every_date:
        touched |= held | gold_dates(lake)
    if cursor.applied >= 0 and every_date:
        context.log.info(f"Every date is asked for, because {every_date}.")
    if cursor.applied < 0:
        touched -= _made_before(context.instance, lake, silver, touched)
    dates = sorted(date for date in touched if _within(date, window))
    observations = _observations(context.instance, silver, changes, cursor.applied, dates)
    if not dates and (None in changed or every_date):
        # Rows without a date belong to no partition. They reach the quarantine with any date that is refreshed.
        dates = [max((date for date in held if _within(date, window)), default=window[1])]
    if not dates:
        reason = (
            f"Silver is at version {silver.version}, Gold has it."
            if cursor.applied == silver.version
            else f"Silver is at version {silver.version}: no row of Gold's dates changed since version "
            f"{cursor.applied}, Gold has it."
        )
        return _skip(
            dataclasses.replace(cursor, applied=silver.version, commit=silver.commit, window=window), reason, outside
        )
    request = Request(
        to=silver.version,
        commit=silver.commit,
        attempt=_next_attempt(context.instance, cursor, silver.version),
        ranges=tuple(bridged(dates, MOST_RUNS)),
        touched=tuple(contiguous(dates)),
    )
    return _ask(context, dataclasses.replace(cursor, window=window), request, observations, outside)


def _made_before(instance: dg.DagsterInstance, lake: Lake, silver: Silver, dates: Collection[dt.date]) -> set[dt.date]:
    """The dates that a backfill before the sensor's first tick made from what Silver still holds, as far as Dagster knows."""
    done, planner = set(dates), Planner(silver)
    for table in lake.tables:
        if not DeltaTable.is_deltatable(lake.places[table.name]):
            return set()
        steps = planner.steps(table, DeltaTable(lake.places[table.name]), done)
        materialized = instance.get_materialized_partitions(dg.AssetKey(table.name))
        done = {date for date in done if str(date) in materialized and steps[date].how == "current"}
    return done


def _was_put_back(silver: Silver, cursor: Cursor) -> bool:
    """Whether Silver is no longer the table that the cursor knows, but an older state of it, or one written anew from there."""
    if silver.version < cursor.applied:
        return True
    try:
        return bool(cursor.commit) and DeltaLog(silver.table).fingerprint(cursor.applied) != cursor.commit
    except FileNotFoundError:
        return False  # log clean-up has taken it


def _look_at_runs(
    instance: dg.DagsterInstance, cursor: Cursor, request: Request, now: float
) -> tuple[Cursor, str | None]:
    """The cursor after a look at the runs in flight, and what there is to wait for, if anything.

    Without a reason to wait, ``cursor.requested`` is to be asked for, and where it is None the window is applied.
    """
    records = _runs(instance, cursor, request.to, request.attempt)
    undone: list[Range] = []
    failures: list[str] = []
    waits: list[str] = []
    for dates in request.ranges:
        own = [record for record in records if range_of(record.dagster_run) == dates]
        if any(record.dagster_run.status == dg.DagsterRunStatus.SUCCESS for record in own):
            continue
        undone.append(dates)
        running = [record for record in own if _may_still_succeed(record, now)]
        if running:
            seconds = now - running[0].create_timestamp.timestamp()
            waits.append(f"run {running[0].dagster_run.run_id[:8]} for {_text(dates)}, for {max(seconds, 0):.0f} s now")
        else:
            failures.append(_failure(own, dates))
    versions = _versions_text(cursor.applied, request.to)
    if not undone:
        return Cursor(cursor.table_id, request.to, request.commit, cursor.window), None
    if waits:
        return cursor, f"Waiting for Gold to get Silver's {versions}: {'; '.join([*waits, *failures])}."
    if request.again_at is None:
        again_at = now + min(5 * 2**request.attempt, _LONGEST_PAUSE)
        request = dataclasses.replace(request, ranges=tuple(undone), again_at=again_at)
        cursor = dataclasses.replace(cursor, requested=request)
    assert request.again_at is not None
    if now < request.again_at:
        return cursor, (
            f"Gold does not have Silver's {versions} yet: {'; '.join(failures)}. Attempt {request.attempt + 1} "
            f"follows in {request.again_at - now:.0f} s."
        )
    again = dataclasses.replace(request, attempt=request.attempt + 1, ranges=tuple(undone), again_at=None)
    return dataclasses.replace(cursor, requested=again), None


def _ask(
    context: dg.SensorEvaluationContext,
    cursor: Cursor,
    request: Request,
    observations: Sequence[dg.AssetObservation],
    outside: str,
) -> dg.SensorResult:
    tags = _window_tags(cursor, request.to, request.attempt)
    touched = [date for run in request.touched for date in days(*run)]
    context.log.info(
        "Asking for the dates that Silver's %s touched: %s (attempt %d).%s",
        _versions_text(cursor.applied, request.to),
        ", ".join(map(_text, request.ranges)),
        request.attempt,
        outside,
    )
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                # A run key is remembered for ever: without the attempt, a failed window could not be asked for again.
                run_key=f"{cursor.table_id} {tags[VERSIONS_TAG]} attempt {request.attempt} {first}...{last}",
                partition_key=str(first) if first == last else None,
                tags={
                    **tags,
                    TOUCHED_TAG: dates_text(date for date in touched if first <= date <= last),
                    **({} if first == last else {RANGE_START_TAG: str(first), RANGE_END_TAG: str(last)}),
                },
            )
            for first, last in request.ranges
        ],
        cursor=dataclasses.replace(cursor, requested=request).dumps(),
        asset_events=observations,
    )


def _skip(cursor: Cursor, reason: str, outside: str = "") -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason + outside, cursor=cursor.dumps())


def _observations(
    instance: dg.DagsterInstance, silver: Silver, changes: SilverChanges, after: int, dates: Collection[dt.date]
) -> list[dg.AssetObservation]:
    return [
        dg.AssetObservation(SILVER, partition=str(date), tags={DATA_VERSION_TAG: version})
        for date, version in (new_data_versions(instance, silver.table_id, changes, after, dates) if dates else [])
    ]


def bridged(dates: Iterable[dt.date], most: int) -> list[Range]:
    """The dates as ranges of days, no more than ``most``: beyond that ranges reach over the smallest gaps, whose dates are left alone."""
    ranges = contiguous(dates)
    gaps = sorted(range(1, len(ranges)), key=lambda n: ranges[n][0] - ranges[n - 1][1])
    cuts = [0, *sorted(gaps[len(gaps) - (most - 1) :] if len(gaps) >= most else gaps), len(ranges)]
    return [(ranges[start][0], ranges[end - 1][1]) for start, end in itertools.pairwise(cuts) if start < end]


def _next_attempt(instance: dg.DagsterInstance, cursor: Cursor, to: int) -> int:
    """1, unless the window was asked for before and then forgotten: by a crash in the tick, or with a reset cursor."""
    records = _runs(instance, cursor, to)
    newest = max((int(record.dagster_run.tags[ATTEMPT_TAG]) for record in records), default=0)
    in_flight = any(
        not record.dagster_run.is_finished and record.dagster_run.tags[ATTEMPT_TAG] == str(newest) for record in records
    )
    return newest if in_flight else newest + 1


def _runs(instance: dg.DagsterInstance, cursor: Cursor, to: int, attempt: int | None = None) -> Sequence[dg.RunRecord]:
    """The runs of a window, those that people have re-executed among them: they keep the tags."""
    return instance.get_run_records(dg.RunsFilter(tags=_window_tags(cursor, to, attempt)))


def _window_tags(cursor: Cursor, to: int, attempt: int | None = None) -> dict[str, str]:
    tags = {TABLE_TAG: str(cursor.table_id), VERSIONS_TAG: f"{cursor.applied + 1}-{to}"}
    return tags if attempt is None else {**tags, ATTEMPT_TAG: str(attempt)}


def _may_still_succeed(record: dg.RunRecord, now: float) -> bool:
    run = record.dagster_run
    if run.is_finished:
        return False
    return run.status != dg.DagsterRunStatus.NOT_STARTED or now - record.create_timestamp.timestamp() < _LOST_AFTER


def _failure(records: Sequence[dg.RunRecord], dates: Range) -> str:
    if not records:
        return f"the run for {_text(dates)} is gone"
    run = records[0].dagster_run
    what = {
        dg.DagsterRunStatus.FAILURE: "failed",
        dg.DagsterRunStatus.CANCELED: "was cancelled",
    }.get(run.status, "was never launched")
    return f"run {run.run_id[:8]} for {_text(dates)} {what}"


def _outside(held: Collection[dt.date], window: Range) -> str:
    dates = sorted(date for date in held if not _within(date, window))
    if not dates:
        return ""
    shown = ", ".join(map(str, dates[:3])) + (f" and {len(dates) - 3} more" if len(dates) > 3 else "")
    return f" Silver has rows outside the partition window {_text(window)}, which are not asked for: {shown}."


def _within(date: dt.date, window: Range) -> bool:
    return window[0] <= date <= window[1]


def _text(dates: Range) -> str:
    first, last = dates
    return str(first) if first == last else f"{first} to {last}"


def _versions_text(applied: int, to: int) -> str:
    return f"version {to}" if applied + 1 == to else f"versions {applied + 1} to {to}"
