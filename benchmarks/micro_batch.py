"""How long Gold takes to follow: from Silver's commit to Gold's last commit, through a real ``dagster dev``.

``python -m benchmarks.micro_batch`` prints the median and the worst of 20. Each time a few rows are appended to one date, at a
random moment of the daemon's 5 s, when Gold is true and the sensor idle.
"""

import argparse
import datetime as dt
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

import dagster as dg
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError

from gold_assets.gold.lake import Lake
from gold_assets.gold.provenance import STAMP
from gold_assets.transactions.sample.complete_journey import transactions
from gold_assets_tests.instance.dagster_dev import DagsterDev

_FIRST = dt.date(2017, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--dates", type=int, default=30, help="dates of real transactions that Silver begins with")
    parser.add_argument("--large-day", type=int, metavar="MILLIONS", help="then the same on a date of so many rows")
    given = parser.parse_args()
    last = _FIRST + dt.timedelta(days=given.dates - 1)
    window = {"GOLD_PARTITIONS_START": str(_FIRST), "GOLD_PARTITIONS_END": str(last)}
    year = transactions()
    silver = year.filter([date <= last for date in year["event_date"].to_pylist()])
    with tempfile.TemporaryDirectory() as scratch, DagsterDev(Path(scratch), **window) as dagster_dev:
        lake = dagster_dev.lake
        write_deltalake(lake.silver, silver, partition_by=["event_date"])
        with dagster_dev.instance() as instance:
            dagster_dev.wait_for("the first window is through", 600, lambda: _is_idle(instance) and _versions(lake))
            _measure(dagster_dev, instance, [silver.slice(n * 100, 10) for n in range(given.times)])
            if given.large_day:
                day = year.set_column(year.schema.get_field_index("event_date"), "event_date", [[last] * len(year)])
                write_deltalake(lake.silver, _repeated(day, given.large_day * 1_000_000), mode="append")
                dagster_dev.wait_for("the large day is in Gold", 600, lambda: _holds(lake, instance))
                print(f"on a date of {given.large_day} million rows:")
                _measure(dagster_dev, instance, [day.slice(n * 100, 10) for n in range(given.times)])


def _repeated(table: pa.Table, rows: int) -> pa.RecordBatchReader:
    """The rows of ``table`` again and again, ``rows`` in all."""
    batches = (batch for at in range(0, rows, len(table)) for batch in table.slice(0, rows - at).to_batches())
    return pa.RecordBatchReader.from_batches(table.schema, batches)


def _measure(dagster_dev: DagsterDev, instance: dg.DagsterInstance, batches: list[pa.Table]) -> None:
    in_gold, checked = [], []
    for rows in batches:
        time.sleep(random.uniform(5, 15))
        dagster_dev.wait_for("the sensor is idle", 120, lambda: _is_idle(instance))
        appended = time.time()
        in_gold.append(_follow(dagster_dev, rows))
        dagster_dev.wait_for("the run is through", 120, lambda: _is_idle(instance))
        checked.append(instance.get_run_records(limit=1)[0].end_time - appended)  # type: ignore[operator]
        print(f"{in_gold[-1]:.1f} s, checked {checked[-1]:.1f} s", flush=True)
    print(
        f"in Gold: median {statistics.median(in_gold):.1f} s, worst {max(in_gold):.1f} s of {len(in_gold)}; "
        f"checked: median {statistics.median(checked):.1f} s, worst {max(checked):.1f} s"
    )


def _holds(lake: Lake, instance: dg.DagsterInstance) -> bool:
    """Whether Gold was made from Silver's newest version, and no run is on."""
    stamp = DeltaTable(lake.places["user_spend_summary"]).history(1)[0].get("userMetadata", "{}")
    made = json.loads(stamp).get(STAMP, {}).get("silver_version")
    return made == DeltaTable(lake.silver).version() and _is_idle(instance)


def _follow(dagster_dev: DagsterDev, rows: pa.Table) -> float:
    """Seconds from the commit of ``rows`` to Silver until every table has its commit of them."""
    lake = dagster_dev.lake
    before = _versions(lake)
    write_deltalake(lake.silver, rows, mode="append")
    started = time.time()
    dagster_dev.wait_for("every table has a new version", 120, lambda: _all_newer(lake, before))
    # The time that the commits carry, for the look at them comes later.
    newest = max(float(DeltaTable(uri).history(1)[0]["timestamp"]) for uri in lake.places.values())
    return newest / 1000 - started


def _all_newer(lake: Lake, before: dict[str, int]) -> bool:
    after = _versions(lake)
    return all(after[name] > version for name, version in before.items())


def _versions(lake: Lake) -> dict[str, int]:
    try:
        return {name: DeltaTable(uri).version() for name, uri in lake.places.items()}
    except TableNotFoundError:
        return {}


def _is_idle(instance: dg.DagsterInstance) -> bool:
    runs = instance.get_runs()
    return bool(runs) and all(run.is_finished for run in runs)


if __name__ == "__main__":
    main()
