"""What the sensor asks for, run by Dagster on the project's own definitions: Gold follows, and the UI's view of it."""

import dataclasses
import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from deltalake import DeltaTable

from gold_assets.gold.held import decide
from gold_assets.gold.lake import Lake
from gold_assets.gold.safeguards import Safeguards
from gold_assets.micro_batches.cursor import Cursor
from gold_assets.transactions.definitions import defs
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.project import resources_on
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, short_id, write_silver
from gold_assets_tests.truth import assert_gold_is_true

SILVER = dg.AssetKey("silver_transactions")

pytestmark = pytest.mark.sail

QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


class Project:
    """The project on a lake and an instance of its own, its sensor ticked and its runs executed by hand."""

    def __init__(self, lake: Lake, instance: dg.DagsterInstance) -> None:
        self.lake = lake
        self.instance = instance
        self.cursor: str | None = None
        self.resources = resources_on(lake)
        self.repository = defs.get_repository_def()

    def tick(self) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.repository, resources=self.resources
        ) as context:
            result = self.repository.get_sensor_def("micro_batch_sensor").evaluate_tick(context)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        return list(result.run_requests or [])

    def run(self, request: dg.RunRequest) -> None:
        job = self.repository.get_implicit_global_asset_job_def().get_subset(
            asset_selection={dg.AssetKey(table.name) for table in TABLES}
        )
        result = job.execute_in_process(
            instance=self.instance,
            tags=request.tags,
            partition_key=request.partition_key,
            resources=self.resources,
            run_config={**QUIET, **request.run_config},
        )
        assert result.success

    def observe(self) -> None:
        job = self.repository.get_job("observe_silver")
        assert job.execute_in_process(instance=self.instance, resources=self.resources, run_config=QUIET).success

    def stale(self, *dates: dt.date) -> set[tuple[str, str]]:
        """The tables' partitions that the UI shows as out of sync or missing."""
        resolver = CachingStaleStatusResolver(
            self.instance, self.repository.asset_graph, LoadingContextForTest(self.instance)
        )
        return {
            (table.name, str(date))
            for table in TABLES
            for date in dates
            if resolver.get_status(dg.AssetKey(table.name), str(date)) != StaleStatus.FRESH
        }


@pytest.fixture
def project(lake: Lake) -> Iterator[Project]:
    write_silver(lake, [row(), high_risk_row(), row(event_date=TUESDAY), row(event_date=WEDNESDAY, user_id=" ")])
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(lake, instance)


def follow(project: Project) -> int:
    """Tick and run until there is nothing to ask for. Returns how many runs that took."""
    runs = 0
    while requests := project.tick():
        for request in requests:
            project.run(request)
            runs += 1
    return runs


def test_gold_follows_silver_through_appends_updates_deletes_and_moves(project: Project) -> None:
    assert follow(project) == 1
    assert_gold_is_true(project.lake)
    write_silver(project.lake, [row(user_id="late", event_date=MONDAY), high_risk_row(event_date=WEDNESDAY)])
    silver = DeltaTable(project.lake.silver)
    silver.delete("event_date = '2024-01-02'")
    silver.update(predicate="user_id = 'late'", updates={"event_date": "DATE '2024-01-05'"})
    write_silver(project.lake, [row(event_date=None)])
    assert follow(project) == 2
    assert_gold_is_true(project.lake)


def test_a_changed_date_is_out_of_sync_until_its_run_is_through_and_no_other_is(project: Project) -> None:
    follow(project)
    assert project.stale(MONDAY, TUESDAY, WEDNESDAY) == set()
    write_silver(project.lake, [row(event_date=TUESDAY)])
    [request] = project.tick()
    assert project.stale(MONDAY, TUESDAY, WEDNESDAY) == {(table.name, str(TUESDAY)) for table in TABLES}
    project.run(request)
    assert project.stale(MONDAY, TUESDAY, WEDNESDAY) == set()


def test_a_held_date_is_told_until_it_is_decided_and_then_asked_for(project: Project) -> None:
    write_silver(project.lake, [row(event_date=TUESDAY, user_id=f"user {n}") for n in range(100)])
    follow(project)
    DeltaTable(project.lake.silver).delete("event_date = '2024-01-02'")
    assert follow(project) == 1, "its run leaves it as it is, and is not asked for again"
    assert Cursor.loads(project.cursor).held == (TUESDAY,)
    assert "Gold keeps what it has on 2024-01-02" in Cursor.loads(project.cursor).notes
    decide(project.lake, "approve", [TUESDAY], by="ann", reason="the shop has closed")
    [request] = project.tick()
    project.run(request)
    assert follow(project) == 0
    assert Cursor.loads(project.cursor).held == ()
    assert_gold_is_true(project.lake)


def test_a_held_date_is_asked_for_once_the_safeguards_let_it_pass(project: Project) -> None:
    write_silver(project.lake, [row(event_date=TUESDAY, user_id=f"user {n}") for n in range(100)])
    follow(project)
    DeltaTable(project.lake.silver).delete("event_date = '2024-01-02'")
    follow(project)
    project.lake = dataclasses.replace(project.lake, safeguards=Safeguards(least_rows=1_000))
    project.resources = resources_on(project.lake)
    assert follow(project) == 1
    assert_gold_is_true(project.lake)


def test_a_date_that_is_held_since_gold_was_put_back_is_told_and_asked_for_once_it_is_approved(
    project: Project,
) -> None:
    write_silver(project.lake, [row(event_date=TUESDAY, user_id=f"user {n:02}") for n in range(100)])
    follow(project)
    versions = {name: DeltaTable(place).version() for name, place in project.lake.places.items()}
    for least in (60, 40):  # neither commit takes half
        DeltaTable(project.lake.silver).delete(f"event_date = '2024-01-02' AND user_id >= 'user {least}'")
        follow(project)
    assert_gold_is_true(project.lake)
    for name, place in project.lake.places.items():
        DeltaTable(place).restore(versions[name])
    follow(project)
    assert Cursor.loads(project.cursor).held == (TUESDAY,)
    decide(project.lake, "approve", [TUESDAY], by="ann", reason="the shop has closed")
    assert follow(project) == 1
    assert_gold_is_true(project.lake)


def test_an_observation_and_the_sensor_speak_of_the_same_data_versions(project: Project) -> None:
    follow(project)
    project.observe()
    assert project.stale(MONDAY, TUESDAY, WEDNESDAY) == set()
    write_silver(project.lake, [row(event_date=TUESDAY)])
    project.observe()
    assert project.stale(MONDAY, TUESDAY, WEDNESDAY) == {(table.name, str(TUESDAY)) for table in TABLES}
    follow(project)
    assert project.stale(MONDAY, TUESDAY, WEDNESDAY) == set()


def test_an_optimize_of_silver_makes_nothing_look_out_of_sync(project: Project) -> None:
    write_silver(project.lake, [row()])
    follow(project)
    assert DeltaTable(project.lake.silver).optimize.compact()["numFilesRemoved"] > 0
    assert project.tick() == []
    project.observe()
    assert project.stale(MONDAY, TUESDAY, WEDNESDAY) == set()


def test_an_observation_alone_finds_what_changed(project: Project) -> None:
    project.observe()
    write_silver(project.lake, [row(event_date=WEDNESDAY)])
    DeltaTable(project.lake.silver).delete("event_date = '2024-01-02'")
    project.observe()
    table = short_id(project.lake)
    versions = {
        record.asset_observation.partition: record.asset_observation.data_version
        for record in reversed(project.instance.fetch_observations(SILVER, limit=100).records)
        if record.asset_observation
    }
    assert versions == {str(MONDAY): f"0@{table}", str(TUESDAY): f"2@{table}", str(WEDNESDAY): f"1@{table}"}


def test_a_tick_starts_no_engine(project: Project) -> None:
    project.tick()
    assert project.resources["lakehouse"]._engine is None  # noqa: SLF001


def test_the_first_tick_asks_for_nothing_that_a_backfill_has_made_rows_without_a_date_among_it(
    project: Project,
) -> None:
    write_silver(project.lake, [row(event_date=None)])
    first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    project.run(dg.RunRequest(tags={first: str(MONDAY), last: str(WEDNESDAY)}))
    assert project.tick() == []


def test_the_first_tick_asks_only_for_what_no_backfill_has_made_since_silver_changed(project: Project) -> None:
    write_silver(project.lake, [row(), row(event_date=TUESDAY), row(event_date=WEDNESDAY)])
    backfill = {
        "dagster/asset_partition_range_start": str(MONDAY),
        "dagster/asset_partition_range_end": str(TUESDAY),
    }
    project.run(dg.RunRequest(tags=backfill))
    write_silver(project.lake, [high_risk_row(event_date=TUESDAY)])
    [request] = project.tick()
    assert request.tags["dagster/asset_partition_range_start"] == str(TUESDAY)
    assert request.tags["dagster/asset_partition_range_end"] == str(WEDNESDAY)
    project.run(request)
    assert project.tick() == []
    assert_gold_is_true(project.lake)
