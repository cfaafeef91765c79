"""The checks against the truth from outside: whatever happens to Silver and Gold, they are red where Gold is wrong and only there."""

import datetime as dt
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, row, write_silver
from gold_assets_tests.truth import differences, rows_of

pytestmark = pytest.mark.sail  # the checks never meet the engine; test_provenance has both

DATES = (MONDAY, TUESDAY, WEDNESDAY)
OF_CONTENT = ("reconciles", "sound_rows")
ALWAYS_GREEN = ("schema", "dates_in_window", "undated_rows_reconcile")
"""Nothing that the steps do is theirs to find."""

dates = st.sampled_from(DATES)
silver_rows = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from(["ann", "bob", " ", None, "\x0b"]),
            "product_id": st.sampled_from(["tea", "gin"]),
            "amount": st.sampled_from(
                [0.0, -0.0, 0.00005, -0.00015, 2.675, -1e14, 99999999999999.98, float("nan"), float("inf"), None]
            ),
            "usage_cost_ratio": st.sampled_from([0.1, 0.2, 0.7, None, float("nan"), float("-inf")]),
            "risk_level": st.sampled_from(["low", "high", None, "HIGH"]),
            "event_date": dates,
        }
    ),
    min_size=1,
    max_size=5,
)
steps = st.one_of(
    st.tuples(st.just("append"), silver_rows),
    st.tuples(st.just("delete"), dates),
    st.tuples(st.just("move"), dates),
    st.tuples(st.just("refresh"), st.sets(dates, min_size=1)),
    st.tuples(st.just("refresh"), st.sets(dates, min_size=1)),
    st.tuples(st.just("lose"), st.tuples(st.sampled_from(TABLES), dates)),
    st.tuples(st.just("copy"), st.tuples(st.sampled_from(TABLES), dates)),
)


EXAMPLES = settings().max_examples


def apply(lake: Lake, engine: Engine, step: tuple[str, Any]) -> None:
    what, detail = step
    if what == "append":
        write_silver(lake, [row(**changes) for changes in detail])
    elif what == "delete":
        DeltaTable(lake.silver).delete(f"event_date = DATE '{detail}' AND product_id = 'tea'")
    elif what == "move":
        DeltaTable(lake.silver).update({"event_date": f"DATE '{detail}'"}, predicate="user_id = 'bob'")
    elif what == "refresh":
        refresh(lake, engine, detail)
    elif what == "lose":
        table, date = detail
        DeltaTable(lake.places[table.name]).delete(f"event_date = DATE '{date}'")
    else:
        table, date = detail
        rows = rows_of(lake.places[table.name])
        copied = [found for found in rows.to_pylist() if found["event_date"] == date][:1]
        write_deltalake(lake.places[table.name], pa.Table.from_pylist(copied, schema=rows.schema), mode="append")


def red(lake: Lake) -> set[tuple[str, dt.date]]:
    """The tables and dates that the checks of content find wrong, with every check on."""
    failed = [
        found
        for found in run(all_checks(lake.project), Inspection(lake, DATES, Limits(MONDAY, WEDNESDAY)))
        if not found.passed
    ]
    assert not [found for found in failed if found.check.name in ALWAYS_GREEN]
    return {(found.check.table, found.date) for found in failed if found.check.name in OF_CONTENT and found.date}


def wrong(lake: Lake) -> Iterable[tuple[str, dt.date]]:
    """Where a table is not what Silver said at the version that the date was made from."""
    for table in TABLES:
        sources = GoldLog(DeltaTable(lake.places[table.name])).made_from(DATES)
        for date in DATES:
            if differences(lake, [date], sources[date].silver_version, [table.name]):
                yield table.name, date


@given(first=silver_rows, then=st.lists(steps, min_size=1, max_size=5))
@settings(max_examples=EXAMPLES // 4)
def test_reconciliation_is_red_where_gold_is_wrong_and_only_there(
    engine: Engine, first: list[dict[str, Any]], then: list[tuple[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_in(Path(folder))
        write_silver(lake, [row(**changes) for changes in first])
        refresh(lake, engine, DATES)
        assert red(lake) == set()
        for step in then:
            apply(lake, engine, step)
            assert red(lake) == set(wrong(lake)), f"after {step}"
        refresh(lake, engine, DATES)
        inspection = Inspection(lake, DATES, Limits(MONDAY, WEDNESDAY, quarantined_share=1.0))
        failed = [
            f"{found.check.table}:{found.check.name}"
            for found in run(all_checks(lake.project), inspection)
            if not found.passed
        ]
        assert set(failed) <= {"silver_transactions:no_duplicate_rows"}
