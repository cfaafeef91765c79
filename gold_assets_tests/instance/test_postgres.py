"""Dagster's records on a real PostgreSQL."""

import datetime as dt
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any

import dagster as dg
import pytest
import requests
import sqlalchemy as sa
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from dagster_graphql import DagsterGraphQLClient

from gold_assets import transactions
from gold_assets.assets.outcomes import key_of, latest_outcomes
from gold_assets.checks.catalogue import gold_checks
from gold_assets.code_location import definitions
from gold_assets.delta.dates import days
from gold_assets.environment import load_settings
from gold_assets.resources import GOLD_WRITERS_POOL
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.end_to_end.command_line import environment, instance_of
from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.instance.postgres_server import PostgresServer, programs
from gold_assets_tests.micro_batches.daemon import micro_batch
from gold_assets_tests.project import lake_at
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true, gold_is_true

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.sail,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed."),
]

EIGHT_DAYS = days(MONDAY, MONDAY + dt.timedelta(days=7))
FOUR_DAYS = EIGHT_DAYS[:4]
POOLED = {"gold_tables", "gold_checks", "maintain_gold"}


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def env(tmp_path: Path, postgres: PostgresServer) -> dict[str, str]:
    """The settings of a lake whose instance is the project's, but for its storage, which is PostgreSQL."""
    env = environment(tmp_path)
    postgres.keep_records_of(Path(env["DAGSTER_HOME"]))
    return env


@pytest.fixture
def dagster_dev(tmp_path: Path, postgres: PostgresServer) -> Iterator[DagsterDev]:
    dev = DagsterDev(tmp_path, GOLD_PARTITIONS_START=str(EIGHT_DAYS[0]), GOLD_PARTITIONS_END=str(EIGHT_DAYS[-1]))
    postgres.keep_records_of(dev.home)
    apart = EIGHT_DAYS[::2]  # each of which makes a run of its own
    write_silver(
        dev.lake, [line for date in apart for line in (row(event_date=date), row(event_date=date, user_id=None))]
    )
    with dev:
        yield dev
    assert not dev.processes()


def steps_that_overlap(instance: dg.DagsterInstance) -> list[tuple[str, str]]:
    """The names of each two steps of the pool that were in it at once, of runs that succeeded. Fails where fewer than two were."""
    steps = sorted(
        (stats.start_time, stats.end_time, stats.step_key)
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
        for stats in instance.get_run_step_stats(run.run_id)
        if stats.step_key in POOLED and stats.start_time and stats.end_time
    )
    assert len(steps) > 1
    return [(one, other) for (_, ended, one), (began, _, other) in pairwise(steps) if began < ended]


def test_four_writers_that_begin_at_once_on_a_fresh_instance_take_turns(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_at(env["GOLD_LAKE_ROOT"])
    write_silver(lake, [line for date in FOUR_DAYS for line in (row(event_date=date), high_risk_row(event_date=date))])
    monkeypatch.setenv("DAGSTER_HOME", env["DAGSTER_HOME"])
    with dg.DagsterInstance.get():
        pass  # which makes PostgreSQL's tables, and is all that happened before
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(len(FOUR_DAYS), context) as pool:
        barrier = manager.Barrier(len(FOUR_DAYS), timeout=120)
        work = [pool.submit(materialize_at_once, env, barrier, date) for date in FOUR_DAYS]
        assert [done.result() for done in work] == [True] * len(FOUR_DAYS)
    assert_gold_is_true(lake)
    with dg.DagsterInstance.get() as instance:
        assert steps_that_overlap(instance) == []


def materialize_at_once(env: dict[str, str], barrier: Barrier, date: dt.date) -> bool:
    os.environ.update(env)
    settings = load_settings(transactions.project)
    repository = definitions(settings.project, settings).get_repository_def()
    job = repository.get_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey(table.name) for table in settings.tables}, asset_check_selection=set()
    )
    with dg.DagsterInstance.get() as instance:
        barrier.wait()
        return job.execute_in_process(instance=instance, partition_key=str(date), raise_on_error=False).success


def test_events_do_not_connect_anew_and_outlive_a_database_that_went_and_came_again(
    env: dict[str, str], postgres: PostgresServer
) -> None:
    opened: list[object] = []
    sa.event.listen(sa.pool.Pool, "connect", lambda connection, _: opened.append(connection))
    with instance_of(env["DAGSTER_HOME"]) as instance:
        run = instance.create_run_for_job(micro_batch)

        def write(number: int) -> None:
            instance.report_engine_event(f"event {number}", run)
            instance.report_runless_asset_event(dg.AssetMaterialization("an_asset", partition=str(number)))
            assert instance.get_run_by_id(run.run_id) is not None

        write(0)
        opened.clear()
        for number in range(1, 20):
            write(number)
        assert opened == []
        postgres.stop()
        postgres.start()
        write(20)
        assert instance.get_materialized_partitions(dg.AssetKey("an_asset")) == set(map(str, range(21)))
    assert connections_to(postgres) == 0


def connections_to(postgres: PostgresServer) -> int:
    """How many others have one open."""
    with sa.create_engine(postgres.url).connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
        return int(connection.execute(sa.text(query)).scalar_one())


def test_the_sensor_a_backfill_checks_and_maintenance_are_on_record_and_gold_follows_after_an_older_backup(
    dagster_dev: DagsterDev, postgres: PostgresServer
) -> None:
    lake = dagster_dev.lake
    dagster_dev.wait_for("Gold is true", 240, lambda: gold_is_true(lake))
    backup = postgres.dump()
    backfill = launch_backfill(dagster_dev)  # the daemon looks every half a minute
    host, _, port = dagster_dev.url.removeprefix("http://").partition(":")
    client = DagsterGraphQLClient(host, int(port))
    jobs = [client.submit_job_execution(job) for job in ("run_checks", "maintenance")]
    with dagster_dev.instance() as instance:
        dagster_dev.wait_for("the backfill has ended", 240, lambda: has_ended(instance, backfill))
        dagster_dev.wait_for("all runs have", 240, lambda: all(run.is_finished for run in instance.get_runs()))
        assert_all_is_on_record(instance, backfill, jobs)
        assert steps_that_overlap(instance) == []
        [pool] = [limit for limit in instance.event_log_storage.get_pool_limits() if limit.name == GOLD_WRITERS_POOL]
    assert pool.limit == 1 and not pool.from_default
    write_silver(lake, [high_risk_row(event_date=EIGHT_DAYS[1])])
    dagster_dev.wait_for("Gold is true", 240, lambda: gold_is_true(lake))
    dagster_dev.stop()
    postgres.restore(
        backup
    )  # which knows nothing of what Gold has got since, and may have a run as running that is no more
    write_silver(lake, [row(user_id="while the daemon is away")])
    dagster_dev.start()
    dagster_dev.wait_for("Gold is true", 240, lambda: gold_is_true(lake))


def launch_backfill(dev: DagsterDev) -> str:
    """Ask for all dates of all tables, as the user interface does; the backfill's id."""
    asked: dict[str, list[Any]] = {
        "assetSelection": [{"path": [name]} for name in dev.lake.places],
        "partitionNames": list(map(str, EIGHT_DAYS)),
    }
    launch = """mutation ($asked: LaunchBackfillParams!) {
        launchPartitionBackfill(backfillParams: $asked) { ... on LaunchBackfillSuccess { backfillId } }
    }"""
    answer = requests.post(f"{dev.url}/graphql", json={"query": launch, "variables": {"asked": asked}}, timeout=60)
    return str(answer.json()["data"]["launchPartitionBackfill"]["backfillId"])


def has_ended(instance: dg.DagsterInstance, backfill: str) -> bool:
    found = instance.get_backfill(backfill)
    return found is not None and found.status in BULK_ACTION_TERMINAL_STATUSES


def assert_all_is_on_record(instance: dg.DagsterInstance, backfill: str, jobs: list[str]) -> None:
    """The backfill and the jobs succeeded, and each date of each table is materialized and was last found true."""
    launched = instance.get_backfill(backfill)
    assert launched is not None and launched.status == BulkActionStatus.COMPLETED_SUCCESS
    [made] = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
    assert made.is_success
    assert all(run is not None and run.is_success for run in map(instance.get_run_by_id, jobs))
    for table in TABLES:
        told = instance.fetch_materializations(dg.AssetKey(table.name), limit=1_000).records
        by_backfill = {record.partition_key for record in told if record.run_id == made.run_id}
        assert by_backfill == set(map(str, EIGHT_DAYS))
    for check in gold_checks(TABLES):
        if check.by_date and check.severity == "error":
            assert dict(latest_outcomes(instance, key_of(transactions.project, check))) == dict.fromkeys(
                EIGHT_DAYS, True
            ), check.name
