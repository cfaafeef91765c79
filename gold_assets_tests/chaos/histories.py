"""Random changes of a Silver, one at a time."""

import datetime as dt
import random
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.dates import days
from gold_assets.delta.file_dates import FileDates
from gold_assets.gold.lake import Lake
from gold_assets_tests import silver_changes
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import rows_of

DATES = days(MONDAY, MONDAY + dt.timedelta(days=13))
_USERS = ("ann", "bob", "cid", "dan", "eve")


class SilverHistory:
    """What others do to the lake's Silver, chosen by ``choice``: any order of changes, and of each some rows of some dates."""

    def __init__(self, lake: Lake, choice: random.Random) -> None:
        self.lake = lake
        self._choice = choice
        self._oldest = 0
        """The oldest version that can be restored: those before have lost their files."""

    def begin(self) -> None:
        """The first rows, of a Silver that is partitioned by date or not at all."""
        write_silver(self.lake, self._rows(), partition_by=self._choice.choice([["event_date"], []]))

    def append(self) -> None:
        silver_changes.append(self._rows())(self.lake)

    def append_rows_that_break_rules(self) -> None:
        broken: list[dict[str, Any]] = [
            {"user_id": " "},
            {"product_id": None},
            {"amount": 1e300},
            {"amount": None},
            {"usage_cost_ratio": float("nan")},
            {"risk_level": "?"},
            {"event_date": None},
        ]
        silver_changes.append([each | self._choice.choice(broken) for each in self._rows()])(self.lake)

    def append_with_another_column(self) -> None:
        silver_changes.append_with_another_column(self._rows())(self.lake)

    def overwrite_a_date(self) -> None:
        silver_changes.overwrite_a_day(self._rows(), self._date())(self.lake)

    def delete(self) -> None:
        silver_changes.delete(self._held_date(), self._of_some_users())(self.lake)

    def update(self) -> None:
        silver_changes.update(self._held_date())(self.lake)

    def move_to_another_date(self) -> None:
        silver_changes.move(self._held_date(), self._date(), self._of_some_users())(self.lake)

    def take_dates_away(self) -> None:
        silver_changes.move(self._held_date(), None, self._of_some_users())(self.lake)

    def give_dates(self) -> None:
        silver_changes.give_a_date(self._date())(self.lake)

    def merge(self) -> None:
        delete, feed = self._choice.choice([True, False]), self._choice.choice([True, False])
        insert = self._choice.choice([[], self._rows()])
        date, user = self._held_date(), self._choice.choice(_USERS)
        silver_changes.merge(date, delete=delete, feed=feed, insert=insert, user=user)(self.lake)

    def optimize(self) -> None:
        silver_changes.compact(self.lake)

    def vacuum(self) -> None:
        self._oldest = self.version
        silver_changes.vacuum(self.lake)

    def restore(self) -> None:
        silver_changes.restore(self._choice.randint(1, 3), self._oldest)(self.lake)

    def forget_old_dates(self) -> None:
        """A retention."""
        DeltaTable(self.lake.silver).delete(f"event_date < DATE '{self._choice.choice(DATES[:5])}'")

    def load_a_date_twice(self) -> None:
        date = self._held_date()
        again = [each for each in rows_of(self.lake.silver).to_pylist() if each["event_date"] == date]
        write_deltalake(self.lake.silver, pa.Table.from_pylist(again, schema=self._arrow_schema()), mode="append")

    def _arrow_schema(self) -> pa.Schema:
        return pa.schema(DeltaTable(self.lake.silver).schema().to_arrow())

    @property
    def version(self) -> int:
        return int(DeltaTable(self.lake.silver).version())

    def _date(self) -> dt.date:
        return self._choice.choice(DATES)

    def _held_date(self) -> dt.date:
        """One that Silver has rows of."""
        held = sorted(date for date in FileDates(DeltaTable(self.lake.silver)).dates() if date is not None)
        return self._choice.choice(held or DATES)

    def _of_some_users(self) -> str:
        return f"user_id >= '{self._choice.choice(_USERS)}'"

    def _rows(self) -> list[dict[str, Any]]:
        """Up to eight rows, of one date or of several."""
        dates = [self._date() for _ in range(self._choice.randint(1, 3))]
        return [self._row(self._choice.choice(dates)) for _ in range(self._choice.randint(1, 8))]

    def _row(self, date: dt.date) -> dict[str, Any]:
        kind = self._choice.choice([row, row, high_risk_row])
        return kind(
            user_id=self._choice.choice(_USERS),
            product_id=self._choice.choice(["tea", "rye", "gin"]),
            amount=self._choice.randint(-100_000, 1_000_000) / 10_000,
            usage_cost_ratio=self._choice.choice([None, 0.1, 0.2, self._choice.random()]),
            event_date=date,
        )
