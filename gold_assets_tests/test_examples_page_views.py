"""The example of page views: tested as its users would, and in Dagster and from the shell as the transactions are."""

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake

from examples.page_views.project import project
from examples.page_views.silver import FIRST, views
from gold_assets import published
from gold_assets.code_location import definitions
from gold_assets.commands.gold import gold
from gold_assets.environment import load_settings
from gold_assets.testing import project_lake

pytestmark = pytest.mark.sail

MONDAY, TUESDAY = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def view(page: str, visitor: str | None, seconds: float | None, hour: int = 9) -> dict[str, Any]:
    at = dt.datetime.combine(MONDAY, dt.time(hour), dt.timezone.utc)
    return {"page": page, "visitor": visitor, "seconds": seconds, "viewed_at": at}


def test_views_that_are_added_changed_moved_and_deleted() -> None:
    with project_lake(project) as case:
        case.append(
            [view("/", "ann", 0.1), view("/", "bob", 0.2), view("/tea", "ann", 660.0), view("/tea", None, -1.0)]
        )
        case.expect(
            "views_by_page",
            [
                {"page": "/", "event_date": MONDAY, "views": 2, "seconds": 0.3, "last_visitor": "bob"},
                {"page": "/tea", "event_date": MONDAY, "views": 1, "seconds": 660.0, "last_visitor": "ann"},
            ],
        )
        case.expect("long_views", [{"page": "/tea", "visitor": "ann", "minutes": 11.0, "event_date": MONDAY}])
        case.expect("quarantined_page_views", [{"page": "/tea", "violations": ["seconds_are_negative"]}])
        case.append([view("/", "ann", 0.3, hour=23)])
        case.expect(
            "visitors_by_page",
            [{"page": "/", "visitors": 2, "mean_seconds": 0.2}, {"page": "/tea", "visitors": 1, "mean_seconds": 660.0}],
        )
        case.change("seconds < 0", seconds="1.0")
        case.move("visitor = 'bob'", TUESDAY)
        case.delete("seconds > 600")
        case.expect("long_views", [])
        case.expect("quarantined_page_views", [])
        case.expect(
            "views_by_page",
            [
                {"page": "/", "event_date": MONDAY, "views": 2, "last_visitor": "ann"},
                {"page": "/", "event_date": TUESDAY, "views": 1, "last_visitor": "bob"},
                {"page": "/tea", "event_date": MONDAY, "views": 1, "last_visitor": None},
            ],
        )


class InDagster:
    """What Dagster loads of the project, ticked and run by hand on the lake of the settings."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cursor = instance, ""
        self.repository = definitions(project, load_settings(project)).get_repository_def()

    def tick(self) -> list[dg.RunRequest]:
        resources = self.repository.get_top_level_resources()
        with dg.build_sensor_context(
            self.instance, self.cursor or None, repository_def=self.repository, resources=resources
        ) as context:
            result = self.repository.get_sensor_def("web_micro_batch_sensor").evaluate_tick(context)
        self.cursor = result.cursor or ""
        return list(result.run_requests or [])

    def materialize(self, config: Mapping[str, Any] = MappingProxyType({}), **dates: Any) -> None:
        keys = {dg.AssetKey([project.name, table.name]) for table in project.tables}
        job = self.repository.get_implicit_global_asset_job_def().get_subset(asset_selection=keys)
        assert job.execute_in_process({**QUIET, **config}, instance=self.instance, **dates).success

    def run_job(self, name: str) -> dg.ExecuteInProcessResult:
        return self.repository.get_job(f"{project.name}_{name}").execute_in_process(QUIET, instance=self.instance)


@pytest.fixture
def silver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three days of views, where the settings say that they are."""
    settings = {"LAKE_ROOT": str(tmp_path), "PARTITIONS_START": "2024-01-01", "PARTITIONS_END": "2024-01-03"}
    for name, value in settings.items():
        monkeypatch.setenv(f"GOLD_{name}", value)
    monkeypatch.chdir(tmp_path)  # where no file .env is
    three_days = pc.field("viewed_at") < FIRST + dt.timedelta(days=3)
    write_deltalake(project.lake().silver, views(1000).filter(three_days))
    return project.lake().silver


def told(*arguments: str) -> str:
    done = CliRunner().invoke(gold, arguments, obj=project)
    assert done.exit_code == 0, done.output
    return done.output


def test_all_that_works_for_the_transactions_works_for_it(silver: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        dagster = InDagster(instance)
        [first] = dagster.tick()
        dagster.materialize(first.run_config, tags=first.tags)
        late = view("/tea", None, 660.0)
        write_deltalake(
            silver, pa.Table.from_pylist([late], DeltaTable(silver).to_pyarrow_table().schema), mode="append"
        )
        assert re.search(r"views_by_page +2024-01-01 +patch +1 ", told("plan"))
        [second] = dagster.tick()
        dagster.materialize(second.run_config, partition_key=second.partition_key, tags=second.tags)
        assert dagster.tick() == []
        days = {"dagster/asset_partition_range_start": "2024-01-02", "dagster/asset_partition_range_end": "2024-01-03"}
        dagster.materialize(tags=days)
        for job in ("run_checks", "maintenance", "plan"):
            assert dagster.run_job(job).success
        checked = dagster.run_job("run_checks").get_asset_check_evaluations()
        assert {check.check_name for check in checked if not check.passed} <= {"share"}
    assert "0 errors" in told("checks")
    assert "finds the same" in told("explain", "views_by_page", "--date", "2024-01-01", "page=/tea")
    assert "finds the same" in told("explain", "long_views", "--date", "2024-01-01", "visitor=NULL")
    assert "1 date, 1 page" in told("diff", "--from", "1", "--to", "2", "--table", "views_by_page")
    DeltaTable(silver).delete("seconds < 0")
    told("stream")
    assert published(project=project).arrow("quarantined_page_views").num_rows == 0
    rows = DeltaTable(silver).to_pyarrow_table().num_rows
    assert str(rows) in told("sql", "SELECT sum(views) AS views FROM views_by_page")
