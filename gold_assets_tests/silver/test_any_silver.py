"""Gold equals the truth for any Silver, and after any history of it."""

import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.silver.changes import SilverChanges
from gold_assets_tests.conftest import few_rows, lake_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, rename_columns, row, with_type, write_silver
from gold_assets_tests.truth import QUARANTINE, assert_gold_is_true, rows_of

DATES = [MONDAY, TUESDAY, WEDNESDAY, dt.date(1969, 12, 31)]
EXAMPLES = settings().max_examples
_places = itertools.count()

# Few different values beside any value: rows must meet in groups, and files must hold columns of one value.
keys = st.sampled_from(["ann", "bob", " ann", "ANN", "日本", "a\tb", "a\nb", 'a"b', "a'b", "%20", "x" * 40]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=40
)
ids = keys | st.sampled_from([None, "", " ", "\t", "\r\n", "\x0b", "\u00a0", "!"])
TIES = [0.00005, -0.00005, 0.00015, 1.00005, 2.00005, -123.45675]
LIMITS = [99_999_999_999_999.98, 1e14, math.nextafter(1e14, 0), -1e14, 1e300, 5e-324]
doubles = st.sampled_from([0.0, -0.0, 1.5, 0.1, None, math.nan, math.inf, -math.inf, *TIES, *LIMITS]) | st.floats(
    -1e6, 1e6
)
decimals = (
    st.none()
    | st.sampled_from(
        [
            Decimal(text)
            for text in (
                "0",
                "1.5",
                "0.00005",
                "-0.00005",
                "99999999999999.9999",
                "99999999999999.99995",
                "-1e14",
                "1e20",
            )
        ]
    )
    | st.decimals(min_value=-(10**15), max_value=10**15, places=8)
)
# Sums of larger numbers than these depend on their order, in every engine.
ratios = st.sampled_from([None, 0.2, math.nextafter(0.2, 0), 0.1, -0.0, math.nan, math.inf, 1e100, 5e-324]) | st.floats(
    -1e100, 1e100
)
risks = st.sampled_from(["high", "high", "low", "medium", None, "HIGH", "", " high"])
dates = st.sampled_from([*DATES, None])


def silver_rows(amounts: st.SearchStrategy[Any], on: st.SearchStrategy[Any] = dates, most: int = 30) -> Any:
    """Rows, some of them more than once."""
    one = st.fixed_dictionaries(
        {
            "user_id": ids,
            "product_id": ids,
            "amount": amounts,
            "usage_cost_ratio": ratios,
            "risk_level": risks,
            "event_date": on,
        }
    )
    # Most rows of a real Silver are valid; each example has some rows of nothing but the valid kind.
    valid = st.builds(row, user_id=keys.filter(str.strip), usage_cost_ratio=st.floats(0, 1), event_date=on).map(
        lambda each: {**each, "amount": Decimal("2.5") if amounts is decimals else 2.5}
    )
    return st.lists(one | valid, max_size=most).flatmap(
        lambda rows: st.just(rows) if not rows else st.lists(st.sampled_from(rows), max_size=3).map(rows.__add__)
    )


def new_lake(folder: Path) -> Lake:
    return lake_in(folder / f"lake {next(_places)}")


LAYOUTS = ((), ("event_date",), ("event_date", "shop"), ("shop",), ("shop", "event_date"))
"""By which columns Silver may be partitioned. Where it is not, its files hold many dates, as those of a clustered one may."""
layouts = st.sampled_from(LAYOUTS)
with_shops = with_type("shop", pa.string())


def in_shops(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "shop": f"shop {len(each['product_id'] or '') % 2}"} for each in rows]


@given(
    files=st.lists(silver_rows(doubles), min_size=1, max_size=3),
    layout=layouts,
    mapped=st.booleans(),
    few=st.sampled_from([0, 10, 100]),
)
def test_gold_equals_the_truth_for_any_silver(
    files: list[list[dict[str, Any]]], layout: tuple[str, ...], mapped: bool, few: int, engine: Engine, tmp_path: Path
) -> None:
    lake = new_lake(tmp_path)
    event(f"partitioned by {layout}, {'mapped' if mapped else 'not mapped'} columns")
    # Where columns are mapped, files and logs know them by other names.
    physical = {name: f"col {name}" if mapped else name for name in with_shops.names}
    schema = pa.schema([pa.field(physical[field.name], field.type) for field in with_shops])
    for rows in files:
        named = [{physical[name]: value for name, value in each.items()} for each in in_shops(rows)]
        write_silver(lake, named, schema=schema, partition_by=[physical[name] for name in layout])
    if mapped:
        rename_columns(Path(lake.silver), {name: logical for logical, name in physical.items()})
    with few_rows(engine, few):
        done = refresh(lake, engine, DATES)
    assert_gold_is_true(lake)
    assert_nothing_is_lost(lake)
    for name, written in done.dates.items():
        real = Counter(rows_of(lake.places[name])["event_date"].to_pylist())
        assert {date: each.rows for date, each in written.items()} == {date: real[date] for date in DATES}
    silver = Counter(rows_of(lake.silver)["event_date"].to_pylist())
    assert lake.pin().file_dates.rows() == silver
    assert SilverChanges(lake.pin()).dates_after(-1) == set(silver)


@settings(max_examples=EXAMPLES // 2)
@given(rows=silver_rows(decimals), few=st.sampled_from([0, 10, 100]))
def test_gold_equals_the_truth_for_any_silver_with_decimal_amounts(
    rows: list[dict[str, Any]], few: int, engine: Engine, tmp_path: Path
) -> None:
    lake = new_lake(tmp_path)
    write_silver(lake, rows, schema=with_type("amount", pa.decimal128(38, 8)))
    with few_rows(engine, few):
        refresh(lake, engine, DATES)
    assert_gold_is_true(lake)
    assert_nothing_is_lost(lake)


def assert_nothing_is_lost(lake: Lake) -> None:
    """Per date: Silver rows = valid rows + quarantined rows."""
    silver = Counter(rows_of(lake.silver)["event_date"].to_pylist())
    found = Counter(rows_of(lake.places[QUARANTINE])["event_date"].to_pylist())
    for each in rows_of(lake.places["user_spend_summary"]).to_pylist():
        found[each["event_date"]] += each["transaction_count"]
    assert found == silver


# A history: each step changes Silver and tells which dates that touched, or at most touched.

Step = Callable[[Lake], set[dt.date | None]]
some_date = st.sampled_from(DATES)


def _append(rows: list[dict[str, Any]]) -> Step:
    def append(lake: Lake) -> set[dt.date | None]:
        write_silver(lake, in_shops(rows), schema=with_shops)
        return {each["event_date"] for each in rows}

    return append


def _delete(date: dt.date, level: str | None) -> Step:
    def delete(lake: Lake) -> set[dt.date | None]:
        condition = f"event_date = DATE '{date}'"
        DeltaTable(lake.silver).delete(condition if level is None else f"{condition} AND risk_level = '{level}'")
        return {date}

    return delete


def _update(date: dt.date) -> Step:
    def update(lake: Lake) -> set[dt.date | None]:
        DeltaTable(lake.silver).update(
            {"amount": "amount + 1", "risk_level": "'high'"},
            predicate=f"event_date = DATE '{date}' AND risk_level = 'low'",
        )
        return {date}

    return update


def _move(date: dt.date, to: dt.date | None) -> Step:
    def move(lake: Lake) -> set[dt.date | None]:
        there = "CAST(NULL AS DATE)" if to is None else f"DATE '{to}'"
        DeltaTable(lake.silver).update(
            {"event_date": there}, predicate=f"event_date = DATE '{date}' AND risk_level = 'high'"
        )
        return {date, to}

    return move


def _give_a_date(to: dt.date) -> Step:
    def give_a_date(lake: Lake) -> set[dt.date | None]:
        DeltaTable(lake.silver).update({"event_date": f"DATE '{to}'"}, predicate="event_date IS NULL")
        return {to, None}

    return give_a_date


def _compact() -> Step:
    def compact(lake: Lake) -> set[dt.date | None]:
        DeltaTable(lake.silver).optimize.compact()
        return set()

    return compact


def _replay(dates: list[dt.date]) -> Step:
    def replay(lake: Lake) -> set[dt.date | None]:
        return set(dates)

    return replay


steps = st.one_of(
    silver_rows(doubles, most=8).map(_append),
    silver_rows(doubles, most=8).map(_append),
    st.builds(_delete, some_date, st.sampled_from([None, "high", "low"])),
    st.builds(_update, some_date),
    st.builds(_move, some_date, st.sampled_from([*DATES, None])),
    st.builds(_give_a_date, some_date),
    st.builds(_compact),
    st.lists(some_date, max_size=4).map(_replay),
)


@settings(max_examples=EXAMPLES // 3)
@given(
    first=silver_rows(doubles, most=12),
    history=st.lists(steps, min_size=2, max_size=6),
    layout=layouts,
    data=st.data(),
)
def test_gold_equals_the_truth_after_each_step_of_any_history(
    first: list[dict[str, Any]],
    history: list[Step],
    layout: tuple[str, ...],
    data: st.DataObject,
    engine: Engine,
    tmp_path: Path,
) -> None:
    lake = new_lake(tmp_path)
    write_silver(lake, in_shops(first), schema=with_shops, partition_by=layout)
    follow(history, data, lake, engine)


def follow(history: list[Step], data: st.DataObject, lake: Lake, engine: Engine) -> None:
    """Take the steps one by one, and refresh what Silver's log says that they touched: then Gold is true."""
    told, replayed, made_from = {*DATES, None}, set[dt.date | None](), -1
    for step in history:
        event(step.__name__)
        touched = step(lake)
        if step.__name__ == "replay":
            replayed |= touched
        told |= touched
        if data.draw(st.integers(0, 3), label="0 leaves the step to the next refresh") > 0:
            made_from = _catch_up(lake, engine, made_from, told, replayed)
            told, replayed = set(), set()
    _catch_up(lake, engine, made_from, told, replayed)
    assert_nothing_is_lost(lake)


def _catch_up(
    lake: Lake, engine: Engine, made_from: int, told: set[dt.date | None], replayed: set[dt.date | None]
) -> int:
    silver = lake.pin()
    changes = SilverChanges(silver)
    assert not changes.every_date_after(made_from)
    changed = changes.dates_after(made_from)
    if "event_date" in silver.table.metadata().partition_columns:
        assert changed <= told, "dates are recomputed that nothing has touched"
    refresh(lake, engine, {date for date in changed | replayed if date is not None}, how="patch")
    assert_gold_is_true(lake)
    return silver.version
