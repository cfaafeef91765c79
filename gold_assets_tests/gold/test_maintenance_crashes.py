"""SIGKILL in the middle of OPTIMIZE and of VACUUM: content is whole, and the next run finishes the work."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.maintenance import Maintained, dates_out_of_order, maintain
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import USER_SPEND_SUMMARY
from gold_assets_tests.small_silver import MONDAY, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

MONTH = days(MONDAY, MONDAY + dt.timedelta(days=30))
LATER = dt.date(2024, 3, 1)
SPEND = USER_SPEND_SUMMARY.name

_PROGRAM = """
import json, pathlib, sys

from gold_assets.gold import maintenance
from gold_assets.transactions.tables import USER_SPEND_SUMMARY
from gold_assets_tests.conftest import lake_in, new_engine

asked = json.loads(sys.argv[1])
maintenance._BYTES_A_COMMIT = asked.pop("bytes_a_commit")
maintenance.maintain(lake_in(pathlib.Path(asked.pop("lake"))), new_engine(), [USER_SPEND_SUMMARY], **asked)
"""


@pytest.fixture
def gold(lake: Lake, engine: Engine) -> Lake:
    """A month of Gold, every date out of order."""
    write_silver(lake, [row(user_id=f"user {n * 37 % 500:03}", event_date=date) for date in MONTH for n in range(500)])
    refresh(lake, engine, MONTH)
    return lake


def spend(lake: Lake) -> DeltaTable:
    return DeltaTable(lake.places[SPEND])


def live(lake: Lake) -> set[Path]:
    return {Path(uri) for uri in spend(lake).file_uris()}


def stored(lake: Lake) -> set[Path]:
    return set(Path(lake.places[SPEND]).glob("event_date=*/*.parquet"))


def kill_maintenance(lake: Lake, when: Callable[[], bool], *, bytes_a_commit: int = 1 << 30, **asked: Any) -> None:
    """Start maintenance in a process of its own, and kill it, with the JVM that it may have started, as soon as ``when``."""
    asked |= {"lake": str(Path(lake.silver).parent), "bytes_a_commit": bytes_a_commit}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM, json.dumps(asked)],
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("SPARK_")},
    )
    try:
        while not when():
            assert process.poll() is None, "maintenance ended before it was killed"
            time.sleep(0.005)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finish(lake: Lake, engine: Engine) -> Maintained:
    """The next run, which may delete everything that is not of the newest version."""
    return maintain(lake, engine, [USER_SPEND_SUMMARY], retention_hours=0, allow_short_retention=True, today=LATER)[
        SPEND
    ]


def test_an_optimize_that_is_killed_between_its_commits_is_taken_up_where_it_stopped(
    gold: Lake, engine: Engine
) -> None:
    for _ in range(5):
        before = spend(gold).version()
        kill_maintenance(
            gold,
            lambda: spend(gold).version() >= before + 2,  # noqa: B023
            bytes_a_commit=1,
            vacuum=False,
        )
        assert_gold_is_true(gold, tables=[SPEND])
        if left := dates_out_of_order(spend(gold), USER_SPEND_SUMMARY.zorder_by):
            break
        refresh(gold, engine, MONTH)  # all commits were quicker than the kill: once more
    assert 0 < len(left) < len(MONTH)
    assert set(finish(gold, engine).ordered) == left
    assert_gold_is_true(gold, tables=[SPEND])


def test_an_optimize_that_is_killed_before_its_commit_has_changed_nothing_and_its_files_go(
    gold: Lake, engine: Engine
) -> None:
    for _ in range(5):
        before, there = live(gold), stored(gold)
        kill_maintenance(gold, lambda: stored(gold) > there, vacuum=False)  # noqa: B023
        if live(gold) == before:
            break
        refresh(gold, engine, MONTH)  # the commit was quicker than the kill: once more
    assert live(gold) == before, "each commit was made before the kill"
    assert_gold_is_true(gold, tables=[SPEND])
    there = stored(gold)
    done = finish(gold, engine)
    assert done.ordered == tuple(MONTH)
    assert {Path(gold.places[SPEND]) / path for path in done.deleted} == there
    assert stored(gold) == live(gold)
    assert_gold_is_true(gold, tables=[SPEND])


def test_a_vacuum_that_is_killed_has_deleted_nothing_that_is_read_and_the_next_one_finishes(
    gold: Lake, engine: Engine
) -> None:
    for n in range(6_000):
        (Path(gold.places[SPEND]) / f"event_date={MONTH[n % 31]}" / f"part-{n}.parquet").touch()
    before = live(gold)
    start_of_vacuum = Path(gold.places[SPEND]) / "_delta_log" / f"{spend(gold).version() + 1:020}.json"
    kill_maintenance(gold, start_of_vacuum.exists, zorder=False, retention_hours=0, allow_short_retention=True)
    left = stored(gold) - before
    assert left, "everything was deleted before the kill"
    assert live(gold) == before
    assert_gold_is_true(gold, tables=[SPEND])
    assert len(finish(gold, engine).deleted) >= len(left)
    assert stored(gold) == live(gold)
    assert_gold_is_true(gold, tables=[SPEND])
