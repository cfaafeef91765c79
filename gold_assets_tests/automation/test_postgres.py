"""Dagster's records on a real PostgreSQL."""

import datetime as dt
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import dagster as dg
import pytest

from gold_assets.config import load_settings
from gold_assets.definitions import build
from gold_assets.delta.dates import days
from gold_assets_tests.automation.postgres_server import PostgresServer, programs
from gold_assets_tests.end_to_end.command_line import environment
from gold_assets_tests.project import lake_at
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.sail,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed."),
]

EIGHT_DAYS = days(MONDAY, MONDAY + dt.timedelta(days=7))


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture
def env(tmp_path: Path, postgres: PostgresServer) -> dict[str, str]:
    """The settings of a lake whose instance is the project's, but for its storage, which is PostgreSQL."""
    env = environment(tmp_path)
    postgres.keep_records_of(Path(env["DAGSTER_HOME"]))
    return env


def seconds_of_steps(instance: dg.DagsterInstance, step: str) -> list[tuple[float, float]]:
    """When each run's step began and ended, in order."""
    spans = []
    for run in instance.get_runs():
        [stats] = [stats for stats in instance.get_run_step_stats(run.run_id) if stats.step_key == step]
        assert stats.start_time and stats.end_time
        spans.append((stats.start_time, stats.end_time))
    return sorted(spans)


def test_eight_writers_that_begin_at_once_on_a_fresh_instance_take_turns(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_at(env["GOLD_LAKE_ROOT"])
    write_silver(lake, [line for date in EIGHT_DAYS for line in (row(event_date=date), high_risk_row(event_date=date))])
    monkeypatch.setenv("DAGSTER_HOME", env["DAGSTER_HOME"])
    with dg.DagsterInstance.get():
        pass  # which makes PostgreSQL's tables, and is all that happened before
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(len(EIGHT_DAYS), context) as pool:
        barrier = manager.Barrier(len(EIGHT_DAYS), timeout=120)
        work = [pool.submit(materialize_at_once, env, barrier, date) for date in EIGHT_DAYS]
        assert [done.result() for done in work] == [True] * len(EIGHT_DAYS)
    assert_gold_is_true(lake)
    with dg.DagsterInstance.get() as instance:
        spans = seconds_of_steps(instance, "gold_tables")
    assert len(spans) == len(EIGHT_DAYS)
    assert [(began - ended) for (_, ended), (began, _) in pairwise(spans) if began < ended] == []


def materialize_at_once(env: dict[str, str], barrier: Barrier, date: dt.date) -> bool:
    os.environ.update(env)
    settings = load_settings()
    repository = build(settings).get_repository_def()
    job = repository.get_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey(table.name) for table in settings.tables}, asset_check_selection=set()
    )
    with dg.DagsterInstance.get() as instance:
        barrier.wait()
        return job.execute_in_process(instance=instance, partition_key=str(date), raise_on_error=False).success
