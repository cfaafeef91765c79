"""A real daemon, and a lake on a store that goes away and comes back."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.object_store.s3_server import SECRET_KEY, S3Server
from gold_assets_tests.small_silver import TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import gold_is_true

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail, pytest.mark.s3]


@pytest.fixture
def dagster_dev(tmp_path: Path, s3: S3Server) -> Iterator[DagsterDev]:
    settings = {
        "GOLD_LAKE_ROOT": s3.make_bucket("micro-batches"),
        "GOLD_PARTITIONS_START": "2024-01-01",
        "GOLD_PARTITIONS_END": "2024-01-31",
        "GOLD_STORAGE_OPTIONS": json.dumps(s3.env),
        "AWS_SECRET_ACCESS_KEY": "not the one of this store",
    }
    dagster_dev = DagsterDev(tmp_path, **settings)
    write_silver(dagster_dev.lake, [row(), high_risk_row(event_date=TUESDAY), row(user_id=None)])
    with dagster_dev:
        yield dagster_dev
    assert not dagster_dev.processes()


def wait_until_true(dagster_dev: DagsterDev) -> None:
    dagster_dev.wait_for("Gold is true", 240, lambda: gold_is_true(dagster_dev.lake))


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_gold_follows_though_the_store_goes_away_in_the_middle(dagster_dev: DagsterDev, s3: S3Server) -> None:
    wait_until_true(dagster_dev)
    DeltaTable(dagster_dev.lake.silver).delete("event_date = '2024-01-02'")
    DeltaTable(dagster_dev.lake.silver).update({"event_date": "DATE '2024-01-09'"}, predicate="user_id IS NULL")
    wait_until_true(dagster_dev)
    with dagster_dev.instance() as instance:
        runs = len(instance.get_runs())
        write_silver(dagster_dev.lake, [high_risk_row(user_id="late", event_date=WEDNESDAY), row(event_date=None)])
        dagster_dev.wait_for("a run is asked for", 60, lambda: len(instance.get_runs()) > runs)
        hit = instance.get_runs(limit=1)[0].run_id
        dagster_dev.wait_for("it starts", 60, lambda: status_of(instance, hit) == dg.DagsterRunStatus.STARTED)
        s3.kill()
        try:
            dagster_dev.wait_for("it fails", 240, lambda: status_of(instance, hit) == dg.DagsterRunStatus.FAILURE)
        finally:
            s3.start()
        wait_until_true(dagster_dev)
    logged = [
        path for path in dagster_dev.home.rglob("*") if path.is_file() and SECRET_KEY.encode() in path.read_bytes()
    ]
    assert not logged
    assert SECRET_KEY not in dagster_dev.output
