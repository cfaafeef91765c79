"""Silver followed as a stream, for classic Spark: a batch says which dates were touched, and the one refresh does the rest.

The stream is the clock and the checkpoint. Delta's source moves its offset with every commit of Silver that is not an
OPTIMIZE: appends, and with ``skipChangeCommits`` also updates, deletes of whole days and rows that moved to another
date, so each of them is in a batch. The batch's rows are never read. Which dates it touched is in Silver's log, between
the offset of the batch before and Silver's newest version; where there is no batch before, every date is touched, and
where the log no longer reaches back to it the stream says so. A batch that crashed has no commit in the checkpoint and
is done again. Where Silver's columns change in a way that no stream goes past, the stream starts over by itself: what
each date was made from, and so what it lacks, is in Gold's own commits.
"""

import datetime as dt
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from py4j.protocol import Py4JError, Py4JNetworkError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql.streaming import StreamingQuery

from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError, reason, remedy
from gold_assets.delta.places import refuse_overlaps, spark_path
from gold_assets.delta.storage import without_credentials
from gold_assets.engines.pyspark_internals import silence
from gold_assets.engines.spark import SparkEngine
from gold_assets.gold.lake import Lake, gold_dates
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.refresh import Refreshed, refresh
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_CUT = re.compile("DELTA_(LOG_FILE_NOT_FOUND|STREAMING_TRAILING_COMMIT_MISSING)")
_ALL_FILES = 2**31 - 1
"""The rows of a batch are not read, so there is nothing to gain from cutting it by files."""
_NO_WAY_PAST = re.compile("DELTA_(SCHEMA_CHANGED|STREAMING_INCOMPATIBLE_SCHEMA_CHANGE)")
"""Of a commit that adds a column a stream has to start again; of one that takes or changes one, to start over."""
_STREAM_ENDED = re.compile(r"^\[STREAM_FAILED\] Query \[.*?\] terminated with exception: ")
_STREAM_LOGGER = "org.apache.spark.sql.execution.streaming"


@dataclass(frozen=True)
class Batch:
    """What one batch of the stream did.

    Attributes:
        id: Spark's number of the batch; it starts over with a new checkpoint.
        silver: Silver at the version that the batch was refreshed from.
        after: the version of Silver up to which the batch before had come; -1 for a new checkpoint.
        changes: what Silver's log tells of its commits.
        dates: the dates that were brought to that version, in order; those that held its rows already among them.
        refreshed: what refresh wrote.
        rows: Silver's rows on these dates; None where a file of Silver has no statistics.
        quarantined_rows: those on the dates that were written that are in the quarantine.
        seconds: how long the batch took.
    """

    id: int
    silver: Silver
    after: int
    changes: SilverChanges
    dates: tuple[dt.date, ...]
    refreshed: Refreshed
    rows: int | None
    quarantined_rows: int
    seconds: float


def write_to_gold(
    source_path: str,
    write_path_spend_summary: str,
    write_path_product_usage_metrics: str,
    write_path_high_risk_txns: str,
    checkpoint_path: str,
    bad_records_path: str,
    *,
    engine: SparkEngine,
    optimize: bool = False,
    interval: str | None = None,
    on_refreshed: Callable[[Batch], None] | None = None,
    stop: threading.Event | None = None,
) -> set[dt.date]:
    """``follow`` of Silver by the three Gold tables and the quarantine.

    Args:
        source_path: Silver. It may be appended to, updated, deleted from, optimized and vacuumed as its owner likes.
        bad_records_path: the quarantine, which gets a batch's bad rows in the same batch.

    The rest is as ``follow`` has it.
    """
    from gold_assets import transactions

    lake = Lake(
        transactions.project,
        source_path,
        {
            "user_spend_summary": write_path_spend_summary,
            "product_usage_metrics": write_path_product_usage_metrics,
            "high_risk_txns": write_path_high_risk_txns,
            "quarantined_txns": bad_records_path,
        },
    )
    return follow(
        lake,
        checkpoint_path,
        engine=engine,
        optimize=optimize,
        interval=interval,
        on_refreshed=on_refreshed,
        stop=stop,
    )


def follow(
    lake: Lake,
    checkpoint_path: str,
    *,
    engine: SparkEngine,
    optimize: bool = False,
    interval: str | None = None,
    on_refreshed: Callable[[Batch], None] | None = None,
    stop: threading.Event | None = None,
) -> set[dt.date]:
    """Keep the lake's tables true to Silver by Structured Streaming, and return the dates that were refreshed.

    Args:
        checkpoint_path: where Spark keeps how far the stream came. Without it the stream starts with every date.
        engine: Spark on this machine or on a cluster; Spark Connect cannot run the stream's batches here.
        optimize: at the end, OPTIMIZE ZORDER BY the refreshed dates that lie before today.
        interval: how often to look for new commits, such as ``30 seconds``, for good; by default drain Silver and end.
        on_refreshed: called after each batch that refreshed a date, before the batch counts as done. It is called again
            for a batch that is done again after a crash.
        stop: once set, the stream ends after the batch in hand.

    Raises ``UserError`` where Silver, a table's place or the checkpoint is not what it must be, or a write fails.
    """
    if engine.remote is not None:
        raise UserError(
            f"The stream needs Spark in this process or on a cluster, and GOLD_SPARK_REMOTE is {without_credentials(engine.remote)}: unset it, "
            "and set GOLD_SPARK_MASTER where a cluster should do the work."
        )
    refuse_overlaps({**lake.named_places, "the checkpoint": checkpoint_path})
    checkpoint = Checkpoint(checkpoint_path)
    _check(checkpoint, lake)
    batches = _Batches(lake, engine, checkpoint, on_refreshed or (lambda batch: None), stop or threading.Event())
    while not _run_until_it_ends(batches, interval):
        logger.info("Silver's columns have changed: the stream starts again with the new ones")
    if optimize and batches.dates:
        maintain(lake, engine, dates=batches.dates, vacuum=False)
    return batches.dates


@dataclass(frozen=True)
class Offset:
    """Where the stream stands in Silver: every commit before ``next_version`` of the table ``table_id`` is in a batch."""

    table_id: str
    next_version: int


_OF_SPARK = ("metadata", "offsets", "commits")


class Checkpoint:
    """Spark's checkpoint of the stream, read through delta-rs's storage layer."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @property
    def start_over(self) -> str:
        """What to do where the stream cannot go on from here."""
        return f"delete the folder {self.uri} and start again, which refreshes every date and loses nothing"

    def has_done_a_batch(self) -> bool:
        """Whether a batch is done: the first one makes every table."""
        return bool(self._names("commits"))

    def newest_offset(self) -> Offset | None:
        """The offset of the newest batch that was begun. Raises ``UserError`` where this is not such a checkpoint, or not whole."""
        there, begun, done = self._names(""), self._numbers("offsets"), self._numbers("commits")
        if not begun and (found := [name for name in there if name not in _OF_SPARK or (name == "commits" and done)]):
            raise self._foreign(f"holds {found[0]} and no offset of a stream")
        if begun or "metadata" in there:
            self._read("metadata")
        if done:
            self._read(f"commits/{max(done)}", skip=1)
        return self.offset(max(begun)) if begun else None

    def offset(self, batch_id: int) -> Offset | None:
        """The offset up to which this batch goes; None where there is no such batch."""
        if str(batch_id) not in self._names("offsets"):
            return None
        # A version, the batch's settings, and a line for each source of the stream.
        sources = self._read(f"offsets/{batch_id}", skip=2)
        try:
            (source,) = sources
            return Offset(source["reservoirId"], source["reservoirVersion"])
        except (ValueError, KeyError, TypeError):
            raise self._foreign("belongs to a stream from something other than a Delta table") from None

    def _foreign(self, what: str) -> UserError:
        return UserError(
            f"The checkpoint at {self.uri} {what}, expected this stream's or nothing: "
            "set GOLD_CHECKPOINT_PATH to another path; a new checkpoint starts by refreshing every date."
        )

    def _read(self, file: str, skip: int = 0) -> list[Any]:
        """What the lines of a file say, each of which is JSON but for the first ones. Raises ``UserError`` where it is not whole."""
        try:
            with self._reached(), self._files().open_input_stream(file) as stream:
                written = stream.read()
            if said := [json.loads(line) for line in written.decode().splitlines()[skip:]]:
                return said
        except (FileNotFoundError, ValueError):
            pass
        raise UserError(
            f"The checkpoint at {self.uri} has no file {file} that is whole: where it is this stream's, {self.start_over}; "
            "otherwise correct GOLD_CHECKPOINT_PATH."
        )

    def clear(self) -> None:
        """Take away all batches, so that the stream starts over."""
        with self._reached():
            for folder in ("commits", "offsets"):
                self._files().delete_dir(folder)

    def _numbers(self, folder: str) -> list[int]:
        return [int(name) for name in self._names(folder) if name.isdigit()]

    def _names(self, folder: str) -> list[str]:
        try:
            with self._reached():
                entries = self._files().get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        except TableNotFoundError:
            return []  # a local folder that is not there yet
        # An object store names the folder itself too, with no base name.
        return [name for entry in entries if (name := entry.base_name) and not name.startswith((".", "_"))]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (TableNotFoundError, FileNotFoundError):
            raise
        except (DeltaError, OSError) as error:
            otherwise = "correct GOLD_CHECKPOINT_PATH, or let this process read there"
            raise UserError(
                f"The checkpoint at {self.uri} cannot be read ({reason(error)}): {remedy(error, otherwise)}."
            ) from error

    def _files(self) -> pafs.FileSystem:
        return pafs.PyFileSystem(DeltaStorageHandler(self.uri))


def _check(checkpoint: Checkpoint, lake: Lake) -> None:
    silver = lake.pin()
    offset = checkpoint.newest_offset()
    if offset is None:
        logger.info("There is no checkpoint at %s yet: every date is refreshed", checkpoint.uri)
        return
    if offset.table_id != silver.table_id:
        raise UserError(_is_another_table(checkpoint, lake))
    if offset.next_version > silver.version + 1:
        raise UserError(
            f"The checkpoint at {checkpoint.uri} has seen version {offset.next_version - 1} of Silver at {silver.uri}, "
            f"whose newest is {silver.version}: where Silver was put back to an older state, {checkpoint.start_over}."
        )
    if not checkpoint.has_done_a_batch():
        return
    for name, uri in lake.places.items():
        if not _exists(uri):
            raise UserError(
                f"{name} is not at {uri}, and the checkpoint at {checkpoint.uri} says that it is made: "
                f"{checkpoint.start_over}."
            )


def _is_another_table(checkpoint: Checkpoint, lake: Lake) -> str:
    return (
        f"The checkpoint at {checkpoint.uri} follows another table than Silver at {lake.silver}: where Silver was made "
        f"anew, {checkpoint.start_over}; "
        "otherwise correct GOLD_SOURCE_PATH or GOLD_CHECKPOINT_PATH."
    )


def _is_cut(checkpoint: Checkpoint, lake: Lake) -> str:
    return (
        f"The log of Silver at {lake.silver} no longer reaches back to where the checkpoint at {checkpoint.uri} stands: "
        f"{checkpoint.start_over}."
    )


def _exists(uri: str) -> bool:
    try:
        return DeltaTable.is_deltatable(uri)
    except (DeltaError, OSError) as error:
        otherwise = "check the path and its permissions"
        raise UserError(f"{uri} cannot be opened ({reason(error)}): {remedy(error, otherwise)}.") from error


def _run_until_it_ends(batches: "_Batches", interval: str | None) -> bool:
    """Run the stream until it ends. False where Silver's columns changed, so that it must start again to see them."""
    done_before = batches.done
    try:
        query = batches.start(interval)
    except (PySparkException, Py4JError) as error:
        raise UserError(
            f"The stream from {batches.lake.silver} cannot start ({reason(error)}): {remedy(error, 'correct that')}."
        ) from error
    try:
        while not query.awaitTermination(_POLL_SECONDS):  # type: ignore[arg-type]
            if batches.stop.is_set() and not query.status["isTriggerActive"]:
                query.stop()
    except StreamingQueryException as error:
        if isinstance(batches.failure, _StopAsked):
            return True
        if batches.failure is not None:
            raise batches.failure from None
        if _CUT.search(str(error)):
            raise UserError(_is_cut(batches.checkpoint, batches.lake)) from None
        if "DIFFERENT_DELTA_TABLE_READ" in str(error):
            raise UserError(_is_another_table(batches.checkpoint, batches.lake)) from None
        if batches.done > done_before:
            batches.restarts = 0
        if not _NO_WAY_PAST.search(str(error)) or batches.restarts > 1:
            raise _ended(batches, error) from error
        if batches.restarts:
            logger.info("No stream goes past that: it starts over, by what Gold's commits tell each date was made from")
            batches.checkpoint.clear()
        batches.restarts += 1
        return False
    except Py4JError as error:
        raise _ended(batches, error) from error
    except OSError as error:  # of the connection to the JVM
        raise _ended(batches, Py4JNetworkError(f"trying to connect to the Java server: {error}")) from error
    finally:
        with suppress(Py4JError, OSError):
            if query.isActive:
                query.stop()
    return True


def _ended(batches: "_Batches", error: Exception) -> UserError:
    known = remedy(error, "")
    again = "" if known else f"; where it ends so again, {batches.checkpoint.start_over}"
    return UserError(
        f"The stream from {batches.lake.silver} ended ({_STREAM_ENDED.sub('', reason(error))}): {known or 'mend that'}, then start "
        f"again, and it goes on where it stopped{again}."
    )


class _StopAsked(Exception):
    """A batch began after the stream was asked to stop. It is not done, and not lost: the next start does it."""


class _Batches:
    """The batches of the stream, one at a time."""

    def __init__(
        self,
        lake: Lake,
        engine: SparkEngine,
        checkpoint: Checkpoint,
        on_refreshed: Callable[[Batch], None],
        stop: threading.Event,
    ) -> None:
        self.lake = lake
        self.checkpoint = checkpoint
        self.stop = stop
        self.dates: set[dt.date] = set()
        self.done = 0
        self.restarts = 0
        """How often the stream has started again, for Silver's columns have changed, and done no batch since."""
        self.failure: BaseException | None = None
        self._engine = engine
        self._on_refreshed = on_refreshed

    def start(self, interval: str | None) -> StreamingQuery:
        session = self._engine.session
        commits = (
            session.readStream.format("delta")
            .option("skipChangeCommits", "true")
            # Where Silver's log was cut, a batch finds that out and says what to do.
            .option("failOnDataLoss", "false")
            .option("maxFilesPerTrigger", _ALL_FILES)
            .load(spark_path(self.lake.silver))
        )
        silence(session, _STREAM_LOGGER)  # what it tells of a batch that failed is told here, in a sentence
        trigger: dict[str, Any] = {"availableNow": True} if interval is None else {"processingTime": interval}
        return (
            commits.writeStream.queryName("write_to_gold")
            .foreachBatch(self._run)
            .option("checkpointLocation", spark_path(self.checkpoint.uri))
            .trigger(**trigger)
            .start()
        )

    def _run(self, _rows: DataFrame, batch_id: int) -> None:
        try:
            if self.stop.is_set():
                raise _StopAsked
            self._refresh(batch_id)
            self.done += 1
        except BaseException as failure:
            self.failure = failure  # Spark passes on its text alone
            raise

    def _refresh(self, batch_id: int) -> None:
        started = time.perf_counter()
        before = self.checkpoint.offset(batch_id - 1)
        silver = self.lake.pin()
        begun = self.checkpoint.offset(batch_id)
        if begun is not None and begun.table_id != silver.table_id:
            raise UserError(_is_another_table(self.checkpoint, self.lake))
        after = -1 if before is None else before.next_version - 1
        changes = SilverChanges(silver)
        touched = self._touched(silver, changes, after)
        if not touched:
            logger.info("Batch %d: Silver versions %d to %d changed no date", batch_id, after + 1, silver.version)
            return
        dates = sorted(date for date in touched if date is not None)
        refreshed = refresh(
            self.lake, self._engine, dates, silver.version, how="patch", by=f"batch {batch_id} of the stream"
        )
        quarantined = sum(
            written.rows
            for table in self.lake.tables
            if table.is_quarantine
            for written in refreshed.dates[table.name].values()
        )
        batch = Batch(
            id=batch_id,
            silver=silver,
            after=after,
            changes=changes,
            dates=tuple(dates),
            refreshed=refreshed,
            rows=_rows(refreshed, dates),
            quarantined_rows=quarantined,
            seconds=time.perf_counter() - started,
        )
        logger.info(
            "Batch %d: Silver versions %d to %d, dates %s, %s rows, %d quarantined, %.1f s",
            batch_id,
            after + 1,
            silver.version,
            dates_text(dates),
            "unknown" if batch.rows is None else batch.rows,
            quarantined,
            batch.seconds,
        )
        self._on_refreshed(batch)
        self.dates |= set(dates)

    def _touched(self, silver: Silver, changes: SilverChanges, after: int) -> set[dt.date | None]:
        """The dates that a batch has to refresh, None among them where rows without a date were touched."""
        if after >= 0 and changes.gap_after(after):
            raise UserError(_is_cut(self.checkpoint, self.lake))
        if after < 0 or changes.everywhere_after(after):
            # Also what only a table made from Silver still has.
            return {None, *silver.dates(), *gold_dates(self.lake), *changes.dates_after(after)}
        return changes.dates_after(after)


def _rows(refreshed: Refreshed, dates: Iterable[dt.date]) -> int | None:
    counts = [refreshed.silver_rows.get(date, 0) for date in dates]
    return None if None in counts else sum(count or 0 for count in counts)
