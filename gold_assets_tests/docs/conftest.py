"""The lake that the pages and the docstrings speak of."""

import datetime as dt
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from gold_assets import transactions
from gold_assets.assets.metadata import KEYS
from gold_assets.assets.published import events_of
from gold_assets.checks.publishing import publish
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.environment import load_settings
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import refresh
from gold_assets_tests.docs.pages import REPOSITORY

WINDOW = {"GOLD_PARTITIONS_START": "2026-01-01"}
"""Before the dates that the pages' commands name."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    """The folder of a lake of transactions, made and published, with the rows that the pages ask for and as many commits."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "dagster_home").mkdir()
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", folder / "dagster_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in WINDOW.items():
            patch.setenv(name, value)
        settings = load_settings(transactions.project)
        for count in range(43):
            write_deltalake(settings.lake.silver, _rows("2026-01-01" if count else "2026-11-25"), mode="append")
        refresh(settings.lake, engine, [*days(dt.date(2026, 1, 1), dt.date(2026, 1, 31)), dt.date(2026, 11, 25)])
        outcome = publish(settings.lake, settings.limits)
        [event] = events_of(outcome, Moment(settings.lake), settings)
        assert event.metadata.keys() == KEYS["A publication"].keys()
    return folder


def _rows(date: str) -> pa.Table:
    row = {
        "user_id": 1609,
        "product_id": 1,
        "amount": 2.5,
        "usage_cost_ratio": 0.1,
        "risk_level": "high",
        "store_id": "412",
    }
    dates = pa.array([date]).cast(pa.date32())
    return pa.Table.from_pylist([row]).append_column("event_date", dates)


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page's own copy of that, as the working folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    for name, value in WINDOW.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for module in ("gold_assets.transactions.definitions", "shop", "shop.project"):
        monkeypatch.setitem(sys.modules, module, sys)
        del sys.modules[module]  # loaded anew with this lake's settings, and put back afterwards
    return tmp_path
