"""What is held, as people see it from the shell: listed, explained, decided, and over by itself where Silver is mended."""

import datetime as dt
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable

from gold_assets.commands.gold import gold
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.project import lake_at
from gold_assets_tests.small_silver import MONDAY, TUESDAY, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = pytest.mark.sail

DATES = (MONDAY, TUESDAY)


@pytest.fixture
def lake(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("GOLD_LAKE_ROOT", str(tmp_path))
    monkeypatch.setenv("GOLD_PARTITIONS_START", str(MONDAY))
    monkeypatch.setenv("GOLD_PARTITIONS_END", str(TUESDAY))
    lake = lake_at(str(tmp_path))
    write_silver(lake, [each for date in DATES for each in shop(date)])
    refresh(lake, engine, DATES)
    return lake


def shop(date: dt.date) -> list[dict[str, object]]:
    return [row(event_date=date, user_id=f"user {n}", product_id=f"product {n % 9}") for n in range(100)]


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(gold, arguments)


def test_a_shop_that_was_loaded_twice_is_held_explained_by_its_commit_and_followed_once_it_is_mended(
    lake: Lake, engine: Engine
) -> None:
    write_silver(lake, shop(TUESDAY))
    refresh(lake, engine, DATES, how="patch")
    listed = ask("held")
    assert listed.exit_code == 1
    assert listed.stdout.splitlines()[1].split()[:5] == ["2024-01-02", "held", "100", "200", "1"]
    explained = " ".join(ask("explain", "user_spend_summary", "--date", str(TUESDAY), "user_id=user 1").stdout.split())
    said = "Silver had 100 rows of it when Gold was made and has 200 now since Silver's version 1"
    assert said in explained
    assert "held" in ask("plan").stdout
    DeltaTable(lake.silver).restore(0)
    write_silver(lake, [row(event_date=TUESDAY, user_id="late")])
    refresh(lake, engine, DATES, how="patch")
    assert ask("held").exit_code == 0
    assert_gold_is_true(lake)
