"""The sensor that turns Silver's new commits into materializations of the dates they touch.

It asks for nothing new while a run of its own is in flight; what is committed meanwhile is asked for next. Dates whose
run did not succeed wait by themselves and are asked for again until one does, while the others are followed. See
``Cursor`` for what is remembered.
"""

import dataclasses
import datetime as dt
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import dagster as dg
from deltalake import DeltaTable

from gold_assets.assets.events import newest_version_told
from gold_assets.assets.silver import SILVER, new_data_versions
from gold_assets.config import Settings
from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError
from gold_assets.delta.log import CommitFile, DeltaLog, end_after, ends_at
from gold_assets.gold.lake import Lake, gold_dates
from gold_assets.gold.lake_plan import dates_behind
from gold_assets.instance.dagster_internals import DATA_VERSION_TAG
from gold_assets.micro_batches.asked_runs import (
    MOST_ASKED,
    MOST_RUNS,
    AskedRuns,
    bridged,
    dates_of,
    next_attempt,
    no_more_than,
    parts_of,
    request_for,
)
from gold_assets.micro_batches.cursor import Asked, Cursor
from gold_assets.micro_batches.new_commits import NewCommits
from gold_assets.partitions import Range, daily_partitions, range_text, window_of, within
from gold_assets.resources import Lakehouse
from gold_assets.silver.pin import Silver

_SECONDS = 20
"""So long a tick reads. Dagster ends one after a minute."""

_TOLD = 3
"""So many of a kind are named; of the others it is told how many there are."""


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
        return tick(context, lakehouse.lake(settings.project), window, time.time())

    return micro_batch_sensor


def tick(context: dg.SensorEvaluationContext, lake: Lake, window: Range, now: float) -> dg.SensorResult:
    """One look at the runs in flight and at what is new in the logs. ``now`` is in seconds since 1970.

    Where nothing is new, no table is opened. Raises ``UserError`` where a table is there and not what it must be.
    """
    cursor = Cursor.loads(context.cursor)
    runs = AskedRuns(context.instance, cursor.table_id, cursor.asked, now)
    some_are_done = len(runs.asked) < len(cursor.asked)
    cursor = dataclasses.replace(cursor, asked=tuple(runs.asked))
    if runs.waits:
        told = _few([*runs.waits, *runs.failures])
        return _skip(cursor, f"Waiting for Gold to get Silver's {_versions_of(cursor.asked)}: {told}.")
    if not (some_are_done or window != cursor.window or _due(cursor, now)) and _nothing_is_new(lake, cursor):
        return _skip(cursor, _at_rest(cursor, runs.failures))
    try:
        silver = lake.pin()
    except UserError:
        if DeltaTable.is_deltatable(lake.silver):
            raise
        return _skip(cursor, f"There is no Silver table at {lake.silver} yet.")
    until = time.monotonic() + _SECONDS
    if left := silver.learn_dates(until):
        return _skip(
            cursor,
            f"{left:,} of Silver's files are still to be asked for their dates, and the next tick goes on with them.",
        )
    return _Look(context, lake, silver, window, cursor).result(now, runs.failures, until)


class _Look:
    """A look at the logs of a lake. ``before`` is the cursor as the tick found it, with nothing in flight."""

    def __init__(
        self, context: dg.SensorEvaluationContext, lake: Lake, silver: Silver, window: Range, before: Cursor
    ) -> None:
        self._context = context
        self._instance = context.instance
        self._lake = lake
        self._silver = silver
        self._window = window
        if before.table_id != silver.table_id:
            lake.refuse_another_silver(silver)
        if before.table_id != silver.table_id or _was_put_back(silver, before):
            before = Cursor(table_id=silver.table_id)
        self._before = before
        self._end = DeltaLog(silver.table).file_of(silver.version)
        self._held = {date for date in silver.dates() if date is not None}
        self._gold = {table.name: _end_of(lake, table, before.gold.get(table.name)) for table in lake.tables}

    def result(self, now: float, failures: Sequence[str], until: float) -> dg.SensorResult:
        """What is asked for and remembered, after reading as long as it is not yet ``until``, a moment of ``time.monotonic``."""
        before, silver = self._before, self._silver
        waiting, again = self._asked_before(now)
        new_commits = NewCommits(silver, before.followed, until)
        touched = self._touched(new_commits)
        dates = sorted(date for date in touched if date is not None and within(date, self._window))
        observations = self._observations(new_commits, dates)
        elsewhere = set().union(*waiting.values(), *again.values())
        dates = [date for date in dates if date not in elsewhere]
        if not dates and not again and None in touched:
            # Rows without a date belong to no partition. They reach the quarantine with any date that is refreshed.
            sound = {date for date in self._held if within(date, self._window)} or {self._window[1]}
            dates = sorted(sound - elsewhere)[-1:]
        new = self._asked_for(dates, new_commits.to)
        # As the log was before its commits were read, where that is known: it may be put back meanwhile.
        if new_commits.to == silver.version:
            commit, end = silver.commit, self._end
        else:
            log = DeltaLog(silver.table)
            commit, end = log.fingerprint(new_commits.to), log.file_of(new_commits.to)
        asked = {**again, **{each: [date for date in dates if within(date, each.dates)] for each in new}}
        after = Cursor(
            table_id=silver.table_id,
            followed=new_commits.to,
            commit=commit,
            silver=end,
            gold=self._gold,
            window=self._window,
            outside=_outside(self._held, self._window),
            asked=(*no_more_than(waiting, MOST_ASKED), *asked),
        )
        if not asked:
            if after.followed < silver.version:
                return _skip(
                    after,
                    f"Silver's log is read up to version {after.followed} of {silver.version}, and on from there next time.",
                )
            return _skip(after, _at_rest(after, failures if waiting else [], since=before.followed))
        self._context.log.info(
            "Asking for the dates that Silver's %s touched: %s (attempt %s).%s",
            _versions_of(asked),
            ", ".join(range_text(each.dates) for each in asked),
            ", ".join(map(str, sorted({each.attempt for each in asked}))),
            after.outside,
        )
        return dg.SensorResult(
            run_requests=[request_for(silver.table_id, each, of) for each, of in asked.items()],
            cursor=after.dumps(),
            asset_events=observations,
        )

    def _asked_before(self, now: float) -> tuple[dict[Asked, set[dt.date]], dict[Asked, set[dt.date]]]:
        """What still waits, and what is asked for again now, with the dates of each, as far as they are in the window of now."""
        waiting: dict[Asked, set[dt.date]] = {}
        again: dict[Asked, set[dt.date]] = {}
        due = _due(self._before, now)
        for each in self._before.asked:
            dates = {date for date in dates_of(self._instance, each, lambda: self._known) if within(date, self._window)}
            if not dates:
                continue
            if each in due and len(again) < MOST_RUNS:
                most = min(MOST_RUNS - len(again), max(MOST_ASKED - len(self._before.asked), 1))
                for part in parts_of(self._instance, each, dates, most):
                    again[part] = {date for date in dates if within(date, part.dates)}
            else:
                waiting[dataclasses.replace(each, dates=(min(dates), max(dates)))] = dates
        return waiting, again

    @cached_property
    def _known(self) -> set[dt.date]:
        """The dates of Silver and of the tables."""
        return self._held | gold_dates(self._lake)

    def _touched(self, new: NewCommits) -> set[dt.date | None]:
        """The dates that Gold is to get now, whatever the window; None stands for rows without a date."""
        before = self._before
        touched: set[dt.date | None] = set(new.dates)
        if before.window and before.window != self._window:
            touched |= {date for date in self._known if not within(date, before.window)}
        if before.followed < 0 or new.every_date:
            touched |= self._known
        if new.every_date:
            touched.add(None)
        if before.followed < 0:
            behind = dates_behind(self._lake, self._silver, touched)
            made = set.intersection(*(self._materialized(table.name) for table in self._lake.tables))
            touched -= {date for date in touched - behind if date is None or str(date) in made}
        elif new.every_date:
            self._context.log.info(f"Every date is asked for, because {new.every_date}.")
        elif put_back := [table.name for table in self._lake.tables if self._was_put_back(table.name)]:
            self._context.log.info(f"{', '.join(put_back)} was put back to an older state, or made anew.")
            touched |= dates_behind(self._lake, self._silver, {*self._known, None})
        return touched

    def _was_put_back(self, table: str) -> bool:
        """Whether the table holds less than when the sensor last looked, or than Dagster was told since."""
        end = self._gold[table]
        told = newest_version_told(self._instance, dg.AssetKey(table))
        return told > (-1 if end is None else end.version) or not _was_only_written_to(
            self._lake.places[table], self._before.gold.get(table), end
        )

    def _materialized(self, table: str) -> set[str]:
        return self._instance.get_materialized_partitions(dg.AssetKey(table))

    def _asked_for(self, dates: Collection[dt.date], to: int) -> list[Asked]:
        if not dates:
            return []
        followed = self._before.followed
        versions = (followed + 1 if followed < to else 0, to)
        attempt = next_attempt(self._instance, self._silver.table_id, versions)
        return [Asked(versions, each, attempt) for each in bridged(dates, MOST_RUNS)]

    def _observations(self, new: NewCommits, dates: Collection[dt.date]) -> list[dg.AssetObservation]:
        if not dates:
            return []
        last = {date: new.last(date) for date in dates}
        return [
            dg.AssetObservation(SILVER, partition=str(date), tags={DATA_VERSION_TAG: version})
            for date, version in new_data_versions(self._instance, self._silver.table_id, last, new.oldest)
        ]


def _due(cursor: Cursor, now: float) -> list[Asked]:
    """What is to be asked for again, the longest due first."""
    waiting = [(each.again_at, each) for each in cursor.asked if each.again_at is not None]
    return [each for again_at, each in sorted(waiting, key=lambda pair: pair[0]) if again_at <= now]


def _nothing_is_new(lake: Lake, cursor: Cursor) -> bool:
    """Whether the logs of Silver and of the tables end where the cursor says. Reads none of them, and opens no table."""
    if cursor.silver is None or cursor.gold.keys() != {table.name for table in lake.tables}:
        return False
    ends = {lake.silver: cursor.silver, **{lake.places[name]: end for name, end in cursor.gold.items()}}
    with ThreadPoolExecutor(max_workers=len(ends)) as pool:
        return all(pool.map(ends_at, ends.keys(), ends.values()))


def _was_put_back(silver: Silver, cursor: Cursor) -> bool:
    """Whether Silver is no longer the table that the cursor knows, but an older state of it, or one written anew from there."""
    if silver.version < cursor.followed:
        return True
    log = DeltaLog(silver.table)
    if not cursor.commit or (cursor.silver is not None and log.file_of(cursor.followed) == cursor.silver):
        return False
    return log.fingerprint(cursor.followed) not in ("", cursor.commit)


def _end_of(lake: Lake, table: Table, before: CommitFile | None) -> CommitFile | None:
    """Where the table's log ends, which ended ``before`` when it was last looked at; None where there is no table."""
    if (end := end_after(lake.places[table.name], before)) is not None:
        return end
    opened = lake.open(table)
    return None if opened is None else DeltaLog(opened).file_of(opened.version())


def _was_only_written_to(place: str, before: CommitFile | None, end: CommitFile | None) -> bool:
    """Whether a table holds what it held when its log ended ``before``, and what was committed since."""
    if before is None or before == end:
        return True
    if end is None or (log := DeltaLog(place)).file_of(before.version) != before:
        return False
    return not any(
        log.info(version).get("operation") == "RESTORE" for version in range(before.version + 1, end.version + 1)
    )


def _skip(cursor: Cursor, reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason + cursor.outside, cursor=cursor.dumps())


def _at_rest(cursor: Cursor, failures: Sequence[str], *, since: int | None = None) -> str:
    """What there is to say where nothing is asked for, after a look at the commits ``since`` a version."""
    if failures:
        told = f"Gold does not have Silver's {_versions_of(cursor.asked)} yet: {_few(failures)}."
        newest = max(each.versions[1] for each in cursor.asked)
        return told if newest == cursor.followed else f"{told} It has all else, up to version {cursor.followed}."
    if since is None or since == cursor.followed:
        return f"Silver is at version {cursor.followed}, Gold has it."
    return f"Silver is at version {cursor.followed}: no row of Gold's dates changed since version {since}, Gold has it."


def _outside(held: Collection[dt.date], window: Range) -> str:
    dates = sorted(date for date in held if not within(date, window))
    if not dates:
        return ""
    shown = _few(list(map(str, dates)), ", ")
    return f" Silver has rows outside the partition window {range_text(window)}, which are not asked for: {shown}."


def _few(texts: Sequence[str], between: str = "; ") -> str:
    more = f" and {len(texts) - _TOLD} more" if len(texts) > _TOLD else ""
    return between.join(texts[:_TOLD]) + more


def _versions_of(asked: Iterable[Asked]) -> str:
    ends = [end for each in asked for end in each.versions]
    first, last = min(ends), max(ends)
    return f"version {last}" if first == last else f"versions {first} to {last}"
