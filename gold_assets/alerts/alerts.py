"""The sensor that tells people: once when something goes wrong, once when it is over.

It compares what is wrong now with what it has told. Who cannot be reached is tried again, and nobody else waits for it.
"""

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import dagster as dg
from pydantic import BaseModel, ValidationError

from gold_assets.alerts.failed_runs import FailedRun, RunsSeen, after_runs, ended_runs, why
from gold_assets.alerts.messengers import Message, Messenger, Unsent, messengers_of
from gold_assets.assets.outcomes import failing_checks, summary_of_failure
from gold_assets.checks.catalogue import all_checks
from gold_assets.checks.findings import Check
from gold_assets.config import Settings
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError
from gold_assets.delta.plural import plural
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Lag, Moment
from gold_assets.partitions import Range, daily_partitions, window_of
from gold_assets.resources import Lakehouse

_DATES_SHOWN = 5

Failing = dict[str, dict[str, set[str]]]
"""By table and date, the checks that fail; no date for those of the table as a whole."""


class State(BaseModel):
    """What the sensor remembers from tick to tick.

    Attributes:
        began: its first tick. What Silver brought before is late from then on.
        runs, failed: the runs seen, and those whose failure was told and is not over.
        failing: the checks whose failure was told and is not over.
        table_id, applied: Silver's, and its version up to which Gold has everything.
        late_since: since when Gold lags, in seconds since 1970, where that was told.
        silver: why the lag cannot be told by the logs of Silver and Gold, where that was told.
        unsent: by messenger.
    """

    began: float
    runs: RunsSeen
    failed: list[FailedRun] = []
    failing: Failing = {}
    table_id: str = ""
    applied: int = -1
    late_since: float | None = None
    silver: str = ""
    unsent: dict[str, Unsent] = {}


def alert_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor that looks every half a minute."""
    partitions, messengers = daily_partitions(settings), messengers_of(settings)

    @dg.sensor(
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of failed runs, failed checks and Gold that lags, by GOLD_ALERT_URLS: once for each, and once when it is over.",
    )
    def alerts(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SensorResult:
        watch = Watch(context.instance, lakehouse.lake(settings.project), window_of(partitions), settings)
        state, told = watch.tick(context.cursor, messengers, time.time())
        return dg.SensorResult(skip_reason=told, cursor=state.model_dump_json())

    return alerts


class Watch:
    """One look at the records of an instance and the logs of a lake. ``window`` are the dates that are partitions."""

    def __init__(self, instance: dg.DagsterInstance, lake: Lake, window: Range | None, settings: Settings) -> None:
        self._instance = instance
        self._lake = lake
        self._window = window
        self._settings = settings

    def tick(self, cursor: str | None, messengers: Sequence[Messenger], now: float) -> tuple[State, str]:
        """What there is to remember, and what was told, in a sentence. ``now`` is in seconds since 1970."""
        state, is_first = self._loaded(cursor, now)
        ended, state.runs = ended_runs(self._instance, state.runs)
        messages = list(self._of_runs(state, ended))
        if ended or is_first:
            messages += self._of_checks(state)
        messages += self._of_silver_and_gold(state, now)
        said = []
        for messenger in messengers:
            unsent = state.unsent.setdefault(messenger.name, Unsent())
            unsent.messages += messages
            said.append(messenger.deliver(unsent, now))
        return state, " ".join(filter(None, said)) or _summary(state)

    def _loaded(self, cursor: str | None, now: float) -> tuple[State, bool]:
        """The state as it was written, or the first, to which no run before is news; and whether it is that."""
        if cursor:
            with suppress(ValidationError):  # of another release
                return State.model_validate_json(cursor), False
        _, runs = ended_runs(self._instance, RunsSeen(until=now))
        return State(began=now, runs=runs), True

    def _of_runs(self, state: State, ended: Sequence[dg.RunRecord]) -> Iterator[Message]:
        told, state.failed = state.failed, after_runs(state.failed, ended)
        known, still = {each.run_id for each in told}, {each.run_id for each in state.failed}
        for failed in state.failed:
            if failed.run_id not in known:
                reason = why(self._instance, failed.run_id).rstrip(".")
                yield self._message(f"The run for {failed.what} failed: {reason}.", f"runs/{failed.run_id}")
        for failed in told:
            if failed.run_id not in still:
                over = f"Over: the run for {failed.what} has succeeded, after {plural(failed.attempts, 'failure')}."
                yield self._message(over, f"runs/{failed.run_id}")

    def _of_checks(self, state: State) -> Iterator[Message]:
        told, state.failing = state.failing, {}
        checks: dict[tuple[str, str], Check] = {}
        for check, failed in failing_checks(self._instance, all_checks(self._settings.project)):
            for date in map(str, failed or [""]):
                state.failing.setdefault(check.table, {}).setdefault(date, set()).add(check.name)
                checks[check.table, date] = check
        for table, begun in _more(state.failing, told).items():
            said = summary_of_failure(self._instance, checks[table, max(begun)], max(begun) or None).rstrip(".")
            yield self._message(f"{table} failed {_names(begun)}{_on(begun)}: {said}.", f"assets/{table}?view=checks")
        for table, over in _more(told, state.failing).items():
            yield self._message(f"Over: {table} passes {_names(over)}{_on(over)}.", f"assets/{table}?view=checks")

    def _of_silver_and_gold(self, state: State, now: float) -> Iterator[Message]:
        before = state.silver
        try:
            found, state.silver = self._lag(state), ""
        except UserError as error:
            state.silver = str(error)
            if not before:
                yield self._message(state.silver, "automation")
            return
        if before:
            yield self._message("Over: Silver and Gold can be read again.", "automation")
        if found is not None:
            seconds = found.seconds(now, since=state.began)
            if state.late_since is None and seconds >= self._settings.alert_lag_minutes * 60:
                state.late_since, dates = now - seconds, dates_text(found.dates, _DATES_SHOWN)
                lacks = f"for {seconds / 60:.0f} min it has not had what Silver's version {found.version} brought, on {dates}"
                yield self._message(f"Gold lags: {lacks}.", "automation")
        elif state.late_since is not None:
            minutes, state.late_since = (now - state.late_since) / 60, None
            yield self._message(f"Over: Gold has caught up with Silver, after {minutes:.0f} min.", "automation")

    def _lag(self, state: State) -> Lag | None:
        if self._window is None:
            return None
        moment = Moment(self._lake)
        silver = moment.silver
        if silver.table_id != state.table_id or silver.version < state.applied:
            moment.refuse_another_silver()
            state.table_id, state.applied = silver.table_id, -1
        first, last = self._window
        found = moment.lag(after=state.applied, first=first, last=last)
        state.applied = silver.version if found is None else found.version - 1
        return found

    def _message(self, text: str, page: str) -> Message:
        return Message(text=text, link=f"{self._settings.ui_url.rstrip('/')}/{page}")


def _summary(state: State) -> str:
    wrong = [f"the run for {failed.what} failed" for failed in state.failed]
    wrong += [f"{table} fails checks{_on(failing)}" for table, failing in state.failing.items()]
    wrong += ["Gold lags"] if state.late_since is not None else []
    wrong += [state.silver] if state.silver else []
    return f"Told before, and not over: {'; '.join(wrong)}." if wrong else "Nothing is wrong."


def _more(these: Failing, than: Failing) -> Failing:
    """What is in ``these`` alone, by table."""
    more = {
        table: {date: names for date, names in dates.items() if date not in than.get(table, {})}
        for table, dates in these.items()
    }
    return {table: dates for table, dates in more.items() if dates}


def _names(failing: Mapping[str, set[str]]) -> str:
    return ", ".join(sorted(set().union(*failing.values())))


def _on(failing: Iterable[str]) -> str:
    dates = [dt.date.fromisoformat(date) for date in failing if date]
    return f" on {dates_text(dates, _DATES_SHOWN)}" if dates else ""
