"""Explanations of random histories of Silver and Gold, held against what reading every version of both tells."""

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from deltalake import DeltaTable
from hypothesis import Phase, given, settings

from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.explaining.differences import differences
from gold_assets.explaining.explanation import Explanation, explain
from gold_assets.explaining.history import Change, SilverCommit
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests import silver_changes
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.corruptions import HIGH_RISK, QUARANTINE, SPEND
from gold_assets_tests.gold.test_patch_histories import DATES, EXAMPLES, delete_of_gold, few, of_silver, on, rows
from gold_assets_tests.small_silver import write_silver
from gold_assets_tests.truth import rows_of

pytestmark = pytest.mark.sail

_numbers = itertools.count()

changes = st.one_of(
    *[
        st.one_of(
            *[rows.map(silver_changes.append)] * 6,
            rows.map(silver_changes.append_with_another_column),
            st.builds(silver_changes.overwrite_a_day, rows, on),
            st.builds(silver_changes.delete, on, st.just("user_id = 'ann'")),
            on.map(silver_changes.update),
            st.builds(silver_changes.move, on, on | st.none(), st.just("user_id = 'bob'")),
            st.just(silver_changes.compact),
        ).map(of_silver)
    ]
    * 8,
    few.flatmap(delete_of_gold),
)
hows = st.sampled_from(["patch", "patch", "recompute", None])

Counted = Counter[tuple[tuple[str, str], ...]]


def counted(rows: list[dict[str, Any]], **values: Any) -> Counted:
    """The rows with these values, as a multiset that does not know of columns without a value."""
    return Counter(
        tuple(sorted((name, repr(value)) for name, value in row.items() if value is not None))
        for row in rows
        if all(row[name] == value for name, value in values.items())
    )


def history_of(uri: str, **values: Any) -> dict[int, tuple[Counted, Counted]]:
    """By each version of a table that changed the rows with these values: those that went and those that came."""
    states = [counted(rows_of(uri, version).to_pylist(), **values) for version in range(DeltaTable(uri).version() + 1)]
    return {
        version: (before - after, after - before)
        for version, (before, after) in enumerate(itertools.pairwise([Counter(), *states]))
        if before != after
    }


def told(change: Change) -> tuple[Counted, Counted]:
    assert change.before is not None and change.after is not None
    return counted(change.before), counted(change.after)


def moved(commit: SilverCommit) -> tuple[Counted, Counted]:
    assert commit.went is not None and commit.came is not None
    return counted(commit.went), counted(commit.came)


def assert_tells_what_happened(found: Explanation, lake: Lake, made: Mapping[int, int], **values: Any) -> None:
    """``made`` says which version of Silver each version of the table was made from."""
    table = found.table
    assert not found.history.ends_because and not found.history.silver_ends_because
    newest = found.now.table_version
    assert counted(found.now.rows) == counted(rows_of(lake.places[table], newest).to_pylist(), **values)
    assert {change.version: told(change) for change in found.history.changes} == history_of(
        lake.places[table], **values
    )
    in_silver = history_of(lake.silver, **values)
    for change in found.history.changes:
        assert change.silver_version == made.get(change.version)
        if change.silver_version is not None and change.since_silver_version is not None:
            window = range(change.since_silver_version + 1, change.silver_version + 1)
            touched = {commit.version: moved(commit) for commit in change.silver_commits}
            assert {version: rows for version, rows in touched.items() if rows[0] or rows[1]} == {
                version: rows for version, rows in in_silver.items() if version in window
            }


def assert_differences_are_those(lake: Lake, name: str, before: int, after: int) -> None:
    [table] = lake.named([name])
    old, new = (DeltaTable(lake.places[name], version=version) for version in (before, after))
    found = differences(lake, table, old, new)
    sides = [rows_of(lake.places[name], version).to_pylist() for version in (before, after)]
    went, came = counted(sides[0]) - counted(sides[1]), counted(sides[1]) - counted(sides[0])
    changes = list(found.largest())
    assert len(changes) == found.count
    assert {change.date for change in changes} == found.dates.keys()
    if not table.key:
        for change in changes:
            one = counted([{**change.key, "event_date": change.date}])
            assert one <= went or one <= came
        assert sum(change.after["rows"] - change.before["rows"] for change in changes) == came.total() - went.total()
        assert (
            sum(abs(change.after["rows"] - change.before["rows"]) for change in changes) == came.total() + went.total()
        )
        return
    for side, expected in (("before", went), ("after", came)):
        values = [
            {**change.key, **getattr(change, side), "event_date": change.date}
            for change in changes
            if any(value is not None for value in getattr(change, side).values())
        ]
        assert counted(values) == expected
    if found.dates:
        total: Any = found.totals["total_spend"]
        moves: list[tuple[Any, Any]] = [(each.before["total_spend"], each.after["total_spend"]) for each in changes]
        moved_by = sum((after or 0) - (before or 0) for before, after in moves)
        assert (total.before + total.change, moved_by) == (total.after, total.change)


@settings(max_examples=max(EXAMPLES // 5, 1), phases=[Phase.reuse, Phase.generate])
@given(
    first=rows,
    history=st.lists(st.tuples(changes, hows), min_size=3, max_size=6),
    partitioned=st.booleans(),
    date=on,
)
def test_an_explanation_tells_what_happened(
    first: list[dict[str, Any]],
    history: list[tuple[Any, Any]],
    partitioned: bool,
    date: dt.date,
    engine: Engine,
    tmp_path: Path,
) -> None:
    lake = lake_in(tmp_path / f"lake {next(_numbers)}")
    write_silver(lake, first, partition_by=["event_date"] if partitioned else [])
    refresh(lake, engine, DATES)
    made: dict[str, dict[int, int]] = {}
    for change, how in [(None, "recompute"), *history, (None, "patch")]:
        if change is not None:
            change(lake, engine)
        if how is not None:
            done = refresh(lake, engine, DATES, how=how)
            for name, dates in done.dates.items():
                made.setdefault(name, {}).update(
                    {written.table_version: done.silver_version for written in dates.values()}
                )
    made = {name: {1: 0, **versions} for name, versions in made.items()}
    for table, user in itertools.product((SPEND, QUARANTINE), ("ann", "bob", " ")):
        try:
            found = explain(lake, table, str(date), [f"user_id={user}"])
        except UserError as error:
            assert any(said in str(error) for said in ("nearest", "no value", "neither has any date"))
            assert not history_of(lake.places[table], user_id=user, event_date=date)
            continue
        assert_tells_what_happened(found, lake, made[table], user_id=user, event_date=date)
        assert found.second_opinion.agrees
        silver = counted(rows_of(lake.silver).to_pylist(), user_id=user, event_date=date)
        quarantine = counted(rows_of(lake.places["quarantined_txns"]).to_pylist(), user_id=user, event_date=date)
        assert (found.silver.rows, found.silver.rows - found.silver.valid_rows) == (silver.total(), quarantine.total())
        assert counted(found.silver.quarantined) <= quarantine
        assert bool(found.absent_because) == (not found.now.count)
    for name in (SPEND, HIGH_RISK, QUARANTINE):
        newest = DeltaTable(lake.places[name]).version()
        for before, after in ((1, newest), (newest, newest // 2), (0, 1)):
            assert_differences_are_those(lake, name, before, after)
