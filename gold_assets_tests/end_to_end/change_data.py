"""``python -m gold_assets_tests.end_to_end.change_data``: a day's change data, merged into Silver while a real daemon follows it.

500 commits on 365 dates, of twenty rows fourteen updates, three deletes and three inserts, most on the newest dates, of which two are large. Told are how long
each took to be published, what Gold's logs say was done, and the files that are left. At the end Gold must be what Silver says.
"""

import argparse
import datetime as dt
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.dates import days
from gold_assets.gold.gold_log import GoldLog
from gold_assets_tests import vectors
from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.small_silver import MONDAY
from gold_assets_tests.truth import differences

DATES = days(MONDAY, MONDAY.replace(month=12, day=30))
_ROWS_A_DATE, _ROWS_OF_LARGE_DATES, _CHANGED = 1_000, 1_000_000, 20
_LARGE = DATES[-2:]


class ChangeData:
    def __init__(self, folder: Path, seed: int) -> None:
        window = {"GOLD_PARTITIONS_START": str(DATES[0]), "GOLD_PARTITIONS_END": str(DATES[-1])}
        self.dev = DagsterDev(folder, **window)
        self.committed: dict[int, tuple[dt.date, dt.datetime]] = {}
        """By version of Silver the date that a commit changed, and when."""
        self._chance, self._numbers = random.Random(seed), np.random.default_rng(seed)
        self._ids = iter(range(10**9))
        self._held = {
            date: [next(self._ids) for _ in range(_ROWS_OF_LARGE_DATES if date in _LARGE else _ROWS_A_DATE)]
            for date in DATES
        }

    def run(self, commits: int, seconds: float) -> list[str]:
        """What differs at the end, after so many commits of which each waits so many seconds for the next."""
        lake = self.dev.lake
        self._begin()
        with self.dev:
            self.dev.wait_for("all dates are published", 900, lambda: self._published_version() >= 0)
            for _ in range(commits):
                date = self._merge()
                self.committed[DeltaTable(lake.silver).version()] = date, dt.datetime.now(dt.timezone.utc)
                time.sleep(seconds)
            last = max(self.committed)
            self.dev.wait_for("the last commit is published", 900, lambda: self._published_version() >= last)
        self._tell()
        return differences(lake)

    def _begin(self) -> None:
        of_large = [self._rows(date, self._held[date]) for date in _LARGE]
        others = [self._rows(date, ids) for date, ids in self._held.items() if date not in _LARGE]
        for rows in (pa.concat_tables(others), *of_large):
            write_deltalake(self.dev.lake.silver, rows, mode="append", partition_by=["event_date"])

    def _rows(self, date: dt.date, ids: Sequence[int]) -> pa.Table:
        """Rows of these ids, each with values by chance."""
        count, chance = len(ids), self._numbers
        return pa.table(
            {
                "id": pa.array(ids, pa.int64()),
                "user_id": [f"user {id % 30_000}" for id in ids],
                "product_id": [f"product {id % 5_000}" for id in ids],
                "amount": np.round(chance.random(count) * 100, 2),
                "usage_cost_ratio": chance.random(count),
                "risk_level": np.array(["low", "medium", "high"])[chance.integers(0, 3, count)],
                "event_date": pa.array([date] * count, pa.date32()),
            }
        )

    def _merge(self) -> dt.date:
        chance = self._chance
        newest = chance.random() < 0.8
        date = chance.choice(DATES[-7:] if newest else DATES)
        of_date = self._held[date]
        updated = chance.sample(of_date, round(0.7 * _CHANGED))
        deleted = chance.sample([id for id in of_date if id not in set(updated)], round(0.15 * _CHANGED))
        inserted = [next(self._ids) for _ in range(round(0.15 * _CHANGED))]
        self._held[date] = [id for id in of_date if id not in set(deleted)] + inserted

        def update(rows: pa.Table) -> pa.Table:
            ids = [id for id in rows["id"].to_pylist() if id not in set(deleted)]
            return self._rows(date, ids)

        changed = pa.array(updated + deleted, pa.int64())
        vectors.merge(
            self.dev.lake.silver,
            lambda rows: pc.is_in(rows["id"], changed),
            update,
            self._rows(date, inserted),
            partitions={str(date)},
        )
        vectors.checkpoint(self.dev.lake.silver)
        return date

    def _published_version(self) -> int:
        newest = self.dev.lake.publications().newest()
        return -1 if newest is None or newest.silver_version is None else newest.silver_version

    def _tell(self) -> None:
        """Commit by commit, how long it took until a publication held its date as it was then or later, in every table."""
        told = self.dev.lake.publications().last(10_000)[::-1]
        waited, left = [], dict(self.committed)
        for publication in told:
            dates = {date for date, _ in left.values()}
            made = [GoldLog(table.open()).made_from(dates) for table in publication.tables.values()]
            for version, (date, at) in list(left.items()):
                if all(date in of_table and of_table[date].silver_version >= version for of_table in made):
                    waited.append((publication.at - at).total_seconds())
                    del left[version]
        of_one = sum(publication.silver_version is not None for publication in told)
        print(
            f"{len(waited)} commits published after {statistics.median(waited):.1f} s, at most {max(waited):.1f} s, in {len(told)} "
            f"publications, {of_one} of which could name one version of Silver"
        )
        for name, place in self.dev.lake.places.items():
            table = DeltaTable(place)
            print(f"{name:<24}{len(table.file_uris()):>6} files; {dict(Counter(self._hows(table)))}", flush=True)

    def _hows(self, table: DeltaTable) -> Iterator[str]:
        for commit in GoldLog(table).backwards():
            if commit.stamp is not None:
                yield commit.stamp.how


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1.0, help="between two commits")
    parser.add_argument("--seed", type=int, default=35)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = ChangeData(Path(folder), given.seed).run(given.commits, given.seconds)
    if found:
        raise SystemExit("Gold differs from Silver:\n" + "\n".join(found[:20]))
    print("Gold is what Silver says")


if __name__ == "__main__":
    main()
