"""What an installation of the wheel with one extra can do, tried: a Delta table, refreshed, checked, published, read.

It is run by ``.ci/smoke`` in a folder of which the lake that an engine has made stays for the extras without one.
"""

import datetime as dt
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from gold_assets import published

BIN = Path(sys.executable).parent
DATE = dt.datetime.now(dt.timezone.utc).date()
SPENT = [("ann", "5.0000"), ("bob", "1.0000")]


def make(extra: str) -> str:
    """A lake of this engine's: Silver, and what is made from it, checked and published by the command."""
    import gold_assets
    from gold_assets import refresh, transactions

    root = f"{Path.cwd()}/lake-{extra}"
    lake = transactions.project.lake(root)
    rows = {
        "user_id": ["ann", "ann", "bob"],
        "product_id": ["tea", "tea", None],
        "amount": [2.5, 2.5, 1.0],
        "usage_cost_ratio": [0.1, None, 0.5],
        "risk_level": ["high", "low", None],
        "event_date": [DATE] * 3,
    }
    write_deltalake(lake.silver, pa.table({**rows, "product_id": ["tea", "tea", "rye"]}), partition_by=["event_date"])
    write_deltalake(lake.silver, pa.table({**rows, "user_id": [None] * 3}).slice(0, 1), mode="append")
    engine = gold_assets.SparkEngine() if extra == "spark" else gold_assets.SailEngine()
    refreshed = refresh(lake, engine, [DATE])
    if extra == "sail":
        places = ("user_spend_summary", "product_usage_metrics", "high_risk_txns", "quarantined_txns")
        *gold, bad = (lake.places[name] for name in places)
        gold_assets.write_to_gold(lake.silver, *gold, f"{root}/checkpoint", bad, engine=engine)
    engine.close()
    assert {name: dates[DATE].rows for name, dates in refreshed.dates.items()}["quarantined_txns"] == 1
    which = {"GOLD_ENGINE": "spark" if extra == "spark" else "sail"}
    command(root, "gold", "checks", "--publish", "--from", str(DATE), "--to", str(DATE), **which)
    return root


def command(root: str, program: str, *arguments: str, **settings: str) -> str:
    """What a command prints, for the lake at ``root``."""
    environment = {**os.environ, "GOLD_LAKE_ROOT": root, "GOLD_PARTITIONS_START": str(DATE), **settings}
    done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{program} {arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def read(root: str) -> None:
    """What readers get, in Python and from the command."""
    reader = published(lake=f"{root}/published")
    rows = reader.arrow("user_spend_summary").sort_by("user_id").to_pylist()
    assert [(row["user_id"], str(row["total_spend"])) for row in rows] == SPENT
    assert "user_spend_summary" in command(root, "gold", "published")
    if importlib.util.find_spec("duckdb"):
        assert "ann" in command(root, "gold", "sql", "SELECT user_id FROM high_risk_txns")


extra = sys.argv[1]
root = make(extra) if extra in ("sail", "spark", "all") else f"{Path.cwd()}/lake-sail"
read(root)
if extra in ("dagster", "postgres", "all"):
    command(root, "dagster", "definitions", "validate", "-m", "gold_assets.transactions.definitions")
if extra == "postgres":
    importlib.import_module("gold_assets.instance.postgres")
print("works:", "makes, checks, publishes and reads" if root.endswith(extra or "-") else "reads", flush=True)
