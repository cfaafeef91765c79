"""The published tables as DataFrames of both engines."""

import pytest

from gold_assets import published
from gold_assets.commands.published import READERS
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import SPEND
from gold_assets_tests.reading.lakes import add, publish_in, published_lake


@pytest.fixture
def lake(copy_of: CopyOf) -> Lake:
    return copy_of(published_lake)


def test_a_session_and_an_engine_read_the_published_version(lake: Lake, engine: Engine) -> None:
    publish_in(lake)
    add(lake, engine, "new")
    reader = published(lake=lake)
    by_engine = reader.spark(engine, SPEND)
    assert {row["user_id"] for row in by_engine.collect()} == {"ann"}
    by_session = reader.spark(engine.session, SPEND)  # type: ignore[attr-defined]
    assert {row["user_id"] for row in by_session.collect()} == {"ann"}
    _, statement = READERS["spark_sql"]
    by_sql = engine.session.sql(statement(reader.publication.tables[SPEND]))  # type: ignore[attr-defined]
    assert {row["user_id"] for row in by_sql.collect()} == {"ann"}
