"""Sail and Spark leave the same rows, compared one by one."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import Phase, given, settings

from gold_assets import transactions
from gold_assets.engines import Engine
from gold_assets.engines.spark import SparkEngine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.silver.changes import SilverChanges
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.engines.processes import OtherProcess, engine_process
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true, rows_of

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
    there = Lake(transactions.project, here.silver, lake_in(folder / "sail").places)
    refresh(here, engine, dates)
    assert sail.refresh(folder / "sail", list(dates), silver=here.silver) is None
    assert_same_rows(here, there)


MAPPED = "'delta.columnMapping.mode' = 'name'"
LAYOUTS = {
    "partitioned": "PARTITIONED BY (event_date)",
    "clustered": "CLUSTER BY (event_date)",
    "two partition columns": "PARTITIONED BY (risk_level, event_date)",
    "mapped columns": f"PARTITIONED BY (event_date) TBLPROPERTIES ({MAPPED})",
    "deletion vectors": f"TBLPROPERTIES ('delta.enableDeletionVectors' = 'true', {MAPPED})",
}


@settings(max_examples=2, phases=[Phase.generate])  # an example takes seconds, and a shrink would take hundreds
@given(rows=rows, layout=st.sampled_from(list(LAYOUTS)))
def test_both_engines_leave_the_same_rows_of_any_silver_and_they_are_true(
    tmp_path_factory: pytest.TempPathFactory,
    engine: SparkEngine,
    sail: OtherProcess,
    rows: list[dict[str, object]],
    layout: str,
) -> None:
    folder = tmp_path_factory.mktemp("any_silver")
    written, lake = lake_in(folder / "written"), lake_in(folder)
    (folder / "written").mkdir()
    write_silver(written, rows)
    engine.session.sql(
        f"CREATE TABLE delta.`{lake.silver}` USING delta {LAYOUTS[layout]} AS SELECT * FROM delta.`{written.silver}`"
    )
    if layout == "deletion vectors":
        engine.session.sql(f"DELETE FROM delta.`{lake.silver}` WHERE product_id = 'cup'")
    refresh_on_both(folder, engine, sail, [MONDAY, TUESDAY, WEDNESDAY])
    assert_gold_is_true(lake)
    assert SilverChanges(lake.pin()).dates_after(-1) == {row["event_date"] for row in rows}
