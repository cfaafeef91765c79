"""A real daemon, real run processes, and a Silver that others change from outside."""

from collections.abc import Iterator

import dagster as dg
import psutil
import pytest
from deltalake import DeltaTable

from gold_assets.gold.lake import Lake
from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.small_silver import TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import gold_is_true

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail]

SPEND = "user_spend_summary"


@pytest.fixture(scope="module")
def dagster_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    settings = {"GOLD_PARTITIONS_START": "2024-01-01", "GOLD_PARTITIONS_END": "2024-01-31"}
    dagster_dev = DagsterDev(tmp_path_factory.mktemp("micro_batch"), **settings)
    write_silver(dagster_dev.lake, [row(), high_risk_row(event_date=TUESDAY), row(user_id=None)])
    with dagster_dev:
        yield dagster_dev
    assert not dagster_dev.processes()


def spend_version(lake: Lake) -> int:
    return DeltaTable(lake.places[SPEND]).version()


def run_now(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def wait_until_true(dagster_dev: DagsterDev, seconds: float = 240) -> None:
    dagster_dev.wait_for("Gold is true", seconds, lambda: gold_is_true(dagster_dev.lake))


def newest_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    return instance.get_runs(limit=1)[0]


def test_gold_follows_what_others_do_to_silver(dagster_dev: DagsterDev) -> None:
    wait_until_true(dagster_dev)
    write_silver(dagster_dev.lake, [row(user_id="late"), row(event_date=WEDNESDAY), row(event_date=None)])
    wait_until_true(dagster_dev)
    DeltaTable(dagster_dev.lake.silver).delete("event_date = '2024-01-02'")
    DeltaTable(dagster_dev.lake.silver).update(
        predicate="user_id = 'late'", updates={"event_date": "DATE '2024-01-09'"}
    )
    wait_until_true(dagster_dev)


def test_gold_follows_though_its_run_is_killed_in_the_middle(dagster_dev: DagsterDev) -> None:
    wait_until_true(dagster_dev)
    with dagster_dev.instance() as instance:
        for n in range(10):
            before = spend_version(dagster_dev.lake)
            write_silver(dagster_dev.lake, [high_risk_row(user_id=f"user {n}", event_date=WEDNESDAY)])
            dagster_dev.wait_for("a run commits", 120, lambda: spend_version(dagster_dev.lake) > before)  # noqa: B023
            killed = newest_run(instance)
            process = dagster_dev.run_process(instance, killed.run_id)
            if process is None or not process.is_running():
                wait_until_true(dagster_dev)
                continue  # it was through before it could be killed
            process.kill()
            dagster_dev.wait_for("the run ends", 120, lambda: run_now(instance, killed).is_finished)  # noqa: B023
            if run_now(instance, killed).status == dg.DagsterRunStatus.FAILURE:
                break
        else:
            pytest.fail("no run could be killed in the middle")
        wait_until_true(dagster_dev)
        dagster_dev.wait_for("another attempt", 120, lambda: newest_run(instance).tags["gold_assets/attempt"] == "2")
        dagster_dev.wait_for("it succeeds", 120, lambda: newest_run(instance).status == dg.DagsterRunStatus.SUCCESS)
    wait_until_true(dagster_dev)


def test_gold_follows_though_the_daemon_is_killed_and_started_again(dagster_dev: DagsterDev) -> None:
    wait_until_true(dagster_dev)
    with dagster_dev.instance() as instance:
        before = len(instance.get_runs())
        write_silver(dagster_dev.lake, [row(user_id="late"), row(event_date=WEDNESDAY)])
        dagster_dev.wait_for("the daemon asks for runs", 120, lambda: len(instance.get_runs()) > before)
        everything: list[psutil.Process] = dagster_dev.processes()
        dagster_dev.daemon().kill()
        for process in everything:
            if process.is_running():
                process.kill()
    write_silver(dagster_dev.lake, [high_risk_row(event_date=TUESDAY)])
    dagster_dev.stop()
    dagster_dev.start()
    wait_until_true(dagster_dev, 240)
