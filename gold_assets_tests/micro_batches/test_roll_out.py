"""A changed table is rolled out in the background; readers get one definition of it at a time."""

import datetime as dt
import os
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
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.publication import Publication, put_back, resume
from gold_assets.gold.refresh import refresh
from gold_assets.micro_batches import roll_out
from gold_assets.reading.published import Published, published

pytestmark = pytest.mark.sail

ROLL_OUT = "shop_roll_out_sensor"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DATES = [dt.date(2024, 1, day) for day in range(1, 6)]
CLICKS = Source("clicks", date="at", columns=[Column("page", "string"), Column("seconds", "long")])
BEFORE = "SELECT page, event_date, count(*) AS views FROM clicks GROUP BY page, event_date"
AFTER = "SELECT page, event_date, count(*) AS views, max(seconds) AS longest FROM clicks GROUP BY page, event_date"
BY_DAY = "SELECT event_date, count(*) AS views FROM clicks GROUP BY event_date"
LAST = "SELECT page, event_date, count(*) AS views, min(seconds) AS longest FROM clicks GROUP BY page, event_date"


def project(sql: str) -> Project:
    return Project("shop", CLICKS, [Table("by_page", sql=sql)], env_prefix="SHOP_")


@dataclass
class Deployed:
    """A version of the project, and what Dagster has loaded of it."""

    sql: str
    instance: dg.DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = load_settings(project(self.sql))
        self.repository = definitions(self.settings.project, self.settings).get_repository_def()

    def deploy(self, sql: str) -> "Deployed":
        return replace(self, sql=sql)

    def tick(self, sensor: str = ROLL_OUT) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            self.instance,
            self.cursors.get(sensor),
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
        ) as context:
            result = self.repository.get_sensor_def(sensor).evaluate_tick(context)
        self.cursors[sensor], self.said = result.cursor, result.skip_message or ""
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return list(result.run_requests or [])

    def follow(self) -> list[str]:
        """Let the micro-batches follow Silver: the dates that were asked for, which may be the ends of a range."""
        asked = []
        while requests := self.tick("shop_micro_batch_sensor"):
            for request in requests:
                assert self.run(request)
                first, last = (request.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
                asked += [request.partition_key] if request.partition_key else [f"{first} to {last}"]
        return asked

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


def test_another_key_is_made_at_the_next_place_and_takes_over_when_it_is_whole(shop: Deployed) -> None:
    shop.follow()
    before, place = shop.published(), shop.settings.lake.places["by_page"]
    after = shop.deploy(BY_DAY)
    click(after.settings, [DATES[2]], 9)
    assert after.follow() == ["2024-01-03"], "what the next place has not got is rolled out"
    assert after.failures() == [], "dates that the next place has not got yet are behind, not wrong"
    assert "4 dates are to be made anew" in publish(after.settings.lake, after.settings.limits).summary
    assert after.published().versions == before.versions
    assert set(published(lake=after.settings.lake).arrow("by_page").column_names) == {"page", "event_date", "views"}
    assert after.roll_out() == [("2024-01-04", "2024-01-05"), ("2024-01-01", "2024-01-02")]
    now = published(lake=after.settings.lake)
    assert now.publication.tables["by_page"].uri == f"{place}_layout2"
    assert sorted(row["views"] for row in now.arrow("by_page").to_pylist()) == [1, 1, 1, 1, 2]
    assert after.failures() == [] and after.tick() == []
    earlier = published(before.at, lake=after.settings.lake)
    assert earlier.arrow("by_page").num_rows == 5, "what was published is read where it was"


def test_the_declaration_before_finds_its_table_again_and_what_it_missed_is_made(shop: Deployed) -> None:
    shop.follow()
    after = shop.deploy(BY_DAY)
    after.roll_out()
    click(after.settings, [DATES[4]], 9)
    assert after.follow() == ["2024-01-05"]
    again = after.deploy(BEFORE)
    assert again.follow() == ["2024-01-05"] and again.roll_out() == []
    now = published(lake=again.settings.lake)
    assert now.publication.tables["by_page"].uri == shop.settings.lake.places["by_page"]
    assert sorted(row["views"] for row in now.arrow("by_page").to_pylist()) == [1, 1, 1, 1, 2]


def test_a_next_place_does_not_take_over_while_readers_would_lose_what_silver_has_no_more(shop: Deployed) -> None:
    DeltaTable(shop.settings.lake.silver).delete("at < '2024-01-02'")
    before, after = shop.published(), shop.deploy(BY_DAY)
    after.roll_out()
    said = publish(after.settings.lake, after.settings.limits).summary
    assert "readers have 2024-01-01, of which Silver has no rows any more" in said
    assert after.published().versions == before.versions
    limits = replace(after.settings.limits, publish_while_rolling_out=True)
    publish(after.settings.lake, limits)
    assert published(lake=after.settings.lake).arrow("by_page").num_rows == 4


def test_a_table_that_somebody_else_changed_gets_no_next_place(shop: Deployed, engine: Engine) -> None:
    table = shop.settings.tables[0]
    rows = DeltaTable(shop.settings.lake.place("by_page")).to_pyarrow_table()
    more = rows.append_column("mood", pa.array(["good"] * 5))
    write_deltalake(
        shop.settings.lake.place("by_page"), more, mode="overwrite", schema_mode="overwrite", partition_by="event_date"
    )
    assert shop.settings.lake.place("by_page") == shop.settings.lake.places["by_page"]
    with pytest.raises(UserError, match="has the columns page, event_date, views, mood, by_page expects"):
        refresh(shop.settings.lake, engine, DATES, tables=[table])


def test_readers_put_back_after_a_roll_out_stay_so_until_another_version_passes(shop: Deployed) -> None:
    before = shop.published()
    after = shop.deploy(AFTER)
    after.roll_out()
    settings, undone = after.settings, after.published()
    assert undone.versions != before.versions
    put_back(settings.published_path, before, "ann", "longest counts robots")
    click(settings, [DATES[4]], 9)
    after.follow()
    assert (after.published().versions, after.published().silver_version) == (before.versions, before.silver_version)
    told = publish(settings.lake, settings.limits)
    assert told.is_held and "ann put readers back to the publication of" in told.summary
    assert "longest counts robots. It goes on once all dates are made by another version" in told.summary
    again = after.deploy(LAST)
    again.roll_out()
    assert again.published().put_back_to is None
    assert again.published().versions not in (before.versions, undone.versions)
    assert again.longest() == [7] * 5 and again.failures() == []


def test_a_person_lets_publishing_go_on_after_readers_were_put_back(shop: Deployed) -> None:
    settings, before = shop.settings, shop.published()
    click(settings, [DATES[4]], 9)
    shop.follow()
    newer = shop.published()
    put_back(settings.published_path, before, "ann", "Friday's prices are wrong")
    assert publish(settings.lake, settings.limits).is_held and shop.published().versions == before.versions
    resume(settings.published_path, "bob", "they were right")
    assert publish(settings.lake, settings.limits).publication.versions == newer.versions  # type: ignore[union-attr]
    with pytest.raises(UserError, match="there is nothing to resume"):
        resume(settings.published_path, "bob", "once more")


def test_maintenance_keeps_what_readers_can_be_put_back_to_after_a_roll_out(shop: Deployed, engine: Engine) -> None:
    before = shop.published()
    after = shop.deploy(AFTER)
    after.roll_out()
    lake = after.settings.lake
    for _ in range(2):
        click(after.settings, DATES, 9)
        refresh(lake, engine, DATES)
        publish(lake, after.settings.limits)
    weeks_later(lake, weeks=2)
    for file in Path(lake.places["by_page"]).rglob("*"):
        os.utime(file, (file.stat().st_mtime - 14 * 86_400,) * 2)
    maintain(lake, engine)
    assert Published(before).arrow("by_page").num_rows == 5
    put_back(after.settings.published_path, before, "ann", "two weeks of robots")
    assert set(published(lake=lake).arrow("by_page").column_names) == {"page", "event_date", "views"}


def weeks_later(lake: Lake, weeks: int) -> None:
    """Let the publications be older."""
    table = DeltaTable(str(lake.published))
    table.update({"published_at": f"published_at - INTERVAL '{weeks * 7} days'"})


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
    after.cursors[ROLL_OUT] = replace(roll_out.Progress.loads(after.cursors[ROLL_OUT]), again_at=1.0).dumps()
    assert after.roll_out()[0] == ("2024-01-04", "2024-01-05")
    assert after.longest() == [7] * 5


def test_a_table_that_nothing_of_ours_made_gets_no_column(shop: Deployed, tmp_path: Path, engine: Engine) -> None:
    place = shop.settings.lake.places["by_page"]
    Path(place).rename(tmp_path / "away")
    theirs = pa.table({"page": ["/"], "event_date": DATES[:1]})
    write_deltalake(place, theirs, partition_by=["event_date"])
    with pytest.raises(UserError, match="has the columns page, event_date"):
        refresh(shop.settings.lake, engine, DATES)
