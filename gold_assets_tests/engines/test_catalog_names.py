"""Tables by their names in the catalog of Spark's session, where no path of that name is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gold_assets import transactions
from gold_assets.delta.errors import UserError
from gold_assets.engines.spark import SparkEngine
from gold_assets.environment import load_settings
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.resources import Lakehouse
from gold_assets_tests.small_silver import MONDAY, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = pytest.mark.spark


@pytest.fixture
def shop(engine: SparkEngine, lake: Lake) -> Iterator[str]:
    """A schema of the catalog with ``transactions`` and ``spend``, which are the lake's."""
    write_silver(lake, [row()])
    refresh(lake, engine, [MONDAY])
    engine.session.sql("CREATE DATABASE shop")
    places = {"transactions": lake.silver, "spend": lake.places["user_spend_summary"]}
    for name, place in places.items():
        engine.session.sql(f"CREATE TABLE shop.{name} USING delta LOCATION '{place}'")
    yield "shop"
    engine.session.sql("DROP DATABASE shop CASCADE")


def lake_of(engine: SparkEngine, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Lake:
    for name, value in {"GOLD_ENGINE": "spark", **settings}.items():
        monkeypatch.setenv(name, value)
    lakehouse = Lakehouse.from_settings(load_settings(transactions.project))
    lakehouse._engine = engine  # noqa: SLF001
    return lakehouse.lake(transactions.project)


def test_silver_and_gold_are_found_and_refreshed_by_their_names_in_the_catalog(
    engine: SparkEngine, lake: Lake, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = lake_of(
        engine,
        monkeypatch,
        GOLD_LAKE_ROOT=str(tmp_path / "others"),
        GOLD_SOURCE_PATH=f"spark_catalog.{shop}.transactions",
        GOLD_WRITE_PATH_SPEND_SUMMARY=f"{shop}.spend",
    )
    assert (named.silver, named.places["user_spend_summary"]) == (lake.silver, lake.places["user_spend_summary"])
    write_silver(lake, [row(user_id="bob")])
    refresh(named, engine, [MONDAY])
    assert_gold_is_true(named)


def test_a_name_that_is_no_delta_table_of_the_catalog_is_one_sentence(
    engine: SparkEngine, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.session.sql(f"CREATE TABLE {shop}.comma (id INT) USING csv")
    for name, sentence in {
        f"{shop}.nothing": f"There is nothing at the path {shop}.nothing, and no such table in Spark's catalog",
        f"{shop}.comma": f"The table {shop}.comma of Spark's catalog is csv, expected delta",
    }.items():
        with pytest.raises(UserError) as error:
            lake_of(engine, monkeypatch, GOLD_SOURCE_PATH=name)
        assert str(error.value).startswith(sentence)
        assert "\n" not in str(error.value)
