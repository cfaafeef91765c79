"""How long a run over many dates takes as a whole command, with the checks of every date, and the sensor's first tick after it.

``python -m benchmarks.long_range`` prints the seconds of both, and the number of events that Dagster keeps, by the number of dates.
With ``--peer`` the same run is made once more with the SQLite storage that Dagster has by default, and the ratio is printed. With
``--postgres`` the records are in a PostgreSQL of its own.
"""

import argparse
import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import sqlalchemy as sa
import yaml
from dagster._core.storage.event_log import SqlEventLogStorage
from deltalake import write_deltalake

from gold_assets import transactions
from gold_assets.gold.lake import Lake
from gold_assets.micro_batches.micro_batch import tick
from gold_assets.transactions.sample.complete_journey import SCHEMA
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.instance.postgres_server import PostgresServer, on_postgres

_LAST = dt.date(2024, 12, 31)
_ROWS_A_DATE = 20
_INSTANCE = Path(__file__).parents[1] / "dagster_home" / "dagster.yaml"
_OURS = {"storage": yaml.safe_load(_INSTANCE.read_text())["storage"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dates", type=int, nargs="+", default=[365, 3_650])
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    print(f"{'dates':>7}{'events':>9}{'run s':>9}{'first tick s':>14}{'peer s':>9}{'ratio':>8}")
    for dates in given.dates:
        with tempfile.TemporaryDirectory() as folder:
            silver = f"{folder}/silver"
            _write_silver(silver, dates)
            with _postgres() if given.postgres else nullcontext(_OURS) as storage:
                seconds, events, first_tick = _run(Path(folder, "ours"), silver, dates, storage)
            line = f"{dates:>7,}{events:>9,}{seconds:>9.1f}{first_tick:>14.2f}"
            if given.peer:
                peer, _, _ = _run(Path(folder, "peer"), silver, dates, {})
                line += f"{peer:>9.1f}{seconds / peer:>8.2f}"
            print(line, flush=True)


def _write_silver(uri: str, dates: int) -> None:
    days = [_LAST - dt.timedelta(days=n) for n in range(dates) for _ in range(_ROWS_A_DATE)]
    values = {
        "event_date": pa.array(days, pa.date32()),
        "user_id": pa.array([str(n % 7) for n in range(len(days))]),
        "product_id": pa.array([str(n % 5) for n in range(len(days))]),
        "amount": pa.array([n % 100 for n in range(len(days))]),
        "usage_cost_ratio": pa.array([n % 10 / 10 for n in range(len(days))]),
        "risk_level": pa.array(["high"] * len(days)),
    }
    columns = {
        field.name: values[field.name].cast(field.type) if field.name in values else pa.nulls(len(days), field.type)
        for field in SCHEMA
    }
    write_deltalake(uri, pa.table(columns, schema=SCHEMA), partition_by=["event_date"])


@contextmanager
def _postgres() -> Iterator[dict[str, Any]]:
    """The settings of records in a PostgreSQL, which is there as long."""
    with PostgresServer() as server:
        yield {"storage": on_postgres(server.url)}


def _run(folder: Path, silver: str, dates: int, storage: Mapping[str, Any]) -> tuple[float, int, float]:
    """Seconds of the run, the asset events that it left, and seconds of the sensor's first tick."""
    home, lake = folder / "home", folder / "lake"
    home.mkdir(parents=True)
    settings = yaml.safe_load(_INSTANCE.read_text())
    del settings["storage"]
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings | dict(storage)))
    first = _LAST - dt.timedelta(days=dates - 1)
    env = os.environ | {
        "DAGSTER_HOME": str(home),
        "GOLD_LAKE_ROOT": str(lake),
        "GOLD_SOURCE_PATH": silver,
        "GOLD_PARTITIONS_START": str(first),
        "GOLD_PARTITIONS_END": str(_LAST),
    }
    command = [
        str(Path(sys.executable).parent / "dagster"),
        "asset",
        "materialize",
        "-m",
        "gold_assets.transactions.definitions",
    ]
    command += ["--select", "group:gold or group:quarantine", "--partition-range", f"{first}...{_LAST}"]
    started = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    os.environ["DAGSTER_HOME"] = str(home)
    places = {table.name: str(lake / table.default_path) for table in TABLES}
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, SqlEventLogStorage)
        with instance.event_log_storage.index_connection() as index:
            events = index.execute(sa.text("SELECT count(*) FROM event_logs")).scalar_one()
        started = time.perf_counter()
        context = dg.build_sensor_context(instance=instance)
        tick(context, Lake(transactions.project, silver, places), (first, _LAST), time.time())
        first_tick = time.perf_counter() - started
    shutil.rmtree(folder)
    return seconds, events, first_tick


if __name__ == "__main__":
    main()
