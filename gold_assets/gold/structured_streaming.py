"""The stream's batches as Spark's Structured Streaming calls them: foreachBatch, with a checkpoint.

Delta's source moves its offset with every commit of Silver that is not an OPTIMIZE: appends, and with ``skipChangeCommits``
also updates, deletes of whole days and rows that moved to another date, so each of them is in a batch, whose rows are never read.
"""

import json
import logging
import re
from contextlib import suppress
from typing import Any

import pyarrow.fs as pafs
from deltalake.exceptions import DeltaError, TableNotFoundError
from py4j.protocol import Py4JError, Py4JNetworkError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.errors import UserError, failed, reason, remedy
from gold_assets.delta.places import refuse_overlaps, spark_path
from gold_assets.delta.storage import without_credentials
from gold_assets.engines.pyspark_internals import silence
from gold_assets.engines.spark import SparkEngine
from gold_assets.gold.streaming import Batches

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_NO_WAY_PAST = re.compile(
    "DELTA_(SCHEMA_CHANGED|STREAMING_INCOMPATIBLE_SCHEMA_CHANGE|LOG_FILE_NOT_FOUND|STREAMING_TRAILING_COMMIT_MISSING)"
)
"""What a stream ends with where Silver's columns have changed or its log was cut."""
_STREAM_ENDED = re.compile(r"^\[STREAM_FAILED\] Query \[.*?\] terminated with exception: ")


def run(batches: Batches, engine: SparkEngine, checkpoint: str, interval: float | None) -> None:
    """Let Structured Streaming call the batches, until Silver is drained or the stream is to stop.

    Raises ``UserError`` where the checkpoint is not this stream's, or a batch fails.
    """
    if engine.remote is not None:
        raise UserError(
            "The stream needs Sail, or Spark in this process or on a cluster, and GOLD_SPARK_REMOTE is "
            f"{without_credentials(engine.remote)}: unset it, and set GOLD_SPARK_MASTER where a cluster should do the work."
        )
    refuse_overlaps({**batches.lake.named_places, "the checkpoint": checkpoint})
    prefix = batches.lake.project.env_prefix
    silver, offset = batches.lake.pin(), newest_offset(checkpoint, prefix)
    if offset is not None and offset[0] != silver.table_id:
        raise UserError(
            f"The checkpoint at {checkpoint} follows another table than Silver at {silver.uri}: where Silver was made "
            f"anew, {_start_over(checkpoint)}; otherwise correct {prefix}SOURCE_PATH or {prefix}CHECKPOINT_PATH."
        )
    gone = [table.name for table in batches.lake.tables if batches.lake.open(table) is None]
    if offset is not None and (gone or offset[1] > silver.version):
        what = f"{', '.join(gone)} is gone" if gone else f"Silver was put back from version {offset[1]}"
        logger.warning("The stream starts over, for %s", what)
        _clear(checkpoint)
    query = _Query(batches, engine, checkpoint, interval)
    while not query.has_ended():
        logger.info("The stream starts over, for none goes past what Silver's columns or its log have become")
        _clear(checkpoint)


def newest_offset(checkpoint: str, prefix: str = "GOLD_") -> tuple[str, int] | None:
    """Silver's table id, and its version up to which the checkpoint has batches; None where it has none.

    Raises ``UserError`` where this is no such checkpoint, or not whole.
    """
    try:
        files = files_of(checkpoint)
        there, batches = (
            # An object store names the folder itself too, with no base name.
            {entry.base_name for entry in files.get_file_info(pafs.FileSelector(folder, allow_not_found=True))} - {""}
            for folder in ("", "offsets")
        )
        begun = [int(name) for name in batches if name.isdigit()]
        offset = files.open_input_stream(f"offsets/{max(begun)}").read() if begun else b""
    except TableNotFoundError:
        return None  # a local folder that is not there yet
    except (DeltaError, OSError) as error:
        otherwise = f"correct {prefix}CHECKPOINT_PATH, or let this process read there"
        raise failed(f"The checkpoint at {checkpoint} cannot be read", error, otherwise) from error
    if not begun and there <= {"metadata", "offsets", "commits"}:
        return None
    try:
        # A version, the batch's settings, and a line for each source of the stream.
        [source] = map(json.loads, offset.decode().splitlines()[2:])
        return str(source["reservoirId"]), int(source["reservoirVersion"]) - 1
    except (ValueError, KeyError, TypeError):
        found = f"file offsets/{max(begun)}" if begun else f"{min(there)}"
        raise UserError(
            f"The checkpoint at {checkpoint} holds the {found} that is no whole offset of a stream from a Delta table: where it is "
            f"this stream's, {_start_over(checkpoint)}; otherwise set {prefix}CHECKPOINT_PATH to another path."
        ) from None


def _clear(checkpoint: str) -> None:
    """Take away all batches, so that the stream starts over."""
    files = files_of(checkpoint)
    for folder in ("commits", "offsets"):
        with suppress(FileNotFoundError):
            files.delete_dir(folder)


def _start_over(checkpoint: str) -> str:
    return f"delete the folder {checkpoint} and start again, which looks at every date and loses nothing"


class _StopAsked(Exception):
    """A batch began after the stream was asked to stop. It is not done, and not lost: the next start does it."""


class _Query:
    """The streaming query, which may have to start over for what its source does not go past."""

    def __init__(self, batches: Batches, engine: SparkEngine, checkpoint: str, interval: float | None) -> None:
        self._batches = batches
        self._engine = engine
        self._checkpoint = checkpoint
        self._interval = interval
        self._has_done = True
        """A batch since it last started over, so that it may again."""
        self._failure: BaseException | None = None

    def has_ended(self) -> bool:
        """Run the query until it ends. False where it must start over."""
        try:
            query = self._start()
        except (PySparkException, Py4JError) as error:
            raise self._ended(error) from error
        try:
            while not query.awaitTermination(_POLL_SECONDS):  # type: ignore[arg-type]
                if self._batches.stop.is_set() and not query.status["isTriggerActive"]:
                    query.stop()
        except StreamingQueryException as error:
            if isinstance(self._failure, _StopAsked):
                return True
            if self._failure is not None:
                raise self._failure from None
            if not _NO_WAY_PAST.search(str(error)) or not self._has_done:
                raise self._ended(error) from error
            self._has_done = False
            return False
        except (Py4JError, OSError) as error:  # of the connection to the JVM
            raise self._ended(error) from error
        finally:
            with suppress(Py4JError, OSError):
                query.stop()
        return True

    def _start(self) -> StreamingQuery:
        session = self._engine.session
        commits = (
            session.readStream.format("delta")
            .option("skipChangeCommits", "true")
            .option("failOnDataLoss", "false")  # where Silver's log was cut, the batch goes by Gold's commits
            .option("maxFilesPerTrigger", 2**31 - 1)
            .load(spark_path(self._batches.lake.silver))
        )
        silence(session, "org.apache.spark.sql.execution.streaming")  # a batch that failed is told here, in a sentence
        once = self._interval is None
        trigger: dict[str, Any] = {"availableNow": True} if once else {"processingTime": f"{self._interval} seconds"}
        return (
            commits.writeStream.queryName("write_to_gold")
            .foreachBatch(self._run)
            .option("checkpointLocation", spark_path(self._checkpoint))
            .trigger(**trigger)
            .start()
        )

    def _run(self, _rows: DataFrame, batch_id: int) -> None:
        try:
            if self._batches.stop.is_set():
                raise _StopAsked
            self._batches.do(batch_id)
            self._has_done = True
        except BaseException as failure:
            self._failure = failure  # Spark passes on its text alone
            raise

    def _ended(self, error: Exception) -> UserError:
        if isinstance(error, OSError):
            error = Py4JNetworkError(f"trying to connect to the Java server: {error}")
        known = remedy(error, "")
        again = "" if known else f"; where it ends so again, {_start_over(self._checkpoint)}"
        return UserError(
            f"The stream from {self._batches.lake.silver} ended ({_STREAM_ENDED.sub('', reason(error))}): {known or 'mend that'}, "
            f"then start again, and it goes on where it stopped{again}."
        )
