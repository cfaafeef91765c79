"""The sensor daemon's part in a tick, on a real instance with real run records, a step at a time."""

import datetime as dt
import logging
from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import DagsterEvent, DagsterEventType

from gold_assets.gold.lake import Lake
from gold_assets.micro_batches.cursor import Cursor
from gold_assets.micro_batches.micro_batch import tick
from gold_assets.partitions import Range

SILVER = dg.AssetKey("silver_transactions")

WINDOW = (dt.date(2024, 1, 1), dt.date(2024, 1, 31))


@dg.op
def gold_tables() -> None:
    pass


@dg.job
def micro_batch() -> None:
    gold_tables()


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


class Daemon:
    """Ticks the sensor, stores what it returns, and lets a test decide what becomes of the runs."""

    def __init__(self, lake: Lake, instance: dg.DagsterInstance) -> None:
        self.lake = lake
        self.instance = instance
        self.cursor: str | None = None
        self.window: Range = WINDOW
        self.late = 0.0
        """Seconds by which the sensor's clock is ahead."""
        self.log = _Lines()

    def evaluate(self) -> dg.SensorResult:
        """A tick of which nothing is stored yet."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        context.log.addHandler(self.log)
        return tick(context, self.lake, self.window, dt.datetime.now().timestamp() + self.late)

    def tick(self) -> str:
        """A whole tick; what it says for a skip, empty where it asked for runs."""
        result = self.evaluate()
        self.observe(result)
        self.launch(result)
        self.cursor = result.cursor
        return (result.skip_reason.skip_message if result.skip_reason else None) or ""

    def observe(self, result: dg.SensorResult) -> None:
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)

    def launch(self, result: dg.SensorResult) -> None:
        """Create the runs asked for, but none for a run key that there is one for already."""
        for request in result.run_requests or []:
            assert request.run_key
            tags = {**request.tags, "dagster/run_key": request.run_key}
            if request.partition_key:
                tags["dagster/partition"] = request.partition_key
            if not self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": request.run_key})):
                self.instance.create_run_for_job(
                    micro_batch, run_config=request.run_config, tags=tags, status=dg.DagsterRunStatus.STARTED
                )

    def in_flight(self) -> Sequence[dg.DagsterRun]:
        """The runs that have not ended, oldest first."""
        return [run for run in reversed(self.instance.get_runs()) if not run.is_finished]

    def asked_for(self) -> list[tuple[str, str]]:
        """First and last date of each run in flight, in order of date."""
        return sorted(dates_of(run) for run in self.in_flight())

    def end(self, run: dg.DagsterRun, how: DagsterEventType = DagsterEventType.RUN_SUCCESS) -> None:
        event = DagsterEvent(event_type_value=how.value, job_name=run.job_name)
        self.instance.report_dagster_event(event, run.run_id)

    def end_all(self, how: DagsterEventType = DagsterEventType.RUN_SUCCESS) -> None:
        for run in self.in_flight():
            self.end(run, how)

    @property
    def remembered(self) -> Cursor:
        return Cursor.loads(self.cursor)

    def data_version(self, date: dt.date) -> str | None:
        """Silver's data version of the date, as last observed."""
        of_date = dg.AssetRecordsFilter(SILVER, asset_partitions=[str(date)])
        newest = self.instance.fetch_observations(of_date, limit=1).records
        observation = newest[0].asset_observation if newest else None
        return observation.tags[DATA_VERSION_TAG] if observation else None


def dates_of(run: dg.DagsterRun) -> tuple[str, str]:
    single = run.tags.get("dagster/partition")
    if single:
        return single, single
    return run.tags["dagster/asset_partition_range_start"], run.tags["dagster/asset_partition_range_end"]
