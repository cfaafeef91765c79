"""What a micro-batch costs on a large day: 1,000 rows appended to a date of 1, 10 and 40 million.

``python -m benchmarks.large_day`` prints, for each size, refreshes that patch and their checks beside those of the whole date, and how long
``gold explain`` takes of rows that were patched 50 times; then what a tenth of a day of 17,280 micro-batches of 100 rows takes and leaves. Each part runs in a process of its own, on a warm engine. Before
a figure is printed, the whole date has been compared with Silver.
"""

import argparse
import datetime as dt
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from benchmarks.contenders import run as in_a_process
from gold_assets import transactions
from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.delta.query import as_table
from gold_assets.engines.sail import SailEngine
from gold_assets.explaining.explanation import explain
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES

DAY = dt.date(2026, 1, 1)
_LIMITS = Limits(DAY, DAY)
SPEND, USAGE, RISK, QUARANTINE = (table.name for table in TABLES)
_ROWS_AT_ONCE = 2_000_000
_USERS, _PRODUCTS = 100_000, 5_000
_PATCHES, _RECOMPUTES = 50, 3
"""Of 50 patches, one writes the date's appended rows as one file."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="*", default=[1, 10, 40], help="rows of the date")
    parser.add_argument("--micro-batches", type=int, default=1_728)
    parser.add_argument("--part", choices=[*_PARTS, "explanations"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part == "explanations":
        print(json.dumps(explanations(lake_in(given.folder)) | {"peak_mib": _peak_mib()}))
        return
    if given.part:
        with closing(SailEngine()) as engine:
            told = _PARTS[given.part](lake_in(given.folder), engine, given.rows, given.times)
        print(json.dumps(told | {"peak_mib": _peak_mib()}))
        return
    if given.millions:
        print(
            f"{'million':>8} | {'patch s':>8}{'worst':>7}{'checks':>8}{'peak MiB':>10} | "
            f"{'recompute s':>12}{'checks':>8}{'peak MiB':>10} | {'patch / recompute':>17} | {'explain s':>10}{'worst':>7}{'peak MiB':>10}"
        )
    for millions in given.millions:
        with tempfile.TemporaryDirectory() as folder:
            _part("build", folder, int(millions * 1e6))
            patches = _part("patches", folder, 1_000, _PATCHES)
            explained = _part("explanations", folder, 0)
            whole = _part("recomputes", folder, 0, _RECOMPUTES)
        print(
            f"{millions:>8g} | {patches['refresh']:>8.2f}{patches['worst']:>7.2f}{patches['checks']:>8.2f}{patches['peak_mib']:>10.0f} | "
            f"{whole['refresh']:>12.2f}{whole['checks']:>8.2f}{whole['peak_mib']:>10.0f} | {patches['refresh'] / whole['refresh']:>17.3f} | "
            f"{explained['median']:>10.2f}{explained['worst']:>7.2f}{explained['peak_mib']:>10.0f}",
            flush=True,
        )
    if given.micro_batches:
        with tempfile.TemporaryDirectory() as folder:
            _part("build", folder, 1_000_000)
            told = _part("micro_batches", folder, 100, given.micro_batches)
            _part("recomputes", folder, 0, 0)
        _print_micro_batches(given.micro_batches, told)


def _part(name: str, folder: str, rows: int, times: int = 0) -> dict[str, Any]:
    return in_a_process(
        "benchmarks.large_day", "--part", name, "--folder", folder, "--rows", str(rows), "--times", str(times)
    )


def build(lake: Lake, engine: SailEngine, rows: int, _times: int) -> dict[str, Any]:
    """A Silver of one date, and Gold made from it."""
    append_day(lake.silver, DAY, rows)
    refresh(lake, engine, [DAY])
    return {}


def patches(lake: Lake, engine: SailEngine, rows: int, times: int) -> dict[str, Any]:
    """Append, patch and check, again and again."""
    refreshed, checked = [], []
    for _ in range(times + 1):
        append_day(lake.silver, DAY, rows)
        refreshed.append(seconds(lambda: refresh(lake, engine, [DAY], how="patch")))
        checked.append(seconds(lambda: check(lake, patches=True)))
    warm, checks = refreshed[1:], checked[1:]
    return {"refresh": statistics.median(warm), "worst": max(warm), "checks": statistics.median(checks)}


def recomputes(lake: Lake, engine: SailEngine, _rows: int, times: int) -> dict[str, Any]:
    """Compare the date in full, then recompute it and compare it again."""
    checked = [seconds(lambda: check(lake, patches=False))]  # finds any patch that went wrong
    if not times:
        return {}
    engine.session.range(1).collect()
    refreshed = [seconds(lambda: refresh(lake, engine, [DAY])) for _ in range(times)]
    checked += [seconds(lambda: check(lake, patches=False)) for _ in range(times)]
    return {"refresh": statistics.median(refreshed), "checks": statistics.median(checked)}


def explanations(lake: Lake) -> dict[str, Any]:
    """Explain a row of each table, the high-risk ones by the user, and users one after the other. No engine is started."""
    asked = [
        *((SPEND, f"user_id={user}") for user in range(5)),
        (USAGE, "product_id=7"),
        (RISK, "user_id=7"),
        (QUARANTINE, "user_id= "),
    ]
    taken = [seconds(lambda table=table, key=key: explain(lake, table, str(DAY), [key])) for table, key in asked]  # type: ignore[misc]
    return {"median": statistics.median(taken), "worst": max(taken)}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux


def micro_batches(lake: Lake, engine: SailEngine, rows: int, times: int) -> dict[str, Any]:
    """Follow ``times`` appends, and say what that leaves."""
    taken = []
    for _ in range(times):
        append_day(lake.silver, DAY, rows)
        taken.append(seconds(lambda: refresh(lake, engine, [DAY], how="patch")))
    return {"taken": taken, "tables": {name: _left_by(uri) for name, uri in lake.places.items()}}


_PARTS: dict[str, Callable[[Lake, SailEngine, int, int], dict[str, Any]]] = {
    part.__name__: part for part in (build, patches, recomputes, micro_batches)
}


def _left_by(uri: str) -> dict[str, int]:
    table = DeltaTable(uri)
    sizes = [file.stat().st_size for file in Path(uri).rglob("*.parquet") if "_delta_log" not in file.parts]
    return {
        "files": as_table(table.get_add_actions()).num_rows,
        "on_disk": len(sizes),
        "largest": max(sizes),
        "all": sum(sizes),
        "log": sum(file.stat().st_size for file in Path(uri, "_delta_log").iterdir()),
    }


def _print_micro_batches(batches: int, told: dict[str, Any]) -> None:
    taken, part = told["taken"], max(batches // 10, 1)
    print(
        f"{batches:,} micro-batches of 100 rows: {sum(taken):.0f} s in refreshes, median {statistics.median(taken):.2f} s, worst "
        f"{max(taken):.2f} s; the first tenth {statistics.median(taken[:part]):.2f} s, the last {statistics.median(taken[-part:]):.2f} s; "
        f"peak {told['peak_mib']:.0f} MiB"
    )
    print(f"{'':<24}{'files':>7}{'on disk':>9}{'largest MB':>12}{'all MB':>9}{'log MB':>8}")
    for name, of in told["tables"].items():
        print(
            f"{name:<24}{of['files']:>7}{of['on_disk']:>9}{of['largest'] / 1e6:>12.2f}{of['all'] / 1e6:>9.0f}{of['log'] / 1e6:>8.1f}"
        )


def lake_in(folder: Path) -> Lake:
    return Lake(
        transactions.project, str(folder / "silver"), {table.name: str(folder / table.name) for table in TABLES}
    )


def append_day(silver: str, day: dt.date, rows: int) -> None:
    """Append ``rows`` transactions of one date, others each time: a fifteenth is high-risk, a few are to be quarantined."""
    version = DeltaTable(silver).version() + 1 if DeltaTable.is_deltatable(silver) else 0
    chance = np.random.default_rng([version, rows])
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


if __name__ == "__main__":
    main()
