"""What a micro-batch costs on a large day: 1,000 rows appended to a date of 1, 10 and 40 million.

``python -m benchmarks.large_day`` prints, for each size, the refresh that patches beside the one that recomputes, and the checks of the
patch beside the comparison in full, on a warm engine; then a tenth of a day of 17,280 micro-batches of 100 rows.
"""

import argparse
import datetime as dt
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.engines.sail import SailEngine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.gold.tables import TABLES

DAY = dt.date(2026, 1, 1)
_LIMITS = Limits(DAY, DAY)
_ROWS_AT_ONCE = 2_000_000
_USERS, _PRODUCTS = 100_000, 5_000
_PATCHES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="*", default=[1, 10, 40], help="rows of the date")
    parser.add_argument("--micro-batches", type=int, default=1_728)
    given = parser.parse_args()
    engine = SailEngine()
    print("million rows  patch s  recompute s  ratio  checks of the patch s  in full s  peak of a patch, MiB more")
    for millions in given.millions:
        with tempfile.TemporaryDirectory() as folder:
            lake = lake_in(Path(folder))
            append_day(lake.silver, DAY, int(millions * 1e6))
            recomputed = seconds(lambda lake=lake: refresh(lake, engine, [DAY]))
            full = seconds(lambda lake=lake: check(lake, patches=False))
            patched, checked, before = [], [], _peak()
            for _ in range(_PATCHES):
                append_day(lake.silver, DAY, 1_000)
                patched.append(seconds(lambda lake=lake: refresh(lake, engine, [DAY], how="patch")))
                checked.append(seconds(lambda lake=lake: check(lake, patches=True)))
            more = _peak() - before
            check(lake, patches=False)  # which finds any patch that went wrong
            patch, of_patch = statistics.median(patched), statistics.median(checked)
            print(
                f"{millions:>12g} {patch:>8.2f} {recomputed:>12.2f} {patch / recomputed:>6.2f} {of_patch:>22.2f} {full:>10.2f} {more:>10}",
                flush=True,
            )
    if given.micro_batches:
        day_of_micro_batches(engine, given.micro_batches)
    engine.close()


def day_of_micro_batches(engine: SailEngine, batches: int) -> None:
    """Follow ``batches`` appends of 100 rows to a date that begins with a million, and say what that leaves."""
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_in(Path(folder))
        append_day(lake.silver, DAY, 1_000_000)
        refresh(lake, engine, [DAY])
        taken = []
        for _ in range(batches):
            append_day(lake.silver, DAY, 100)
            taken.append(seconds(lambda: refresh(lake, engine, [DAY], how="patch")))
        check(lake, patches=False)
        part = max(batches // 10, 1)
        print(
            f"{batches} micro-batches of 100 rows: {sum(taken):.0f} s, median {statistics.median(taken):.2f} s, the first tenth "
            f"{statistics.median(taken[:part]):.2f} s, the last {statistics.median(taken[-part:]):.2f} s"
        )
        for name, uri in lake.places.items():
            table = DeltaTable(uri)
            largest = max(commit.get("operationMetrics", {}).get("num_added_rows", 0) for commit in table.history())
            log = sum(file.stat().st_size for file in (Path(uri) / "_delta_log").iterdir())
            print(
                f"{name:<24}{len(table.file_uris()):>4} files, {len(list(Path(uri).rglob('*.parquet')))} with older ones; "
                f"{largest:,} rows in the largest commit; log {log / 1e6:.1f} MB"
            )


def lake_in(folder: Path) -> Lake:
    return Lake(str(folder / "silver"), {table.name: str(folder / table.name) for table in TABLES})


def append_day(silver: str, day: dt.date, rows: int) -> None:
    """Append ``rows`` transactions of one date, of which a fifteenth is high-risk and a few are to be quarantined."""
    chance = np.random.default_rng(rows)
    while rows > 0:
        n = min(rows, _ROWS_AT_ONCE)
        users = chance.integers(0, _USERS, n).astype(str)
        users[:: max(n // 3, 1)] = " "
        batch = pa.table(
            {
                "user_id": users,
                "product_id": chance.integers(0, _PRODUCTS, n).astype(str),
                "amount": np.round(chance.random(n) * 100, 2),
                "usage_cost_ratio": chance.random(n),
                "risk_level": np.array(["low", "medium", "high"])[chance.integers(0, 3, n)],
                "event_date": pa.array(np.full(n, np.datetime64(day, "D"))),
            }
        )
        write_deltalake(silver, batch, mode="append", partition_by=["event_date"])
        rows -= n


def check(lake: Lake, *, patches: bool) -> None:
    """Run the checks that a micro-batch's run does. Raises where one fails."""
    found = list(run(gold_checks(lake.tables), Inspection(lake, [DAY], _LIMITS, patches=patches)))
    failed = [each.summary for each in found if not each.passed and each.severity == "error"]
    assert not failed, failed


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _peak() -> int:
    """The process's largest resident size so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if os.uname().sysname == "Darwin" else 1024)


if __name__ == "__main__":
    main()
