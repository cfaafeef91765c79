"""Whatever happens to Silver, and to Gold, a refresh that patches leaves Gold true: random histories of both."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import event, given, settings

from gold_assets.engines import Engine
from gold_assets.gold import plan
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.gold.tables import TABLES
from gold_assets_tests.conftest import ENGINE, lake_in
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    TUESDAY,
    WEDNESDAY,
    high_risk_row,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true

DATES = [MONDAY, TUESDAY, WEDNESDAY]
_numbers = itertools.count()

Change = Callable[[Lake, Engine], None]
on = st.sampled_from(DATES)
names = st.sampled_from(["ann", "bob", " "])
rows = st.lists(
    st.builds(row, user_id=names, event_date=on | st.none(), usage_cost_ratio=st.floats(0, 1), amount=st.just(1.5))
    | st.builds(high_risk_row, user_id=names, product_id=names, event_date=on, usage_cost_ratio=st.floats(0, 0.3)),
    min_size=1,
    max_size=4,
)


def append(new: list[dict[str, Any]]) -> Change:
    return lambda lake, engine: write_silver(lake, new) and None


def append_with_another_column(new: list[dict[str, Any]]) -> Change:
    schema = with_type("note", pa.string(), SCHEMA)
    return lambda lake, engine: write_silver(lake, [{**each, "note": "x"} for each in new], schema=schema) and None


def overwrite(new: list[dict[str, Any]]) -> Change:
    return lambda lake, engine: write_silver(lake, new, mode="overwrite") and None


def of_silver(change: Callable[[DeltaTable], Any]) -> Change:
    return lambda lake, engine: change(DeltaTable(lake.silver)) and None


def of_gold(change: Callable[[DeltaTable], Any]) -> st.SearchStrategy[Change]:
    def one(name: str) -> Change:
        return lambda lake, engine: change(DeltaTable(lake.places[name])) and None

    return st.sampled_from([table.name for table in TABLES]).map(one)


def delete(date: Any) -> Change:
    return of_silver(lambda silver: silver.delete(f"event_date = DATE '{date}' AND user_id = 'ann'"))


def update(date: Any) -> Change:
    return of_silver(lambda silver: silver.update({"amount": "7"}, predicate=f"event_date = DATE '{date}'"))


def move(date: Any) -> Change:
    to = {"event_date": "DATE '2024-01-03'"}
    return of_silver(lambda silver: silver.update(to, predicate=f"event_date = DATE '{date}' AND user_id = 'bob'"))


def restore(table: DeltaTable) -> None:
    if table.version() > 1:
        table.restore(table.version() - 1)


def recompute(date: Any) -> Change:
    return lambda lake, engine: refresh(lake, engine, [date]) and None


compact = of_silver(lambda silver: silver.optimize.compact())
vacuum = of_silver(lambda silver: silver.vacuum(0, dry_run=False, enforce_retention_duration=False))
properties = of_silver(
    lambda silver: silver.alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})
)
wrong = of_gold(lambda gold: gold.delete("event_date = DATE '2024-01-02'"))
appended_by_others = of_gold(lambda gold: _again(gold))
restored = of_gold(restore)
ordered = of_gold(lambda gold: gold.optimize.compact())

changes = st.one_of(
    *[rows.map(append)] * 6,
    rows.map(append_with_another_column),
    rows.map(overwrite),
    on.map(delete),
    on.map(update),
    on.map(move),
    st.sampled_from([compact, vacuum, properties]),
    on.map(recompute),
    wrong,
    appended_by_others,
    restored,
    ordered,
)


def _again(gold: DeltaTable) -> None:
    """Append the table's rows of a day once more, as somebody might who does not know whose table it is."""
    found = gold.to_pyarrow_table(filters=[("event_date", "=", MONDAY)])
    if found.num_rows:
        from deltalake import write_deltalake

        write_deltalake(gold, found, mode="append")


@settings(max_examples=24 if ENGINE == "sail" else 3)
@given(
    first=rows,
    history=st.lists(st.tuples(changes, st.booleans()), min_size=3, max_size=10),
    partitioned=st.booleans(),
    most=st.sampled_from([500, 2]),
)
def test_gold_is_true_after_each_refresh_that_patches(
    first: list[dict[str, Any]],
    history: list[tuple[Change, bool]],
    partitioned: bool,
    most: int,
    engine: Engine,
    tmp_path: Path,
) -> None:
    lake = lake_in(tmp_path / f"lake {next(_numbers)}")
    write_silver(lake, first, partition_by=["event_date"] if partitioned else [])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "MOST_PATCHES", most)
        refresh(lake, engine, DATES, how="patch")
        for change, follow in [*history, (compact, True)]:
            change(lake, engine)
            if follow:
                done = refresh(lake, engine, DATES, how="patch")
                for written in done.dates["user_spend_summary"].values():
                    event(written.step.how)
                assert_gold_is_true(lake)
