"""The runs that the sensor has asked for: how they are found again, what has become of them, and what is asked for in their place."""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import dagster as dg

from gold_assets.declaring.project import Project
from gold_assets.delta.dates import contiguous
from gold_assets.micro_batches.cursor import Asked, Cursor
from gold_assets.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    Range,
    range_of,
    range_text,
    touched_dates,
    touching,
    within,
)
from gold_assets.resources import GOLD_STEP, named

TABLE_TAG = "gold_assets/silver_table"
VERSIONS_TAG = "gold_assets/silver_versions"
ATTEMPT_TAG = "gold_assets/attempt"

MOST_RUNS = 4
"""Dates are asked for in no more runs at once than this, each with a range of dates, of which it leaves the untouched alone."""

MOST_ASKED = 100
"""So many ranges of dates wait by themselves. Where there are more, the nearest wait together: the cursor is written with each tick."""

_LOST_AFTER = 300
"""Seconds after which a run that was created and not even launched never will be."""

_LONGEST_PAUSE = 600


def request_for(project: Project, table_id: str | None, asked: Asked, dates: Iterable[dt.date]) -> dg.RunRequest:
    """The run over ``asked.dates``, of which ``dates`` are to be patched."""
    tags = _tags(project, table_id, asked.versions, asked.attempt)
    first, last = asked.dates
    # A run key is remembered for ever: without the attempt, what failed could not be asked for again.
    run_key = f"{tags[TABLE_TAG]} {tags[VERSIONS_TAG]} attempt {asked.attempt} {first}...{last}"
    return run_over(project, asked.dates, dates, tags, run_key)


def run_over(
    project: Project, over: Range, dates: Iterable[dt.date], tags: dict[str, str], run_key: str | None = None
) -> dg.RunRequest:
    """A run over a range, of which ``dates`` are to be patched and the others left as they are."""
    first, last = map(str, over)
    return dg.RunRequest(
        run_key=run_key,
        partition_key=first if first == last else None,
        run_config=touching(named(project, GOLD_STEP), dates),
        tags={**tags, **({} if first == last else {RANGE_START_TAG: first, RANGE_END_TAG: last})},
    )


def next_attempt(
    instance: dg.DagsterInstance, project: Project, table_id: str | None, versions: tuple[int, int]
) -> int:
    """1, unless these versions were asked for before and then forgotten: by a crash in the tick, or with a reset cursor."""
    runs = instance.get_runs(dg.RunsFilter(tags=_tags(project, table_id, versions)))
    newest = max((int(run.tags[ATTEMPT_TAG]) for run in runs), default=0)
    in_flight = any(not run.is_finished and run.tags[ATTEMPT_TAG] == str(newest) for run in runs)
    return newest if in_flight else newest + 1


class AskedRuns:
    """What is asked for, after a look at its runs.

    Attributes:
        asked: what is not done. Where a run did not succeed its dates wait for the next attempt, the longer the more
            attempts there were.
        waits: the runs in flight, for people.
        failures: the runs that did not succeed, for people.
    """

    def __init__(self, instance: dg.DagsterInstance, project: Project, cursor: Cursor, now: float) -> None:
        self._instance = instance
        self._now = now
        self.asked: list[Asked] = []
        self.waits: list[str] = []
        self.failures: list[str] = []
        asked = cursor.asked
        tags = [_tags(project, cursor.table_id, each.versions, each.attempt) for each in asked]
        any_of = {name: sorted({each[name] for each in tags}) for name in (TABLE_TAG, VERSIONS_TAG, ATTEMPT_TAG)}
        records = instance.get_run_records(dg.RunsFilter(tags=any_of)) if asked else []
        for each, own in zip(asked, tags, strict=True):
            with_tags = [record for record in records if own.items() <= record.dagster_run.tags.items()]
            self._look(each, [record for record in with_tags if range_of(record.dagster_run) == each.dates])

    def _look(self, asked: Asked, records: Sequence[dg.RunRecord]) -> None:
        """By the runs of the range, those that people have re-executed among them: they keep the tags."""
        if any(record.dagster_run.status == dg.DagsterRunStatus.SUCCESS for record in records):
            return
        if running := [record for record in records if self._may_still_succeed(record)]:
            seconds = max(self._now - running[0].create_timestamp.timestamp(), 0)
            run = running[0].dagster_run.run_id[:8]
            self.waits.append(f"run {run} for {range_text(asked.dates)}, for {seconds:.0f} s now")
            self.asked.append(asked)
            return
        again_at = asked.again_at
        if again_at is None:
            again_at = self._now + min(5 * 2**asked.attempt, _LONGEST_PAUSE)
            own = [record.dagster_run for record in records if touched_dates(record.dagster_run) is not None]
            asked = dataclasses.replace(asked, run_id=own[0].run_id if own else asked.run_id)
        # What a clock has set that was put right since is no later than a pause from now, too.
        again_at = min(again_at, self._now + _LONGEST_PAUSE)
        pause = max(again_at - self._now, 0)
        self.failures.append(f"{_failure(records, asked)}, attempt {asked.attempt + 1} follows in {pause:.0f} s")
        self.asked.append(dataclasses.replace(asked, again_at=again_at))

    def _may_still_succeed(self, record: dg.RunRecord) -> bool:
        run, age = record.dagster_run, abs(self._now - record.create_timestamp.timestamp())
        return not run.is_finished and (run.status != dg.DagsterRunStatus.NOT_STARTED or age < _LOST_AFTER)


def dates_of(instance: dg.DagsterInstance, asked: Asked, known: Callable[[], Collection[dt.date]]) -> set[dt.date]:
    """The dates that are meant, as the configuration of the run that did not succeed tells; where it is gone, the known ones of the range."""
    run = instance.get_run_by_id(asked.run_id) if asked.run_id else None
    touched = None if run is None else touched_dates(run)
    return {date for date in (known() if touched is None else touched) if within(date, asked.dates)}


def parts_of(instance: dg.DagsterInstance, asked: Asked, dates: Collection[dt.date], most: int) -> Iterator[Asked]:
    """What is asked for in the place of what did not succeed, of which ``dates`` are meant.

    Where a run has failed, each has a part of its dates: so it comes out which of them cannot be made, while the others
    are.
    """
    run = instance.get_run_by_id(asked.run_id) if asked.run_id else None
    in_order = sorted(dates)
    parts = min(most if run is not None and run.status == dg.DagsterRunStatus.FAILURE else 1, len(in_order))
    cuts = [len(in_order) * part // parts for part in range(parts + 1)]
    for start, end in itertools.pairwise(cuts):
        yield dataclasses.replace(
            asked, dates=(in_order[start], in_order[end - 1]), attempt=asked.attempt + 1, again_at=None
        )


def no_more_than(asked: Iterable[Asked], most: int) -> list[Asked]:
    """What is asked for, in no more than ``most`` ranges: beyond that the nearest become one."""
    in_order = sorted(asked, key=lambda each: each.dates)
    while len(in_order) > most:
        gaps = [after.dates[0] - before.dates[1] for before, after in itertools.pairwise(in_order)]
        n = gaps.index(min(gaps))
        one, other = in_order[n : n + 2]
        in_order[n : n + 2] = [
            dataclasses.replace(
                one,
                dates=(one.dates[0], max(one.dates[1], other.dates[1])),
                attempt=max(one.attempt, other.attempt),
                again_at=max(one.again_at or 0, other.again_at or 0),
                run_id=None,
            )
        ]
    return in_order


def bridged(dates: Iterable[dt.date], most: int) -> list[Range]:
    """The dates as ranges of days, no more than ``most``: beyond that ranges reach over the smallest gaps, whose dates are left alone."""
    ranges = contiguous(dates)
    gaps = sorted(range(1, len(ranges)), key=lambda n: ranges[n][0] - ranges[n - 1][1])
    cuts = [0, *sorted(gaps[len(gaps) - (most - 1) :] if len(gaps) >= most else gaps), len(ranges)]
    return [(ranges[start][0], ranges[end - 1][1]) for start, end in itertools.pairwise(cuts) if start < end]


def _tags(
    project: Project, table_id: str | None, versions: tuple[int, int], attempt: int | None = None
) -> dict[str, str]:
    # Two projects may be made from the same table.
    tags = {TABLE_TAG: named(project, str(table_id)), VERSIONS_TAG: f"{versions[0]}-{versions[1]}"}
    return tags if attempt is None else {**tags, ATTEMPT_TAG: str(attempt)}


def _failure(records: Sequence[dg.RunRecord], asked: Asked) -> str:
    if not records:
        return f"the run for {range_text(asked.dates)} is gone"
    run = records[0].dagster_run
    told = {dg.DagsterRunStatus.FAILURE: "failed", dg.DagsterRunStatus.CANCELED: "was cancelled"}
    what = told.get(run.status, "was never launched")
    return f"run {run.run_id[:8]} for {range_text(asked.dates)} {what}"
