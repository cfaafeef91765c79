"""How long a tick of the sensor takes with nothing new, by the length of Silver's log and its number of dates.

``python -m benchmarks.tick`` prints the median for each. Silver's log is as its writers leave it: a commit for each small append,
and the last checkpoint up to a hundred commits ago. Only the log is written, for the tick reads nothing else. With ``--s3`` it is
in a bucket of a real S3 server on loopback, and the requests of a tick are counted. With ``--clustered`` Silver has no partitions,
and a file's statistics tell the date that it holds.
"""

import argparse
import datetime as dt
import itertools
import json
import statistics
import time
from pathlib import Path

import dagster as dg
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from benchmarks.places import place
from gold_assets import transactions
from gold_assets.gold.lake import Lake
from gold_assets.micro_batches.cursor import Cursor
from gold_assets.micro_batches.micro_batch import tick
from gold_assets.transactions.sample.complete_journey import SCHEMA
from gold_assets.transactions.tables import TABLES

_FIRST = dt.date(2015, 1, 1)
_CHECKPOINT_EVERY = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--dates", type=int, nargs="+", default=[365, 3_650])
    parser.add_argument("--times", type=int, default=21)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--clustered", action="store_true")
    given = parser.parse_args()
    print(f"{'commits':>9}{'dates':>8}{'median s':>11}{'worst s':>10}{'requests':>10}")
    with place(on_s3=given.s3) as there, dg.DagsterInstance.local_temp() as instance:
        for commits, dates in itertools.product(given.commits, given.dates):
            name = f"silver_{commits}_{dates}"
            _write_log(str(there.folder / name), commits, dates, clustered=given.clustered)
            before = there.requests()
            seconds = _ticks(instance, f"{there.root}/{name}", dates, given.times)
            requests = (there.requests() - before) / (given.times + 1)
            print(
                f"{commits:>9,}{dates:>8,}{statistics.median(seconds):>11.3f}{max(seconds):>10.3f}{requests:>10.1f}",
                flush=True,
            )


def _ticks(instance: dg.DagsterInstance, silver: str, dates: int, times: int) -> list[float]:
    """Seconds of each tick, once Gold has everything."""
    table = DeltaTable(silver)
    window = (_FIRST, _FIRST + dt.timedelta(days=dates - 1))
    cursor = Cursor(table_id=str(table.metadata().id), followed=table.version(), window=window).dumps()
    lake = Lake(
        transactions.project,
        silver,
        {table.name: f"{silver}_gold/{table.name}" for table in TABLES},
        published=f"{silver}_published",
    )
    seconds = []
    for _ in range(times + 1):
        started = time.perf_counter()
        result = tick(dg.build_sensor_context(instance=instance, cursor=cursor), lake, window, time.time())
        seconds.append(time.perf_counter() - started)
        assert result.skip_reason is not None
        assert "Gold has it" in str(result.skip_reason.skip_message)
        cursor = result.cursor or ""
    return seconds[1:]


def _write_log(silver: str, commits: int, dates: int, *, clustered: bool) -> None:
    write_deltalake(silver, SCHEMA.empty_table(), partition_by=None if clustered else ["event_date"])
    log = Path(silver) / "_delta_log"
    for version in range(1, commits):
        # The first commit is the load of all dates, each of the others a small append to one of them.
        files = [_add(version, n, clustered=clustered) for n in (range(dates) if version == 1 else [version % dates])]
        written = {
            "commitInfo": {"timestamp": version, "operation": "WRITE", "operationParameters": {"mode": "Append"}}
        }
        (log / f"{version:020}.json").write_text("".join(json.dumps(action) + "\n" for action in [*files, written]))
    checkpoint = (commits - 2) // _CHECKPOINT_EVERY * _CHECKPOINT_EVERY
    if checkpoint > 0:
        DeltaTable(silver, version=checkpoint).create_checkpoint()


def _add(version: int, day: int, *, clustered: bool) -> dict[str, object]:
    date = str(_FIRST + dt.timedelta(days=day))
    columns = [field.name for field in SCHEMA if pa.types.is_string(field.type)]
    of_date = {"event_date": date} if clustered else {}
    stats = {
        "numRecords": 100,
        "minValues": dict.fromkeys(columns, "1") | of_date,
        "maxValues": dict.fromkeys(columns, "9") | of_date,
        "nullCount": {field.name: 0 for field in SCHEMA if clustered or field.name != "event_date"},
    }
    return {
        "add": {
            "path": f"part-{version:05}-{day:05}.parquet"
            if clustered
            else f"event_date={date}/part-{version:05}.parquet",
            "partitionValues": {} if clustered else {"event_date": date},
            "size": 10_000,
            "modificationTime": version,
            "dataChange": True,
            "stats": json.dumps(stats),
        }
    }


if __name__ == "__main__":
    main()
