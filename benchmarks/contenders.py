"""Processes to compare: each does one job, and says how long it took and how much memory it held."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil


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
    return json.loads(process.stdout.splitlines()[-1]) | {"process_seconds": time.perf_counter() - started}


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
