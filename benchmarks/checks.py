"""What the checks of every date cost, next to the backfill of the same dates.

``python -m benchmarks.checks --copies 14`` builds a Silver of 14 times 1,469,307 rows and makes Gold from it, each round anew, then
runs on it, each in a process of its own: every check of Gold, as ``gold-checks`` does; the reconciliations alone; and
Silver's search for duplicate rows. Seconds are the job's alone; process seconds include the imports.
"""

import argparse
import datetime as dt
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from deltalake import DeltaTable

from benchmarks.backfill import gold_assets_on
from benchmarks.contenders import measure, run, table
from gold_assets.check import examine
from gold_assets.lakehouse.checks import GOLD_CHECKS, GOLD_FOLLOWS, SILVER_CHECKS, Check, Inspection, Limits
from gold_assets.lakehouse.refresh import Lake
from gold_assets.lakehouse.tables import TABLES

_WINDOW = Limits(dt.date(2017, 1, 1), dt.date(2018, 1, 1))


def check(checks: list[Check], silver: str, out: str) -> None:
    """The checks on all dates, every one of which must pass."""
    lake = Lake(silver, {declared.name: f"{out}/{declared.name}" for declared in TABLES})

    def job() -> None:
        report = examine(Inspection(lake, None, _WINDOW), checks)
        assert report.exit_code == 0, report

    measure(job)


CONTENDERS: dict[str, Callable[[str, str], None]] = {
    "backfill": lambda silver, out: gold_assets_on("sail", silver, out),
    "all checks of Gold": lambda silver, out: check([*GOLD_CHECKS, GOLD_FOLLOWS], silver, out),
    "reconciliation alone": lambda silver, out: check(
        [found for found in GOLD_CHECKS if found.name == "reconciles"], silver, out
    ),
    "duplicates in Silver": lambda silver, out: check(
        [found for found in SILVER_CHECKS if found.name == "no_duplicate_rows"], silver, out
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=14, help="times 1,469,307 rows in 365 dates")
    parser.add_argument("--rounds", type=int, default=3, help="medians over the rounds are printed")
    parser.add_argument("--silver", help="a Silver that was built before, or where to build it")
    parser.add_argument("--contender", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        CONTENDERS[arguments.contender](arguments.silver, arguments.out)
        return
    with tempfile.TemporaryDirectory() as scratch:
        silver = arguments.silver or f"{scratch}/silver"
        if not DeltaTable.is_deltatable(silver):
            from gold_assets.sample.complete_journey import write_silver

            write_silver(silver, copies=arguments.copies)
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
        for _ in range(arguments.rounds):
            out = Path(scratch) / "out"
            shutil.rmtree(out, ignore_errors=True)
            for name, measured in rounds.items():
                measured.append(run("benchmarks.checks", "--contender", name, "--silver", silver, "--out", str(out)))
    medians = {
        name: {key: statistics.median(row[key] for row in measured) for key in measured[0]}
        for name, measured in rounds.items()
    }
    print(table(medians, baseline="backfill"))


if __name__ == "__main__":
    main()
