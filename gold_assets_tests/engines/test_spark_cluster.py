"""A real standalone cluster and a real Spark Connect server, on loopback, from the installed pyspark."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gold_assets.delta.dates import days
from gold_assets.engines import spark_jars
from gold_assets.engines.spark import SparkEngine
from gold_assets.gold.lake import Lake
from gold_assets_tests.conftest import SMALL_TABLES
from gold_assets_tests.engines.processes import (
    QUICK_COMPILER,
    connect_server,
    engine_process,
    free_port,
    listens,
    spark_process,
)
from gold_assets_tests.small_silver import MONDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = pytest.mark.spark


def write_three_days(lake: Lake) -> None:
    for date in days(MONDAY, WEDNESDAY):
        write_silver(lake, [high_risk_row(event_date=date), row(event_date=date), row(user_id=" ", event_date=date)])


@contextmanager
def standalone_cluster(folder: Path) -> Iterator[str]:
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    at_port = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    worker_port = free_port()
    worker = ["--host", "127.0.0.1", "--port", str(worker_port), "--webui-port", "0", "--cores", "2", "--memory", "2g"]
    with (
        spark_process("spark-class", "org.apache.spark.deploy.master.Master", *at_port, port=port),
        spark_process(
            "spark-class",
            "org.apache.spark.deploy.worker.Worker",
            *worker,
            "--work-dir",
            str(folder / "work"),
            master,
            port=worker_port,
        ),
    ):
        yield master
    assert not listens(port)


def test_a_backfill_runs_on_a_standalone_cluster(lake: Lake, tmp_path: Path) -> None:
    write_three_days(lake)
    conf = tmp_path / "spark.conf"
    conf.write_text(
        Path(SMALL_TABLES).read_text() + "spark.driver.host 127.0.0.1\nspark.driver.bindAddress 127.0.0.1\n"
        "spark.databricks.delta.snapshotPartitions 1\n"
        f"spark.driver.extraJavaOptions {QUICK_COMPILER}\nspark.executor.extraJavaOptions {QUICK_COMPILER}\n"
    )
    with (
        standalone_cluster(tmp_path) as master,
        engine_process("spark", master=master, conf_file=str(conf)) as process,
    ):
        assert process.refresh(tmp_path, days(MONDAY, WEDNESDAY)) is None
    assert list((tmp_path / "work").glob("app-*/0/stderr")), "no executor of the cluster took part"
    assert_gold_is_true(lake)


def test_a_backfill_runs_on_a_connect_server_without_java_here(lake: Lake, tmp_path: Path) -> None:
    write_three_days(lake)
    nowhere = {"JAVA_HOME": str(tmp_path / "no java"), "PATH": "/nonexistent"}
    conf = spark_jars.fetch_jars(SparkEngine(conf_file=SMALL_TABLES).conf())
    settings = [f"{key}={value}" for key, value in conf.items()]
    with connect_server(*settings) as remote, engine_process("spark", env=nowhere, remote=remote) as process:
        assert process.refresh(tmp_path, days(MONDAY, WEDNESDAY)) is None
        assert_gold_is_true(lake)
        # Warm, and a lost day: what went away in Silver goes away in Gold.
        write_silver(lake, [row(user_id="bob")], mode="overwrite")
        assert process.refresh(tmp_path, days(MONDAY, WEDNESDAY)) is None
        assert_gold_is_true(lake)


def test_a_connect_server_without_delta_is_named(lake: Lake, tmp_path: Path) -> None:
    write_silver(lake, [row()])
    with (
        connect_server("spark.master=local[1]", "spark.ui.enabled=false") as remote,
        engine_process("spark", remote=remote) as process,
    ):
        sentence = process.refresh(tmp_path, [MONDAY])
    assert sentence is not None
    assert sentence.startswith(f"The Spark Connect server at {remote} knows no Delta tables: start it with --packages")
    assert spark_jars.coordinates()["spark.jars.packages"] in sentence
