"""What a store refuses, and a store that is not there, is one sentence that shows no secret; what it had stays whole."""

from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets import transactions
from gold_assets.checks.catalogue import gold_checks
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import publish
from gold_assets.commands.checks import examine
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.explaining.explanation import explain
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import refresh
from gold_assets.gold.structured_streaming import newest_offset
from gold_assets.resources import one_sentence_failures
from gold_assets_tests.conftest import new_engine
from gold_assets_tests.engines.processes import free_port
from gold_assets_tests.object_store import faulty_proxy as faults
from gold_assets_tests.object_store.faulty_proxy import faulty_proxy
from gold_assets_tests.object_store.s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from gold_assets_tests.small_silver import MONDAY, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = [pytest.mark.sail, pytest.mark.s3]


@pytest.fixture
def silver(lake: Lake) -> Lake:
    write_silver(lake, [row()])
    return lake


def sentence_of(lake: Lake, engine: Engine) -> str:
    with pytest.raises(UserError) as raised:
        refresh(lake, engine, [MONDAY])
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert SECRET_KEY not in sentence
    return sentence


def test_a_bucket_that_is_not_there_is_named(silver: Lake, engine: Engine) -> None:
    nowhere = Lake(transactions.project, "s3://no-such-bucket/silver", silver.places)
    assert "NoSuchBucket at http://127.0.0.1" in sentence_of(nowhere, engine)
    nowhere = Lake(transactions.project, silver.silver, {**silver.places, "high_risk_txns": "s3://no-such-bucket/gold"})
    assert "no-such-bucket" in sentence_of(nowhere, engine)
    with pytest.raises(
        UserError, match=r"checkpoint at s3://no-such-bucket/checkpoint cannot be read .*no such bucket"
    ):
        newest_offset("s3://no-such-bucket/checkpoint")


def test_wrong_credentials_are_said_and_not_shown(
    silver: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
    sentence = sentence_of(silver, engine)
    assert "credentials" in sentence
    assert "a-wrong-secret" not in sentence


def test_the_credentials_of_a_profile_are_found(
    s3: S3Server, lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = tmp_path / "credentials"
    profile.write_text(f"[gold]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    monkeypatch.setenv("AWS_PROFILE", "gold")
    write_silver(lake, [row()])
    engine = new_engine()
    refresh(lake, engine, [MONDAY])
    engine.close()
    assert_gold_is_true(lake)


def test_missing_credentials_are_said(silver: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "credentials" in sentence_of(silver, engine)


def test_expired_credentials_are_said(
    silver: Lake, engine: Engine, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_proxy(s3.env["AWS_ENDPOINT_URL"], faults.expired) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert "expired" in sentence_of(silver, engine)


def test_a_store_that_may_not_be_written_to_is_said(
    silver: Lake, engine: Engine, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_proxy(s3.env["AWS_ENDPOINT_URL"], faults.forbidden_writes) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert "permission" in sentence_of(silver, engine)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.env["AWS_ENDPOINT_URL"])
    assert not any(DeltaTable.is_deltatable(place) for place in silver.places.values())


def test_a_store_that_does_not_answer_is_said(silver: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert "does not answer" in sentence_of(silver, engine)


def test_a_store_without_conditional_put_is_said_and_not_written_to(
    silver: Lake, engine: Engine, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(silver, engine, [MONDAY])
    versions = {place: DeltaTable(place).version() for place in silver.places.values()}
    with faulty_proxy(s3.env["AWS_ENDPOINT_URL"], faults.no_conditional_put) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert "conditional" in sentence_of(silver, engine)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.env["AWS_ENDPOINT_URL"])
    assert {place: DeltaTable(place).version() for place in silver.places.values()} == versions


def test_a_slow_connection_that_drops_now_and_then_is_tried_again(
    silver: Lake, engine: Engine, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_proxy(s3.env["AWS_ENDPOINT_URL"], faults.now_and_then) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        refresh(silver, engine, [MONDAY])
        assert_gold_is_true(silver)


def test_a_connection_that_always_drops_fails_and_the_next_refresh_heals(
    silver: Lake, engine: Engine, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(silver, engine, [MONDAY])
    write_silver(silver, [row(user_id="late")])
    with faulty_proxy(s3.env["AWS_ENDPOINT_URL"], faults.dropped) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert "does not answer" in sentence_of(silver, engine)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.env["AWS_ENDPOINT_URL"])
    refresh(silver, engine, [MONDAY])
    assert_gold_is_true(silver)


def test_what_fails_once_the_tables_are_open_is_said_by_a_refresh_by_each_check_and_in_dagster(
    silver: Lake, engine: Engine, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(silver, engine, [MONDAY])
    for place in silver.places.values():
        DeltaTable(place).create_checkpoint()
    with faulty_proxy(s3.env["AWS_ENDPOINT_URL"], faults.forbidden_gold_commits) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert "permission" in sentence_of(silver, engine)
        check = next(check for check in gold_checks(silver.tables) if check.name == "reconciles")
        report = examine(Inspection(silver, [MONDAY], Limits(MONDAY, MONDAY), patches=True), [check])
        assert "permission" in report.not_run[check]
        for asks in (
            lambda: publish(silver, Limits(MONDAY, MONDAY)),
            lambda: explain(silver, "user_spend_summary", str(MONDAY), ["user_id=ann"]),
        ):
            with pytest.raises(UserError, match="permission"):
                asks()
        with pytest.raises(dg.Failure, match="permission"), one_sentence_failures():
            Moment(silver).refuse_another_silver()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.env["AWS_ENDPOINT_URL"])
    refresh(silver, engine, [MONDAY])
    assert_gold_is_true(silver)
