"""``gold stream``: follow Silver as a stream, and report each refreshed partition to Dagster."""

import datetime as dt
import functools
import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import click
import dagster as dg

from gold_assets.assets.events import materializations
from gold_assets.assets.metadata import refreshed_numbers
from gold_assets.assets.published import events_of
from gold_assets.assets.silver import new_data_versions
from gold_assets.checks.publishing import publish
from gold_assets.commands.options import BY, sub_command
from gold_assets.config import Settings
from gold_assets.delta.dates import asked_in_text
from gold_assets.delta.errors import UserError, store_failures_told
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.plan import Step
from gold_assets.gold.refresh import wait_and_hear_signals
from gold_assets.gold.streaming import Batch, follow
from gold_assets.instance.dagster_internals import DATA_VERSION_IS_USER_PROVIDED_TAG, DATA_VERSION_TAG
from gold_assets.partitions import daily_partitions
from gold_assets.resources import Lakehouse, asset_key

logger = logging.getLogger(__name__)


@sub_command("stream --interval '1 second'")
@click.option(
    "--interval",
    metavar="TIME",
    help="Look for new commits of Silver this often, for good, such as '200 milliseconds'; by default drain Silver and end.",
)
@click.option("--optimize", is_flag=True, help="At the end, OPTIMIZE ZORDER BY the refreshed dates before today.")
@click.option(
    "--unseal",
    metavar="DATES",
    help="Follow these dates though they are sealed or held, such as '2025-01-01 to 2025-01-31, 2025-03-01'; needs --reason.",
)
@click.option("--reason", metavar="TEXT", help="Why they are unsealed, as their commits will tell.")
@BY
def command(
    settings: Settings, interval: str | None, optimize: bool, unseal: str | None, reason: str | None, by: str
) -> None:
    """Keep Gold true to Silver as it changes, and publish each batch that passes its checks.

    On Sail it looks at Silver's log, on Spark it is a Structured Streaming query with a checkpoint.

    SIGINT and SIGTERM end it after the batch in hand. Let either this or the sensor write Gold, not both: Dagster's pool does
    not reach here.

    Exit code 0: Silver is drained, or the stream was asked to stop; 2: something to put right, said in one sentence.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    # What its JVM's end interrupts py4j tells by the root logger, with a traceback.
    logging.getLogger().addFilter(lambda record: "py4j" not in record.pathname)
    if unseal and not reason:
        raise UserError("--unseal is given without --reason, expected why the dates are unsealed: give it.")
    opened = asked_in_text("--unseal", unseal) if unseal else set()
    lakehouse = Lakehouse.from_settings(settings)
    engine, lake = lakehouse.started_engine(), lakehouse.lake(settings.project)
    follow_silver = functools.partial(
        follow,
        lake,
        engine,
        settings.checkpoint_path,
        optimize=optimize,
        interval=interval,
        on_refreshed=functools.partial(_after_batch, settings, lake, _instance()),
        stop=_stop_at_signals(),
        opened=opened,
        opened_by=f"opened by {by}: {reason}" if opened else "",
    )
    try:
        # Started in the main thread, pyspark takes SIGINT for itself, and then cancels the batch in hand.
        with ThreadPoolExecutor(max_workers=1) as pool:
            following = pool.submit(follow_silver)
            wait_and_hear_signals([following])
            following.result()
    finally:
        engine.close()


def _stop_at_signals() -> threading.Event:
    stop = threading.Event()

    def ask(number: int, _frame: object) -> None:
        logger.info("%s: the stream ends after the batch in hand", signal.Signals(number).name)
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice means now

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def _report(instance: dg.DagsterInstance, settings: Settings, batch: Batch) -> None:
    """Tell Dagster what a batch did, with the provenance by which the UI knows that Gold is in sync with Silver."""
    known = set(daily_partitions(settings).get_partition_keys())
    looked_at = {
        date for of in (batch.refreshed.dates, batch.refreshed.current) for dates in of.values() for date in dates
    }
    dates = sorted(date for date in looked_at if date is not None and str(date) in known)
    silver, moment = asset_key(settings.project, settings.project.source.asset), batch.moment
    for date, version in new_data_versions(instance, silver, moment.silver, moment.changes, batch.after, dates):
        tags = {DATA_VERSION_TAG: version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
        instance.report_runless_asset_event(dg.AssetObservation(silver, partition=str(date), tags=tags))
    for table in settings.tables:
        made, current = batch.refreshed.dates[table.name], batch.refreshed.current[table.name]
        written = {
            date: {**refreshed_numbers(table, date, batch.refreshed), "stream_batch": batch.id}
            for date in dates
            if date in made
        }
        left: dict[dt.date | None, Step] = {date: step for date, step in current.items() if date in dates}
        for event in materializations(instance, settings.project, table, written, left):
            instance.report_runless_asset_event(event)
    if left_out := sum(str(date) not in known for date in batch.dates):
        logger.warning("%d refreshed dates lie outside the partitions and are not reported to Dagster", left_out)
    logger.info("Batch %d: %d dates of %d tables are reported to Dagster", batch.id, len(dates), len(settings.tables))


def _instance() -> dg.DagsterInstance | None:
    if not os.environ.get("DAGSTER_HOME"):
        logger.info("DAGSTER_HOME is not set: nothing is reported to Dagster")
        return None
    return dg.DagsterInstance.get()


def _after_batch(settings: Settings, lake: Lake, instance: dg.DagsterInstance | None, batch: Batch) -> None:
    """Report the batch, then check and publish what it made. What cannot be published now is tried again after the next batch."""
    if instance is not None:
        _report(instance, settings, batch)
    try:
        outcome = publish(lake, settings.limits)
        logger.log(logging.WARNING if outcome.is_held else logging.INFO, outcome.summary)
        if instance is not None:
            with store_failures_told():
                events = [*events_of(outcome, Moment(lake), settings)]
            for event in events:
                instance.report_runless_asset_event(event)
    except UserError as error:
        logger.error("After batch %d publishing failed: %s", batch.id, error)
