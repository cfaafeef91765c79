"""What ``gold try --sample 30`` costs, next to making the same dates by ``refresh``.

``python -m benchmarks.trying --copies 14`` builds a Silver of 14 times 1,469,307 rows, makes and publishes Gold once, and then, each
round, in a process of its own each: tries all tables on a sample of 30 dates; and makes those dates of all tables in an empty
lake. Seconds are the job's alone, and begin before the engine has started; process seconds include the imports.
"""

import dataclasses
import datetime as dt
import tempfile
from collections.abc import Callable

from benchmarks.contenders import measure, medians, parser, run, table
from gold_assets import transactions
from gold_assets.checks.findings import Limits
from gold_assets.checks.publishing import publish
from gold_assets.delta.dates import days
from gold_assets.engines.sail import SailEngine
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.sample.complete_journey import write_silver
from gold_assets.trying.trial import sampled, try_out

_DATES = days(dt.date(2017, 1, 1), dt.date(2017, 12, 31))


def _try(root: str, scratch: str) -> None:
    lake, engine = transactions.project.lake(root), SailEngine()
    trial = try_out(lake, lambda: engine, scratch, _DATES, _DATES, sample=30, tables=lake.tables)
    assert not trial.differs and len(trial.dates) == 30
    engine.close()


def _refresh(root: str, scratch: str) -> None:
    lake = transactions.project.lake(root)
    dates = sampled(Moment(lake), _DATES, 30)
    engine = SailEngine()
    refresh(dataclasses.replace(transactions.project.lake(scratch), silver=lake.silver), engine, dates)
    engine.close()


CONTENDERS: dict[str, Callable[[str, str], None]] = {"refresh": _refresh, "gold try --sample 30": _try}


def main() -> None:
    given = parser(__doc__).parse_args()
    if given.contender:
        measure(lambda: CONTENDERS[given.contender](given.silver, given.out))
        return
    with tempfile.TemporaryDirectory() as folder:
        lake, engine = transactions.project.lake(f"{folder}/lake"), SailEngine()
        write_silver(lake.silver, copies=given.copies)
        refresh(lake, engine, _DATES)
        engine.close()
        publish(lake, Limits(_DATES[0], _DATES[-1]))
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
        for number in range(given.rounds):
            for place, (name, measured) in enumerate(rounds.items()):
                asked = ["--contender", name, "--silver", f"{folder}/lake", "--out", f"{folder}/{number}-{place}"]
                measured.append(run("benchmarks.trying", *asked))
        print(table(medians(rounds), "refresh"))


if __name__ == "__main__":
    main()
