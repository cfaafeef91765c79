"""One date on Spark in a new process: with a JVM of its own, and on a warm Spark Connect server.

``python -m benchmarks.spark_start`` prints medians. Both refresh the three tables and the quarantine of a date of 56 thousand
Silver rows, into tables that are there; each contender's first run, which also warms the server, does not count. Seconds
include the engine's start, process seconds the imports too.
"""

import datetime as dt
import tempfile

from deltalake import DeltaTable

from benchmarks.contenders import measure, medians, parser, run, table
from gold_assets import transactions
from gold_assets.engines.spark import SparkEngine
from gold_assets.engines.spark_jars import fetch_jars
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.sample.complete_journey import write_silver
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.engines.processes import connect_server

_DATE = dt.date(2017, 3, 1)
_OWN_JVM = "a JVM of its own"


def one_date(engine: SparkEngine, silver: str, out: str) -> None:
    """Refresh the date; the engine starts with it."""
    lake = Lake(transactions.project, silver, {declared.name: f"{out}/{declared.name}" for declared in TABLES})
    measure(lambda: refresh(lake, engine, [_DATE]))
    engine.close()


def main() -> None:
    arguments = parser(__doc__).parse_args()
    if arguments.contender:
        remote = None if arguments.contender == _OWN_JVM else arguments.contender
        one_date(SparkEngine(remote=remote), arguments.silver, arguments.out)
        return
    settings = [f"{name}={value}" for name, value in fetch_jars(SparkEngine().conf()).items()]
    with tempfile.TemporaryDirectory() as scratch, connect_server(*settings) as remote:
        silver = arguments.silver or f"{scratch}/silver"
        if not DeltaTable.is_deltatable(silver):
            write_silver(silver, copies=arguments.copies)
        rounds: dict[str, list[dict[str, float]]] = {_OWN_JVM: [], remote: []}
        for _ in range(1 + arguments.rounds):
            for number, (name, measured) in enumerate(rounds.items()):
                own = ["--contender", name, "--silver", silver, "--out", f"{scratch}/{number}"]
                measured.append(run("benchmarks.spark_start", *own))
        print(table(medians({name: measured[1:] for name, measured in rounds.items()}), baseline=_OWN_JVM))


if __name__ == "__main__":
    main()
