"""Sail and Spark leave the same rows, compared one by one."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import Phase, given, settings

from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.gold.tables import TABLES
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.engines.processes import OtherProcess, engine_process
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, row, write_silver
from gold_assets_tests.truth import rows_of

pytestmark = pytest.mark.spark

_AVERAGES_AGREE_TO = 1e-12
"""The order of a floating-point sum is free, and each engine has its own."""

rows = st.lists(
    st.builds(
        row,
        user_id=st.sampled_from(["ann", "bob", " ", "", None, "\t", "ann ", "é", "a\x00"]),
        product_id=st.sampled_from(["tea", "cup", None, "\n"]),
        amount=st.floats(-100, 100) | st.floats() | st.sampled_from([1e14, -1e14, 0.00005, 2.00005, None]),
        usage_cost_ratio=st.floats(0, 1) | st.sampled_from([0.2, float("nan"), float("inf"), None]),
        risk_level=st.sampled_from(["high", "high", "low", "medium", "High", "", None]),
        event_date=st.sampled_from([MONDAY, TUESDAY, WEDNESDAY, None]),
    ),
    min_size=1,
    max_size=60,
)


@pytest.fixture(scope="module")
def sail() -> Iterator[OtherProcess]:
    with engine_process("sail") as process:
        yield process


def assert_same_rows(here: Lake, there: Lake) -> None:
    for table in TABLES:
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            db.register("here", rows_of(here.places[table.name]))
            db.register("there", rows_of(there.places[table.name]))
            exact = "* EXCLUDE (avg_usage_cost_ratio)" if table.name == "product_usage_metrics" else "*"
            for one, other in (("here", "there"), ("there", "here")):
                only = db.sql(f"SELECT {exact} FROM {one} EXCEPT ALL SELECT {exact} FROM {other} LIMIT 5").fetchall()
                assert not only, f"{table.name}: only in {one}: {only}"
            if table.name == "product_usage_metrics":
                differ = db.sql(f"""
                    SELECT here.*, there.avg_usage_cost_ratio FROM here JOIN there USING (product_id, event_date)
                    WHERE here.avg_usage_cost_ratio IS DISTINCT FROM there.avg_usage_cost_ratio
                    AND NOT abs(here.avg_usage_cost_ratio - there.avg_usage_cost_ratio) <= {_AVERAGES_AGREE_TO}
                    LIMIT 5
                """).fetchall()
                assert not differ, differ


def refresh_on_both(folder: Path, engine: Engine, sail: OtherProcess, dates: Sequence[dt.date]) -> None:
    here = lake_in(folder)
    there = Lake(here.silver, lake_in(folder / "sail").places)
    refresh(here, engine, dates)
    assert sail.refresh(folder / "sail", list(dates), silver=here.silver) is None
    assert_same_rows(here, there)


@settings(max_examples=5, phases=[Phase.generate])  # an example takes seconds, and a shrink would take hundreds
@given(rows=rows)
def test_both_engines_leave_the_same_rows_of_any_silver(
    tmp_path_factory: pytest.TempPathFactory, engine: Engine, sail: OtherProcess, rows: list[dict[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("any_silver")
    write_silver(lake_in(folder), rows)
    refresh_on_both(folder, engine, sail, [MONDAY, TUESDAY, WEDNESDAY])
