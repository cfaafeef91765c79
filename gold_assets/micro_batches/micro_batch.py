"""The sensor that turns Silver's new commits into materializations of the dates they touch.

It asks for nothing new while a run of its own is in flight; what is committed meanwhile is asked for next. Dates whose
run did not succeed wait by themselves and are asked for again until one does, while the others are followed. See
``Cursor`` for what is remembered.
"""

import dataclasses
import datetime as dt
import time
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

import dagster as dg
from deltalake import DeltaTable

from gold_assets.assets.events import newest_version_told
from gold_assets.assets.silver import new_data_versions
from gold_assets.config import Settings
from gold_assets.delta.errors import UserError, store_failures_told
from gold_assets.delta.log import CommitFile, DeltaLog
from gold_assets.gold.decisions import end_of_decisions
from gold_assets.gold.held import held_dates
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import dates_behind
from gold_assets.gold.moment import Moment
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
from gold_assets.micro_batches.log_ends import end_of, nothing_is_new, silver_was_put_back, was_only_written_to
from gold_assets.partitions import Range, daily_partitions, range_text, window_of, within
from gold_assets.resources import asset_key, lakehouse_of, named, on_lakehouse
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver

_SECONDS = 20
"""So long a tick asks files for their dates. Dagster ends one after a minute."""

_COMMITS = 1_000
"""So many commits a tick reads."""

_TOLD = 3
"""So many of a kind are named; of the others it is told how many there are."""

_Dates = dict[Asked, set[dt.date]]
"""Of what is asked for, the dates that are meant."""


def sensor_of(gold: dg.AssetsDefinition, settings: Settings) -> dg.SensorDefinition:
    """The sensor that asks for materializations of the ``gold`` assets."""
    partitions, project = daily_partitions(settings), settings.project

    @dg.sensor(
        name=named(project, "micro_batch_sensor"),
        **on_lakehouse(project),
        target=gold,
        # The daemon looks every 5 s; an interval of 5 s would miss every other look by milliseconds.
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Follows Silver's commits: asks for exactly the dates they touch, again until Gold has them, and reports "
        "what changed. Reads Delta logs only.",
    )
    def micro_batch_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if (window := window_of(partitions)) is None:
            begins = settings.setting("partitions_start")
            return dg.SensorResult(skip_reason=f"The partition window has no date yet: {begins} lies ahead.")
        return tick(context, lakehouse_of(context, project).lake(project), window, time.time())

    return micro_batch_sensor


@store_failures_told()
def tick(context: dg.SensorEvaluationContext, lake: Lake, window: Range, now: float) -> dg.SensorResult:
    """One look at the runs in flight and at what is new in the logs. ``now`` is in seconds since 1970.

    Where nothing is new, no table is opened. Raises ``UserError`` where a table is there and not what it must be.
    """
    cursor = Cursor.loads(context.cursor)
    runs = AskedRuns(context.instance, lake.project, cursor, now)
    some_are_done = len(runs.asked) < len(cursor.asked)
    cursor = dataclasses.replace(cursor, asked=tuple(runs.asked))
    if runs.waits:
        told = _few([*runs.waits, *runs.failures])
        return _skip(cursor, f"Waiting for Gold to get Silver's {_versions_of(cursor.asked)}: {told}.")
    if not (some_are_done or window != cursor.window or _due(cursor, now)) and nothing_is_new(lake, cursor):
        return _skip(cursor, _at_rest(cursor, runs.failures))
    try:
        silver = lake.pin()
    except UserError:
        if DeltaTable.is_deltatable(lake.silver):
            raise
        return _skip(cursor, f"There is no Silver table at {lake.silver} yet.")
    if left := silver.file_dates.learn(time.monotonic() + _SECONDS):
        said = f"{left:,} of Silver's files are still to be asked for their dates, and the next tick goes on with them."
        return _skip(cursor, said)
    return _Look(context, lake, silver, window, cursor).result(now, runs.failures)


class _Look:
    """A look at the logs of a lake. ``before`` is the cursor as the tick found it, with nothing in flight."""

    def __init__(
        self, context: dg.SensorEvaluationContext, lake: Lake, silver: Silver, window: Range, before: Cursor
    ) -> None:
        self._context, self._instance = context, context.instance
        self._lake, self._silver, self._window = lake, silver, window
        if before.table_id != silver.table_id:
            Moment(lake, silver).refuse_another_silver()
        if before.table_id != silver.table_id or silver_was_put_back(silver, before):
            before = Cursor(table_id=silver.table_id)
        self._before = before
        self._end = DeltaLog(silver.table).file_of(silver.version)
        self._held = {date for date in silver.file_dates.dates() if date is not None}
        self._gold = {table.name: end_of(lake, table, before.gold.get(table.name)) for table in lake.tables}
        self._decisions = end_of_decisions(lake.decisions_at, before.decisions)
        # At first every date is asked for: the newest commits tell what versions of their data are observed.
        self._since = before.followed if before.followed >= 0 else max(silver.version - _COMMITS, -1)
        self._new = SilverChanges(silver, min(self._since + _COMMITS, silver.version))

    @cached_property
    def _moment(self) -> Moment:
        """The tables as they are now, which is not before ``_gold`` was told where their logs end."""
        return Moment(self._lake, self._silver)

    def result(self, now: float, failures: Sequence[str]) -> dg.SensorResult:
        """What is asked for, reported and remembered."""
        waiting, again = self._asked_before(now)
        touched = self._touched()
        asked = {**again, **self._ranges_of(self._newly_asked(touched, waiting, again))}
        after = self._remembered((*no_more_than(waiting, MOST_ASKED), *asked), self._still_held(touched))
        if not asked:
            return _skip(after, self._at_rest(after, failures if waiting else []))
        self._context.log.info(
            "Asking for the dates that Silver's %s touched: %s (attempt %s).%s",
            _versions_of(asked),
            ", ".join(range_text(each.dates) for each in asked),
            ", ".join(map(str, sorted({each.attempt for each in asked}))),
            after.notes,
        )
        return dg.SensorResult(
            run_requests=[
                request_for(self._lake.project, self._silver.table_id, each, of) for each, of in asked.items()
            ],
            cursor=after.dumps(),
            asset_events=self._observations(self._in_window(touched)),
        )

    def _asked_before(self, now: float) -> tuple[_Dates, _Dates]:
        """What still waits, and what is asked for again now, as far as their dates are in the window of now."""
        waiting: _Dates = {}
        again: _Dates = {}
        due = _due(self._before, now)
        for each in self._before.asked:
            dates = set(self._in_window(dates_of(self._instance, each, lambda: self._known)))
            if not dates:
                continue
            if each in due and len(again) < MOST_RUNS:
                most = min(MOST_RUNS - len(again), max(MOST_ASKED - len(self._before.asked), 1))
                for part in parts_of(self._instance, each, dates, most):
                    again[part] = {date for date in dates if within(date, part.dates)}
            else:
                waiting[dataclasses.replace(each, dates=(min(dates), max(dates)))] = dates
        return waiting, again

    def _touched(self) -> set[dt.date | None]:
        """The dates that Gold is to get now, whatever the window; None stands for rows without a date."""
        before, touched = self._before, self._new.dates_after(self._since)
        touched |= self._let_through()
        why = self._new.every_date_after(self._since)
        if before.followed < 0:
            touched |= self._known | ({None} if why or self._since >= 0 else set())
            return touched - self._has_already(touched)
        if before.window and before.window != self._window:
            touched |= {date for date in self._known if not within(date, before.window)}
        if why:
            touched |= {*self._known, None}
            self._context.log.info(f"Every date is asked for, because {why}.")
        elif self._put_back:
            self._context.log.info(f"{', '.join(self._put_back)} was put back to an older state, or made anew.")
            touched |= dates_behind(self._moment, {*self._known, None})
        return touched

    def _let_through(self) -> set[dt.date | None]:
        """The dates to look at again, for somebody has decided, or set the safeguards otherwise; their checks are, too."""
        before = self._before
        if before.decisions != self._decisions:
            decided = {date for decision in self._lake.decisions() for date in decision.dates}
            # No tick need have seen them held: the fuse may have begun to look at a date after a run was asked for it.
            return {*before.held, *dates_behind(self._moment, decided)}
        return set(before.held) if before.safeguards != self._lake.safeguards else set()

    def _still_held(self, touched: set[dt.date | None]) -> tuple[dt.date, ...]:
        """The dates of the window on which Gold keeps what it has, until a person decides."""
        before = self._before
        is_all_new = before.followed < 0 or self._put_back or self._new.every_date_after(self._since)
        suspects = {*before.held, *(self._known if is_all_new else touched)}
        today = dt.datetime.now(dt.timezone.utc).date()
        if not any(self._lake.safeguards.may_hold(date, today) for date in suspects):
            return ()  # and no table is opened
        return tuple(held.date for held in held_dates(self._moment, self._in_window(suspects)))

    def _has_already(self, dates: set[dt.date | None]) -> set[dt.date | None]:
        """Of the dates those that Gold holds as Silver has them, and that Dagster was told of for each table."""
        tables = [self._key(table.name) for table in self._lake.tables]
        told = set.intersection(*(self._instance.get_materialized_partitions(table) for table in tables))
        behind = dates_behind(self._moment, dates)
        return {date for date in dates - behind if date is None or str(date) in told}

    def _newly_asked(self, touched: set[dt.date | None], waiting: _Dates, again: _Dates) -> list[dt.date]:
        """The touched dates of the window that no other run is asked for."""
        elsewhere: set[dt.date] = set().union(*waiting.values(), *again.values())
        dates = [date for date in self._in_window(touched) if date not in elsewhere]
        if dates or again or None not in touched:
            return dates
        # Rows without a date belong to no partition. They reach the quarantine with any date that is refreshed.
        sound = self._in_window(self._held) or [self._window[1]]
        return sorted(set(sound) - elsewhere)[-1:]

    def _ranges_of(self, dates: list[dt.date]) -> _Dates:
        if not dates:
            return {}
        followed, to = self._before.followed, self._new.to
        versions = (followed + 1 if followed < to else 0, to)
        attempt = next_attempt(self._instance, self._lake.project, self._silver.table_id, versions)
        ranges = [Asked(versions, each, attempt) for each in bridged(dates, MOST_RUNS)]
        return {each: {date for date in dates if within(date, each.dates)} for each in ranges}

    def _remembered(self, asked: tuple[Asked, ...], held: tuple[dt.date, ...]) -> Cursor:
        silver, to = self._silver, self._new.to
        # As the log was before its commits were read, where that is known: it may be put back meanwhile.
        if to == silver.version:
            commit, end = silver.commit, self._end
        else:
            log = DeltaLog(silver.table)
            commit, end = log.fingerprint(to), log.file_of(to)
        outside = _outside(self._held, self._window)
        of_holds = held, self._decisions, self._lake.safeguards
        return Cursor(silver.table_id, to, commit, end, self._gold, self._window, outside, asked, *of_holds)

    def _at_rest(self, after: Cursor, failures: Sequence[str]) -> str:
        if after.followed < self._silver.version:
            return f"Silver's log is read up to version {after.followed} of {self._silver.version}, and on from there next time."
        return _at_rest(after, failures, since=self._before.followed)

    @cached_property
    def _known(self) -> set[dt.date]:
        """The dates of Silver and of the tables."""
        return {date for date in self._moment.dates if date is not None}

    def _in_window(self, dates: Iterable[dt.date | None]) -> list[dt.date]:
        return sorted(date for date in dates if date is not None and within(date, self._window))

    @cached_property
    def _put_back(self) -> list[str]:
        """The tables that were."""
        return [table.name for table in self._lake.tables if self._was_put_back(table.name)]

    def _was_put_back(self, table: str) -> bool:
        """Whether the table holds less than when the sensor last looked, or than Dagster was told since."""
        end: CommitFile | None = self._gold[table]
        told = newest_version_told(self._instance, self._key(table))
        before = self._before.gold.get(table)
        return told > (-1 if end is None else end.version) or not was_only_written_to(
            self._lake.place(table), before, end
        )

    def _observations(self, dates: Collection[dt.date]) -> list[dg.AssetObservation]:
        key = self._key(self._silver.source.asset)
        versions = new_data_versions(self._instance, key, self._silver, self._new, self._since, dates)
        return [
            dg.AssetObservation(key, partition=str(date), tags={DATA_VERSION_TAG: version})
            for date, version in versions
        ]

    def _key(self, name: str) -> dg.AssetKey:
        return asset_key(self._lake.project, name)


def _due(cursor: Cursor, now: float) -> list[Asked]:
    """What is to be asked for again now."""
    return [each for each in cursor.asked if each.again_at is not None and each.again_at <= now]


def _skip(cursor: Cursor, reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason + cursor.notes, cursor=cursor.dumps())


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
