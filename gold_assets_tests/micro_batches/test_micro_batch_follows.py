"""Whatever happens to Silver, to the runs and to the daemon: once it is quiet, Gold is true."""

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEventType
from deltalake import DeltaTable
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from gold_assets.declaring.table import Table
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests import silver_changes
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.micro_batches.daemon import Daemon, dates_of
from gold_assets_tests.small_silver import MONDAY, row, write_silver
from gold_assets_tests.truth import differences

FIRST, LAST = MONDAY, MONDAY + dt.timedelta(days=13)
DATES = st.sampled_from(days(FIRST, LAST))
ROWS = st.builds(
    row,
    user_id=st.sampled_from(["ann", "bob", " "]),
    amount=st.sampled_from([0.1, 2.5, 1e300]),
    usage_cost_ratio=st.sampled_from([0.1, 0.5, None]),
    risk_level=st.sampled_from(["high", "low"]),
    # Rows without a date, and of a date outside the partition window, are part of life.
    event_date=DATES | st.sampled_from([None, LAST + dt.timedelta(days=1)]),
)
SOME_TABLES = st.sets(st.sampled_from([table.name for table in TABLES]), min_size=1)
RUNS = st.integers(0, 3)


class Life(RuleBasedStateMachine):
    def __init__(self, engine: Engine, folder: Path) -> None:
        super().__init__()
        self.engine = engine
        self.lake = lake_in(Path(tempfile.mkdtemp(dir=folder)))
        self.instance = dg.DagsterInstance.ephemeral()
        self.daemon = Daemon(self.lake, self.instance)
        self.daemon.window = (FIRST, LAST)
        self.oldest = 0
        """The oldest version of Silver that can be restored."""
        write_silver(self.lake, [row()])

    # What others do to Silver

    @rule(rows=st.lists(ROWS, min_size=1, max_size=4))
    def append(self, rows: list[dict[str, Any]]) -> None:
        write_silver(self.lake, rows)

    @rule(date=DATES)
    def delete(self, date: dt.date) -> None:
        silver_changes.delete(date)(self.lake)

    @rule(date=DATES)
    def update(self, date: dt.date) -> None:
        silver_changes.update(date)(self.lake)

    @rule(date=DATES, to=DATES)
    def move(self, date: dt.date, to: dt.date) -> None:
        silver_changes.move(date, to)(self.lake)

    @rule()
    def optimize(self) -> None:
        silver_changes.compact(self.lake)

    @rule(back=st.integers(1, 3))
    def restore(self, back: int) -> None:
        silver_changes.restore(back, self.oldest)(self.lake)

    @rule()
    def clean_log(self) -> None:
        """Take every commit but the newest, as log clean-up does in the end."""
        silver = DeltaTable(self.lake.silver)
        silver.create_checkpoint()
        self.oldest = silver.version()
        for commit in (Path(self.lake.silver) / "_delta_log").glob("*.json"):
            if int(commit.stem) < silver.version():
                commit.unlink()

    @rule(date=DATES)
    def make_anew(self, date: dt.date) -> None:
        shutil.rmtree(self.lake.silver)
        self.oldest = 0
        write_silver(self.lake, [row(event_date=date)])

    # What Dagster, its crashes and people do

    @rule(seconds=st.sampled_from([5, 30, 1000]))
    def tick(self, seconds: int) -> None:
        self.daemon.late += seconds
        self.daemon.tick()

    @rule(created=st.integers(0, 4))
    def crash_in_a_tick(self, created: int) -> None:
        result = self.daemon.evaluate()
        self.daemon.observe(result)
        self.daemon.launch(result._replace(run_requests=(result.run_requests or [])[:created]))

    @precondition(lambda self: self.daemon.in_flight())
    @rule(which=RUNS)
    def a_run_succeeds(self, which: int) -> None:
        run = self.picked(which)
        self.refresh(run)
        self.daemon.end(run)

    @precondition(lambda self: self.daemon.in_flight())
    @rule(
        which=RUNS,
        done=st.sets(st.sampled_from([table.name for table in TABLES])),
        how=st.sampled_from([DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED, None]),
    )
    def a_run_ends_halfway(self, which: int, done: set[str], how: DagsterEventType | None) -> None:
        """It has written some tables; then it fails, is cancelled, or disappears."""
        run = self.picked(which)
        if done:
            self.refresh(run, tuple(table for table in TABLES if table.name in done))
        if how is None:
            self.instance.delete_run(run.run_id)
        else:
            self.daemon.end(run, how)

    @rule(first=DATES, names=SOME_TABLES)
    def somebody_materializes(self, first: dt.date, names: set[str]) -> None:
        dates = days(first, min(first + dt.timedelta(days=2), LAST))
        refresh(self.lake, self.engine, dates, tables=tuple(table for table in TABLES if table.name in names))

    @rule()
    def somebody_resets_the_cursor(self) -> None:
        self.daemon.cursor = None

    def picked(self, which: int) -> dg.DagsterRun:
        runs = self.daemon.in_flight()
        return runs[which % len(runs)]

    def refresh(self, run: dg.DagsterRun, tables: tuple[Table, ...] = TABLES) -> None:
        first, last = map(dt.date.fromisoformat, dates_of(run))
        refresh(self.lake, self.engine, days(first, last), tables=tables)

    def teardown(self) -> None:
        try:
            for _ in range(20):
                said = self.daemon.tick()
                if "Gold has it." in said:
                    break
                for run in self.daemon.in_flight():
                    self.refresh(run)
                    self.daemon.end(run)
                self.daemon.late += 1000
            else:
                raise AssertionError(f"the sensor does not come to rest: {said}")
            assert differences(self.lake, dates=days(FIRST, LAST)) == []
        finally:
            self.instance.dispose()


def test_gold_is_true_once_it_is_quiet(engine: Engine, tmp_path: Path) -> None:
    class LifeHere(Life):
        def __init__(self) -> None:
            super().__init__(engine, tmp_path)

    run_state_machine_as_test(
        LifeHere,
        settings=settings(
            max_examples=6,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
