"""The demo as ``make demo`` runs it, against what is known of its data."""

import re
import subprocess
from pathlib import Path

import duckdb
import pytest

from gold_assets import transactions
from gold_assets.gold.lake import Lake
from gold_assets.transactions.sample import complete_journey
from gold_assets_tests.end_to_end.command_line import environment, run
from gold_assets_tests.truth import assert_gold_is_true, rows_of

pytestmark = pytest.mark.end_to_end

BAD_ROWS = 42
PLACES = {
    "user_spend_summary": "gold/user_spend_summary",
    "product_usage_metrics": "gold/product_usage_metrics",
    "high_risk_txns": "gold/high_risk_txns",
    "quarantined_txns": "quarantine/transactions",
}


@pytest.fixture(scope="module")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first_demo(demo_root: Path) -> "subprocess.CompletedProcess[str]":
    return run("python", "-W", "ignore", "-m", "gold_assets.transactions.sample.demo", env=environment(demo_root))


@pytest.fixture(scope="module")
def lake(demo_root: Path, first_demo: object) -> Lake:
    root = demo_root / "lake"
    return Lake(
        transactions.project,
        str(root / "silver/transactions"),
        {name: str(root / place) for name, place in PLACES.items()},
    )


def test_the_demo_succeeds_and_prints_each_table_with_its_known_rows(
    first_demo: "subprocess.CompletedProcess[str]", lake: Lake
) -> None:
    assert first_demo.returncode == 0, first_demo.stdout[-3000:] + first_demo.stderr[-3000:]
    outcome, _, checked = first_demo.stdout.partition("Every check of every date")
    printed = {line.split()[0]: line.split() for line in outcome.splitlines() if line.startswith(tuple(PLACES))}
    assert printed.keys() == PLACES.keys() == lake.places.keys()
    assert printed["high_risk_txns"][1:3] == [f"{complete_journey.HIGH_RISK_ROWS:,}", str(complete_journey.DATES)]
    assert printed["quarantined_txns"][1] == str(BAD_ROWS)
    assert all(lake.places[name] == line[-1] for name, line in printed.items())
    assert re.search(r"\n25 checks on \S+ to \S+ in \S+ s: 0 errors, 2 warnings\n", checked)
    assert "make ui" in checked


def test_the_demos_gold_is_the_truth_about_its_silver(lake: Lake) -> None:
    assert_gold_is_true(lake)


def test_every_transaction_counts_once_or_is_quarantined(lake: Lake) -> None:
    spend, usage = (rows_of(lake.places[name]) for name in ("user_spend_summary", "product_usage_metrics"))
    [(by_user, by_product)] = duckdb.execute(
        "SELECT (SELECT sum(transaction_count) FROM spend), (SELECT sum(transaction_count) FROM usage)"
    ).fetchall()
    assert by_user == by_product == complete_journey.ROWS
    assert rows_of(lake.silver).num_rows == complete_journey.ROWS + BAD_ROWS
    assert len(spend["event_date"].unique()) == len(usage["event_date"].unique()) == complete_journey.DATES
