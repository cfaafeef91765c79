"""The asset checks on a real instance: red for the partition that is wrong, alone and in ranges, and nothing hides."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionResolvedStatus
from deltalake import DeltaTable

from gold_assets.assets.outcomes import NO_FAILED_DATES
from gold_assets.checks.publishing import publish
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.jobs.checks import daily_metadata_checks, run_checks
from gold_assets.resources import Lakehouse
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import CORRUPTIONS, DATES, QUARANTINE, SPEND, Corruption, good_lake
from gold_assets_tests.project import (
    SETTINGS,
    daily_partitions,
    gold_checks,
    gold_tables,
    resources_on,
    silver_checks,
    silver_transactions,
)
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, row, write_silver

pytestmark = pytest.mark.sail

RANGE = {"dagster/asset_partition_range_start": str(MONDAY), "dagster/asset_partition_range_end": str(WEDNESDAY)}
ON_TUESDAY = {"dagster/partition": str(TUESDAY)}
RECONCILES = dg.AssetCheckKey(dg.AssetKey(SPEND), "reconciles")


class LakehouseWithoutEngine(Lakehouse):
    """A lake that no engine may be started on."""

    def started_engine(self) -> Engine:
        raise AssertionError("an engine was started")


@pytest.fixture
def lake(copy_of: CopyOf) -> Lake:
    lake = copy_of(good_lake)
    publish(lake, SETTINGS.limits)
    return lake


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def check(
    lake: Lake, instance: dg.DagsterInstance, tags: dict[str, str], job: str = "run_checks"
) -> dg.ExecuteInProcessResult:
    """A run of the checks alone, on which no engine may start."""
    definitions = dg.Definitions(
        assets=[silver_transactions, gold_tables],
        asset_checks=[silver_checks, gold_checks],
        jobs=[run_checks(SETTINGS)],
        schedules=[daily_metadata_checks(SETTINGS)],
        resources={
            "lakehouse": LakehouseWithoutEngine(
                silver=lake.silver, places=dict(lake.places), published=str(lake.published), engine="sail"
            )
        },
    )
    return (
        definitions.get_repository_def()
        .get_job(job)
        .execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    )


def materialize(
    lake: Lake, instance: dg.DagsterInstance, tags: dict[str, str], more: Sequence[dg.AssetsDefinition] = ()
) -> dg.ExecuteInProcessResult:
    """A run of Gold with its checks, and of ``more`` assets."""
    return dg.materialize(
        [gold_tables, silver_transactions, gold_checks, *more],
        selection=dg.AssetSelection.assets(gold_tables, *more),
        tags=tags,
        resources=resources_on(lake),
        instance=instance,
        raise_on_error=False,
    )


def failures(result: dg.ExecuteInProcessResult) -> set[tuple[str, str, dt.date | None]]:
    """What failed, but for freshness: the tests' dates are long gone."""
    return {
        (
            found.asset_key.to_user_string(),
            found.check_name,
            None if found.partition is None else dt.date.fromisoformat(found.partition),
        )
        for found in result.get_asset_check_evaluations()
        if not found.passed and found.check_name not in ("yesterday_is_there", NO_FAILED_DATES)
    }


def failed_dates(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    """How many dates ``no_failed_dates`` tells of, by table."""
    return {
        found.asset_key.to_user_string(): found.metadata["dates_failed"].value  # type: ignore[misc]
        for found in result.get_asset_check_evaluations()
        if found.check_name == NO_FAILED_DATES
    }


@pytest.mark.parametrize(
    ("corruption", "tags"),
    [
        *(pytest.param(each, RANGE, id=f"{each.name}-range run") for each in CORRUPTIONS),
        *(pytest.param(each, ON_TUESDAY, id=f"{each.name}-single run") for each in CORRUPTIONS[::6]),
    ],
)
def test_each_corruption_is_told_for_its_partition(
    lake: Lake, engine: Engine, instance: dg.DagsterInstance, corruption: Corruption, tags: dict[str, str]
) -> None:
    corruption.corrupt(lake, engine)
    result = check(lake, instance, tags)
    assert failures(result) == set(corruption.failures)
    is_blocked = any(name in ("reconciles", "schema") for _, name, _ in corruption.failures)
    assert result.success is not is_blocked


@pytest.mark.parametrize("tags", [RANGE, ON_TUESDAY], ids=["range run", "single run"])
def test_a_materialization_carries_its_checks_and_they_pass_by_partition(
    lake: Lake, instance: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    write_silver(lake, [row(event_date=TUESDAY, user_id="late")])
    result = materialize(lake, instance, tags)
    assert result.success
    assert failures(result) == set()
    dates = DATES if tags is RANGE else (TUESDAY,)
    states = instance.event_log_storage.get_asset_check_state([(RECONCILES, daily_partitions)])
    passed = states[RECONCILES].subsets[AssetCheckExecutionResolvedStatus.SUCCEEDED]
    assert set(passed.value.get_partition_keys()) == set(map(str, dates))  # type: ignore[union-attr]


def test_downstream_does_not_run_on_a_wrong_day(lake: Lake, instance: dg.DagsterInstance) -> None:
    ran = []

    @dg.asset(deps=[SPEND], partitions_def=daily_partitions, backfill_policy=dg.BackfillPolicy.single_run())
    def report() -> None:
        ran.append(True)

    assert materialize(lake, instance, RANGE, [report]).success
    assert ran == [True]

    @dg.multi_asset(specs=list(gold_tables.specs), partitions_def=daily_partitions, can_subset=True)
    def forgets_a_day(lakehouse: Lakehouse) -> object:
        refresh(lake, lakehouse.started_engine(), DATES)
        DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
        for spec in gold_tables.specs:
            yield dg.MaterializeResult(spec.key)

    result = dg.materialize(
        [forgets_a_day, silver_transactions, gold_checks, report],
        selection=dg.AssetSelection.assets(forgets_a_day, report),
        tags=RANGE,
        resources=resources_on(lake),
        instance=instance,
        raise_on_error=False,
    )
    assert not result.success
    assert failures(result) == {(SPEND, "reconciles", TUESDAY)}
    assert ran == [True]


def test_a_run_without_partition_checks_every_date(lake: Lake, instance: dg.DagsterInstance) -> None:
    assert failures(check(lake, instance, {})) == set()
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    result = check(lake, instance, {})
    assert failures(result) == {(SPEND, "reconciles", TUESDAY)}
    reconciled = [e.partition for e in result.get_asset_check_evaluations() if e.asset_check_key == RECONCILES]
    assert reconciled == [str(date) for date in DATES]


def test_a_range_run_checks_its_dates_and_no_other(lake: Lake, instance: dg.DagsterInstance) -> None:
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    wednesday_alone = RANGE | {"dagster/asset_partition_range_start": str(WEDNESDAY)}
    assert failures(check(lake, instance, wednesday_alone)) == set()


def test_an_older_failed_date_does_not_hide_behind_a_newer_good_one(lake: Lake, instance: dg.DagsterInstance) -> None:
    none = dict.fromkeys(lake.places, 0)
    assert failed_dates(check(lake, instance, RANGE)) == none
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    assert failed_dates(check(lake, instance, ON_TUESDAY)) == none | {SPEND: 1}
    on_wednesday = check(lake, instance, {"dagster/partition": str(WEDNESDAY)})
    assert failures(on_wednesday) == set()
    assert failed_dates(on_wednesday) == none | {SPEND: 1}
    mended = materialize(lake, instance, ON_TUESDAY)
    assert mended.success
    assert failed_dates(mended) == none


def test_a_check_that_could_not_be_worked_out_counts_as_failed(lake: Lake, instance: dg.DagsterInstance) -> None:
    for file in Path(lake.places[SPEND]).glob("event_date=2024-01-02/*.parquet"):
        file.unlink()
    broken = check(lake, instance, ON_TUESDAY)
    assert not broken.success
    told = broken.failure_data_for_node("gold_checks")
    assert told is not None and told.user_failure_data is not None
    assert "cannot be read" in (told.user_failure_data.description or "")
    after = check(lake, instance, {"dagster/partition": str(WEDNESDAY)})
    assert failed_dates(after)[SPEND] == 1


def test_metadata_checks_run_alone_without_partition(lake: Lake, instance: dg.DagsterInstance) -> None:
    result = check(lake, instance, {}, job="run_metadata_checks")
    assert result.success
    found = {(e.asset_key.to_user_string(), e.check_name) for e in result.get_asset_check_evaluations()}
    assert len(found) == 17
    assert failures(result) == set()


def test_an_evaluation_tells_numbers_and_example_rows(lake: Lake, instance: dg.DagsterInstance) -> None:
    DeltaTable(lake.places[SPEND]).update(
        {"total_spend": "total_spend + 0.0001"}, predicate="event_date = DATE '2024-01-02' AND user_id = 'ann'"
    )
    [found] = [
        e
        for e in check(lake, instance, RANGE).get_asset_check_evaluations()
        if e.check_name == "reconciles" and not e.passed
    ]
    assert found.metadata["users_that_differ"].value == 1
    assert found.metadata["made_from_silver_version"].value == 0
    [example] = found.metadata["rows"].records  # type: ignore[attr-defined]
    assert example.data["user_id"] == "ann"


def test_yesterday_is_due_by_the_set_hour_and_not_before(lake: Lake) -> None:
    from gold_assets.checks.catalogue import all_checks, run
    from gold_assets.checks.findings import Limits
    from gold_assets.checks.inspection import Inspection

    freshness = [found for found in all_checks(lake.project) if found.name == "yesterday_is_there"]

    def fresh(now: dt.datetime, last_date: dt.date | None = None) -> bool:
        limits = Limits(MONDAY, last_date, fresh_by_hour=6, now=now.replace(tzinfo=dt.timezone.utc))
        return all(finding.passed for finding in run(freshness, Inspection(lake, [MONDAY], limits)))

    assert fresh(dt.datetime(2024, 1, 4, 7))
    assert fresh(dt.datetime(2024, 1, 5, 5, 59))
    assert not fresh(dt.datetime(2024, 1, 5, 6))
    assert fresh(dt.datetime(2024, 1, 9), last_date=WEDNESDAY)


def test_quarantine_names_rules_in_the_ui(lake: Lake, engine: Engine, instance: dg.DagsterInstance) -> None:
    write_silver(lake, [row(amount=None, product_id=f"p{n}", event_date=TUESDAY) for n in range(9)])
    materialize(lake, instance, ON_TUESDAY)
    [found] = [e for e in check(lake, instance, ON_TUESDAY).get_asset_check_evaluations() if e.check_name == "share"]
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.asset_key == dg.AssetKey(QUARANTINE)
    assert "amount_is_not_money (9)" in (found.description or "")
