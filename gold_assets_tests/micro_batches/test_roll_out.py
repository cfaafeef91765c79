"""A changed table is rolled out in the background; readers get one definition of it at a time."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets import Column, Project, Source, Table
from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import publish
from gold_assets.code_location import definitions
from gold_assets.config import Settings, load_settings
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.publication import Publication
from gold_assets.gold.refresh import refresh
from gold_assets.micro_batches import roll_out

pytestmark = pytest.mark.sail

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DATES = [dt.date(2024, 1, day) for day in range(1, 6)]
CLICKS = Source("clicks", date="at", columns=[Column("page", "string"), Column("seconds", "long")])
BEFORE = "SELECT page, event_date, count(*) AS views FROM clicks GROUP BY page, event_date"
AFTER = "SELECT page, event_date, count(*) AS views, max(seconds) AS longest FROM clicks GROUP BY page, event_date"
LAST = "SELECT page, event_date, count(*) AS views, min(seconds) AS longest FROM clicks GROUP BY page, event_date"


def project(sql: str) -> Project:
    return Project("shop", CLICKS, [Table("by_page", sql=sql)], env_prefix="SHOP_")


@dataclass
class Deployed:
    """A version of the project, and what Dagster has loaded of it."""

    sql: str
    instance: dg.DagsterInstance
    cursor: str | None = None
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = load_settings(project(self.sql))
        self.repository = definitions(self.settings.project, self.settings).get_repository_def()

    def deploy(self, sql: str) -> "Deployed":
        return replace(self, sql=sql)

    def tick(self, sensor: str = "shop_roll_out_sensor") -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            self.instance,
            self.cursor,
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
        ) as context:
            result = self.repository.get_sensor_def(sensor).evaluate_tick(context)
        self.cursor, self.said = result.cursor, result.skip_message or ""
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return list(result.run_requests or [])

    def run(self, request: dg.RunRequest) -> bool:
        job = self.repository.get_implicit_global_asset_job_def().get_subset(
            asset_selection={dg.AssetKey(["shop", table.name]) for table in self.settings.tables}
        )
        config = {**QUIET, **request.run_config}
        return job.execute_in_process(
            config, instance=self.instance, tags=request.tags, partition_key=request.partition_key, raise_on_error=False
        ).success

    def roll_out(self) -> list[tuple[str, str]]:
        """Tick and run until there is nothing to do: the ranges that were asked for, in order."""
        ranges = []
        while requests := self.tick():
            [request] = requests
            assert self.run(request)
            first = request.partition_key or request.tags["dagster/asset_partition_range_start"]
            ranges.append((first, request.partition_key or request.tags["dagster/asset_partition_range_end"]))
        return ranges

    def published(self) -> Publication:
        found = self.settings.lake.publications().newest()
        assert found is not None
        return found

    def longest(self) -> list[int | None]:
        rows = DeltaTable(self.settings.lake.places["by_page"]).to_pyarrow_table().to_pylist()
        return [row.get("longest") for row in sorted(rows, key=lambda row: row["event_date"])]

    def failures(self) -> list[str]:
        inspection = Inspection(self.settings.lake, DATES, self.settings.limits)
        found = run(gold_checks(self.settings.tables), inspection)
        return [finding.check.name for finding in found if not finding.passed and finding.severity == "error"]


def click(settings: Settings, dates: Sequence[dt.date], seconds: int) -> None:
    moments = [dt.datetime(date.year, date.month, date.day, 9, tzinfo=dt.timezone.utc) for date in dates]
    rows = {"page": ["/"] * len(dates), "seconds": [seconds] * len(dates), "at": moments}
    write_deltalake(settings.lake.silver, pa.table(rows), mode="append")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Deployed:
    """Five dates, made and published by the first version."""
    monkeypatch.setenv("SHOP_LAKE_ROOT", str(tmp_path))
    monkeypatch.setenv("SHOP_PARTITIONS_START", "2024-01-01")
    monkeypatch.setenv("SHOP_PARTITIONS_END", "2024-01-05")
    monkeypatch.setattr(roll_out, "_MOST_DATES", 2)
    shop = Deployed(BEFORE, dg.DagsterInstance.ephemeral())
    click(shop.settings, DATES, 7)
    refresh(shop.settings.lake, engine, DATES)
    publish(shop.settings.lake, shop.settings.limits)
    assert shop.roll_out() == []
    return shop


def test_a_column_more_is_rolled_out_newest_first_and_readers_keep_the_publication_before(shop: Deployed) -> None:
    before = shop.published().versions
    after = shop.deploy(AFTER)
    assert after.failures() in ([], ["schema"]), "dates of the version before are behind, not wrong"
    [request] = after.tick()
    assert after.run(request)
    assert after.longest() == [None, None, None, 7, 7]
    assert (after.published().versions, after.failures()) == (before, [])
    assert "2 of 5 dates are made by version" in publish(after.settings.lake, after.settings.limits).summary
    assert after.roll_out() == [("2024-01-02", "2024-01-03"), ("2024-01-01", "2024-01-01")]
    assert after.longest() == [7] * 5
    assert after.published().versions != before and after.failures() == []
    assert after.tick() == [] and "All dates" in after.said


def test_a_second_change_in_the_middle_starts_from_what_is_there(
    shop: Deployed,
) -> None:
    after = shop.deploy(AFTER)
    [request] = after.tick()
    assert after.run(request)
    click(after.settings, [DATES[2]], 9)
    last = after.deploy(LAST)
    assert last.roll_out() == [
        ("2024-01-04", "2024-01-05"),
        ("2024-01-02", "2024-01-03"),
        ("2024-01-01", "2024-01-01"),
    ]
    assert last.longest() == [7] * 5 and last.failures() == []
    assert not lake_plan(last.settings.lake, last.settings.tables, DATES).to_do


def test_a_refactoring_rolls_nothing_out(shop: Deployed) -> None:
    assert shop.deploy(BEFORE.replace("count(*) AS views", "count(*)  AS views")).roll_out() == []


def test_what_failed_is_asked_for_again_after_a_pause(shop: Deployed) -> None:
    after = shop.deploy(AFTER)
    [request] = after.tick()
    place = Path(after.settings.lake.places["by_page"])
    place.rename(place.with_name("away"))
    place.write_text("no table")
    assert not after.run(request)
    place.unlink()
    place.with_name("away").rename(place)
    assert after.tick() == [] and "did not succeed" in after.said
    after.cursor = replace(roll_out.Progress.loads(after.cursor), again_at=1.0).dumps()
    assert after.roll_out()[0] == ("2024-01-04", "2024-01-05")
    assert after.longest() == [7] * 5


def test_a_table_that_nothing_of_ours_made_gets_no_column(shop: Deployed, tmp_path: Path, engine: Engine) -> None:
    place = shop.settings.lake.places["by_page"]
    Path(place).rename(tmp_path / "away")
    theirs = pa.table({"page": ["/"], "event_date": DATES[:1]})
    write_deltalake(place, theirs, partition_by=["event_date"])
    with pytest.raises(UserError, match="has the columns page, event_date"):
        refresh(shop.settings.lake, engine, DATES)
