import datetime as dt
import os
from pathlib import Path

import pytest

from gold_assets import SparkEngine, published, transactions, write_to_gold
from gold_assets.commands.gold import gold
from gold_assets.delta.errors import UserError
from gold_assets.environment import load_settings
from gold_assets.gold.lake import Lake
from gold_assets.transactions.tables import TABLES


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GOLD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_optional_and_everything_is_under_the_lake_root(tmp_path: Path) -> None:
    settings = load_settings(transactions.project)
    places = [settings.lake.silver, *settings.lake.places.values(), settings.checkpoint_path]
    assert all(place.startswith(f"{tmp_path}/data/") for place in places)
    assert len(set(places)) == len(places)
    assert (settings.partitions_end, settings.engine) == (None, "sail")


def test_the_lake_root_moves_all_defaults_and_a_path_of_its_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_LAKE_ROOT", "s3://bucket/lake/")
    monkeypatch.setenv("GOLD_BAD_RECORDS_PATH", "/elsewhere/bad")
    lake = load_settings(transactions.project).lake
    assert lake.silver == "s3://bucket/lake/silver/transactions"
    assert lake.places["high_risk_txns"] == "s3://bucket/lake/gold/high_risk_txns"
    assert lake.places["quarantined_txns"] == "/elsewhere/bad"


def test_a_local_path_does_not_depend_on_where_a_later_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_SOURCE_PATH", "some/silver")
    assert Path(load_settings(transactions.project).source_path).is_absolute()


def test_each_table_has_the_path_setting_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in TABLES:
        monkeypatch.setenv(table.path_setting, f"/lake/{table.name}")
    assert load_settings(transactions.project).lake.places == {table.name: f"/lake/{table.name}" for table in TABLES}


def test_on_spark_a_table_may_have_its_name_in_the_catalog_where_nothing_is_at_a_path_of_that_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOLD_SOURCE_PATH", "main.sales.transactions")
    monkeypatch.setenv("GOLD_BAD_RECORDS_PATH", "sales.quarantine")
    here = str(tmp_path / "main.sales.transactions")
    assert load_settings(transactions.project).lake.silver == here
    monkeypatch.setenv("GOLD_ENGINE", "spark")
    lake = load_settings(transactions.project).lake
    assert (lake.silver, lake.places["quarantined_txns"]) == ("main.sales.transactions", "sales.quarantine")
    assert load_settings(transactions.project).names_tables
    Path(here).mkdir()
    assert load_settings(transactions.project).lake.silver == here


def test_for_the_command_and_for_python_a_file_env_wins_over_the_environment_as_for_dagster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("GOLD_PUBLISHED_PATH=of_env\n")
    said = f"Nothing is published at {tmp_path}/of_env yet"
    monkeypatch.setenv("GOLD_PUBLISHED_PATH", "of_environment")
    with pytest.raises(UserError, match=said):
        published()
    monkeypatch.setenv("GOLD_PUBLISHED_PATH", "of_environment")
    with pytest.raises(SystemExit):
        gold(["published"])
    assert said in capsys.readouterr().err


def test_a_file_env_that_cannot_be_read_is_one_sentence() -> None:
    Path(".env").write_bytes("GOLD_LAKE_ROOT=K\xf6ln\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"The file \.env cannot be read "):
        published()


def test_an_empty_setting_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_PARTITIONS_START", "")
    assert load_settings(transactions.project).partitions_start == dt.date(2017, 1, 1)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("/lake/gold", "/lake/gold/product_usage_metrics"),
        ("/lake/gold/", "/lake/other/../gold/product_usage_metrics"),
        ("/lake/gold", "file:///lake/gold/product_usage_metrics/"),
        ("/lake/gold", "{link}/gold/product_usage_metrics"),
        ("s3://bucket/gold", "s3a://bucket//gold/x/../product_usage_metrics"),
        ("s3a://bucket", "s3://bucket/my%20lake"),
    ],
)
def test_no_place_of_a_lake_lies_within_another_however_it_is_spelt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outer: str, inner: str
) -> None:
    (tmp_path / "link").symlink_to("/lake")
    inner = inner.format(link=tmp_path / "link")
    monkeypatch.setenv("GOLD_WRITE_PATH_SPEND_SUMMARY", outer)
    monkeypatch.setenv("GOLD_WRITE_PATH_PRODUCT_USAGE_METRICS", inner)
    with pytest.raises(UserError) as raised:
        load_settings(transactions.project)
    assert ", within GOLD_WRITE_PATH_SPEND_SUMMARY, " in str(raised.value)
    assert str(raised.value).endswith(": set GOLD_WRITE_PATH_SPEND_SUMMARY to another path.")
    places = {table.name: str(tmp_path / table.name) for table in TABLES}
    for silver, publications in ((outer, inner), (inner, outer)):
        with pytest.raises(UserError, match="expected a place of its own for every table"):
            Lake(transactions.project, silver, places, published=publications)


@pytest.mark.parametrize("setting", ["GOLD_PUBLISHED_PATH", "GOLD_CHECKPOINT_PATH"])
def test_nothing_that_is_no_table_lies_within_one(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(setting, "data/gold/high_risk_txns/of_mine")
    with pytest.raises(UserError, match=f"{setting} is .*, within GOLD_WRITE_PATH_HIGH_RISK_TXNS, "):
        load_settings(transactions.project)


def test_the_checkpoint_of_a_stream_lies_within_no_table(tmp_path: Path) -> None:
    silver, spend, usage, risk, bad = (str(tmp_path / name) for name in "abcde")
    with pytest.raises(UserError, match=r"the checkpoint is .*, within user_spend_summary, "):
        write_to_gold(silver, spend, usage, risk, f"{spend}/checkpoint", bad, engine=SparkEngine())


def test_a_path_that_no_table_can_have_is_one_sentence_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_SOURCE_PATH", "data/silver[1]")
    with pytest.raises(UserError, match=r"silver\[1\] holds \["):
        load_settings(transactions.project)


def test_a_place_whose_name_begins_like_anothers_is_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_WRITE_PATH_SPEND_SUMMARY", "data/gold/product_usage")
    load_settings(transactions.project)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("GOLD_ENGINE", "flink", "GOLD_ENGINE is 'flink', expected 'sail' or 'spark': correct it or unset it."),
        (
            "GOLD_SILVER_COLUMNS",
            "user_id=customer",
            "GOLD_SILVER_COLUMNS is 'user_id=customer', expected a JSON object from our column to yours, such as "
            '{"user_id": "your_user_id"}: correct it or unset it.',
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
        load_settings(transactions.project)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("setting", ["GOLD_ALERT_WEBHOOK", "GOLD_ALERT_MAIL", "GOLD_ALERT_SMTP"])
def test_a_setting_that_is_gone_names_the_one_in_its_place(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(setting, "https://hush-hush")
    with pytest.raises(UserError) as raised:
        load_settings(transactions.project)
    assert str(raised.value) == (
        f"{setting} is set, which GOLD_ALERT_URLS has replaced: set that to URLs of apprise, such as "
        f"slack://token_a/token_b/token_c/#alerts, and unset {setting}."
    )


def test_storage_options_are_in_the_environment_where_every_engine_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "before")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://before")
    monkeypatch.setenv(
        "GOLD_STORAGE_OPTIONS", '{"aws_endpoint_url": "http://127.0.0.1:9000", "AWS_ALLOW_HTTP": "true"}'
    )
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    load_settings(transactions.project)
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
        load_settings(transactions.project)
    assert sentence in str(raised.value)
    assert "hush" not in str(raised.value)
    assert "hush" not in repr(raised.value.__cause__)


def test_a_setting_never_shows_the_storage_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_STORAGE_OPTIONS", '{"AWS_SECRET_ACCESS_KEY": "hush-hush"}')
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    assert "hush" not in repr(load_settings(transactions.project))
