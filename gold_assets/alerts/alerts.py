"""The sensor that tells people: once when something goes wrong, once when it is over.

It compares what is wrong now with what it has told. Who cannot be reached is tried again, and nobody else waits for it.
"""

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel, ValidationError

from gold_assets.alerts.failed_runs import FailedRun, RunsSeen, after_runs, ended_runs, why
from gold_assets.alerts.messengers import Message, Messenger, Unsent, messengers_of
from gold_assets.assets.outcomes import failing_checks, summary_of_failure
from gold_assets.config import Settings
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError, store_failures_told
from gold_assets.delta.plural import plural
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.standing import Lag
from gold_assets.partitions import Range, daily_partitions, window_of
from gold_assets.resources import asset_key, key_prefix, lakehouse_of, named, on_lakehouse

_DATES_SHOWN = 5

_Failing = tuple[str, str, str]
"""A table, a date and a check of it that fails; no date for one of the table as a whole."""


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
    failing: set[_Failing] = set()
    table_id: str = ""
    applied: int = -1
    late_since: float | None = None
    silver: str = ""
    unsent: dict[str, Unsent] = {}


def alert_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor that looks every half a minute."""
    partitions, messengers, project = daily_partitions(settings), messengers_of(settings), settings.project
    urls = settings.setting("alert_urls")

    @dg.sensor(
        name=named(project, "alerts"),
        **on_lakehouse(project),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells of failed runs, failed checks and Gold that lags, by {urls}: once for each, and once when it is over.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        lake = lakehouse_of(context, project).lake(project)
        watch = Watch(context.instance, lake, window_of(partitions), settings)
        state, told = watch.tick(context.cursor, messengers, time.time())
        return dg.SensorResult(skip_reason=told, cursor=state.model_dump_json())

    return alerts


@dataclass(frozen=True)
class Watch:
    """One look at the records of an instance and the logs of a lake. ``window`` are the dates that are partitions."""

    instance: dg.DagsterInstance
    lake: Lake
    window: Range | None
    settings: Settings

    def tick(self, cursor: str | None, messengers: Sequence[Messenger], now: float) -> tuple[State, str]:
        """What there is to remember, and what was told, in a sentence. ``now`` is in seconds since 1970."""
        state, is_first = self._loaded(cursor, now)
        ended, state.runs = ended_runs(self.instance, self.lake.project, state.runs)
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
        _, runs = ended_runs(self.instance, self.lake.project, RunsSeen(until=now))
        return State(began=now, runs=runs), True

    def _of_runs(self, state: State, ended: Sequence[dg.RunRecord]) -> Iterator[Message]:
        told, state.failed = state.failed, after_runs(state.failed, ended)
        known, still = {each.run_id for each in told}, {each.run_id for each in state.failed}
        for failed in state.failed:
            if failed.run_id not in known:
                reason = why(self.instance, failed.run_id).rstrip(".")
                yield self._message(f"The run for {failed.what} failed: {reason}.", f"runs/{failed.run_id}")
        for failed in told:
            if failed.run_id not in still:
                over = f"Over: the run for {failed.what} has succeeded, after {plural(failed.attempts, 'failure')}."
                yield self._message(over, f"runs/{failed.run_id}")

    def _of_checks(self, state: State) -> Iterator[Message]:
        told, state.failing = state.failing, set()
        for check, failed in failing_checks(self.instance, self.lake.project):
            state.failing |= {(check.table, date, check.name) for date in map(str, failed or [""])}
        for table, begun in _by_table(state.failing - told).items():
            key, (newest, check_name) = asset_key(self.lake.project, table), max(begun)
            said = summary_of_failure(self.instance, dg.AssetCheckKey(key, check_name), newest or None).rstrip(".")
            yield self._of_table(table, f"{table} failed {_names(begun)}{_on(begun)}: {said}.")
        for table, over in _by_table(told - state.failing).items():
            yield self._of_table(table, f"Over: {table} passes {_names(over)}{_on(over)}.")

    def _of_silver_and_gold(self, state: State, now: float) -> Iterator[Message]:
        before = state.silver
        try:
            with store_failures_told():
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
            if state.late_since is None and seconds >= self.settings.alert_lag_minutes * 60:
                state.late_since, dates = now - seconds, dates_text(found.dates, _DATES_SHOWN)
                lacks = f"for {seconds / 60:.0f} min it has not had what Silver's version {found.version} brought, on {dates}"
                yield self._message(f"Gold lags: {lacks}.", "automation")
        elif state.late_since is not None:
            minutes, state.late_since = (now - state.late_since) / 60, None
            yield self._message(f"Over: Gold has caught up with Silver, after {minutes:.0f} min.", "automation")

    def _lag(self, state: State) -> Lag | None:
        if self.window is None:
            return None
        moment = Moment(self.lake)
        silver = moment.silver
        if silver.table_id != state.table_id or silver.version < state.applied:
            moment.refuse_another_silver()
            state.table_id, state.applied = silver.table_id, -1
        first, last = self.window
        found = moment.lag(after=state.applied, first=first, last=last)
        state.applied = silver.version if found is None else found.version - 1
        return found

    def _of_table(self, table: str, text: str) -> Message:
        return self._message(text, f"assets/{asset_key(self.lake.project, table).to_user_string()}?view=checks")

    def _message(self, text: str, page: str) -> Message:
        text = ": ".join([*key_prefix(self.lake.project), text])
        return Message(text=text, link=f"{self.settings.ui_url.rstrip('/')}/{page}")


def _summary(state: State) -> str:
    wrong = [f"the run for {failed.what} failed" for failed in state.failed]
    wrong += [f"{table} fails checks{_on(failing)}" for table, failing in _by_table(state.failing).items()]
    wrong += ["Gold lags"] if state.late_since is not None else []
    wrong += [state.silver] if state.silver else []
    return f"Told before, and not over: {'; '.join(wrong)}." if wrong else "Nothing is wrong."


def _by_table(failing: Set[_Failing]) -> dict[str, list[tuple[str, str]]]:
    """By table, the dates and the checks."""
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, date, check in sorted(failing):
        tables.setdefault(table, []).append((date, check))
    return tables


def _names(failing: Iterable[tuple[str, str]]) -> str:
    return ", ".join(sorted({check for _, check in failing}))


def _on(failing: Iterable[tuple[str, str]]) -> str:
    dates = {dt.date.fromisoformat(date) for date, _ in failing if date}
    return f" on {dates_text(dates, _DATES_SHOWN)}" if dates else ""
