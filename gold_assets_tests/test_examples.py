"""Rows of Silver and Gold, and their keys, are in none of Dagster's records, messages and logs unless GOLD_EXAMPLES is on."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from gold_assets import transactions
from gold_assets.alerts.alerts import Watch
from gold_assets.alerts.messengers import Messenger, Unsent
from gold_assets.code_location import definitions
from gold_assets.environment import load_settings
from gold_assets.gold.lake import Lake
from gold_assets.gold.publication import Publications
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, with_type, write_silver

pytestmark = pytest.mark.sail

USER, PRODUCT, NOTE = "m4rk-user", "m4rk-product", "m4rk-note"


@dataclass
class Heard(Messenger):
    """Takes whatever is told."""

    texts: list[str] = field(default_factory=list)

    def deliver(self, unsent: Unsent, now: float) -> str:
        self.texts += [message.text for message in unsent.messages]
        unsent.messages.clear()
        return ""


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake of the settings: high-risk and quarantined rows, and what a user spent, of a user that can be searched for."""
    lake = lake_in(tmp_path)
    rows = [row(user_id=USER, product_id=PRODUCT, note=NOTE), high_risk_row(user_id=USER, note=NOTE)]
    write_silver(lake, [*rows, row(user_id=USER, amount=None, note=NOTE)], schema=with_type("note", pa.string()))
    for setting, place in (("GOLD_SOURCE_PATH", lake.silver), ("GOLD_PUBLISHED_PATH", str(lake.published))):
        monkeypatch.setenv(setting, place)
    for table in TABLES:
        monkeypatch.setenv(table.path_setting, lake.places[table.name])
    return lake


def written_of_a_wrong_date(lake: Lake, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    """All that is told and kept of a day that is made, spoilt, and checked."""
    settings, instance, heard = (
        load_settings(transactions.project),
        dg.DagsterInstance.ephemeral(),
        Heard("ear", "json://nobody"),
    )
    repository = definitions(settings.project, settings).get_repository_def()
    watch = Watch(instance, settings.lake, (MONDAY, TUESDAY), settings)
    state, _ = watch.tick(None, [heard], time.time())
    job = repository.get_implicit_global_asset_job_def()
    gold = job.get_subset(asset_selection={dg.AssetKey(table.name) for table in TABLES})
    checks = repository.get_job("run_checks")
    assert gold.execute_in_process(instance=instance, partition_key=str(MONDAY)).success
    DeltaTable(lake.places["user_spend_summary"]).update({"total_spend": "total_spend + 1"})
    DeltaTable(lake.places["high_risk_txns"]).update({"note": "'m4rk-other'"})
    checks.execute_in_process(instance=instance, raise_on_error=False)
    state, said = watch.tick(state.model_dump_json(), [heard], time.time())
    assert any("user_spend_summary failed reconciles on 2024-01-01: Unequal to Silver" in text for text in heard.texts)
    entries = [dg.serialize_value(entry) for run in instance.get_runs() for entry in instance.all_logs(run.run_id)]
    attempt = Publications(str(lake.published)).last_attempt()
    assert attempt is not None
    assert attempt.failures
    kept = [*entries, *heard.texts, said, state.model_dump_json(), str(attempt)]
    return "\n".join([*kept, *capfd.readouterr(), caplog.text])


def test_without_the_setting_no_row_and_no_key_is_told_or_kept(
    lake: Lake, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    written = written_of_a_wrong_date(lake, capfd, caplog)
    assert "m4rk" not in written
    assert "amount_is_not_money" in written  # the rule, and how many rows break it


def test_with_the_setting_on_examples_are_on_record(
    lake: Lake, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLD_EXAMPLES", "on")
    written = written_of_a_wrong_date(lake, capfd, caplog)
    for told in (USER, PRODUCT, NOTE, f"gold explain user_spend_summary --date {MONDAY} user_id={USER}"):
        assert told in written


def test_the_job_that_explains_a_row_is_there_where_its_rows_may_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not definitions(transactions.project).get_repository_def().has_job("explain")
    monkeypatch.setenv("GOLD_EXAMPLES", "on")
    assert definitions(transactions.project).get_repository_def().has_job("explain")
