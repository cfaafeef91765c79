"""The stream in a process of its own: killed anywhere, stopped by a signal, reporting to Dagster."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from deltalake import DeltaTable

from gold_assets import transactions
from gold_assets.commands import stream
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.publication import Publications
from gold_assets.gold.streaming import Batch
from gold_assets.transactions.stream import write_to_gold
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.conftest import ENGINE, SMALL_TABLES
from gold_assets_tests.engines.processes import clean_environment
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

_DIES = """
import os, signal, sys
from gold_assets.commands import stream
from gold_assets.commands.gold import gold
from gold_assets.engines.sail import SailEngine
from gold_assets.engines.spark import SparkEngine

moment = sys.argv.pop(1)
engine = SparkEngine if os.environ["GOLD_ENGINE"] == "spark" else SailEngine

def die():
    print("dies", moment, file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if moment.isdigit():
    written = []
    def and_die(write):
        def write_and_die(*arguments):
            write(*arguments)
            written.append(1)
            if len(written) == int(moment):
                die()
        return write_and_die
    engine.replace = and_die(engine.replace)
    if engine is SailEngine:
        engine.append = and_die(engine.append)
else:
    stream._after_batch = lambda *arguments: die()
gold(["stream", *sys.argv[1:]])
"""


class Command:
    """``gold stream`` on a lake, with the settings and the Dagster instance of a folder."""

    def __init__(self, folder: Path) -> None:
        root = folder / "data"
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "dagster.yaml").touch()
        self.checkpoint = root / "checkpoints" / "write_to_gold"
        self.lake = Lake(
            transactions.project,
            str(root / "silver" / "transactions"),
            {
                **{table.name: str(root / "gold" / table.name) for table in TABLES},
                "quarantined_txns": str(root / "quarantine" / "transactions"),
            },
            published=str(root / "published"),
        )
        self._env = clean_environment() | {
            "GOLD_ENGINE": ENGINE,
            "GOLD_LAKE_ROOT": str(root),
            "GOLD_SPARK_CONF": SMALL_TABLES,
            "GOLD_PARTITIONS_START": str(MONDAY),
            "GOLD_PARTITIONS_END": str(WEDNESDAY),
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        self._folder = folder

    def start(self, *arguments: str, dies: str | None = None) -> "subprocess.Popen[str]":
        program = ["-m", "gold_assets.commands.gold", "stream"] if dies is None else ["-c", _DIES, dies]
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", *program, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=self._env,
            cwd=self._folder,
            start_new_session=True,
        )

    def run(self, *arguments: str, dies: str | None = None) -> tuple[int, str]:
        process = self.start(*arguments, dies=dies)
        said = ends(process)
        return process.returncode, said

    def drain(self, engine: Engine) -> list[Batch]:
        """The same stream, in this process."""
        batches: list[Batch] = []
        tables = self.lake.places
        write_to_gold(
            self.lake.silver,
            tables["user_spend_summary"],
            tables["product_usage_metrics"],
            tables["high_risk_txns"],
            str(self.checkpoint),
            tables["quarantined_txns"],
            engine=engine,
            on_refreshed=batches.append,
        )
        return batches

    def staleness(self) -> dict[tuple[str, str], str]:
        """By table and date, what the UI says of it."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _STALENESS],
            stdout=subprocess.PIPE,
            text=True,
            env=self._env,
            cwd=self._folder,
            check=True,
        )
        rows = [line.split() for line in done.stdout.splitlines()]
        return {(table, date): status for table, date, status in rows}


_STALENESS = """
import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from gold_assets.transactions.definitions import defs
from gold_assets_tests.project import SETTINGS, daily_partitions

with dg.DagsterInstance.get() as instance:
    asked = CachingStaleStatusResolver(instance, defs.resolve_asset_graph(), LoadingContextForTest(instance))
    for table in SETTINGS.tables:
        for date in daily_partitions.get_partition_keys():
            print(table.name, date, asked.get_status(dg.AssetKey(table.name), date).value)
"""


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def write_three_days(lake: Lake) -> None:
    write_silver(
        lake, [row(event_date=date) for date in days(MONDAY, WEDNESDAY)] + [high_risk_row(), row(user_id=None)]
    )


def ends(process: "subprocess.Popen[str]") -> str:
    """What the process says until it ends, with whatever it started: a machine at its limit takes minutes to start Spark."""
    try:
        return process.communicate(timeout=400)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def says(process: "subprocess.Popen[str]", wanted: str) -> Iterator[str]:
    assert process.stderr
    for line in process.stderr:
        yield line
        if wanted in line:
            return
    raise AssertionError(f"{wanted!r} was not said")


@pytest.mark.sail
def test_killed_at_chosen_moments_the_next_start_makes_gold_true(command: Command, engine: Engine) -> None:
    write_three_days(command.lake)
    command.drain(engine)
    write_silver(command.lake, [high_risk_row(user_id="bob"), row(user_id="", event_date=TUESDAY)])
    # One table is written; or all are, and the stream does not know it yet.
    for moment in ("1", "before it is reported"):
        code, said = command.run(dies=moment)
        assert (code, f"dies {moment}" in said) == (-signal.SIGKILL, True), said
        assert not (command.checkpoint / "commits" / "1").exists()
    (batch,) = command.drain(engine)
    assert batch.refreshed.silver_version == 1
    assert_gold_is_true(command.lake)


@pytest.mark.sail
def test_sigint_ends_the_stream_after_the_batch_in_hand(command: Command) -> None:
    write_three_days(command.lake)
    process = command.start("--interval", "1 second")
    for _ in says(process, "Refreshing"):
        pass
    os.killpg(process.pid, signal.SIGINT)
    said = ends(process)
    assert process.returncode == 0, said
    assert "SIGINT: the stream ends after the batch in hand" in said
    assert "Batch 0: Silver version 0, 2024-01-01 to 2024-01-03 written, 1 rows of it quarantined" in said
    assert_gold_is_true(command.lake)


def test_each_refreshed_partition_is_reported_in_sync_with_silver_and_published_until_a_signal(
    command: Command,
) -> None:
    write_three_days(command.lake)
    write_silver(command.lake, [row(event_date=MONDAY.replace(year=2023))])
    process = command.start("--interval", "1 second")
    first_batch = "".join(says(process, "Batch 0: 3 dates of 4 tables are reported"))
    assert "1 refreshed dates lie outside the partitions" in first_batch
    write_silver(command.lake, [row(user_id="bob", event_date=TUESDAY)])
    for _ in says(process, "Refreshing"):
        pass
    # As a terminal does it, Spark's JVM gets the signal too.
    asked = signal.SIGINT if ENGINE == "spark" else signal.SIGTERM
    os.killpg(process.pid, asked)
    said = ends(process)
    assert process.returncode == 0, said
    assert f"{asked.name}: the stream ends after the batch in hand" in said
    assert_gold_is_true(command.lake)
    if ENGINE == "spark":
        assert (command.checkpoint / "commits" / "1").exists(), "the batch in hand did not count as done"
    published = Publications(str(command.lake.published)).newest()
    assert published is not None
    assert (published.silver_version, published.dates_verified) == (DeltaTable(command.lake.silver).version(), 1)

    expected = {(table.name, str(date)) for table in TABLES for date in days(MONDAY, WEDNESDAY)}
    assert command.staleness() == dict.fromkeys(expected, "FRESH")
    with dg.DagsterInstance.from_config(str(command.home)) as instance:
        records = instance.fetch_materializations(dg.AssetKey("user_spend_summary"), limit=100).records
        assert [record.partition_key for record in records] == ["2024-01-02", "2024-01-03", "2024-01-02", "2024-01-01"]
        metadata = records[0].asset_materialization.metadata  # type: ignore[union-attr]
        assert {name: metadata[name].value for name in ("dagster/partition_row_count", "silver_version")} == {
            "dagster/partition_row_count": 2,
            "silver_version": 2,
        }
        # What the sensor does next: it tells of a commit that the stream has not seen.
        tags = {"dagster/data_version": "3@elsewhere", "dagster/data_version_is_user_provided": "true"}
        instance.report_runless_asset_event(
            dg.AssetObservation("silver_transactions", partition="2024-01-03", tags=tags)
        )
    stale = {key for key, status in command.staleness().items() if status == "STALE"}
    assert stale == {(table.name, "2024-01-03") for table in TABLES}


@pytest.mark.spark
def test_a_jvm_that_ends_is_one_sentence_and_exit_code_2(command: Command) -> None:
    write_three_days(command.lake)
    process = command.start("--interval", "1 second")
    said = "".join(says(process, "Published, as of"))
    [jvm] = [child for child in psutil.Process(process.pid).children() if child.name() == "java"]
    jvm.kill()
    said += ends(process)
    assert process.returncode == 2
    assert "ended (Spark's JVM has ended): find out why, " in said.splitlines()[-1]
    assert "Traceback" not in said


def test_without_a_dagster_instance_nothing_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    caplog.set_level("INFO")
    assert stream._instance() is None  # noqa: SLF001
    assert "DAGSTER_HOME is not set: nothing is reported to Dagster" in caplog.text
