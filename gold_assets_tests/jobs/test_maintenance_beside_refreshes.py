"""Maintenance, a micro-batch and a backfill asked for at the same time: they take turns, and Gold is true."""

import itertools
import subprocess
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterEventType

from gold_assets.engines import Engine
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.end_to_end.command_line import BIN, REPOSITORY, environment, instance_of
from gold_assets_tests.project import lake_at
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail]

_MODULE = ("-m", "gold_assets.transactions.definitions")
_MATERIALIZE = ("asset", "materialize", *_MODULE, "--select", ",".join(table.name for table in TABLES))
_WRITERS = ("gold_tables", "maintain_gold")
_MAINTAIN = ("job", "execute", *_MODULE, "-j", "maintenance")


def test_maintenance_beside_refreshes_and_a_backfill_takes_its_turn_and_gold_is_true(
    tmp_path: Path, engine: Engine
) -> None:
    lake = lake_at(str(tmp_path / "lake"))
    write_silver(lake, [row(), high_risk_row(event_date=TUESDAY), row(user_id=None, event_date=WEDNESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY, WEDNESDAY])
    write_silver(lake, [row(user_id=f"user {n}", event_date=date) for n in range(99) for date in (MONDAY, TUESDAY)])
    env = environment(tmp_path)
    with instance_of(env["DAGSTER_HOME"]) as instance:
        instance.get_runs(limit=1)  # two processes that create the same SQLite files at once get in each other's way
        commands = [
            _MAINTAIN,
            (*_MATERIALIZE, "--partition-range", f"{MONDAY}...{WEDNESDAY}"),
            _MAINTAIN,
            (*_MATERIALIZE, "--partition", str(TUESDAY)),
        ]
        asked = []
        for number, command in enumerate(commands):
            # Not a pipe: one that nobody empties would hold the slot for ever.
            with (tmp_path / f"{number}.log").open("wb") as said:
                process = subprocess.Popen([str(BIN / "dagster"), *command], env=env, cwd=REPOSITORY, stderr=said)
                asked.append(process)
        for number, process in enumerate(asked):
            assert process.wait(timeout=500) == 0, (tmp_path / f"{number}.log").read_text()[-3000:]
        turns = sorted(turn(instance, run.run_id) for run in instance.get_runs())
    assert len(turns) == 4
    assert all(ended <= started for (_, ended), (started, _) in itertools.pairwise(turns)), turns
    assert_gold_is_true(lake)


def turn(instance: dg.DagsterInstance, run_id: str) -> tuple[float, float]:
    """When the run's step that writes held the pool's slot. Its checks write nothing."""
    started, ended = (
        [entry.timestamp for entry in instance.all_logs(run_id, of_type=event) if entry.step_key in _WRITERS]
        for event in (DagsterEventType.STEP_START, DagsterEventType.STEP_SUCCESS)
    )
    return min(started), max(ended)
