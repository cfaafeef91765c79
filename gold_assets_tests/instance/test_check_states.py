"""What the user interface is told of a check's partitions, on the project's instance beside Dagster's own storage."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.storage.asset_check_state import AssetCheckState, bulk_update_asset_check_state

from gold_assets.assets.events import latest_materializations
from gold_assets.instance.dagster_internals import AssetCheckEvaluationTargetMaterializationData
from gold_assets_tests.end_to_end.command_line import environment, instance_of
from gold_assets_tests.micro_batches.daemon import micro_batch

pytestmark = pytest.mark.sail

KEY = dg.AssetCheckKey(dg.AssetKey("an_asset"), "a_check")
WEEK = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-08")
DATES = WEEK.get_partition_keys()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_of(environment(tmp_path)["DAGSTER_HOME"]) as instance:
        yield instance


def materialize(instance: dg.DagsterInstance, *dates: str) -> None:
    for date in dates:
        instance.report_runless_asset_event(dg.AssetMaterialization("an_asset", partition=date))


def evaluate(instance: dg.DagsterInstance, date: str, passed: bool) -> None:
    """As a run does: of the date's latest materialization."""
    record = latest_materializations(instance, KEY.asset_key, [date])[date]
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )
    evaluation = dg.AssetCheckEvaluation(
        asset_key=KEY.asset_key,
        check_name=KEY.name,
        passed=passed,
        metadata={},
        target_materialization_data=target,
        partition=date,
    )
    run = instance.create_run_for_job(micro_batch)
    type_ = DagsterEventType.ASSET_CHECK_EVALUATION
    event = DagsterEvent(type_.value, run.job_name, step_key="a_step", event_specific_data=evaluation)
    instance.report_dagster_event(event, run.run_id)


def plan(instance: dg.DagsterInstance, *dates: str) -> dg.DagsterRun:
    run = instance.create_run_for_job(micro_batch, status=dg.DagsterRunStatus.STARTED)
    planned = AssetCheckEvaluationPlanned(
        asset_key=KEY.asset_key,
        check_name=KEY.name,
        partitions_subset=WEEK.subset_with_partition_keys(dates).to_serializable_subset(),
    )
    type_ = DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
    event = DagsterEvent(type_.value, run.job_name, step_key="a_step", event_specific_data=planned)
    instance.report_dagster_event(event, run.run_id)
    return run


def told(instance: dg.DagsterInstance) -> AssetCheckState:
    return instance.event_log_storage.get_asset_check_state([(KEY, WEEK)])[KEY]


def found_by_dagster(instance: dg.DagsterInstance) -> AssetCheckState:
    return bulk_update_asset_check_state(instance, [(KEY, WEEK)], {KEY: AssetCheckState.empty()})[KEY]


def test_what_is_told_of_a_check_is_what_is_so_whatever_has_happened_since(instance: dg.DagsterInstance) -> None:
    seen = [told(instance)]
    materialize(instance, *DATES)
    for number, date in enumerate(DATES):
        evaluate(instance, date, passed=number != 2)
        seen.append(told(instance))
        assert seen[-1] == found_by_dagster(instance)
    evaluate(instance, DATES[2], passed=True)
    seen.append(told(instance))
    assert seen[-1] == found_by_dagster(instance)
    materialize(instance, DATES[0])
    seen.append(told(instance))
    assert seen[-1] == found_by_dagster(instance)
    run = plan(instance, *DATES[3:5])
    seen.append(told(instance))
    assert seen[-1] == found_by_dagster(instance)
    instance.report_dagster_event(DagsterEvent(DagsterEventType.RUN_FAILURE.value, run.job_name), run.run_id)
    seen.append(told(instance))
    assert seen[-1] == found_by_dagster(instance)
    assert all(one != other for one, other in pairwise(seen))


def test_what_nothing_has_changed_is_not_worked_out_again(instance: dg.DagsterInstance) -> None:
    materialize(instance, DATES[0])
    evaluate(instance, DATES[0], passed=True)
    assert told(instance) is told(instance)
