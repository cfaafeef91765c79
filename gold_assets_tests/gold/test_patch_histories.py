"""Whatever happens to Silver, and to Gold, a refresh that patches leaves Gold true: random histories of both."""

import datetime as dt
import itertools
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import event, given, settings

from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.gold import commits, plan
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests import silver_changes
from gold_assets_tests.by_keys import however_many
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.small_silver import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    high_risk_row,
    row,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true

DATES = [MONDAY, TUESDAY, WEDNESDAY]
EXAMPLES = settings().max_examples
_numbers = itertools.count()

Change = Callable[[Lake, Engine], object]
on = st.sampled_from(DATES)
names = st.sampled_from(["ann", "bob", " "])  # of which the last breaks a rule
rows = st.lists(
    st.builds(row, user_id=names, event_date=on | st.none(), usage_cost_ratio=st.floats(0, 1), amount=st.just(1.5))
    | st.builds(high_risk_row, user_id=names, product_id=names, event_date=on, usage_cost_ratio=st.floats(0, 0.3)),
    min_size=1,
    max_size=4,
)


def of_silver(change: silver_changes.Change) -> Change:
    return lambda lake, engine: change(lake)


def of_gold(change: Callable[[DeltaTable], Any]) -> st.SearchStrategy[Change]:
    def one(name: str) -> Change:
        def change_it(lake: Lake, engine: Engine) -> None:
            change(DeltaTable(lake.places[name]))

        return change_it

    return st.sampled_from([table.name for table in TABLES]).map(one)


def restore(back: int) -> st.SearchStrategy[Change]:
    """Of Gold, by some versions, though not to where it was created."""
    return of_gold(lambda gold: gold.version() > 1 and gold.restore(max(1, gold.version() - back)))


def a_date_in(gold: DeltaTable, number: int) -> dt.date | None:
    dates = sorted(set(gold.to_pyarrow_table(columns=["event_date"])["event_date"].to_pylist()) - {None})
    return dates[number % len(dates)] if dates else None


def delete_of_gold(number: int) -> st.SearchStrategy[Change]:
    def some(gold: DeltaTable) -> None:
        if date := a_date_in(gold, number):
            gold.delete(f"event_date = '{date}'")

    return of_gold(some)


def append_to_gold(number: int) -> st.SearchStrategy[Change]:
    """The table's rows of a day once more, as somebody might who does not know whose table it is."""

    def again(gold: DeltaTable) -> None:
        if date := a_date_in(gold, number):
            write_deltalake(gold, gold.to_pyarrow_table(filters=[("event_date", "=", date)]), mode="append")

    return of_gold(again)


def recompute(dates: list[dt.date]) -> Change:
    return lambda lake, engine: refresh(lake, engine, dates)


def go_by_an_older_silver(back: int, how: Any) -> Change:
    """A replay, or a person's recompute, of a version that may not be there any more."""

    def change(lake: Lake, engine: Engine) -> None:
        version = max(0, DeltaTable(lake.silver).version() - back)
        try:
            refresh(lake, engine, DATES, version, how=how)
        except UserError as error:
            assert "cannot be read" in str(error)

    return change


order = of_gold(lambda gold: gold.optimize.compact())

few = st.integers(1, 3)
changes_of_silver = st.one_of(
    *[rows.map(silver_changes.append)] * 8,
    rows.map(silver_changes.append_with_another_column),
    rows.map(silver_changes.overwrite),
    st.builds(silver_changes.overwrite_a_day, rows, on),
    st.builds(silver_changes.delete, on, st.just("user_id = 'ann'")),
    on.map(silver_changes.update),
    st.builds(silver_changes.move, on, on | st.none(), st.just("user_id = 'bob'")),
    on.map(silver_changes.give_a_date),
    *[st.builds(silver_changes.merge, on, delete=st.booleans(), feed=st.booleans(), insert=st.just([]) | rows)] * 4,
    st.just(silver_changes.compact_by_vectors),
    st.sampled_from([silver_changes.compact, silver_changes.vacuum, silver_changes.set_a_property]),
)
changes = st.one_of(
    *[changes_of_silver.map(of_silver)] * 16,
    st.lists(on, max_size=2).map(recompute),
    st.builds(go_by_an_older_silver, few, st.sampled_from(["patch", "recompute"])),
    *[few.flatmap(delete_of_gold)] * 2,
    *[few.flatmap(append_to_gold)] * 2,
    few.flatmap(restore),
    order,
)


followed = st.one_of(st.just(DATES), st.just(DATES), st.just(DATES), st.lists(on, unique=True), st.none())


@settings(max_examples=EXAMPLES * 3 // 8)
@given(
    first=rows,
    history=st.lists(st.tuples(changes, followed), min_size=6, max_size=12),
    partitioned=st.booleans(),
    most=st.sampled_from([500, 2]),
    by_key=st.booleans(),
)
def test_gold_is_true_after_each_refresh_that_patches(
    first: list[dict[str, Any]],
    history: list[tuple[Change, list[dt.date] | None]],
    partitioned: bool,
    most: int,
    by_key: bool,
    engine: Engine,
    tmp_path: Path,
) -> None:
    """After each change no date is refreshed, or some are, or all; at last all are."""
    lake = lake_in(tmp_path / f"lake {next(_numbers)}")
    write_silver(lake, first, partition_by=["event_date"] if partitioned else [])
    with pytest.MonkeyPatch.context() as bounds, however_many() if by_key else nullcontext():
        bounds.setattr(plan, "MOST_PATCHES", most)
        bounds.setattr(commits, "MOST_APPENDED", most // 2)
        for cost in ("OF_OTHER_ROWS", "OF_HIDDEN_ROWS", "OF_REWRITTEN_ROWS"):
            bounds.setattr(plan, cost, 0)
        refresh(lake, engine, DATES, how="patch")
        for change, dates in [*history, (of_silver(silver_changes.compact), DATES)]:
            change(lake, engine)
            if dates is not None:
                done = refresh(lake, engine, dates, how="patch")
                for written in done.dates["user_spend_summary"].values():
                    event(written.step.how)
                assert_gold_is_true(lake, dates)
        assert_gold_is_true(lake)
