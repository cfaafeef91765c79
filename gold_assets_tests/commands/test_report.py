"""``gold report``: one file that holds the numbers of the published state and asks nobody else for anything."""

import json
import re
import sys
from pathlib import Path

import pytest

from gold_assets.commands.gold import gold
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.tables import TABLES
from gold_assets.reading.published import published
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import DATES
from gold_assets_tests.reading.lakes import add, publish_in, published_lake

pytestmark = pytest.mark.sail


@pytest.fixture
def lake(copy_of: CopyOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lake:
    lake = copy_of(published_lake)
    publish_in(lake)
    assert lake.published is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOLD_PUBLISHED_PATH", lake.published)
    monkeypatch.setenv("GOLD_SOURCE_PATH", lake.silver)
    for table in TABLES:
        monkeypatch.setenv(table.path_setting, lake.places[table.name])
    return lake


def test_the_report_has_the_numbers_that_sql_gives_of_the_published_state(lake: Lake, engine: Engine) -> None:
    add(lake, engine, "new")
    gold(["report", "gold.html"], prog_name="gold", standalone_mode=False)
    page = Path("gold.html").read_text()
    [data] = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    spend, high_risk, ratios, rules = (json.loads(data)[f"plot{n}"]["data"] for n in range(4))
    dates = [str(date) for date in DATES]
    connection = published(lake=lake).duckdb()

    def one(sql: str) -> list[float]:
        return [float(value) for (value,) in connection.execute(sql).fetchall()]

    assert spend[0]["x"] == [*dates, None]
    assert spend[0]["y"][:-1] == one(
        "SELECT sum(total_spend) FROM user_spend_summary GROUP BY event_date ORDER BY event_date"
    )
    assert (high_risk[0]["x"], high_risk[0]["y"]) == (dates, [1, 1, 1])
    assert sum(ratios[0]["y"]) == one("SELECT count(avg_usage_cost_ratio) FROM product_usage_metrics")[0]
    assert (rules[0]["y"], rules[0]["customdata"]) == (
        ["user_id_is_missing"],
        one("SELECT count(*) FROM quarantined_txns"),
    )
    assert rules[0]["x"] == [pytest.approx(100 * 3 / 9)]
    assert "<dt>Silver version</dt><dd>2</dd>" in page
    assert re.search(r"<dt>Lag</dt><dd>\d+ min, 1 date: 2024-01-01</dd>", page)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)


def test_without_plotly_it_is_one_sentence(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(SystemExit) as ended:
        gold(["report", "gold.html"], prog_name="gold", standalone_mode=False)
    said = capsys.readouterr()
    assert (ended.value.code, said.err.count("\n"), said.err.startswith("Plotly is not installed")) == (2, 1, True)
