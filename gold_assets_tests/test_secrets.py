"""No secret of a setting is in anything that is written: not in a message, not in Dagster's records, not on a page, not in a repr."""

import json
import time
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from gold_assets import transactions
from gold_assets.alerts.alerts import Watch
from gold_assets.alerts.messengers import Message, messengers_of
from gold_assets.code_location import definitions
from gold_assets.delta.errors import UserError
from gold_assets.engines.spark import SparkEngine
from gold_assets.environment import load_settings
from gold_assets.gold.lake import Lake
from gold_assets.resources import Lakehouse
from gold_assets_tests.engines.processes import free_port
from gold_assets_tests.small_silver import MONDAY, TUESDAY, row, write_silver

pytestmark = pytest.mark.sail

MARK = "m4rkér/of a#hush7"
PARTS = ("4rk", "hush")
"""Parts of it, of which none may be told either."""


@pytest.fixture
def secrets(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A marker in every setting that holds a secret, and nobody listens at any of the addresses. The file of Spark's settings."""
    conf = tmp_path / "spark.conf"
    conf.write_text(f"spark.hadoop.fs.s3a.secret.key {MARK}\n")
    nobody = f"127.0.0.1:{free_port()}"
    settings = {
        "GOLD_LAKE_ROOT": str(tmp_path / "lake"),
        "GOLD_SOURCE_PATH": lake.silver,
        "GOLD_ENGINE": "spark",
        "GOLD_SPARK_REMOTE": f"sc://{nobody}/;token={quote(MARK)};use_ssl=true",
        "GOLD_SPARK_CONF": str(conf),
        "GOLD_STORAGE_OPTIONS": json.dumps({"AWS_SECRET_ACCESS_KEY": MARK}),
        "GOLD_ALERT_URLS": f"json://{nobody}/{quote(MARK)} mailto://user:{quote(MARK, safe='')}@{nobody}?from=gold@example.com&to=oncall@example.com",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    return conf


def assert_safe(*texts: object) -> None:
    for text in map(str, texts):
        assert [part for part in PARTS if part in text] == []


def test_no_secret_of_a_setting_is_in_anything_that_is_written(
    secrets: Path, lake: Lake, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_silver(lake, [row()])
    settings = load_settings(transactions.project)
    defs = definitions(settings.project, settings)
    repository = defs.get_repository_def()
    snapshot = RepositorySnap.from_def(repository)
    assert "use_ssl=true" in str(snapshot)  # the resource's configuration is there, as the UI has it
    instance = dg.DagsterInstance.ephemeral()
    job = repository.get_implicit_global_asset_job_def().get_subset(asset_selection={dg.AssetKey("user_spend_summary")})
    run = job.execute_in_process(instance=instance, partition_key=str(MONDAY), raise_on_error=False)
    records = [dg.serialize_value(entry) for entry in instance.all_logs(run.run_id)]
    assert any("does not answer" in record for record in records)
    watch = Watch(instance, settings.lake, (MONDAY, TUESDAY), settings)
    first, _ = watch.tick(None, messengers_of(settings), time.time())
    for name in ("json", "mailto"):
        first.unsent[name].messages.append(Message(text="Gold lags.", link="here"))
    state, said = watch.tick(first.model_dump_json(), messengers_of(settings), time.time())
    assert "could not be told by json" in said
    assert "could not be told by mailto" in said
    assert_safe(*records, snapshot, repr(settings), repr(Lakehouse.from_settings(settings)), settings.model_dump())
    assert_safe(state.model_dump_json(), said, *capfd.readouterr(), caplog.text)


@pytest.mark.parametrize(
    "remote", ["sc://127.0.0.1:x/;token={}", "sc://127.0.0.1/;{};token", "{}", "sc://user:{}@127.0.0.1:x"]
)
def test_an_address_of_spark_that_cannot_be_read_is_one_sentence_without_its_secret(remote: str) -> None:
    with pytest.raises(UserError) as raised:
        _ = SparkEngine(remote=remote.format("m4rkerhush7")).session
    assert "GOLD_SPARK_REMOTE is " in str(raised.value)
    assert_safe(raised.value, repr(raised.value.__cause__))


def test_what_the_file_of_sparks_settings_holds_is_in_no_message(secrets: Path) -> None:
    engine = SparkEngine(conf_file=str(secrets))
    assert engine.conf()["spark.hadoop.fs.s3a.secret.key"] == MARK
    secrets.write_text(f"hadoop.secret.key {MARK}\n")
    with pytest.raises(UserError, match=r"Line 1 of .* is no setting such as ") as raised:
        engine.conf()
    assert_safe(raised.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("GOLD_STORAGE_OPTIONS", f"{{{MARK}"), ("GOLD_STORAGE_OPTIONS", json.dumps({"AWS_SECRET": [MARK]}))],
)
def test_a_secret_setting_that_makes_no_sense_is_not_shown(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(UserError, match=setting) as raised:
        load_settings(transactions.project)
    assert_safe(raised.value, repr(raised.value.__cause__))


@pytest.mark.parametrize("address", ["postgresql://gold:{}@host/gold", "postgresql://gold:{}@host:{}/gold", "{}"])
def test_an_address_of_postgresql_that_cannot_be_read_is_one_sentence_without_its_password(address: str) -> None:
    from gold_assets.instance.postgres import PooledPostgresStorage

    with pytest.raises(UserError, match="DAGSTER_POSTGRES_URL") as raised:
        PooledPostgresStorage.from_config_value(None, {"postgres_url": address.replace("{}", "m4rk@hush7")})
    assert_safe(raised.value)
