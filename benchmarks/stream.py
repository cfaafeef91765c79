"""How long Gold takes to follow by ``gold stream`` on Sail: from Silver's commit to Gold's last commit, and until that is published.

``python -m benchmarks.stream`` prints the median and the worst of 20. Silver is the demo's, or its first ``--dates``. Each time a few
rows are appended to one date, at a random moment of the stream's looks at Silver's log, when it has nothing else to do.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from gold_assets.gold.publication import Publications
from gold_assets.transactions.sample.complete_journey import transactions
from gold_assets.transactions.tables import TABLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--dates", type=int, default=365, help="dates of real transactions that Silver begins with")
    parser.add_argument("--interval", default="200 milliseconds", help="how often the stream looks")
    given = parser.parse_args()
    year = transactions()
    last = sorted(set(year["event_date"].to_pylist()))[: given.dates][-1]
    silver = year.filter([date <= last for date in year["event_date"].to_pylist()])
    with tempfile.TemporaryDirectory() as scratch:
        write_deltalake(f"{scratch}/silver/transactions", silver, partition_by=["event_date"])
        env = {name: value for name, value in os.environ.items() if not name.startswith(("GOLD_", "DAGSTER_"))}
        stream = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "gold_assets.commands.gold", "stream", "--interval", given.interval],
            env={**env, "GOLD_LAKE_ROOT": scratch},
            stderr=subprocess.DEVNULL,
            cwd=scratch,
        )
        try:
            _measure(Path(scratch), [silver.slice(n * 100, 10) for n in range(given.times)])
        finally:
            stream.terminate()
            stream.wait(60)


def _measure(root: Path, batches: list[pa.Table]) -> None:
    silver = str(root / "silver" / "transactions")
    gold = [str(root / table.default_path) for table in TABLES]
    _wait(root, 0)
    in_gold, published = [], []
    for rows in batches:
        time.sleep(random.uniform(1, 2))
        before = [DeltaTable(uri).version() for uri in gold]
        write_deltalake(silver, rows, mode="append")
        started, version = time.time(), DeltaTable(silver).version()
        _wait(root, version)
        published.append(time.time() - started)
        assert all(DeltaTable(uri).version() > was for uri, was in zip(gold, before, strict=True))
        # The time that the commits carry, for the look at them comes later.
        in_gold.append(max(DeltaTable(uri).history(1)[0]["timestamp"] / 1000 for uri in gold) - started)
        print(f"{in_gold[-1]:.2f} s, published {published[-1]:.2f} s", flush=True)
    print(
        f"in Gold: median {statistics.median(in_gold):.2f} s, worst {max(in_gold):.2f} s of {len(in_gold)}; "
        f"published: median {statistics.median(published):.2f} s, worst {max(published):.2f} s"
    )


def _wait(root: Path, published: int) -> None:
    """Until the newest publication is of this version of Silver."""
    deadline = time.monotonic() + 600
    while (newest := Publications(str(root / "published")).newest()) is None or newest.silver_version != published:
        assert time.monotonic() < deadline, "the stream does not follow"
        time.sleep(0.05)


if __name__ == "__main__":
    main()
