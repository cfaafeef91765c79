"""The project's own commands, run as a user runs them: in a process, with a lake and an instance of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MATERIALIZES = ("dagster", "asset", "materialize", "-m", "gold_assets.transactions.definitions")
SELECT = ("--select", "group:gold or group:quarantine")
"""The command that pages give to materialize dates of all tables, but for the dates."""


def environment(lake_root: Path, **settings: str) -> dict[str, str]:
    """The settings of a lake under ``lake_root``, with an instance in it that has the project's ``dagster.yaml``."""
    home = lake_root / "dagster_home"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", home)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GOLD_", "DAGSTER_", "SPARK_"))}
    return clean | {"DAGSTER_HOME": str(home), "GOLD_LAKE_ROOT": str(lake_root / "lake")} | settings


def instance_of(home: str | Path) -> dg.DagsterInstance:
    """The instance of a ``DAGSTER_HOME`` that is not the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        return dg.DagsterInstance.get()


def run(
    *command: str, env: dict[str, str], timeout: float = 500, folder: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    """Run one of the virtual environment's commands from the folder; its output is kept."""
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]], env=env, cwd=folder, capture_output=True, text=True, timeout=timeout
    )
