"""How long one date takes, from 56 thousand Silver rows: in a warm process, beside DuckDB by hand, and as a command.

``python -m benchmarks.one_date`` prints medians. Every refresh makes the three tables and the quarantine; DuckDB does
the same job by hand, a query and a Delta write for each. The command is ``dagster asset materialize`` with an instance
of its own, from the start of the process to its end. With ``--s3`` the lake is in a bucket of a real S3 server on loopback, and the
requests of a refresh are counted.
"""

import argparse
import datetime as dt
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deltalake import DeltaTable, write_deltalake

from benchmarks.backfill import job_queries
from benchmarks.places import place
from gold_assets import transactions
from gold_assets.engines.sail import SailEngine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.sample.complete_journey import write_silver
from gold_assets.transactions.tables import TABLES

_FIRST = dt.date(2017, 3, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=14, help="times 1,469,307 rows in 365 dates")
    parser.add_argument("--silver", help="a Silver that was built before, or where to build it")
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--s3", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, place(on_s3=arguments.s3) as there:
        silver = arguments.silver or f"{scratch}/silver"
        if not DeltaTable.is_deltatable(silver):
            write_silver(silver, copies=arguments.copies)
        if arguments.s3:
            shutil.copytree(silver, there.folder / "silver")
            silver = f"{there.root}/silver"
        lake = Lake(transactions.project, silver, {table.name: f"{there.root}/gold/{table.name}" for table in TABLES})
        engine = SailEngine()
        dates = [_FIRST + dt.timedelta(days=n) for n in range(arguments.times + 1)]
        before = there.requests()
        warm = _median(dates, lambda date: refresh(lake, engine, [date]))
        requests = (there.requests() - before) / len(dates)
        engine.close()
        print(f"one date, warm:                      {warm:.3f} s")
        if arguments.s3:
            print(f"requests of a refresh:               {requests:.0f}")
        else:
            by_hand = _median(dates, lambda date: _duckdb(silver, f"{scratch}/by_hand", date))
            print(f"the same by hand, DuckDB + delta-rs: {by_hand:.3f} s (ratio {warm / by_hand:.2f})")
        command = _median(dates[:6], lambda date: _command(lake, scratch, there.root, date))
        print(f"as a whole command:                  {command:.1f} s")


def _median(dates: list[dt.date], job: Callable[[dt.date], object]) -> float:
    """The median seconds over the dates, the first not counted."""
    seconds = []
    for date in dates:
        started = time.perf_counter()
        job(date)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _duckdb(silver: str, out: str, date: dt.date) -> None:
    import duckdb

    with duckdb.connect() as connection:
        files = DeltaTable(silver).file_uris(partition_filters=[("event_date", "=", str(date))])
        connection.read_parquet(files, hive_partitioning=True).create_view("silver")
        for number, query in enumerate(job_queries(bare=False)):
            rows = connection.sql(query).to_arrow_table()
            table = f"{out}/{number}"
            if DeltaTable.is_deltatable(table):
                write_deltalake(table, rows, mode="overwrite", predicate=f"event_date = DATE '{date}'")
            else:
                write_deltalake(table, rows, partition_by=["event_date"])


def _command(lake: Lake, scratch: str, root: str, date: dt.date) -> None:
    home = Path(scratch, "dagster_home")
    home.mkdir(exist_ok=True)
    settings = {"DAGSTER_HOME": str(home), "GOLD_LAKE_ROOT": root, "GOLD_SOURCE_PATH": lake.silver}
    dagster = str(Path(sys.executable).with_name("dagster"))
    select = ",".join(table.name for table in TABLES)
    subprocess.run(
        [
            dagster,
            "asset",
            "materialize",
            "-m",
            "gold_assets.transactions.definitions",
            "--select",
            select,
            "--partition",
            str(date),
        ],
        env=os.environ | settings,
        capture_output=True,
        check=True,
    )


if __name__ == "__main__":
    main()
