"""How ``installation.tar.xz`` was made: by the version before, and by moving times.

It was run once, by hand, with the code of 9e74a39, of which it takes the project, its ``dagster dev`` and its tests' Silver, and with what that
requires, matplotlib among it::

    git archive 9e74a39 | tar -x -C OLD; cd OLD
    PYTHONPATH=OLD python NEW/gold_assets_tests/end_to_end/year_old_installation/make.py

A sensor follows Silver's first rows, on twelve days of 2025. After 200 days, and after 40 more, the last of them alone gets rows, commit by commit, and
maintenance cleans the tables' logs of what is older than a month, as Silver's owner does with its. Meanwhile the
sensor is off: its cursor is of a version that Silver's log has long lost. Then nobody does anything for 130 days.
"""

import datetime as dt
import importlib
import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from dagster._core.scheduler.instigation import SensorInstigatorData
from deltalake import DeltaTable

from gold_assets.engines.sail import SailEngine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.end_to_end.command_line import run
from gold_assets_tests.small_silver import high_risk_row, row, write_silver
from gold_assets_tests.truth import gold_is_true

HERE = Path(__file__).parent
DATES = [dt.date(2025, 1, day) for day in range(1, 13)]
WINDOW = {"GOLD_PARTITIONS_START": "2025-01-01", "GOLD_PARTITIONS_END": "2025-01-31"}
PATIENCE = 900.0
COMMITS = 14
"""So many that maintenance writes a checkpoint, and may clean the log below it."""


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    # It is elsewhere in the new version.
    dagster_dev: Any = importlib.import_module("gold_assets_tests.automation.dagster_dev")
    dev = dagster_dev.DagsterDev(folder, **WINDOW)
    lake = dev.lake
    users = [f"user {number}" for number in range(5)]
    first = [row(user_id=user, event_date=date) for date in DATES for user in users]
    write_silver(
        lake,
        [
            *first,
            *(high_risk_row(user_id="ann", event_date=date) for date in DATES),
            row(user_id=None, event_date=DATES[0]),
        ],
    )
    write_silver(lake, [row(event_date=None), row(event_date=DATES[3], user_id="late")])
    with dev:
        wait_until_at_rest(dev)
    age(folder, dt.timedelta(days=200))
    follow(lake)
    maintain(dev)
    clean_silver(lake)
    age(folder, dt.timedelta(days=40))  # a checkpoint becomes old: clean-up goes no further
    follow(lake)
    clean_silver(lake)
    for table in (lake.silver, lake.places["user_spend_summary"]):
        assert not Path(table, "_delta_log", f"{1:020}.json").exists(), "the log was not cleaned"
    age(folder, dt.timedelta(days=130))
    of_new_version("end_to_end/packing.py").pack(folder, HERE / "installation.tar.xz")


def follow(lake: Lake) -> None:
    """Let the last date alone get rows, commit by commit."""
    engine = SailEngine()
    for number in range(COMMITS):
        write_silver(lake, [row(user_id=f"new {number}", event_date=DATES[-1])])
        refresh(lake, engine, [DATES[-1]], how="patch")
    engine.close()


def maintain(dev: Any) -> None:
    """A publication, and a night."""
    for command in (
        ("gold", "checks", "--publish"),
        ("dagster", "job", "execute", "-m", "gold_assets.definitions", "-j", "maintenance"),
    ):
        executed = run(*command, env=dev.env)
        assert executed.returncode == 0, executed.stdout + executed.stderr


def clean_silver(lake: Lake) -> None:
    DeltaTable(lake.silver).create_checkpoint()
    DeltaTable(lake.silver).cleanup_metadata()


def wait_until_at_rest(dev: Any) -> None:
    """Until Gold is true, no run is in flight and the sensor knows."""
    dev.wait_for("Gold is true", PATIENCE, lambda: gold_is_true(dev.lake))
    with dev.instance() as instance:

        def is_at_rest() -> bool:
            states = [state.instigator_data for state in instance.all_instigator_state()]
            cursors = [state.cursor for state in states if isinstance(state, SensorInstigatorData)]
            return [json.loads(cursor or "{}").get("requested", 1) for cursor in cursors] == [None]

        dev.wait_for("the sensor knows", PATIENCE, is_at_rest)


def of_new_version(module: str) -> Any:
    """A module of the new version's tests, of which the version before knows nothing."""
    path = HERE.parents[1] / module
    return SourceFileLoader(path.stem, str(path)).load_module()


def age(folder: Path, by: dt.timedelta) -> None:
    """Let time pass for the lake, and for what Dagster has recorded."""
    passing_time = of_new_version("life/passing_time.py")
    fingerprints = passing_time.let_time_pass(folder, by)
    for database in (folder / "dagster_home").rglob("*.db"):
        with closing(sqlite3.connect(database)) as records, records:
            _age_records(records, by, lambda text: passing_time.in_cursor(text, fingerprints, by))


def _age_records(records: sqlite3.Connection, by: dt.timedelta, with_fingerprints: Callable[[str], str]) -> None:
    tables = [name for (name,) in records.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = [name for _, name, *_ in records.execute(f"PRAGMA table_info({table})")]
        for column in columns:
            for number, value in records.execute(f'SELECT rowid, "{column}" FROM {table}').fetchall():
                aged = _aged(column, value, by, with_fingerprints)
                if aged != value:
                    records.execute(f'UPDATE {table} SET "{column}" = ? WHERE rowid = ?', (aged, number))


def _aged(column: str, value: object, by: dt.timedelta, with_fingerprints: Callable[[str], str]) -> object:
    if column.endswith("_time") and isinstance(value, float):
        return value - by.total_seconds()
    if column.endswith("timestamp") and isinstance(value, str):
        return (dt.datetime.fromisoformat(value) - by).isoformat(sep=" ")
    if column.endswith("_body") and isinstance(value, str):
        return with_fingerprints(value)  # the sensor's cursor
    return value


if __name__ == "__main__":
    main()
