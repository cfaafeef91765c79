"""How ``installation.tar.xz`` was made: by 0.1.0, its ``dagster dev`` and its jobs.

It was run once, by hand, with the code of ad96da7, of which it takes the project, its ``dagster dev`` and its tests' Silver::

    git archive ad96da7 | tar -x -C OLD; cd OLD
    PYTHONPATH=OLD python NEW/gold_assets_tests/end_to_end/installation_0_1_0/make.py

The sensor follows Silver's first rows, on six dates, and some that come late. Maintenance orders the tables, and all checks are run. Silver
loses a row, and the daemon is stopped as docs/production.md has it, while the run that it asked for goes on: the cursor still waits
for that run, which ends. Then Silver changes two more dates, and nobody follows.
"""

import datetime as dt
import importlib
import json
import os
import tempfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import SensorInstigatorData
from deltalake import DeltaTable

HERE = Path(__file__).parent
DATES = [dt.date(2024, 1, day) for day in range(1, 7)]
WINDOW = {"GOLD_PARTITIONS_START": "2024-01-01", "GOLD_PARTITIONS_END": "2024-01-31"}
USERS = [f"user {number}" for number in range(5)]
ASKED_LAST = DATES[1]
"""The date whose run outlived the daemon."""
LEFT = [DATES[2], DATES[4]]
"""The dates that Silver changed after that."""
PATIENCE = 900.0

PICTURES = {
    "__init__": "",
    "dates": "AutoDateLocator = lambda **_: None\nConciseDateFormatter = lambda _: None\n",
    "figure": "from unittest.mock import MagicMock as Figure\n",
    "ticker": "EngFormatter = lambda **_: None\n",
}
"""In place of matplotlib, by which 0.1.0 draws: empty pictures, for others would be most of the installation."""


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    draw_nothing(folder / "stand_ins")
    # 0.1.0 has the first of these in another place than this version, whose type checker reads the imports above.
    dagster_dev: Any = importlib.import_module("gold_assets_tests.automation.dagster_dev")
    silver: Any = importlib.import_module("gold_assets_tests.small_silver")
    dev = dagster_dev.DagsterDev(folder, **WINDOW)
    valid = [
        kind(user_id=user, event_date=date)
        for date in DATES
        for user in USERS
        for kind in (silver.row, silver.high_risk_row)
    ]
    broken = [
        silver.row(user_id=" ", event_date=DATES[0]),
        silver.row(amount=float("nan"), event_date=DATES[3]),
        silver.row(event_date=None),
    ]
    silver.write_silver(dev.lake, [*valid, *broken])
    with dev, dev.instance() as instance:

        def follow(version: int) -> None:
            dev.wait_for(f"version {version} is followed", PATIENCE, lambda: applied(instance) == version)

        follow(0)
        silver.write_silver(dev.lake, [silver.row(event_date=DATES[3], user_id="late"), silver.row(event_date=None)])
        follow(1)
        for job in ("maintenance", "run_checks"):
            execute(dev, job)
        delete(dev.lake, ASKED_LAST, USERS[0])
        dev.wait_for("the run has begun", PATIENCE, lambda: has_begun(instance, version=2))
        daemon = dev.daemon()
        daemon.suspend()
        dev.wait_for("the run has ended", PATIENCE, lambda: newest_run(instance).is_finished)
        daemon.kill()
        assert newest_run(instance).is_success and applied(instance) == 1, "the sensor knows nothing of it"
    silver.write_silver(dev.lake, [silver.high_risk_row(event_date=LEFT[0], user_id="new")])
    delete(dev.lake, LEFT[1], USERS[1])
    packing: Any = SourceFileLoader("packing", str(HERE.parent / "packing.py")).load_module()
    packing.pack(folder, HERE / "installation.tar.xz")


def draw_nothing(folder: Path) -> None:
    (folder / "matplotlib").mkdir(parents=True)
    for name, code in PICTURES.items():
        (folder / "matplotlib" / f"{name}.py").write_text(code)
    os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{os.environ['PYTHONPATH']}"


def delete(lake: Any, date: dt.date, user: str) -> None:
    DeltaTable(lake.silver).delete(f"event_date = '{date}' AND user_id = '{user}' AND risk_level = 'low'")


def execute(dev: Any, job: str) -> None:
    command_line: Any = importlib.import_module("gold_assets_tests.end_to_end.command_line")
    command = ("python", "-W", "ignore", "-m", "dagster", "job", "execute", "-m", "gold_assets.definitions", "-j", job)
    executed = command_line.run(*command, env=dev.env)
    assert executed.returncode == 0, executed.stdout + executed.stderr


def applied(instance: dg.DagsterInstance) -> int:
    """The version of Silver that Gold has, for all the sensor knows."""
    return int(remembered(instance).get("applied", -1))


def has_begun(instance: dg.DagsterInstance, version: int) -> bool:
    """Whether a run goes on for Silver's changes up to a version, and the sensor remembers that it has asked for it."""
    asked = remembered(instance).get("requested") or {}
    return asked.get("to") == version and newest_run(instance).status == dg.DagsterRunStatus.STARTED


def remembered(instance: dg.DagsterInstance) -> dict[str, Any]:
    """The sensor's cursor; empty before its first tick."""
    told = [state.instigator_data for state in instance.all_instigator_state()]
    cursors = [data.cursor for data in told if isinstance(data, SensorInstigatorData)]
    cursor: dict[str, Any] = json.loads((cursors or [None])[0] or "{}")
    return cursor


def newest_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    return instance.get_runs(limit=1)[0]


if __name__ == "__main__":
    main()
