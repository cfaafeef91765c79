"""The sensor's runs patch, a person's recompute; what Dagster shows of either, and what their checks compare."""

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.instance.dagster_internals import AssetCheckExecutionRecordStatus, PartitionKeyFilter
from gold_assets.micro_batches.asked_runs import VERSIONS_TAG
from gold_assets.partitions import touched_dates
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.micro_batches.test_micro_batch_runs import QUIET, Project, follow
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = pytest.mark.sail

DAYS = [MONDAY + dt.timedelta(days=n) for n in range(14)]
SPEND = dg.AssetKey("user_spend_summary")


@pytest.fixture
def project(lake: Lake) -> Iterator[Project]:
    write_silver(lake, [kind(event_date=date) for date in DAYS for kind in (row, high_risk_row)])
    with dg.DagsterInstance.ephemeral() as instance:
        project = Project(lake, instance)
        follow(project)
        yield project


def touched(project: Project) -> list[str]:
    """Append to every other day, let Gold follow, and return the dates that are asked for."""
    write_silver(project.lake, [row(event_date=date, user_id="new") for date in DAYS[::2]])
    requests = project.tick()
    for request in requests:
        project.run(request)
    return [request.run_config["ops"]["gold_tables"]["config"]["touched_dates"] for request in requests]


def materializations(project: Project, key: dg.AssetKey = SPEND) -> list[tuple[str, Mapping[str, Any]]]:
    """Partition and metadata of all materializations of a table, the newest first."""
    records = project.instance.fetch_materializations(key, limit=1000).records
    found = [record.asset_materialization for record in records]
    return [(str(each.partition), each.metadata) for each in found if each is not None]


def compared(project: Project, date: dt.date, key: dg.AssetKey = SPEND) -> str:
    """What the latest comparison of the date says that it compared."""
    return str(evaluation(project, date, key).metadata["compared"].value)


def evaluations(
    project: Project, key: dg.AssetKey = SPEND, partition: PartitionKeyFilter | None = None, name: str = "reconciles"
) -> list[dg.AssetCheckEvaluation]:
    """Those of a check, by default of the comparison with Silver, the newest first."""
    records = project.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(key, name),
        limit=1000,
        partition_filter=partition,
        status={AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED},
    )
    return [record.evaluation for record in records if record.evaluation is not None]


def evaluation(project: Project, date: dt.date, key: dg.AssetKey = SPEND) -> dg.AssetCheckEvaluation:
    return evaluations(project, key, PartitionKeyFilter(key=str(date)))[0]


def materialize(project: Project, date: dt.date, tags: Mapping[str, str] | None = None, **run: Any) -> dg.JobDefinition:
    job = project.repository.get_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey(table.name) for table in TABLES}
    )
    assert job.execute_in_process(
        instance=project.instance,
        partition_key=str(date),
        resources=project.resources,
        run_config=QUIET,
        tags=dict(tags or {}),
        **run,
    ).success
    return job


def test_the_sensors_runs_patch_and_compare_what_they_added(project: Project) -> None:
    write_silver(project.lake, [row(event_date=TUESDAY, user_id="new")])
    follow(project)
    assert_gold_is_true(project.lake)
    for table in TABLES:
        partition, metadata = materializations(project, dg.AssetKey(table.name))[0]
        assert partition == str(TUESDAY)
        assert metadata["how"].value == "patched: 1 file added in version 1"
        assert compared(project, TUESDAY, dg.AssetKey(table.name)) == "the newest patch"
    assert compared(project, MONDAY) == "in full"


def test_dates_between_those_that_silver_touched_are_not_materialized(project: Project) -> None:
    before = len(materializations(project))
    assert touched(project) == [
        "2024-01-01, 2024-01-03, 2024-01-05, 2024-01-07",
        "2024-01-09",
        "2024-01-11",
        "2024-01-13",
    ]
    assert {partition for partition, _ in materializations(project)[: len(DAYS[::2])]} == set(map(str, DAYS[::2]))
    assert len(materializations(project)) == before + len(DAYS[::2])
    assert [compared(project, date) for date in DAYS[:3]] == ["the newest patch", "in full", "the newest patch"]
    assert_gold_is_true(project.lake)


def test_dates_that_a_run_leaves_as_they_are_look_neither_failed_nor_out_of_sync(project: Project) -> None:
    touched(project)
    write_silver(project.lake, [row(event_date=TUESDAY)])
    follow(project)
    assert evaluations(project, name="no_failed_dates")[0].passed
    assert project.stale(*DAYS) == set()
    for table in TABLES:
        key = dg.AssetKey(table.name)
        partitions = project.repository.asset_graph.get(key).partitions_def
        assert partitions is not None
        status = project.instance.get_status_by_partition(key, list(map(str, DAYS)), partitions)
        assert status is not None
        assert {str(each) for each in status.values()} == {"AssetPartitionStatus.MATERIALIZED"}


def test_a_date_that_holds_silvers_rows_already_is_not_materialized_again(project: Project) -> None:
    write_silver(project.lake, [row(event_date=date) for date in (MONDAY, TUESDAY)])
    [request] = project.tick()
    materialize(project, MONDAY)
    before = len(materializations(project))
    project.run(request)
    assert [partition for partition, _ in materializations(project)[:-before]] == [str(TUESDAY)]
    assert project.stale(MONDAY, TUESDAY) == set()
    assert_gold_is_true(project.lake)


def test_what_a_killed_run_has_committed_is_materialized_by_the_next_attempt(project: Project) -> None:
    write_silver(project.lake, [row(event_date=date) for date in (MONDAY, TUESDAY)])
    [request] = project.tick()
    refresh(project.lake, project.resources["lakehouse"].started_engine(), [MONDAY], how="patch")
    before = len(materializations(project))
    project.run(request)
    new = dict(materializations(project)[:-before])
    assert new.keys() == {str(MONDAY), str(TUESDAY)}
    assert new[str(MONDAY)]["how"].value == "current: made from version 1"
    assert project.stale(MONDAY, TUESDAY) == set()
    assert compared(project, MONDAY) == compared(project, TUESDAY) == "the newest patch"


def test_a_person_recomputes_and_so_heals(project: Project) -> None:
    DeltaTable(project.lake.places["user_spend_summary"]).update({"total_spend": "0"})
    materialize(project, MONDAY)
    assert materializations(project)[0][1]["how"].value == "recomputed: asked for"
    assert compared(project, MONDAY) == "in full"
    assert_gold_is_true(project.lake, [MONDAY])


def test_a_person_who_executes_a_run_of_the_sensor_again_recomputes(project: Project) -> None:
    write_silver(project.lake, [row(event_date=TUESDAY)])
    [request] = project.tick()
    project.run(request)
    [record] = project.instance.get_run_records(dg.RunsFilter(tags={VERSIONS_TAG: "1-1"}))
    again = project.instance.create_run_for_job(
        project.repository.get_implicit_global_asset_job_def().get_subset(
            asset_selection={dg.AssetKey(table.name) for table in TABLES}
        ),
        tags=record.dagster_run.tags,
        run_config=record.dagster_run.run_config,
        parent_run_id=record.dagster_run.run_id,
        root_run_id=record.dagster_run.run_id,
    )
    assert touched_dates(record.dagster_run) == {TUESDAY}
    assert touched_dates(again) is None


def test_a_run_of_an_earlier_release_tells_its_dates_by_a_tag() -> None:
    run = dg.DagsterRun("gold", tags={"gold_assets/touched_dates": "2024-01-01 to 2024-01-02, 2024-01-05"})
    assert touched_dates(run) == {MONDAY, TUESDAY, DAYS[4]}


def compare_patched(project: Project) -> bool:
    job = project.repository.get_job("compare_patched_dates")
    return job.execute_in_process(
        instance=project.instance, resources=project.resources, run_config=QUIET, raise_on_error=False
    ).success


def test_each_patched_date_is_compared_in_full_once_a_day_and_no_other_is(project: Project) -> None:
    write_silver(project.lake, [row(event_date=TUESDAY)])
    follow(project)
    before = len(evaluations(project))
    assert compare_patched(project)
    assert compared(project, TUESDAY) == "in full"
    assert len(evaluations(project)) == before + 1
    assert compare_patched(project)
    assert len(evaluations(project)) == before + 1
    write_silver(project.lake, [row(event_date=TUESDAY)])
    follow(project)
    assert compared(project, TUESDAY) == "the newest patch"
    assert compare_patched(project)
    assert compared(project, TUESDAY) == "in full"


def test_what_a_patch_was_added_to_is_found_wrong_by_the_daily_comparison(project: Project) -> None:
    write_silver(project.lake, [row(event_date=TUESDAY)])
    follow(project)
    DeltaTable(project.lake.places["user_spend_summary"]).update(
        {"total_spend": "0"}, predicate="event_date = '2024-01-02'"
    )
    assert not compare_patched(project)
    assert not evaluation(project, TUESDAY).passed


def test_a_silver_that_was_put_back_and_written_anew_is_followed(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.lake.silver, tmp_path / "backup")
    write_silver(project.lake, [row(event_date=TUESDAY, user_id="lost")])
    follow(project)
    shutil.rmtree(project.lake.silver)
    shutil.move(tmp_path / "backup", project.lake.silver)
    write_silver(project.lake, [row(event_date=MONDAY, user_id="new")])
    assert follow(project) > 0
    assert_gold_is_true(project.lake)
    assert project.tick() == []
