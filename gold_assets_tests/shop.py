"""A project of which versions are deployed one after the other, and a small one to do so with."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import dagster as dg
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from gold_assets import Column, Project, Source, Table
from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.inspection import Inspection
from gold_assets.code_location import definitions
from gold_assets.config import Settings
from gold_assets.environment import load_settings
from gold_assets.gold.publication import Publication
from gold_assets.resources import asset_key, named

MICRO_BATCH, ROLL_OUT = "micro_batch_sensor", "roll_out_sensor"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DATES = [dt.date(2024, 1, day) for day in range(1, 6)]
CLICKS = Source("clicks", date="at", columns=[Column("page", "string"), Column("seconds", "long")])
BEFORE = "SELECT page, event_date, count(*) AS views FROM clicks GROUP BY page, event_date"
AFTER = "SELECT page, event_date, count(*) AS views, max(seconds) AS longest FROM clicks GROUP BY page, event_date"
BY_DAY = "SELECT event_date, count(*) AS views FROM clicks GROUP BY event_date"
LAST = "SELECT page, event_date, count(*) AS views, min(seconds) AS longest FROM clicks GROUP BY page, event_date"


def project(sql: str, *others: Table) -> Project:
    return Project("shop", CLICKS, [Table("by_page", sql=sql), *others], env_prefix="SHOP_")


@dataclass
class Deployed:
    """A version of the project, and what Dagster has loaded of it."""

    project: Project
    instance: dg.DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = load_settings(self.project)
        self.repository = definitions(self.settings.project, self.settings).get_repository_def()

    def deploy(self, project: Project) -> "Deployed":
        return replace(self, project=project)

    def tick(self, sensor: str = ROLL_OUT) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            self.instance,
            self.cursors.get(sensor),
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
        ) as context:
            result = self.repository.get_sensor_def(named(self.project, sensor)).evaluate_tick(context)
        self.cursors[sensor], self.said = result.cursor, result.skip_message or ""
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return list(result.run_requests or [])

    def follow(self) -> list[str]:
        """Let the micro-batches follow Silver: the dates that were asked for, which may be the ends of a range."""
        asked = []
        while requests := self.tick(MICRO_BATCH):
            for request in requests:
                assert self.run(request)
                first, last = (request.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
                asked += [request.partition_key] if request.partition_key else [f"{first} to {last}"]
        return asked

    def run(self, request: dg.RunRequest) -> bool:
        job = self.repository.get_implicit_global_asset_job_def().get_subset(
            asset_selection={asset_key(self.project, table.name) for table in self.settings.tables}
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
