import datetime as dt
import os
from pathlib import Path

import pytest

from gold_assets.config import load_settings
from gold_assets.delta.errors import UserError
from gold_assets.gold.tables import TABLES


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GOLD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_optional_and_everything_is_under_the_lake_root(tmp_path: Path) -> None:
    settings = load_settings()
    places = [settings.lake.silver, *settings.lake.places.values(), settings.checkpoint_path]
    assert all(place.startswith(f"{tmp_path}/data/") for place in places)
    assert len(set(places)) == len(places)
    assert (settings.partitions_end, settings.engine) == (None, "sail")


def test_the_lake_root_moves_all_defaults_and_a_path_of_its_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_LAKE_ROOT", "s3://bucket/lake/")
    monkeypatch.setenv("GOLD_BAD_RECORDS_PATH", "/elsewhere/bad")
    lake = load_settings().lake
    assert lake.silver == "s3://bucket/lake/silver/transactions"
    assert lake.places["high_risk_txns"] == "s3://bucket/lake/gold/high_risk_txns"
    assert lake.places["quarantined_txns"] == "/elsewhere/bad"


def test_a_local_path_does_not_depend_on_where_a_later_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_SOURCE_PATH", "some/silver")
    assert Path(load_settings().source_path).is_absolute()


def test_each_table_has_the_path_setting_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in TABLES:
        monkeypatch.setenv(table.path_setting, f"/lake/{table.name}")
    assert load_settings().lake.places == {table.name: f"/lake/{table.name}" for table in TABLES}


def test_on_spark_a_table_may_have_its_name_in_the_catalog_where_nothing_is_at_a_path_of_that_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOLD_SOURCE_PATH", "main.sales.transactions")
    monkeypatch.setenv("GOLD_BAD_RECORDS_PATH", "sales.quarantine")
    here = str(tmp_path / "main.sales.transactions")
    assert load_settings().lake.silver == here
    monkeypatch.setenv("GOLD_ENGINE", "spark")
    lake = load_settings().lake
    assert (lake.silver, lake.places["quarantined_txns"]) == ("main.sales.transactions", "sales.quarantine")
    assert load_settings().names_tables
    Path(here).mkdir()
    assert load_settings().lake.silver == here


def test_an_empty_setting_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_PARTITIONS_START", "")
    assert load_settings().partitions_start == dt.date(2017, 1, 1)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("GOLD_ENGINE", "flink", "GOLD_ENGINE is 'flink', expected 'sail' or 'spark': correct it or unset it."),
        (
            "GOLD_SILVER_COLUMNS",
            "user_id=customer",
            "GOLD_SILVER_COLUMNS is 'user_id=customer', expected a JSON object from our column to yours, such as "
            '{"user_id": "customer_id"}: correct it or unset it.',
        ),
        (
            "GOLD_SILVER_COLUMNS",
            '{"customer_id": "user_id"}',
            "GOLD_SILVER_COLUMNS gives a column for customer_id, expected for some of user_id, product_id, amount, "
            "usage_cost_ratio, risk_level, event_date: correct it.",
        ),
        (
            "GOLD_PARTITIONS_START",
            "yesterday",
            "GOLD_PARTITIONS_START is 'yesterday', expected a date such as 2017-01-31: correct it or unset it.",
        ),
        ("GOLD_PARTITIONS_END", "2016-12-31", "GOLD_PARTITIONS_END is 2016-12-31, before GOLD_PARTITIONS_START"),
        ("GOLD_SOURCE_PATH", "data/gold/high_risk_txns", "expected a place of its own for every table"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(UserError) as raised:
        load_settings()
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_storage_options_are_in_the_environment_where_every_engine_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "before")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://before")
    monkeypatch.setenv(
        "GOLD_STORAGE_OPTIONS", '{"aws_endpoint_url": "http://127.0.0.1:9000", "AWS_ALLOW_HTTP": "true"}'
    )
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    load_settings()
    found = {name: os.environ[name] for name in ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION")}
    assert found == {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "before"}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{'AWS_SECRET_ACCESS_KEY': 'hush-hush'}", "GOLD_STORAGE_OPTIONS is no such text as expected, a JSON object"),
        ('{"AWS_SECRET_ACCESS_KEY": ["hush-hush"]}', "GOLD_STORAGE_OPTIONS is no such text as expected, a JSON object"),
        ('{"secret": "hush-hush"}', "GOLD_STORAGE_OPTIONS names secret, expected a JSON object"),
    ],
)
def test_storage_options_that_make_no_sense_are_one_sentence_that_does_not_show_them(
    monkeypatch: pytest.MonkeyPatch, value: str, sentence: str
) -> None:
    monkeypatch.setenv("GOLD_STORAGE_OPTIONS", value)
    with pytest.raises(UserError) as raised:
        load_settings()
    assert sentence in str(raised.value)
    assert "hush" not in str(raised.value)
    assert "hush" not in repr(raised.value.__cause__)


def test_a_setting_never_shows_the_storage_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_STORAGE_OPTIONS", '{"AWS_SECRET_ACCESS_KEY": "hush-hush"}')
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    assert "hush" not in repr(load_settings())
