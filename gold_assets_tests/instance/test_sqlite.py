"""Dagster's records on SQLite: files that stay open, and whose events survive the process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import psutil
import pytest
import sqlalchemy as sa

from gold_assets.instance.sqlite import _FILES_OPEN
from gold_assets_tests.end_to_end.command_line import environment, instance_of
from gold_assets_tests.micro_batches.daemon import micro_batch

_RUNS = _FILES_OPEN + 3
_EVENTS = 50

_WRITES_AND_IS_KILLED = f"""
import os, signal
import dagster as dg

with dg.DagsterInstance.get() as instance:
    for number in range({_EVENTS}):
        instance.report_runless_asset_event(dg.AssetMaterialization("killed", partition=str(number)))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def home(tmp_path: Path) -> str:
    return environment(tmp_path)["DAGSTER_HOME"]


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The files that this process opens meanwhile, as often as it does."""
    files: list[str] = []

    def note(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        files.extend(file for _, _, file in cursor.execute("PRAGMA database_list"))

    sa.event.listen(sa.pool.Pool, "connect", note)
    yield files
    sa.event.remove(sa.pool.Pool, "connect", note)


def materialization(number: int) -> dg.AssetMaterialization:
    return dg.AssetMaterialization("an_asset", partition=str(number))


def test_events_do_not_open_their_file_anew(home: str, opened: list[str]) -> None:
    with instance_of(home) as instance:
        run = instance.create_run_for_job(micro_batch)

        def write(number: int) -> None:
            instance.report_engine_event(f"event {number}", run)
            instance.report_runless_asset_event(materialization(number))
            assert instance.get_run_by_id(run.run_id) is not None

        write(0)
        opened.clear()
        for number in range(1, _EVENTS):
            write(number)
        assert opened == []


def test_more_runs_than_files_stay_open_lose_no_event(home: str) -> None:
    with instance_of(home) as instance:
        runs = [instance.create_run_for_job(micro_batch) for _ in range(_RUNS)]
        with ThreadPoolExecutor(max_workers=8) as pool:
            work = [
                pool.submit(instance.report_engine_event, f"event {number}", run) for number in range(5) for run in runs
            ]
        assert [done.exception() for done in work] == [None] * len(work)
        for run in runs:
            said = [entry.dagster_event.message for entry in instance.all_logs(run.run_id) if entry.dagster_event]
            assert sorted(message for message in said if message) == [f"event {number}" for number in range(5)]
    assert [file.path for file in psutil.Process().open_files() if file.path.startswith(home)] == []


def test_a_killed_process_has_lost_no_event(home: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WRITES_AND_IS_KILLED], env=os.environ | {"DAGSTER_HOME": home}
    )
    assert killed.returncode == -signal.SIGKILL
    with instance_of(home) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("killed")) == set(map(str, range(_EVENTS)))


def test_no_file_can_be_torn_by_a_machine_that_loses_its_power(home: str) -> None:
    """SQLite's ``synchronous = NORMAL`` keeps a file whole where it has a write-ahead log: https://sqlite.org/pragma.html"""
    with instance_of(home) as instance:
        run = instance.create_run_for_job(micro_batch)
        instance.report_engine_event("an event", run)
    files = sorted(Path(home).rglob("*.db"))
    assert len(files) >= 3
    for file in files:
        with sa.create_engine(f"sqlite:///{file}").connect() as connection:
            assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal", file
