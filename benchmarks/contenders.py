"""Processes to compare: each does one job, and says how long it took and how much memory it held."""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

import psutil
from deltalake import DeltaTable


def measure(job: Callable[[], object]) -> None:
    """Run ``job`` in this process and print its seconds and the peak memory of the process tree as one JSON line."""
    started = time.perf_counter()
    job()
    seconds = time.perf_counter() - started
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
    peak = sum(_peak_kib(process.pid) for process in tree)
    print(json.dumps({"seconds": seconds, "peak_mib": peak / 1024}))


def run(module: str, *arguments: str) -> dict[str, float]:
    """Run ``python -m module arguments`` in its own process; its measures, and the whole process's seconds."""
    started = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    measures: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return measures | {"process_seconds": time.perf_counter() - started}


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line of a comparison. In a contender's own process, ``contender`` and ``out`` are set."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--copies", type=int, default=14, help="times 1,469,307 rows in 365 dates")
    options.add_argument("--rounds", type=int, default=3, help="each contender runs once a round; medians are printed")
    options.add_argument("--silver", help="a Silver that was built before, or where to build it")
    options.add_argument("--contender", help=argparse.SUPPRESS)
    options.add_argument("--out", help=argparse.SUPPRESS)
    return options


def compare(
    module: str, names: Collection[str], arguments: argparse.Namespace, *, anew: Collection[str]
) -> dict[str, dict[str, float]]:
    """Let each of ``names`` run in every round; the medians of their measures.

    A round's contenders write to one place, which is emptied before those in ``anew``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        silver = arguments.silver or f"{scratch}/silver"
        if not DeltaTable.is_deltatable(silver):
            from gold_assets.transactions.sample.complete_journey import (
                write_silver,  # not to weigh on the contenders' processes
            )

            write_silver(silver, copies=arguments.copies)
        out = Path(scratch) / "out"
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(arguments.rounds):
            for name, measured in rounds.items():
                if name in anew:
                    shutil.rmtree(out, ignore_errors=True)
                measured.append(run(module, "--contender", name, "--silver", silver, "--out", str(out)))
    return medians(rounds)


def medians(rounds: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """By contender, the median of each of its measures."""
    return {
        name: {key: statistics.median(row[key] for row in measured) for key in measured[0]}
        for name, measured in rounds.items()
    }


def table(rows: dict[str, dict[str, float]], baseline: str) -> str:
    """The measures as a table, with the ratio of seconds to those of ``baseline``."""
    lines = [f"{'':<28}{'seconds':>9}{'process':>9}{'peak MiB':>10}{'ratio':>8}"]
    for name, row in rows.items():
        ratio = row["seconds"] / rows[baseline]["seconds"]
        lines.append(
            f"{name:<28}{row['seconds']:>9.2f}{row['process_seconds']:>9.2f}{row['peak_mib']:>10.0f}{ratio:>8.2f}"
        )
    return "\n".join(lines)


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
