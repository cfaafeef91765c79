"""The way in from Python does what its page says."""

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from gold_assets.checks.findings import Limits
from gold_assets.checks.publishing import publish
from gold_assets.gold.lake import Lake
from gold_assets_tests.conftest import NO_TABLES
from gold_assets_tests.small_silver import high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = pytest.mark.sail

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_pages_example_makes_gold_from_silver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example, reading = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    [date] = re.findall(r"dt\.date\((\d+), (\d+), (\d+)\)", example)
    asked = dt.date(*map(int, date))
    silver = Lake(NO_TABLES, str(tmp_path / "data/silver/transactions"), {})
    write_silver(silver, [row(event_date=asked), high_risk_row(event_date=asked)])
    names: dict[str, object] = {}
    exec(example, names)
    lake = names["lake"]
    assert isinstance(lake, Lake)
    assert_gold_is_true(lake)
    publish(replace(lake, published="data/published"), Limits(asked, asked))
    exec(reading, names)
    connection = names["connection"]
    assert isinstance(connection, duckdb.DuckDBPyConnection)
    assert connection.execute("SELECT user_id FROM high_risk_txns").fetchall() == [("ann",)]
