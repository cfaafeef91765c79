"""Readers get what is published in a bucket, by the credentials that delta-rs finds."""

from dataclasses import replace

import pytest

from gold_assets import published
from gold_assets.engines import Engine
from gold_assets_tests.corruptions import SPEND
from gold_assets_tests.object_store.conftest import ODD_KEY, new_lake
from gold_assets_tests.object_store.s3_server import S3Server
from gold_assets_tests.reading.lakes import add, published_lake, users
from gold_assets_tests.small_silver import TUESDAY

pytestmark = [pytest.mark.sail, pytest.mark.s3]


def test_readers_get_what_is_published_in_a_bucket_under_a_key_that_uris_escape(s3: S3Server, engine: Engine) -> None:
    lake = new_lake(s3, ODD_KEY)
    lake = replace(lake, published=f"{lake.silver}_published")
    published_lake(lake, engine)
    add(lake, engine, "new")
    reader = published(lake=lake.published)
    connection = reader.duckdb()
    assert users(connection) == ["ann"]
    assert len(connection.execute(f"SELECT * FROM {SPEND} LIMIT 1").fetchall()) == 1  # which stops early
    assert reader.arrow(SPEND, TUESDAY, TUESDAY).num_rows == 1
