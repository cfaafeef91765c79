"""What maintenance costs and what it gains, on Gold made from real transactions.

``python -m benchmarks.maintenance --copies 14 --dates 365 --refreshes 200`` prints three things:

- after many micro-batch refreshes of one date: files and bytes in the place of each table, and how long it takes to open,
  before and after maintenance;
- the look-up of one user and of one product over all dates, before and after: files and row groups that may hold the key, bytes
  read (all three as delta-rs's DataFusion tells them in EXPLAIN ANALYZE) and the median time, and the same with DuckDB;
- maintenance of a table where every date was out of order, where three were, and where none was.

Without arguments it is small, to see that it runs.
"""

import argparse
import datetime as dt
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from gold_assets import transactions
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.sample import complete_journey
from gold_assets.transactions.sample.complete_journey import FIRST_DATE, write_silver
from gold_assets.transactions.tables import PRODUCT_USAGE_METRICS, TABLES, USER_SPEND_SUMMARY

_LOOK_UPS = {USER_SPEND_SUMMARY.name: "user_id", PRODUCT_USAGE_METRICS.name: "product_id"}
_KEYS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=1, help="times 1,469,307 Silver rows in 365 dates")
    parser.add_argument("--dates", type=int, default=28)
    parser.add_argument("--refreshes", type=int, default=20)
    parser.add_argument("--engine", choices=("sail", "spark"), default="sail")
    parser.add_argument("--silver", help="a Silver that was built before, or where to build it; it gets some rows more")
    given = parser.parse_args()
    engine = _engine(given.engine)
    dates = days(FIRST_DATE, FIRST_DATE + dt.timedelta(days=given.dates - 1))
    with tempfile.TemporaryDirectory() as scratch:
        silver = given.silver or f"{scratch}/silver"
        if not DeltaTable.is_deltatable(silver):
            write_silver(silver, copies=given.copies)
        lake = Lake(transactions.project, silver, {table.name: f"{scratch}/gold/{table.name}" for table in TABLES})
        print(f"{given.engine}, {given.dates} dates from {given.copies} x 1,469,307 rows in 365 dates")
        refresh(lake, engine, dates)
        _all_dates_three_dates_none(lake, engine, dates)
        _many_refreshes(lake, engine, dates[len(dates) // 2], given.refreshes)
    engine.close()


def _all_dates_three_dates_none(lake: Lake, engine: Engine, dates: list[dt.date]) -> None:
    before = {name: _look_up(lake.places[name], column) for name, column in _LOOK_UPS.items()}
    every = _order(lake, engine)
    after = {name: _look_up(lake.places[name], column) for name, column in _LOOK_UPS.items()}
    refresh(lake, engine, dates[:: max(len(dates) // 3, 1)][:3])
    three = _order(lake, engine)
    none = _order(lake, engine)
    print("\nOne key over all dates:")
    for name, column in _LOOK_UPS.items():
        print(f"  {name} by {column}\n    before {before[name]}\n    after  {after[name]}")
    print("\nOPTIMIZE ZORDER BY of all tables:")
    for what, (count, size, seconds) in {"every date": every, "three dates": three, "no date": none}.items():
        share = f"{seconds / every[2]:.4f} of the time, {size / every[1]:.4f} of the bytes"
        print(f"  {what:<12} {count:>5} dates ordered, {size:>13,} bytes written, {seconds:>7.2f} s ({share})")


def _order(lake: Lake, engine: Engine) -> tuple[int, int, float]:
    """Dates ordered, bytes that OPTIMIZE wrote, and seconds, over all tables."""
    versions = {name: DeltaTable(uri).version() for name, uri in lake.places.items()}
    started = time.perf_counter()
    done = maintain(lake, engine, vacuum=False)
    seconds = time.perf_counter() - started
    written = 0
    for name, version in versions.items():
        table = DeltaTable(lake.places[name])
        commits = (GoldLog(table).commit(n) for n in range(version + 1, table.version() + 1))
        written += sum(action.action["size"] for commit in commits for action in commit.adds)
    return sum(len(table.ordered) for table in done.values()), written, seconds


def _look_up(uri: str, column: str) -> str:
    table = DeltaTable(uri)
    query = QueryBuilder().register("t", table)
    keys = _rows(query, f"SELECT DISTINCT {column} AS key FROM t ORDER BY key")["key"].to_pylist()
    keys = keys[:: max(len(keys) // _KEYS, 1)][:_KEYS]
    plans = [str(_rows(query, f"EXPLAIN ANALYZE {_select(column, key)}").to_pylist()) for key in keys]
    files = table.file_uris()
    with duckdb.connect() as duck:
        duck.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet({files!r}, hive_partitioning = true)")
        by_duckdb = _median(keys, lambda key: duck.execute(_select(column, key)).fetchall())
    by_delta_rs = _median(keys, lambda key: _rows(query, _select(column, key)))
    groups = statistics.median(_matched(plan, "row_groups_pruned_statistics") for plan in plans)
    read = statistics.median(_bytes(plan) for plan in plans)
    opened = statistics.median(_metric(plan, "files_opened") for plan in plans)
    return (
        f"{opened:.0f} of {len(files)} files opened, {groups:.0f} row groups and {read / 1e6:.2f} MB read, "
        f"{by_delta_rs * 1000:.0f} ms (DuckDB {by_duckdb * 1000:.0f} ms)"
    )


def _select(column: str, key: str) -> str:
    return f"SELECT * FROM t WHERE {column} = '{key}'"


def _rows(query: QueryBuilder, sql: str) -> pa.Table:
    return pa.table(query.execute(sql).read_all())


def _median(keys: list[str], look_up: Callable[[str], object]) -> float:
    seconds = []
    for key in keys:
        started = time.perf_counter()
        look_up(key)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _metric(plan: str, name: str) -> float:
    return sum(_number(found) for found in re.findall(rf"{name}=([\d.]+ ?[KMG]?)", plan))


def _matched(plan: str, name: str) -> float:
    return sum(_number(found) for found in re.findall(rf"{name}=[\d.]+ ?[KMG]? total → ([\d.]+ ?[KMG]?) matched", plan))


def _bytes(plan: str) -> float:
    return _metric(plan, "bytes_scanned")


def _number(text: str) -> float:
    digits = text.rstrip(" KMG")
    return float(digits) * {"K": 1e3, "M": 1e6, "G": 1e9}.get(text[-1], 1)


def _many_refreshes(lake: Lake, engine: Engine, date: dt.date, refreshes: int) -> None:
    rows = complete_journey.transactions()
    rows = rows.filter([each == date for each in rows["event_date"].to_pylist()])
    for n in range(refreshes):
        write_deltalake(lake.silver, rows.slice(n * 7 % rows.num_rows, 7), mode="append")
        refresh(lake, engine, [date])
    before = {name: _place(uri) for name, uri in lake.places.items()}
    started = time.perf_counter()
    maintain(lake, engine, retention_hours=0, allow_short_retention=True)
    seconds = time.perf_counter() - started
    print(f"\n{refreshes} refreshes of {date}, then maintenance with VACUUM of all that is dead ({seconds:.2f} s):")
    for name, uri in lake.places.items():
        print(f"  {name:<24} before {before[name]}\n  {'':<24} after  {_place(uri)}")


def _place(uri: str) -> str:
    stored = list(Path(uri).glob("event_date=*/*.parquet"))
    live = DeltaTable(uri).file_uris()
    size = sum(path.stat().st_size for path in stored)
    opening = _median([uri] * _KEYS, DeltaTable)
    return f"{len(stored):>6} files stored, {len(live):>5} live, {size:>13,} bytes, opens in {opening * 1000:.1f} ms"


def _engine(name: str) -> Engine:
    if name == "spark":
        from gold_assets.engines.spark import SparkEngine

        return SparkEngine()
    from gold_assets.engines.sail import SailEngine

    return SailEngine()


if __name__ == "__main__":
    main()
