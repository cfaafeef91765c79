"""The year of real transactions, end to end on the lower floor."""

import datetime as dt
from pathlib import Path

import pytest
from deltalake import DeltaTable

from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import Refreshed, refresh
from gold_assets.transactions.sample import complete_journey
from gold_assets_tests.conftest import compiled_queries, lake_in
from gold_assets_tests.engines.processes import engine_process
from gold_assets_tests.engines.test_engines_agree import assert_same_rows
from gold_assets_tests.truth import assert_gold_is_true, rows_of

YEAR = days(complete_journey.FIRST_DATE, complete_journey.LAST_DATE)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = lake_in(Path(tmp_path_factory.mktemp("complete_journey")))
    complete_journey.write_silver(made.silver)
    return made


@pytest.fixture(scope="module")
def refreshed(lake: Lake, engine: Engine) -> Refreshed:
    with compiled_queries(engine):
        return refresh(lake, engine, YEAR)


def test_every_gold_table_equals_the_truth_on_the_real_year(lake: Lake, refreshed: Refreshed) -> None:
    assert_gold_is_true(lake)


def test_the_real_year_has_its_known_high_risk_rows_on_every_date(lake: Lake, refreshed: Refreshed) -> None:
    written = {date: done.rows for date, done in refreshed.dates["high_risk_txns"].items() if done.rows}
    assert sum(written.values()) == complete_journey.HIGH_RISK_ROWS
    assert len(written) == complete_journey.DATES
    assert dt.date(2017, 12, 25) not in written
    assert rows_of(lake.places["high_risk_txns"]).num_rows == complete_journey.HIGH_RISK_ROWS


def test_no_real_row_is_quarantined(lake: Lake, refreshed: Refreshed) -> None:
    assert DeltaTable(lake.places["quarantined_txns"]).count() == 0


@pytest.mark.spark
def test_both_engines_leave_the_same_rows_of_the_real_year(lake: Lake, refreshed: Refreshed, tmp_path: Path) -> None:
    with engine_process("sail") as sail:
        assert sail.refresh(tmp_path, list(YEAR), silver=lake.silver) is None
    assert_same_rows(lake, lake_in(tmp_path))
