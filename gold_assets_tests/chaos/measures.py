"""What must not grow while Gold is kept true for long."""

import time
from dataclasses import dataclass

from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.instance.postgres_server import PostgresServer


@dataclass(frozen=True)
class Measures:
    """Taken while no run is in flight. Sizes are in MB."""

    processes: int
    daemon_files: int
    """What the daemon has open: files, sockets, pipes."""
    daemon_memory: float
    daemon_minutes: float
    """How long this daemon has been running."""
    records: float
    """Dagster's records: the runs, their events and their output."""
    runs: int

    def __str__(self) -> str:
        return (
            f"{self.processes} processes; the daemon, {self.daemon_minutes:.1f} min old, has {self.daemon_files} files open and "
            f"{self.daemon_memory:.0f} MB; the records of {self.runs} runs are {self.records:.1f} MB"
        )


def measure(dev: DagsterDev, postgres: PostgresServer | None) -> Measures:
    daemon = dev.daemon()
    with dev.instance() as instance:
        runs = instance.get_runs_count()
    records = sum(file.stat().st_size for file in dev.home.rglob("*") if file.is_file())
    if postgres:
        records += postgres.size()
    return Measures(
        processes=len(dev.processes()),
        daemon_files=daemon.num_fds(),
        daemon_memory=daemon.memory_info().rss / 1e6,
        daemon_minutes=(time.time() - daemon.create_time()) / 60,
        records=records / 1e6,
        runs=runs,
    )
