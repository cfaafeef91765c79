"""Two projects whose tables have the same names and come from the same Silver: in one code location, and in two of one instance."""

import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets import Column, Project, Source, Table, published, transactions
from gold_assets.alerts.alerts import Watch
from gold_assets.code_location import definitions
from gold_assets.config import Settings
from gold_assets.delta.errors import UserError
from gold_assets.environment import load_settings
from gold_assets.gold.publication import Publications
from gold_assets_tests.test_examples import Heard

pytestmark = pytest.mark.sail

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
MONDAY = dt.date(2024, 1, 1)


def project(name: str, value: str) -> Project:
    clicks = Source("clicks", date="at", columns=[Column("page", "string")])
    sql = f"SELECT page, event_date, {value} AS n FROM clicks GROUP BY page, event_date"
    return Project(name, clicks, [Table("by_page", sql=sql)], env_prefix=f"{name.upper()}_")


@dataclass
class InDagster:
    """A project, what Dagster has loaded of it, and its sensor's cursor."""

    settings: Settings
    repository: dg.RepositoryDefinition
    instance: dg.DagsterInstance
    cursor: str | None = field(default=None)

    @property
    def name(self) -> str:
        return self.settings.project.name

    def tick(self) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            self.instance,
            self.cursor,
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
        ) as context:
            result = self.repository.get_sensor_def(f"{self.name}_micro_batch_sensor").evaluate_tick(context)
        self.cursor = result.cursor
        self.said = result.skip_message
        return list(result.run_requests or [])

    def run(self, request: dg.RunRequest) -> bool:
        tables = {dg.AssetKey([self.name, table.name]) for table in self.settings.tables}
        job = self.repository.get_implicit_global_asset_job_def().get_subset(asset_selection=tables)
        config = {**QUIET, **request.run_config}
        return job.execute_in_process(
            config, instance=self.instance, tags=request.tags, partition_key=request.partition_key, raise_on_error=False
        ).success

    def run_job(self, name: str) -> dg.ExecuteInProcessResult:
        job = self.repository.get_job(f"{self.name}_{name}")
        return job.execute_in_process(QUIET, instance=self.instance, raise_on_error=False)

    def rows(self) -> list[tuple[str, int]]:
        rows = published(project=self.settings.project).delta("by_page").to_pyarrow_table().to_pylist()
        return sorted((row["page"], row["n"]) for row in rows)


def append(silver: str, *pages: str) -> None:
    moments = [dt.datetime(2024, 1, 1, hour, tzinfo=dt.timezone.utc) for hour in range(len(pages))]
    write_deltalake(silver, pa.table({"page": pages, "at": moments}), mode="append")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, Settings]:
    """Of two projects, made from one Silver."""
    monkeypatch.chdir(tmp_path)
    for prefix in ("WEB_", "SHOP_"):
        monkeypatch.setenv(f"{prefix}SOURCE_PATH", str(tmp_path / "clicks"))
        monkeypatch.setenv(f"{prefix}PARTITIONS_START", str(MONDAY))
        monkeypatch.setenv(f"{prefix}PARTITIONS_END", str(MONDAY))
    append(str(tmp_path / "clicks"), "/", "/", "/tea")
    return load_settings(project("web", "count(*)")), load_settings(project("shop", "count(*) + 100"))


def test_merged_in_one_code_location_each_has_its_own_of_everything(
    settings: tuple[Settings, Settings], instance: dg.DagsterInstance
) -> None:
    both = dg.Definitions.merge(*(definitions(each.project, each) for each in settings))
    dg.Definitions.validate_loadable(dg.Definitions.merge(both, definitions(transactions.project)))
    web, shop = (InDagster(each, both.get_repository_def(), instance) for each in settings)
    [of_shop], [of_web] = shop.tick(), web.tick()
    assert web.run(of_web)
    assert (web.tick(), web.said) == ([], "Silver is at version 0, Gold has it.")
    assert shop.tick() == []
    assert "is gone" in str(shop.said)  # it does not take the other's run for its own
    assert shop.run(of_shop)
    assert (shop.tick(), shop.said) == ([], "Silver is at version 0, Gold has it.")
    for each in (web, shop):
        found = each.run_job("run_checks").get_asset_check_evaluations()
        assert {check.asset_key.path[0] for check in found} == {each.name}
        assert all(check.passed for check in found)
        assert instance.get_latest_materialization_event(dg.AssetKey([each.name, "published_gold"]))
    with pytest.raises(
        UserError, match=r"are another project's, of by_page, quarantined_clicks: set X_PUBLISHED_PATH to"
    ):
        Publications(web.settings.published_path, {"user_spend_summary": "/elsewhere"}, "X_").newest()
    assert web.rows() == [("/", 2), ("/tea", 1)]
    assert shop.rows() == [("/", 102), ("/tea", 101)]


def test_in_two_code_locations_of_one_instance_neither_waits_for_nor_tells_of_the_other(
    settings: tuple[Settings, Settings], instance: dg.DagsterInstance
) -> None:
    web, shop = (InDagster(each, definitions(each.project, each).get_repository_def(), instance) for each in settings)
    watches = [Watch(instance, each.settings.lake, (MONDAY, MONDAY), each.settings) for each in (web, shop)]
    states = [watch.tick(None, [], time.time())[0] for watch in watches]
    [request] = web.tick()
    DeltaTable.create(web.settings.lake.places["by_page"], pa.schema([("other", pa.int64())]))
    assert not web.run(request)
    assert not web.run_job("maintenance").success
    ears = [Heard("ear", "json://nobody") for _ in watches]
    for watch, state, ear in zip(watches, states, ears, strict=True):
        watch.tick(state.model_dump_json(), [ear], time.time())
    told = {text.partition(" failed: ")[0] for text in ears[0].texts}
    assert {"web: The run for Gold's 2024-01-01", "web: The run for job web_maintenance"} <= told
    assert ears[1].texts == []
    [request] = shop.tick()
    assert shop.run(request)
    assert {pool.name for pool in instance.event_log_storage.get_pool_limits()} == {
        "web_gold_writers",
        "shop_gold_writers",
    }
    keys = {key.to_user_string() for key in instance.all_asset_keys() if instance.get_latest_materialization_event(key)}
    assert keys == {"shop/by_page", "shop/quarantined_clicks", "shop/published_gold"}
