"""The maintenance job on a real instance: what it does to the tables, and what it tells Dagster."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gold_assets.assets.metadata import KEYS
from gold_assets.code_location import definitions
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.jobs.maintenance import maintenance_schedule
from gold_assets.resources import GOLD_WRITERS_POOL
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.project import SETTINGS, resources_on
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = pytest.mark.sail

SCHEDULE = maintenance_schedule(SETTINGS)
MAINTENANCE = definitions(SETTINGS.project, SETTINGS).resolve_job_def("maintenance")


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


@pytest.fixture
def gold(lake: Lake, engine: Engine) -> Lake:
    write_silver(lake, [row(), high_risk_row(), row(user_id=None), row(event_date=TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    return lake


def maintain(lake: Lake, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    return MAINTENANCE.execute_in_process(
        run_config={"ops": {"maintain_gold": {"config": config}}},
        resources=resources_on(lake),
        instance=instance,
        raise_on_error=False,
    )


def observed(instance: dg.DagsterInstance, table: str) -> dict[str, Any]:
    [record] = instance.fetch_observations(dg.AssetKey(table), limit=1).records
    assert record.asset_observation is not None
    described = {name for what in ("Maintenance of a table", "A dry run of maintenance") for name in KEYS[what]}
    assert record.asset_observation.metadata.keys() <= described
    return {name: value.value for name, value in record.asset_observation.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    data = result.failure_data_for_node("maintain_gold")
    assert data is not None and data.user_failure_data is not None
    return str(data.user_failure_data.description)


def test_each_table_shows_what_its_maintenance_did_and_gold_is_as_true_as_before(
    gold: Lake, instance: dg.DagsterInstance
) -> None:
    assert maintain(gold, instance).success
    assert {table.name: observed(instance, table.name)["dates_ordered"] for table in TABLES} == {
        "user_spend_summary": 2,
        "product_usage_metrics": 2,
        "high_risk_txns": 1,
        "quarantined_txns": 1,
    }
    assert_gold_is_true(gold)


def test_a_second_run_right_after_finds_nothing_to_order(gold: Lake, instance: dg.DagsterInstance) -> None:
    maintain(gold, instance)
    assert maintain(gold, instance).success
    assert [observed(instance, table.name)["dates_ordered"] for table in TABLES] == [0, 0, 0, 0]


def test_the_launchpad_may_ask_for_some_tables_and_dates(gold: Lake, instance: dg.DagsterInstance) -> None:
    assert maintain(gold, instance, tables=["user_spend_summary"], dates=[str(TUESDAY)]).success
    assert observed(instance, "user_spend_summary")["ordered"] == str(TUESDAY)
    assert not instance.fetch_observations(dg.AssetKey("high_risk_txns"), limit=1).records


def test_a_dry_run_changes_nothing_and_says_what_it_would_order(gold: Lake, instance: dg.DagsterInstance) -> None:
    before = {name: sorted(Path(path).rglob("*")) for name, path in gold.places.items()}
    assert maintain(gold, instance, dry_run=True).success
    assert observed(instance, "user_spend_summary")["would_order_dates"] == 2
    assert {name: sorted(Path(path).rglob("*")) for name, path in gold.places.items()} == before


def test_one_tables_failure_does_not_stop_the_others_and_the_run_still_fails(
    gold: Lake, instance: dg.DagsterInstance
) -> None:
    broken = Path(gold.places["user_spend_summary"])
    for data_file in broken.rglob("*.parquet"):
        data_file.unlink()
    result = maintain(gold, instance)
    assert not result.success
    assert "user_spend_summary" in failure(result)
    assert observed(instance, "product_usage_metrics")["dates_ordered"] == 2
    assert observed(instance, "quarantined_txns")["dates_ordered"] == 1


def test_a_table_that_is_not_there_yet_fails_nothing_else(gold: Lake, instance: dg.DagsterInstance) -> None:
    shutil.rmtree(gold.places["high_risk_txns"])
    maintain(gold, instance)
    assert observed(instance, "user_spend_summary")["dates_ordered"] == 2


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"tables": ["gold"]}, "There is no table gold, expected some of"),
        ({"dates": ["yesterday"]}, "dates holds no date"),
        ({"retention_hours": 1}, "168"),
    ],
)
def test_a_request_that_makes_no_sense_fails_with_one_sentence(
    gold: Lake, instance: dg.DagsterInstance, config: dict[str, Any], sentence: str
) -> None:
    result = maintain(gold, instance, **config)
    assert not result.success
    assert sentence in failure(result)
    assert "\n" not in failure(result)


def test_it_shares_the_pool_of_golds_writers_and_runs_every_night() -> None:
    assert {pool for node in MAINTENANCE.all_node_defs for pool in node.pools} == {GOLD_WRITERS_POOL}
    assert (SCHEDULE.cron_schedule, SCHEDULE.execution_timezone) == ("0 3 * * *", "UTC")
    assert SCHEDULE.default_status is dg.DefaultScheduleStatus.RUNNING
