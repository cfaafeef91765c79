"""What Dagster loads, pinned: a name that goes or comes by accident is seen here."""

import datetime as dt

import dagster as dg
import pytest

from gold_assets.resources import GOLD_WRITERS_POOL
from gold_assets.transactions.definitions import defs
from gold_assets_tests.project import daily_partitions

SILVER = "silver_transactions"
GOLD = {"user_spend_summary", "product_usage_metrics", "high_risk_txns"}
QUARANTINE = "quarantined_txns"
PUBLISHED = "published_gold"
OF_EVERY_TABLE = {"schema", "reconciles", "yesterday_is_there", "no_failed_dates"}
CHECKS = {
    SILVER: {"schema", "dates_in_window", "no_duplicate_rows", "gold_follows", "nothing_is_held"},
    **dict.fromkeys(GOLD, OF_EVERY_TABLE | {"sound_rows", "one_silver_version"}),
    QUARANTINE: OF_EVERY_TABLE | {"undated_rows_reconcile", "share"},
    PUBLISHED: {"is_current"},
}
BY_DATE = {"reconciles", "sound_rows", "one_silver_version", "share", "no_duplicate_rows", "nothing_is_held"}
BLOCKING = {"schema", "reconciles"}


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs.get_repository_def()


def check_specs() -> dict[dg.AssetCheckKey, dg.AssetCheckSpec]:
    return {spec.key: spec for checks in defs.asset_checks or [] for spec in checks.check_specs}


def test_the_definitions_load() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_assets_are_silver_the_three_tables_the_quarantine_and_what_is_published(
    repository: dg.RepositoryDefinition,
) -> None:
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert keys == {SILVER, QUARANTINE, PUBLISHED, *GOLD}
    for key in repository.asset_graph.get_all_asset_keys() - {dg.AssetKey(PUBLISHED)}:
        assert repository.asset_graph.get(key).partitions_def == daily_partitions
        assert repository.asset_graph.get(key).is_materializable is (key.to_user_string() != SILVER)


def test_every_table_has_its_checks_by_date_or_as_a_whole() -> None:
    found: dict[str, set[str]] = {}
    for key in check_specs():
        found.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    assert found == CHECKS
    assert {key.name for key, spec in check_specs().items() if spec.partitions_def is not None} == BY_DATE
    assert {key.name for key, spec in check_specs().items() if spec.blocking} == BLOCKING
    assert all(spec.description for spec in check_specs().values())


def test_checks_of_gold_wait_for_its_writers() -> None:
    pools = {checks.op.name: checks.op.pool for checks in defs.asset_checks or []}
    assert pools == {"gold_checks": GOLD_WRITERS_POOL, "silver_checks": None}


def test_the_jobs_schedules_and_sensors(repository: dg.RepositoryDefinition) -> None:
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {
        "observe_silver",
        "run_checks",
        "run_metadata_checks",
        "compare_patched_dates",
        "maintenance",
        "plan",
        "approve",
        "keep",
    }
    assert {schedule.name: schedule.cron_schedule for schedule in repository.schedule_defs} == {
        "daily_metadata_checks": "0 6 * * *",
        "daily_comparison_of_patched_dates": "0 4 * * *",
        "maintenance_schedule": "0 3 * * *",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {"micro_batch_sensor", "roll_out_sensor"}


def test_the_tables_are_due_every_day_by_the_set_hour(repository: dg.RepositoryDefinition) -> None:
    for name in (*GOLD, QUARANTINE):
        policy = repository.asset_graph.get(dg.AssetKey(name)).freshness_policy
        assert policy == dg.FreshnessPolicy.cron("0 6 * * *", dt.timedelta(days=1))
