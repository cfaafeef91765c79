"""What the checks of every date cost, next to the backfill of the same dates.

``python -m benchmarks.checks --copies 14`` builds a Silver of 14 times 1,469,307 rows and makes Gold from it, each round anew, then
runs on it, each in a process of its own: every check of Gold, as ``gold checks`` does; the reconciliations alone; and
Silver's search for duplicate rows. Seconds are the job's alone; process seconds include the imports.
"""

import datetime as dt
from collections.abc import Callable

from benchmarks.backfill import gold_assets_on
from benchmarks.contenders import compare, measure, parser, table
from gold_assets import transactions
from gold_assets.checks.catalogue import following_checks, gold_checks, silver_checks
from gold_assets.checks.findings import Check, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.commands.checks import examine
from gold_assets.gold.lake import Lake
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import TABLES

_WINDOW = Limits(dt.date(2017, 1, 1), dt.date(2018, 1, 1))


def check(checks: list[Check], silver: str, out: str) -> None:
    """The checks on all dates, every one of which must pass."""
    lake = Lake(transactions.project, silver, {declared.name: f"{out}/{declared.name}" for declared in TABLES})

    def job() -> None:
        report = examine(Inspection(lake, None, _WINDOW), checks)
        assert report.exit_code == 0, report

    measure(job)


CONTENDERS: dict[str, Callable[[str, str], None]] = {
    "backfill": lambda silver, out: gold_assets_on("sail", silver, out),
    "all checks of Gold": lambda silver, out: check([*gold_checks(TABLES), *following_checks(source)], silver, out),
    "reconciliation alone": lambda silver, out: check(
        [found for found in gold_checks(TABLES) if found.name == "reconciles"], silver, out
    ),
    "duplicates in Silver": lambda silver, out: check(
        [found for found in silver_checks(source) if found.name == "no_duplicate_rows"], silver, out
    ),
}


def main() -> None:
    arguments = parser(__doc__).parse_args()
    if arguments.contender:
        CONTENDERS[arguments.contender](arguments.silver, arguments.out)
        return
    print(table(compare("benchmarks.checks", CONTENDERS, arguments, anew=["backfill"]), baseline="backfill"))


if __name__ == "__main__":
    main()
