"""Dagster's records on a real PostgreSQL."""

import datetime as dt
import multiprocessing
import os
import shutil
import time
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
from gold_assets.resources import GOLD_WRITERS_POOL
from gold_assets_tests.automation.dagster_dev import DagsterDev
from gold_assets_tests.automation.postgres_server import PostgresServer, programs
from gold_assets_tests.end_to_end.command_line import REPOSITORY, environment
from gold_assets_tests.project import lake_at
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true, gold_is_true

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
def env(tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a lake with an instance of docs/production.md."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres.url)
    env = environment(tmp_path, DAGSTER_POSTGRES_URL=postgres.url)
    make_it_as_in_production(Path(env["DAGSTER_HOME"]))
    return env


@pytest.fixture
def dagster_dev(tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterDev]:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres.url)
    window = {"GOLD_PARTITIONS_START": str(EIGHT_DAYS[0]), "GOLD_PARTITIONS_END": str(EIGHT_DAYS[-1])}
    dev = DagsterDev(tmp_path, DAGSTER_POSTGRES_URL=postgres.url, **window)
    make_it_as_in_production(dev.home)
    write_silver(dev.lake, [row(), row(user_id=None)])
    with dev:
        yield dev
    assert not dev.processes()


def make_it_as_in_production(home: Path) -> None:
    shutil.copy(REPOSITORY / "deploy" / "dagster.yaml", home)


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


def end_runs_that_are_no_more(dagster_dev: DagsterDev) -> None:
    """Terminate by force, as under Runs, what a backup has as running. The sensor would wait for it."""
    with dagster_dev.instance() as instance:
        for run in instance.get_runs():
            if not run.is_finished:
                instance.report_run_canceled(run)


def test_gold_follows_though_the_database_and_the_daemon_go_and_an_older_backup_comes_again(
    dagster_dev: DagsterDev, postgres: PostgresServer
) -> None:
    lake = dagster_dev.lake
    dagster_dev.wait_for("Gold is true", 240, lambda: gold_is_true(lake))
    backup = postgres.dump()
    write_silver(lake, [high_risk_row(event_date=EIGHT_DAYS[1])])
    postgres.stop()
    write_silver(lake, [row(user_id="while the database is away")])
    time.sleep(10)
    postgres.start()
    dagster_dev.wait_for("Gold is true", 240, lambda: gold_is_true(lake))
    write_silver(lake, [row(user_id="while the daemon is away")])
    dagster_dev.daemon().kill()
    dagster_dev.stop()
    postgres.restore(backup)  # which knows nothing of what Gold has got since
    end_runs_that_are_no_more(dagster_dev)
    dagster_dev.start()
    dagster_dev.wait_for("Gold is true", 240, lambda: gold_is_true(lake))
    with dagster_dev.instance() as instance:
        [pool] = [limit for limit in instance.event_log_storage.get_pool_limits() if limit.name == GOLD_WRITERS_POOL]
    assert pool.limit == 1 and not pool.from_default
