"""The script that keeps Silver moving for the demo."""

import datetime as dt
import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.declaring.source import VIOLATIONS
from gold_assets.gold.lake import Lake
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import pin_silver
from gold_assets.transactions.sample.complete_journey import SCHEMA
from gold_assets.transactions.sample.live import LiveSilver, main
from gold_assets.transactions.source import source
from gold_assets_tests.small_silver import MONDAY, TUESDAY, row, write_silver
from gold_assets_tests.truth import rows_of

TODAY = dt.date(2024, 1, 15)


@pytest.fixture
def live(lake: Lake) -> LiveSilver:
    users = [f"user {n}" for n in range(20)]
    write_silver(lake, [row(user_id=user, event_date=date) for user in users for date in (MONDAY, TUESDAY)])
    return LiveSilver(lake.silver, TODAY, random.Random(0))


def test_every_commit_changes_dates_and_says_how(live: LiveSilver) -> None:
    said = [live.commit() for _ in range(40)]
    assert [line.split(":")[0] for line in said] == [f"Silver version {n}" for n in range(1, 41)]
    for kind in (f"rows for {TODAY}", "late rows for", "corrected", "deleted"):
        assert any(kind in line for line in said)
    assert {TODAY, MONDAY, TUESDAY} <= SilverChanges(pin_silver(live.uri, source)).dates_after(0)


def test_what_it_appends_has_silvers_columns_and_keeps_the_contract(live: LiveSilver) -> None:
    before = rows_of(live.uri).schema
    for _ in range(10):
        live.commit()
    rows = rows_of(live.uri)
    assert rows.schema == before
    assert VIOLATIONS not in rows.column_names
    assert not any(value is None for value in rows["user_id"].to_pylist())


def test_without_a_silver_it_says_what_to_do(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOLD_SOURCE_PATH", lake.silver)
    assert main(["--times", "1"]) == 1
    assert "make demo" in capsys.readouterr().err


@pytest.fixture
def sample(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Silver of the demo's columns, in small."""
    rows = [{"user_id": f"{n}", "product_id": "1", "amount": 1.0, "event_date": MONDAY} for n in range(20)]
    write_deltalake(lake.silver, pa.Table.from_pylist(rows, schema=SCHEMA), partition_by=["event_date"])
    monkeypatch.setenv("GOLD_SOURCE_PATH", lake.silver)
    return lake.silver


def test_it_ends_after_as_many_commits_as_asked(sample: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--times", "3", "--every", "0", "--seed", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert DeltaTable(sample).version() == 3


def test_a_silver_of_ones_own_is_never_changed_also_where_a_file_env_names_it(
    lake: Lake, sample: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = write_silver(replace(lake, silver=str(tmp_path / "mine")), [row()])
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(f"GOLD_SOURCE_PATH={tmp_path}/mine\n")
    assert main(["--times", "1"]) == 1
    assert f"Silver at {tmp_path}/mine is not the demo's" in capsys.readouterr().err
    assert DeltaTable(mine.table_uri).version() == 0
