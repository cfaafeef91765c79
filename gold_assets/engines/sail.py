"""Sail: a Spark Connect engine in Rust inside this process. It reads and computes; delta-rs commits."""

import ctypes
import datetime as dt
import hashlib
import logging
import os
import re
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from gold_assets.delta.commit_races import races_told
from gold_assets.delta.dates import EVENT_DATE, RowsOn
from gold_assets.delta.errors import UserError, missing_extra, reason
from gold_assets.delta.file_dates import FileDates, has_files_elsewhere
from gold_assets.delta.log import DeltaLog
from gold_assets.delta.query import Stream, among_sql, arrow_schema, datafusion, rows_of_keys
from gold_assets.delta.scratch import of_files
from gold_assets.delta.sql import DATAFUSION, SPARK
from gold_assets.delta.storage import located
from gold_assets.delta.types import parts
from gold_assets.engines import ROWS_A_ROW_GROUP, TARGET_FILE_BYTES, CannotOrder, SliceBounds
from gold_assets.engines.pyspark_internals import call_when_gone
from gold_assets.engines.socket_filter import connections_to, end_connections, refuse_new_connections

logger = logging.getLogger(__name__)

_get_handler = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int)(("PyOS_getsig", ctypes.pythonapi))
_set_handler = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(("PyOS_setsig", ctypes.pythonapi))

_STARTS = 5
_NEVER_IDLE = [("grpc.client_idle_timeout_ms", 2**31 - 1)]
"""After half an hour without a request gRPC would hang up, and then not be let in again."""

_NEEDS_NO_ESCAPE = re.compile(r"[A-Za-z0-9/._~+,;:&=-]+")
_ALL_ROWS = 2**31 - 1
_ROWS_A_FILE = 1 << 17
"""Of a copy. Sail holds a file that it reads in memory."""
_APPLICATION = "gold_assets"
_SORT_BYTES = 1 << 30
"""Of memory for ordering; the rest is spilled."""


def _start_alone() -> tuple[Any, SparkSession]:
    """A server and its one client. Raises ``UserError`` where others get in before the port is closed."""
    os.environ.setdefault("RUST_LOG", "error")  # else it tells of each session on stderr
    # The tables are computed side by side. What parts a query's rows among more threads than are free costs more than it gains.
    os.environ.setdefault("SAIL_EXECUTION__DEFAULT_PARALLELISM", str(max(pa.cpu_count() // 2, 1)))
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    try:
        from pysail.spark import SparkConnectServer
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession as Client

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # as builder.remote() has it, which takes no options for its channel
    for _ in range(_STARTS):
        on_interrupt = _get_handler(signal.SIGINT)
        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        _, port = server.listening_address
        channel = DefaultChannelBuilder(f"sc://127.0.0.1:{port}", _NEVER_IDLE)
        session = Client.builder.channelBuilder(channel).create()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        # A server that answers has taken SIGINT for itself: it would stop, its clients try again for minutes, and
        # Python not be woken. Given back this way, since signal.signal works in the main thread only.
        _set_handler(signal.SIGINT, on_interrupt)
        closed = refuse_new_connections(port)
        if not closed:
            logger.info("The embedded engine's port %d stays open to this machine: see SECURITY.md", port)
        if not closed or connections_to(port) == 1:
            return server, cast(SparkSession, session)
        session.stop()
        _stop(server)
    raise UserError(
        f"The embedded engine was started {_STARTS} times, and each time another process connected to its port, {port}, at "
        "once: find what connects to the loopback ports of this machine and stop it, or set GOLD_ENGINE=spark."
    )


def _stop(server: Any) -> None:
    """Stop a server, which by itself waits for ever for whoever is connected, also for whom it accepts while it stops."""
    if not server.running:
        return
    _, port = server.listening_address
    stopping = threading.Thread(target=server.stop, daemon=True)
    stopping.start()
    while stopping.is_alive():
        end_connections(port)
        stopping.join(0.05)


def _reads_exactly(table: DeltaTable, on: RowsOn | None) -> bool:
    """Whether Sail 0.7 reads these rows, and reads them right.

    It takes the log's statistics for exact: it skips files by them, and where a column's least and greatest are equal it returns
    that number in place of the file's. They are not exact: NaN is left out, decimals and doubles are rounded. Where it gets the
    log as data, filters on data columns alone bring it statistics. It does not find the versions before the newest
    checkpoint, nor files that a log names by absolute paths, and does not know the type VOID.
    """
    if any("void" in parts(field.type) for field in table.schema().fields):
        return False
    by_partition = on is None or on.column.name in table.metadata().partition_columns
    return by_partition and table.version() >= DeltaLog(table).last_checkpoint() and not has_files_elsewhere(table)


class SailEngine:
    """The embedded engine, started on first use on a loopback port. Needs nothing but pip.

    Examples:
        >>> engine = SailEngine()
        >>> engine.session.sql("SELECT 1 AS one").collect()
        [Row(one=1)]
        >>> engine.close()
    """

    def __init__(self) -> None:
        """An engine that has not started yet."""
        self.slice_bounds = SliceBounds()
        self.few_rows = 250_000
        """So many are copied once: Sail would read the table's whole log again for every table that is made from them."""
        self._starting = threading.Lock()
        self._server: Any = None
        self._session: SparkSession | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def session(self) -> SparkSession:
        """A session of Spark Connect with it, in UTC."""
        with self._starting:
            if self._session is None:
                self._server, self._session = _start_alone()
            return self._session

    def read(
        self,
        table: DeltaTable,
        on: RowsOn | None = None,
        files: Collection[Mapping[str, Any]] | None = None,
        among: Collection[pa.Table] | None = None,
    ) -> DataFrame:
        """As ``Engine.read``."""
        if among is not None:
            return self._copy(table, on, among)
        if files is not None:
            return self._copy(of_files(table, files), on)
        place = self._readable(table.table_uri)
        if place is None or self._are_few(table, on) or not _reads_exactly(table, on):
            return self._copy(table, on)
        # The log as data, and a limit larger than any table here, which keeps every filter but the one on the partition away
        # from the scan, and with them the statistics.
        read = (
            self.session.read.format("delta")
            .option("versionAsOf", table.version())
            .option("metadataAsDataRead", "true")
            .load(place)
        )
        return (read if on is None else read.filter(on.sql(SPARK))).limit(_ALL_ROWS)

    def rows(self, rows: pa.Table) -> DataFrame:
        """As ``Engine.rows``."""
        return self._in_files(rows.schema, rows.to_batches())

    def _are_few(self, table: DeltaTable, on: RowsOn | None) -> bool:
        """Whether the log tells that these rows are few."""
        if on is None:
            return False
        rows = FileDates(table, on.column.name).count_told(on.dates)
        return rows is not None and rows <= self.few_rows

    def _copy(self, table: DeltaTable, on: RowsOn | None, among: Collection[pa.Table] | None = None) -> DataFrame:
        """The rows as delta-rs reads them, in files; of ``among`` as ``Engine.read`` has it."""
        try:
            return self._copy_as(pa.schema(table.schema().to_arrow()), table, on, among)
        except OSError as error:
            if not isinstance(error.__cause__, pa.ArrowInvalid):
                raise
        # Texts too large for these types. Not at once, for functions of Sail 0.7 such as replace pass over the larger ones.
        return self._copy_as(arrow_schema(table), table, on, among)

    def _copy_as(
        self, schema: pa.Schema, table: DeltaTable, on: RowsOn | None, among: Collection[pa.Table] | None
    ) -> DataFrame:
        columns = ", ".join(map(DATAFUSION.name, schema.names))
        is_on = "true" if on is None else on.sql(DATAFUSION)
        is_among, tables = among_sql(among)
        sql = f"SELECT {columns} FROM rows WHERE ({is_on}) AND ({is_among})"
        # Asked for as they are written, where what DataFusion fails with is told.
        batches = (
            pa.record_batch(batch)
            for builder in [datafusion({"rows": table, **tables})]
            for batch in builder.execute(sql)
        )
        return self._in_files(schema, batches)

    def _in_files(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> DataFrame:
        """The rows in files that are deleted once neither they nor anything made from them is left."""
        scratch = tempfile.mkdtemp(dir=self._scratch_folder())
        try:
            _save(schema, batches, scratch, compression="lz4")
            if not any(Path(scratch).iterdir()):
                pa.ipc.new_file(Path(scratch) / "no_rows.arrow", schema).close()
        except BaseException:
            shutil.rmtree(scratch)
            raise
        copied = self.session.read.format("arrow").load(scratch)
        call_when_gone(copied, partial(shutil.rmtree, scratch, ignore_errors=True))
        return copied

    def replace(
        self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str, keys: pa.Table | None = None
    ) -> None:
        """As ``Engine.replace``."""
        self._write(table, rows, user_metadata, keys, mode="overwrite", predicate=predicate)

    def append(self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str) -> None:
        """As ``Engine.append``."""
        self._write(table, rows, user_metadata, mode="append")

    def _write(
        self, table: DeltaTable, rows: DataFrame, user_metadata: str, keys: pa.Table | None = None, **how: Any
    ) -> None:
        import pyarrow.dataset as ds

        # Appends do not conflict with each other. Transactions of one application do.
        transaction = Transaction(_APPLICATION, table.version() + 1)
        schema = arrow_schema(table)
        # The rows leave Sail as Arrow in files of a scratch folder: twice as fast as over gRPC.
        with tempfile.TemporaryDirectory(dir=self._scratch_folder(), ignore_cleanup_errors=True) as scratch:
            computed = Path(scratch) / "rows"
            computed.mkdir()  # Sail writes no file, and no folder, for an empty result
            try:
                rows.write.mode("append").format("arrow").save(str(computed))
            except PySparkException as error:
                raise OSError(f"computing the rows into {scratch}: {reason(error)}") from error
            if keys is not None:
                # Not handed on as they are read: several writes would keep all of delta-rs's threads waiting for what these must read.
                _save_kept(table, how["predicate"], keys, computed / "kept")
            with races_told():
                write_deltalake(
                    table,
                    ds.dataset(computed, schema=schema, format="arrow").scanner().to_reader(),
                    commit_properties=CommitProperties(
                        custom_metadata={"userMetadata": user_metadata}, app_transactions=[transaction]
                    ),
                    **how,
                )

    def optimize(
        self, table: DeltaTable, dates: Collection[dt.date], zorder_by: Sequence[str], user_metadata: str
    ) -> None:
        """As ``Engine.optimize``."""
        if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
            raise CannotOrder("its columns are mapped, and delta-rs rewrites no such files: GOLD_ENGINE=spark does")
        z_order = partial(table.optimize.z_order, list(zorder_by))
        with races_told():
            (z_order if zorder_by else table.optimize.compact)(
                partition_filters=[(EVENT_DATE, "in", sorted(dates))],
                target_size=TARGET_FILE_BYTES,
                max_concurrent_tasks=2,
                max_spill_size=_SORT_BYTES,
                writer_properties=WriterProperties(compression="ZSTD", max_row_group_size=ROWS_A_ROW_GROUP),
                commit_properties=CommitProperties(custom_metadata={"userMetadata": user_metadata}),
            )

    def close(self) -> None:
        """Stop it, and delete its scratch files. Used again, it starts anew."""
        with self._starting:
            if self._session is not None:
                self._session.stop()
            if self._server is not None:
                _stop(self._server)
            if self._scratch is not None:
                self._scratch.cleanup()
            self._session = self._server = self._scratch = None

    def _scratch_folder(self) -> str:
        """The engine's own, removed when it is closed.

        Not with each write: where one of Sail's tasks fails, another may yet make its folder again to put a file there.
        """
        with self._starting:
            if self._scratch is None:
                self._scratch = tempfile.TemporaryDirectory(prefix="gold_assets-")
            return self._scratch.name

    def _readable(self, uri: str) -> str | None:
        """The place as Sail finds it; None where it cannot, as with a key of a store that a URI would escape.

        A path of this machine that a URI would escape is reached through a link.
        """
        # Sail 0.7 escapes a Delta table's place twice and then finds no table.
        scheme, path = located(uri)
        if _NEEDS_NO_ESCAPE.fullmatch(path):
            return path if scheme == "file" else uri
        if scheme != "file":
            return None
        link = Path(self._scratch_folder()) / hashlib.sha256(path.encode()).hexdigest()
        with suppress(FileExistsError):
            link.symlink_to(path)
        return str(link) if _NEEDS_NO_ESCAPE.fullmatch(str(link)) else None


def _save_kept(table: DeltaTable, predicate: str, keys: pa.Table, folder: Path) -> None:
    """The rows that meet the predicate and have none of the keys. Raises ``Unreadable``, or ``OSError`` where they cannot be written."""
    schema = arrow_schema(table)
    kept = Stream("SELECT * FROM kept", kept=rows_of_keys(table, predicate, keys, schema.names, is_without=True))
    try:
        _save(schema, kept.reader, folder)
    except OSError as error:
        raise kept.failure or error from error


def _save(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], folder: str | Path, compression: str | None = None
) -> None:
    """Write the rows as Arrow files, of which there are none where there are no rows. Raises ``OSError``."""
    import pyarrow.dataset as ds  # and pandas with it, which not every process that loads a project needs

    arrow = ds.IpcFileFormat()
    try:
        ds.write_dataset(
            (batch.cast(schema) for batch in batches),
            folder,
            schema=schema,
            format=arrow,
            file_options=arrow.make_write_options(compression=compression),
            max_rows_per_file=_ROWS_A_FILE,
            max_rows_per_group=_ROWS_A_FILE,
        )
    except Exception as error:  # DataFusion's errors arrive as bare Exceptions
        raise OSError(f"copying the rows into {folder}: {reason(error)}") from error
