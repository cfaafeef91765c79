"""A short one; ``make chaos`` is the long one."""

from pathlib import Path

import pytest

from gold_assets.resources import GOLD_WRITERS_POOL
from gold_assets_tests.chaos.__main__ import server
from gold_assets_tests.chaos.chaos import Chaos
from gold_assets_tests.instance.postgres_server import programs

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.sail,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed."),
]

SEED = 678487
"""Of its first eight events one deploys another version of two tables, three change Silver, one of which is an accident, and the others are these."""


def test_gold_comes_true_though_the_database_goes_and_a_run_and_the_daemon_are_killed(tmp_path: Path) -> None:
    with server("postgresql") as postgres:
        chaos = Chaos(tmp_path, SEED, postgres, print)
        chaos.run(seconds=0, events=8)
        assert {
            "load a date twice",
            "merge",
            "decide",
            "database goes",
            "kill a run",
            "deploy",
            "kill the daemon",
        } <= chaos.done.keys()
        with chaos.dev.instance() as instance:
            [pool] = [
                limit for limit in instance.event_log_storage.get_pool_limits() if limit.name == GOLD_WRITERS_POOL
            ]
        assert pool.limit == 1 and not pool.from_default
