"""Whatever becomes of Silver, what is held is exactly what the rule says, and the rest is exact: random histories with accidents, decisions and crashes.

``pytest --hypothesis-profile thorough`` runs 225 of them.
"""

import datetime as dt
import itertools
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import hypothesis.strategies as st
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import event, given, settings

from gold_assets.checks.findings import Limits
from gold_assets.checks.publishing import publish
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.gold.held import decide, held_dates
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import refresh
from gold_assets.gold.safeguards import Safeguards
from gold_assets_tests import silver_changes
from gold_assets_tests.conftest import few_rows, lake_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true, rows_of

pytestmark = pytest.mark.sail

TODAY = dt.datetime.now(dt.timezone.utc).date()
DATES = (MONDAY, TUESDAY, WEDNESDAY, TODAY)
LIMITS = Limits(MONDAY, TODAY)
LEAST = 4
EXAMPLES = settings().max_examples
_numbers = itertools.count()

Verdict = Literal["approve", "keep"]


class Life:
    """A lake, and what must be held in it: worked out from Silver's rows, its log's files and what was done, and nothing else."""

    def __init__(self, lake: Lake, engine: Engine, sealed_before: dt.date | None) -> None:
        self.lake = Lake(
            lake.project,
            lake.silver,
            lake.places,
            published=lake.published,
            safeguards=Safeguards(sealed_before=sealed_before, least_rows=LEAST),
        )
        self.engine, self.sealed_before = engine, sealed_before
        self.made: dict[tuple[str, dt.date], tuple[int, int]] = {}
        """By table and date the version of Silver that it was made from, and how many rows of the date that had."""
        self.decided: dict[dt.date, tuple[Verdict, int]] = {}
        """The newest decision on each date, and the version of Silver that it was of."""
        self._commits: dict[Path, set[dt.date | None]] = {}

    # The rule

    @property
    def version(self) -> int:
        return int(DeltaTable(self.lake.silver).version())

    def rows(self) -> Counter[dt.date | None]:
        return Counter(rows_of(self.lake.silver)["event_date"].to_pylist())

    def has_changed(self, date: dt.date, since: int) -> bool:
        logs = Path(self.lake.silver, "_delta_log").glob("*.json")
        return any(date in self._touched(log) for log in logs if int(log.stem) > since)

    def _touched(self, log: Path) -> set[dt.date | None]:
        if log not in self._commits:
            self._commits[log] = set()
            for line in log.read_text().splitlines():
                for kind, action in json.loads(line).items():
                    if kind in ("add", "remove") and action["dataChange"]:
                        self._commits[log] |= self._dates_in(action)
        return self._commits[log]

    def _dates_in(self, action: dict[str, Any]) -> set[dt.date | None]:
        if "event_date" in (action.get("partitionValues") or {}):
            date = action["partitionValues"]["event_date"]
            return {dt.date.fromisoformat(date) if date else None}
        file = pq.ParquetFile(Path(self.lake.silver, unquote(action["path"])))
        return set(file.read(["event_date"])["event_date"].to_pylist())

    def holds(self, table: str, date: dt.date) -> Literal["", "undecided", "decided"]:
        """Whether the table keeps what it has of the date, though Silver has changed it; and whether somebody is to decide."""
        if (table, date) not in self.made:
            return ""
        version, before = self.made[table, date]
        if not self.has_changed(date, version):
            return ""
        verdict, of_version = self.decided.get(date, ("", -1))
        stands = verdict != "" and not self.has_changed(date, of_version)
        if verdict == "approve" and stands:
            return ""
        if verdict == "keep":
            return "decided" if stands else "undecided"
        if self.sealed_before and date < self.sealed_before:
            return "undecided"
        now = self.rows()[date]
        is_accident = before >= LEAST and (2 * now <= before or now >= 2 * before)
        return "undecided" if is_accident and date < TODAY else ""

    def is_closed(self, date: dt.date) -> bool:
        """Whether it is left as it is though Silver has not changed it."""
        verdict, of_version = self.decided.get(date, ("", -1))
        if verdict == "keep":
            return True
        is_open = verdict == "approve" and not self.has_changed(date, of_version)
        return not is_open and self.sealed_before is not None and date < self.sealed_before

    def held(self, kinds: Collection[str] = ("undecided",)) -> list[dt.date]:
        return [date for date in DATES if any(self.holds(table.name, date) in kinds for table in self.lake.tables)]

    # What happens

    def follow(self, tables: int | None = None) -> None:
        """What the sensor's run does, which may be killed once so many tables are written."""
        self._refresh(DATES, "patch", self.lake.tables[:tables])
        if tables is None:
            self.assert_all_else_is_exact()

    def recompute(self, dates: Sequence[dt.date], opened: Sequence[dt.date] = ()) -> None:
        self._refresh(dates, "recompute", self.lake.tables, opened)

    def _refresh(
        self, dates: Sequence[dt.date], how: Any, tables: Sequence[Any], opened: Sequence[dt.date] = ()
    ) -> None:
        before, rows, version = self._gold(), self.rows(), self.version
        left = {
            (table.name, date)
            for table in tables
            for date in dates
            if (table.name, date) in self.made
            and date not in opened
            and (self.holds(table.name, date) or (self.is_closed(date) and how == "recompute"))
        }
        refreshed = refresh(self.lake, self.engine, dates, tables=tables, how=how, opened=opened)
        assert {(name, date) for name, of in refreshed.held.items() for date in of} == left
        for table in tables:
            for date in dates:
                current = (table.name, date) in self.made and not self.has_changed(date, self.made[table.name, date][0])
                if (table.name, date) not in left and not (how == "patch" and current):
                    self.made[table.name, date] = version, rows[date]
        after = self._gold()
        assert {key: after[key] for key in left} == {key: before[key] for key in left}, "what is held was changed"
        event(f"{how} with {'some' if left else 'nothing'} held")

    def _gold(self) -> dict[tuple[str, dt.date], list[str]]:
        found: dict[tuple[str, dt.date], list[str]] = {
            (table.name, date): [] for table in self.lake.tables for date in DATES
        }
        for name, place in self.lake.places.items():
            if DeltaTable.is_deltatable(place):
                for each in rows_of(place).to_pylist():
                    if each["event_date"] is not None:
                        found[name, each["event_date"]].append(str(each))
        return {key: sorted(rows) for key, rows in found.items()}

    def decide(self, verdict: Verdict, dates: Sequence[dt.date]) -> None:
        def deciding() -> None:
            decide(self.lake, verdict, dates, by="ann", reason="ticket 4711")

        # Who has kept a date may think better of it.
        taken_back = self.kept_by_somebody() if verdict == "approve" else []
        meant = [date for date in dates if date in self.held() or date in taken_back]
        if meant:
            deciding()
            self.decided |= dict.fromkeys(meant, (verdict, self.version))
            event(f"{verdict} of {len(meant)}")
        else:
            with pytest.raises(UserError, match="Nothing is held"):
                deciding()

    def kept_by_somebody(self) -> list[dt.date]:
        return [date for date in self.held(["decided"]) if self.decided[date][0] == "keep"]

    def publish(self) -> None:
        publish(self.lake, LIMITS)

    # What must hold

    def assert_held_as_the_rule_says(self) -> None:
        assert [each.date for each in held_dates(Moment(self.lake), DATES)] == self.held()

    def assert_all_else_is_exact(self) -> None:
        for table in self.lake.tables:
            free = [date for date in DATES if not self.holds(table.name, date)]
            assert_gold_is_true(self.lake, free, tables=[table.name])
        outcome = publish(self.lake, LIMITS)
        assert not outcome.is_held, outcome.summary
        assert outcome.publication is not None
        assert outcome.publication.dates_kept == tuple(self.held(["undecided", "decided"]))
        promised = outcome.publication.silver_version
        assert promised is not None, outcome.publication.reason
        # Where Silver was compacted since and no more, there is nothing to publish.
        assert not any(self.has_changed(date, promised) for date in DATES)

    def end(self) -> None:
        """All is approved, and Gold exact everywhere."""
        self.follow()
        if dates := sorted({*self.held(), *self.kept_by_somebody()}):
            self.decide("approve", dates)
        self.follow()
        assert self.held(["undecided", "decided"]) == []
        assert_gold_is_true(self.lake)


Step = Callable[[Life], object]


def shop(date: dt.date, rows: int) -> list[dict[str, Any]]:
    """Its users are numbered, so that some can be deleted."""
    return [(high_risk_row if n % 3 == 0 else row)(event_date=date, user_id=f"user {n}") for n in range(rows)]


def load_twice(date: dt.date, missing: int) -> silver_changes.Change:
    """All rows of the date once more, or nearly."""

    def change(lake: Lake) -> None:
        rows = [each for each in rows_of(lake.silver).to_pylist() if each["event_date"] == date]
        if again := rows[missing:]:
            write_silver(lake, again)

    return change


def delete_about_half(date: dt.date, more: int) -> silver_changes.Change:
    def change(lake: Lake) -> None:
        users = sorted(each["user_id"] for each in rows_of(lake.silver).to_pylist() if each["event_date"] == date)
        if users:
            silver_changes.delete(date, f"user_id <= '{users[min(max(len(users) // 2 - more, 0), len(users) - 1)]}'")(
                lake
            )

    return change


def retention(before: dt.date) -> silver_changes.Change:
    return lambda lake: DeltaTable(lake.silver).delete(f"event_date < DATE '{before}'")


def of_silver(change: silver_changes.Change) -> Step:
    return lambda life: change(life.lake)


on = st.sampled_from(DATES)
some = st.lists(on, min_size=1, unique=True)
few = st.integers(0, 2)
accidents = st.one_of(
    st.sampled_from(DATES[1:]).map(retention),
    st.builds(load_twice, on, few),
    st.builds(delete_about_half, on, few),
    on.map(silver_changes.delete),
)
changes = st.one_of(
    *[accidents] * 3,
    st.builds(shop, on, st.integers(1, 9)).map(silver_changes.append),
    st.integers(1, 3).map(silver_changes.restore),
    st.builds(silver_changes.move, on, on, st.just("user_id < 'user 5'")),
    st.builds(silver_changes.overwrite_a_day, st.builds(shop, on, st.integers(1, 9)), on),
    on.map(silver_changes.update),
    st.just(silver_changes.compact),
)
followed = st.just(Life.follow)
killed = st.integers(1, 3).map(lambda tables: lambda life: life.follow(tables))
decided = st.builds(
    lambda verdict, dates: lambda life: life.decide(verdict, dates),
    st.sampled_from(["approve", "approve", "keep"]),
    some | st.just(list(DATES)),
)
recomputed = st.builds(lambda dates: lambda life: life.recompute(dates), some)
opened = st.builds(lambda dates: lambda life: life.recompute(dates, dates), some)
steps = st.one_of(
    *[changes.map(of_silver)] * 8,
    *[followed] * 4,
    *[killed] * 2,
    *[decided] * 5,
    recomputed,
    opened,
    st.just(Life.publish),
)


@settings(max_examples=max(EXAMPLES // 8, 1))
@given(
    first=st.lists(st.builds(shop, on, st.integers(3, 10)), min_size=2, max_size=4),
    history=st.lists(steps, min_size=8, max_size=16),
    partitioned=st.booleans(),
    sealed_before=st.sampled_from([None, None, TUESDAY]),
)
def test_what_is_held_is_what_the_rule_says_and_all_else_is_exact(
    first: list[list[dict[str, Any]]],
    history: list[Step],
    partitioned: bool,
    sealed_before: dt.date | None,
    engine: Engine,
    tmp_path: Path,
) -> None:
    life = Life(lake_in(tmp_path / f"lake {next(_numbers)}"), engine, sealed_before)
    write_silver(life.lake, list(itertools.chain(*first)), partition_by=["event_date"] if partitioned else [])
    with few_rows(engine, 1_000_000):
        life.follow()
        for step in history:
            step(life)
            life.assert_held_as_the_rule_says()
        life.end()
