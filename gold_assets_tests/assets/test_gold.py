"""The multi-asset on a real instance: what it writes, and what Dagster is told."""

import dataclasses
import datetime as dt

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets import transactions
from gold_assets.assets.gold import gold_assets
from gold_assets.environment import load_settings
from gold_assets.gold.lake import Lake
from gold_assets.resources import GOLD_WRITERS_POOL
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.project import daily_partitions, gold_checks, gold_tables, resources_on, silver_transactions
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, with_type, write_silver
from gold_assets_tests.truth import assert_gold_is_true, rows_of

SILVER = dg.AssetKey("silver_transactions")

pytestmark = pytest.mark.sail

NAMES = [table.name for table in TABLES]


@pytest.fixture
def silver(lake: Lake) -> Lake:
    write_silver(lake, [row(), row(user_id=None), high_risk_row(), row(event_date=WEDNESDAY)])
    return lake


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def materialize(
    lake: Lake,
    instance: dg.DagsterInstance,
    first: dt.date = MONDAY,
    last: dt.date = MONDAY,
    tables: list[str] | None = None,
    **config: str,
) -> dg.ExecuteInProcessResult:
    """One run over the dates from ``first`` to ``last``."""
    dates = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
    return dg.materialize(
        [gold_tables, silver_transactions],
        selection=dg.AssetSelection.assets(*(tables or NAMES)),
        run_config={"ops": {"gold_tables": {"config": config}}},
        tags=dates,
        resources=resources_on(lake),
        instance=instance,
        raise_on_error=False,
    )


def latest(instance: dg.DagsterInstance, table: str, date: dt.date) -> dg.AssetMaterialization:
    [record] = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(table), asset_partitions=[str(date)]), limit=1
    ).records
    assert record.asset_materialization is not None
    return record.asset_materialization


def test_one_run_over_a_range_makes_every_table_true_on_every_date(silver: Lake, instance: dg.DagsterInstance) -> None:
    assert materialize(silver, instance, MONDAY, WEDNESDAY).success
    assert_gold_is_true(silver)
    for name in NAMES:
        assert instance.get_materialized_partitions(dg.AssetKey(name)) == {str(MONDAY), str(TUESDAY), str(WEDNESDAY)}


def test_a_held_date_is_left_and_told_until_a_person_opens_it_by_name(lake: Lake, instance: dg.DagsterInstance) -> None:
    write_silver(lake, [row(event_date=date, user_id=f"user {n}") for date in (MONDAY, TUESDAY) for n in range(100)])
    assert materialize(lake, instance, MONDAY, TUESDAY).success
    DeltaTable(lake.silver).delete("event_date = '2024-01-01'")
    result = materialize(lake, instance, MONDAY, TUESDAY)
    assert result.success
    observed = [event.step_materialization_data for event in result.all_events if event.is_step_materialization]
    assert {each.materialization.partition for each in observed} == {str(TUESDAY)}
    told = {each.description for name in NAMES for each in observations(instance, name)}
    assert told == {"2024-01-01: left as it is, held: Silver had 100 rows of it when Gold was made and has 0 now"}
    assert not materialize(lake, instance, opened_dates="2024-01-01").success, "nobody says who opens it"
    assert materialize(lake, instance, opened_dates="2024-01-01", opened_by="ann: the shop has closed").success
    assert_gold_is_true(lake)
    info = DeltaTable(lake.places["user_spend_summary"]).history(1)[0]
    assert "opened by ann: the shop has closed" in info["userMetadata"]


def observations(instance: dg.DagsterInstance, table: str) -> list[dg.AssetObservation]:
    records = instance.fetch_observations(dg.AssetKey(table), limit=10).records
    return [each.asset_observation for each in records if each.asset_observation is not None]


def test_a_subset_writes_its_tables_and_no_other(silver: Lake, instance: dg.DagsterInstance) -> None:
    assert materialize(silver, instance, tables=["high_risk_txns"]).success
    assert rows_of(silver.places["high_risk_txns"]).num_rows == 1
    assert not any(DeltaTable.is_deltatable(silver.places[name]) for name in NAMES if name != "high_risk_txns")


def test_each_partition_tells_its_own_rows_and_the_versions_behind_them(
    silver: Lake, instance: dg.DagsterInstance
) -> None:
    materialize(silver, instance, MONDAY, WEDNESDAY)
    rows = {
        (name, date): latest(instance, name, date).metadata["dagster/partition_row_count"].value
        for name in NAMES
        for date in (MONDAY, TUESDAY, WEDNESDAY)
    }
    of_dates = {name: [rows[name, date] for date in (MONDAY, TUESDAY, WEDNESDAY)] for name in NAMES}
    assert of_dates == {
        "user_spend_summary": [1, 0, 1],
        "product_usage_metrics": [1, 0, 1],
        "high_risk_txns": [1, 0, 0],
        "quarantined_txns": [1, 0, 0],
    }
    metadata = latest(instance, "user_spend_summary", MONDAY).metadata
    assert metadata["silver_version"].value == DeltaTable(silver.silver).version()
    assert metadata["table_version"].value == DeltaTable(silver.places["user_spend_summary"]).version()
    seconds = metadata["seconds"].value
    assert isinstance(seconds, float) and seconds > 0


def test_a_date_whose_rows_all_went_away_ends_empty_and_the_run_succeeds(
    silver: Lake, instance: dg.DagsterInstance
) -> None:
    materialize(silver, instance, MONDAY, WEDNESDAY)
    DeltaTable(silver.silver).delete("event_date = DATE '2024-01-01'")
    assert materialize(silver, instance).success
    assert latest(instance, "user_spend_summary", MONDAY).metadata["dagster/partition_row_count"].value == 0
    assert_gold_is_true(silver)


def test_a_moment_that_python_does_not_have_fails_neither_a_run_nor_its_checks(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    """The last moment of the year 9999 west of Greenwich is in the year 10000 of UTC."""
    schema = with_type("valid_to", pa.timestamp("us", "UTC"))
    far = pa.scalar(253_402_318_799_000_000, schema.field("valid_to").type)
    rows = pa.Table.from_pylist([high_risk_row(), row(amount=None)], schema=schema)
    rows = rows.set_column(rows.column_names.index("valid_to"), schema.field("valid_to"), pa.array([far, far]))
    write_deltalake(lake.silver, rows, partition_by=["event_date"])
    done = dg.materialize(
        [gold_tables, silver_transactions, gold_checks],
        selection=dg.AssetSelection.assets(gold_tables),
        partition_key=str(MONDAY),
        resources=resources_on(lake),
        instance=instance,
    )
    assert done.success
    assert all(found.passed for found in done.get_asset_check_evaluations() if found.check_name == "reconciles")


def test_what_cannot_be_told_of_a_run_fails_no_run(silver: Lake, instance: dg.DagsterInstance) -> None:
    tables = tuple(dataclasses.replace(table, numbers={"odd": "no_such_column"}) for table in TABLES)
    done = dg.materialize(
        [gold_assets(load_settings(dataclasses.replace(transactions.project, tables=tables))), silver_transactions],
        selection=dg.AssetSelection.assets(*NAMES),
        partition_key=str(MONDAY),
        resources=resources_on(silver),
        instance=instance,
    )
    assert done.success
    assert latest(instance, "user_spend_summary", MONDAY).metadata["dagster/partition_row_count"].value == 1


def test_a_users_mistake_fails_the_run_with_its_one_sentence(lake: Lake, instance: dg.DagsterInstance) -> None:
    result = materialize(lake, instance)
    assert not result.success
    failed = result.failure_data_for_node("gold_tables")
    assert failed is not None and failed.user_failure_data is not None
    description = str(failed.user_failure_data.description)
    assert description.startswith(f"There is no Delta table at {lake.silver}, where Silver is expected: ")
    assert "\n" not in description


def test_gold_is_written_under_the_pool_of_its_writers() -> None:
    assert gold_tables.op.pool == GOLD_WRITERS_POOL


def test_every_table_is_an_asset_by_date_downstream_of_silver() -> None:
    assert {key.to_user_string() for key in gold_tables.keys} == set(NAMES)
    for spec in gold_tables.specs:
        assert [dep.asset_key for dep in spec.deps] == [SILVER]
        assert spec.partitions_def == daily_partitions
        assert spec.description and spec.owners and spec.kinds and spec.code_version
