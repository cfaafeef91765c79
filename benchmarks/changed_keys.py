"""What following an UPDATE, a DELETE or a MERGE of Silver costs beside computing the date anew: a date of 1, 10 and 40 million rows.

``python -m benchmarks.changed_keys`` prints, for each size and kind of commit, the median of the refreshes that followed it in the way that the
plan chose, of recomputes of the same date that were asked for, and of the checks after each; the ratio of the two, and what the plan had
estimated. As many commits more are followed in the way that the plan did not choose, keys or a recompute, with the same planning: in the last
line it says how often the way chosen was the cheaper one. All runs on a warm engine. After each commit both ways end with the same
rows: the date is compared with Silver in full after the recompute, and by what changed before it.
"""

import argparse
import datetime as dt
import math
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from gold_assets import transactions
from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.engines.sail import SailEngine
from gold_assets.gold import plan
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests import vectors
from gold_assets_tests.by_keys import however_many

T = TypeVar("T")
SPEND = transactions.project.tables[0].name

DAY, NEXT_DAY = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
_FILES, _ROWS_A_USER, _ROWS_A_PRODUCT, _CHANGED = 10, 33, 200, 1_000
_chance = np.random.default_rng(36)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="*", default=[1, 10, 40], help="rows of the date")
    parser.add_argument("--times", type=int, default=20, help="commits of each kind")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    given = parser.parse_args()
    print(
        f"{'million':>8} {'commit':<44}{'by plan s':>10}{'recompute s':>13}{'ratio':>7}{'plan':>11}{'other way s':>13} | "
        f"{'checks s':>9}{'in full s':>11}{'ratio':>7}"
    )
    cases = []
    for millions in given.millions:
        with tempfile.TemporaryDirectory() as folder, closing(SailEngine()) as engine:
            lake = transactions.project.lake(folder)
            build(lake.silver, int(millions * 1e6))
            refresh(lake, engine, [DAY, NEXT_DAY])
            for kind in given.kinds:
                cases.append(case := measured(lake, engine, kind, given.times))
                print(f"{millions:>8g} {kind:<44}{case}", flush=True)
    right = sum(case.is_cheaper for case in cases)
    print(f"The way chosen was the cheaper one in {right} of {len(cases)} cases.")


def build(silver: str, rows: int) -> None:
    """A date in files of equal size, of which each has all users and products, and a small date after it."""
    for file in range(_FILES):
        of_file = transactions_of(file, rows, rows // _FILES, DAY)
        write_deltalake(silver, of_file, mode="append", partition_by=["event_date"])
    write_deltalake(silver, transactions_of(_FILES, rows, rows // 100, NEXT_DAY), mode="append")


def transactions_of(file: int, of_rows: int, rows: int, day: dt.date) -> pa.Table:
    """So many transactions of one date, of which a fifteenth is high-risk, by the users of ``of_rows``; ``file`` says in which file they are."""
    users, products = (_chance.integers(0, of_rows // each, rows) for each in (_ROWS_A_USER, _ROWS_A_PRODUCT))
    return pa.table(
        {
            "user_id": named("user", users),
            "product_id": named("product", products),
            "amount": np.round(_chance.random(rows) * 100, 2),
            "usage_cost_ratio": _chance.random(rows),
            "risk_level": np.array(["low", "medium", "high"])[_chance.integers(0, 3, rows)],
            "file": np.full(rows, file),
            "event_date": pa.array(np.full(rows, np.datetime64(day, "D"))),
        }
    )


def named(what: str, numbers: Any) -> pa.Array:
    return pc.binary_join_element_wise(what, pc.cast(pa.array(numbers), pa.string()), "_")


def some_of(share: float) -> vectors.Rows:
    """So many rows of the date, spread over all its files."""

    def matched(rows: pa.Table) -> pa.Array:
        is_of_day = pc.equal(rows["event_date"], DAY)
        return pc.and_(is_of_day, pa.array(_chance.random(rows.num_rows) < share))

    return matched


def dearer(rows: pa.Table) -> pa.Table:
    return rows.set_column(rows.column_names.index("amount"), "amount", pc.add(rows["amount"], 0.01))


def moved(rows: pa.Table) -> pa.Table:
    day = pa.array(np.full(rows.num_rows, np.datetime64(NEXT_DAY, "D")))
    return rows.set_column(rows.column_names.index("event_date"), "event_date", day)


def delete_one_user(silver: str, rows: int) -> None:
    user = f"user_{_chance.integers(0, rows // _ROWS_A_USER)}"
    vectors.merge(silver, lambda of: pc.and_(pc.equal(of["user_id"], user), pc.equal(of["event_date"], DAY)))


def rewrite_one_file(silver: str, rows: int) -> None:
    file, user = _chance.integers(0, _FILES), f"user_{_chance.integers(0, 10)}%"
    of_file = f"event_date = '{DAY}' AND file = {file} AND user_id LIKE '{user[:-1]}_'"
    DeltaTable(silver).update({"amount": "amount + 0.01"}, predicate=of_file)


KINDS: dict[str, Callable[[str, int], None]] = {
    "MERGE of 1,000 rows, deletion vectors": lambda silver, rows: vectors.merge(
        silver, some_of(_CHANGED / rows), dearer
    ),
    "the same with a change data feed": lambda silver, rows: vectors.merge(
        silver, some_of(_CHANGED / rows), dearer, feed=True
    ),
    "DELETE of one user": delete_one_user,
    "UPDATE that rewrites one file of ten": rewrite_one_file,
    "1,000 rows moved to another date": lambda silver, rows: vectors.merge(silver, some_of(_CHANGED / rows), moved),
    "MERGE that changes 30 % of the users": lambda silver, rows: vectors.merge(
        silver, some_of(0.36 / _ROWS_A_USER), dearer
    ),
}


@dataclass(frozen=True)
class Case:
    """A kind of commit on a date of one size: medians in seconds; ``other`` of the way that the plan did not choose."""

    plan: str
    chosen: float
    recompute: float
    checks: float
    in_full: float
    other: float

    @property
    def is_cheaper(self) -> bool:
        """Whether the way chosen took no longer than the other."""
        return self.chosen <= self.other

    def __str__(self) -> str:
        return (
            f"{self.chosen:>10.2f}{self.recompute:>13.2f}{self.chosen / self.recompute:>7.2f}{self.plan:>11}{self.other:>13.2f} | "
            f"{self.checks:>9.2f}{self.in_full:>11.2f}{self.checks / self.in_full:>7.2f}"
        )


def measured(lake: Lake, engine: SailEngine, kind: str, times: int) -> Case:
    taken: dict[str, list[float]] = defaultdict(list)
    rows = DeltaTable(lake.silver).count()
    dates = [DAY, NEXT_DAY] if "another date" in kind else [DAY]  # as the sensor asks for
    estimates, ways = [], set()
    refresh(lake, engine, dates, how="patch")
    for _ in range(times):
        change(lake.silver, kind, rows)
        done = timed(taken["chosen"], refresh, lake, engine, dates, how="patch")
        ways |= {of[DAY].step.how for of in done.dates.values() if DAY in of}
        estimates += [float(found) for found in re.findall(r"about ([\d.]+)", str(done.dates[SPEND].get(DAY)))]
        changed = sorted({date for of in done.dates.values() for date in of})
        timed(taken["checks"], check, lake, changed, patches=True)
        timed(taken["recompute"], refresh, lake, engine, changed)
        timed(taken["in full"], check, lake, changed, patches=False)
    by_keys = "keys" in ways
    for _ in range(times):
        change(lake.silver, kind, rows)
        with patch.object(plan, "AS_MANY_ROWS", math.inf) if by_keys else however_many():
            done = timed(taken["other"], refresh, lake, engine, dates, how="patch")
        others = {of[DAY].step.how for of in done.dates.values() if DAY in of}
        assert others <= ({"recomputed"} if by_keys else {"keys", "patched"}), done
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return Case(
        plan=f"{statistics.median(estimates):.1f}" if by_keys and estimates else "/".join(sorted(ways)),
        chosen=medians["chosen"],
        recompute=medians["recompute"],
        checks=medians["checks"],
        in_full=medians["in full"],
        other=medians["other"],
    )


def change(silver: str, kind: str, rows: int) -> None:
    KINDS[kind](silver, rows)
    vectors.checkpoint(silver)


def timed(taken: list[float], work: Callable[..., T], *given: Any, **how: Any) -> T:
    """What the work returns; how long it took is added to ``taken``."""
    started = time.perf_counter()
    done = work(*given, **how)
    taken.append(time.perf_counter() - started)
    return done


def check(lake: Lake, dates: list[dt.date], *, patches: bool) -> None:
    """All checks of Gold on these dates, of which none may fail."""
    inspection = Inspection(lake, dates, Limits(DAY, NEXT_DAY), patches=patches)
    failed = [each for each in run(gold_checks(lake.tables), inspection) if not each.passed]
    assert not failed, failed


if __name__ == "__main__":
    main()
