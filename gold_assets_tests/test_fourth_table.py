"""A table more, as someone else adds it: one function, one declaration, and a place by its name."""

import dataclasses
from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets import transactions
from gold_assets.code_location import definitions
from gold_assets.config import Settings
from gold_assets.declaring.column import Column
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.environment import load_settings
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import rows_of

pytestmark = pytest.mark.sail


def risk_levels(transactions: DataFrame) -> DataFrame:
    """Per risk level and day the transactions, and the sum of the different amounts, which no SELECT for all engines has."""
    return (
        transactions.groupBy(F.lower(F.coalesce("risk_level", F.lit("NONE"))).alias("risk_level"), EVENT_DATE)
        .agg(F.count("*").alias("transaction_count"), F.sum_distinct("amount").alias("amounts"))
        .select("risk_level", "transaction_count", "amounts", EVENT_DATE)
    )


RISK_LEVELS = Table(
    "risk_levels",
    source,
    version="1",
    description="Transactions per risk level per day.",
    reference="""
        SELECT lower(coalesce(risk_level, 'NONE')) AS risk_level, count(*) AS transaction_count, sum(DISTINCT amount) AS amounts, event_date
        FROM transactions GROUP BY 1, event_date""",
    transformation=risk_levels,
    columns=(
        Column("risk_level", "string", "low, medium, high, or none."),
        Column("transaction_count", "long", "How many transactions there were."),
        Column("amounts", "double", "The sum of the different amounts."),
        Column(EVENT_DATE, "date", "UTC date of the transactions; the partition."),
    ),
    key=("risk_level", EVENT_DATE),
    zorder_by=("risk_level",),
    invariants={"transaction_counts_below_one": "transaction_count >= 1"},
    numbers={"transactions": "sum(transaction_count)"},
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("GOLD_LAKE_ROOT", str(tmp_path / "lake"))
    monkeypatch.setenv("GOLD_WRITE_PATH_RISK_LEVELS", str(tmp_path / "elsewhere" / "risk"))
    monkeypatch.setenv("GOLD_PARTITIONS_START", str(MONDAY))
    monkeypatch.setenv("GOLD_PARTITIONS_END", str(TUESDAY))
    return load_settings(dataclasses.replace(transactions.project, tables=(*TABLES, RISK_LEVELS)))


def test_a_fourth_table_is_materialized_checked_and_maintained(settings: Settings, tmp_path: Path) -> None:
    write_silver(settings.lake, [row(), row(risk_level=None), high_risk_row(event_date=TUESDAY), row(user_id=None)])
    repository = definitions(settings.project, settings).get_repository_def()
    instance = dg.DagsterInstance.ephemeral()
    place = str(tmp_path / "elsewhere" / "risk")
    dates = {"dagster/asset_partition_range_start": str(MONDAY), "dagster/asset_partition_range_end": str(TUESDAY)}

    def run(job: dg.JobDefinition, success: bool = True) -> dg.ExecuteInProcessResult:
        done = job.execute_in_process(instance=instance, tags=dates, raise_on_error=False)
        assert done.success is success
        return done

    all_assets = repository.get_implicit_global_asset_job_def()
    run(all_assets.get_subset(asset_selection={dg.AssetKey(table.name) for table in settings.tables}))
    counts = {
        (found["risk_level"], found[EVENT_DATE], found["transaction_count"]) for found in rows_of(place).to_pylist()
    }
    assert counts == {("low", MONDAY, 1), ("none", MONDAY, 1), ("high", TUESDAY, 1)}
    event = instance.get_latest_materialization_event(dg.AssetKey("risk_levels"))
    assert event is not None and event.asset_materialization is not None
    told = event.asset_materialization.metadata
    assert told["transactions"].value == 1

    DeltaTable(place).update({"transaction_count": "2"}, predicate=f"{EVENT_DATE} = DATE '{TUESDAY}'")
    evaluations = run(repository.get_job("run_checks"), success=False).get_asset_check_evaluations()
    failed = {
        (found.asset_key.to_user_string(), found.check_name, found.partition)
        for found in evaluations
        if not found.passed
    }
    assert {found for found in failed if found[1] == "reconciles"} == {("risk_levels", "reconciles", str(TUESDAY))}

    run(repository.get_job("maintenance"))
    [record] = instance.fetch_observations(dg.AssetKey("risk_levels"), limit=1).records
    assert record.asset_observation is not None
    assert record.asset_observation.metadata["dates_ordered"].value == 2
