"""Apache Spark with delta-spark: a JVM on this machine, a cluster, or a Spark Connect server. It also commits."""

import datetime as dt
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake import DeltaTable
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from gold_assets.delta.commit_races import CommitConflict
from gold_assets.delta.dates import EVENT_DATE, RowsOn, predicate
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.places import spark_path
from gold_assets.delta.sql import SPARK
from gold_assets.delta.storage import located, without_credentials
from gold_assets.engines import ROWS_A_ROW_GROUP, TARGET_FILE_BYTES, SliceBounds, having_keys, spark_jars
from gold_assets.engines import spark_runtime as runtime

_START_SECONDS = 50
"""How long a master that listens may take before it counts as not answering."""

_SESSION = {
    "spark.sql.session.timeZone": "UTC",
    # A value that fits no type is NULL and breaks a rule of the contract, as on Sail; ANSI would fail the run.
    "spark.sql.ansi.enabled": "false",
    # Spark's default is INT96, which other readers cast and which has no statistics.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # A refresh that finds nothing and leaves nothing is in the log too: a commit tells from which Silver version it is.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
    # A pinned version is read however old it is: whether VACUUM has taken its files, reading them finds out.
    "spark.databricks.delta.vacuum.enforceTimeTravelWithinDeletedFileRetentionDuration": "false",
    # Whole dates are replaced, so the files that go are known from the log, without a DELETE.
    "spark.databricks.delta.replaceWhere.dataColumns.enabled": "false",
}
_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_LOCAL = {
    # Spark's defaults are made for clusters: 200 shuffle tasks, 50 to read a table's log, thousands to list a folder, and
    # stages planned one after the other, which leaves one task to write all the files.
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    # The shuffle stays on this machine, where writing it as it is takes less than compressing it.
    "spark.shuffle.compress": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # Loopback is open to every user of the machine, and what comes in there is run. Spark makes a secret of its own for a local master.
    "spark.authenticate": "true",
    # A JVM that lives for a run spends most of its time on compiling itself; Spark's default collector is made for large heaps.
    # The quick compiler's code cache is small by default, and once it is full nothing is compiled any more.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseParallelGC",
}
_JOINED = {
    "spark.jars.packages": ",",
    "spark.jars.excludes": ",",
    "spark.jars": ",",
    "spark.sql.extensions": ",",
    "spark.driver.extraClassPath": os.pathsep,
}
"""Settings that are lists, and what parts them: what the user's file adds stands beside what Delta needs."""

_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_LAYOUT = {
    "spark.databricks.delta.optimize.maxFileSize": str(TARGET_FILE_BYTES),
    # By default rows are ordered from file to file only, which is no order at all where a date is one file.
    "spark.databricks.io.skipping.mdc.sortWithinFiles": "true",
    "parquet.block.row.count.limit": str(ROWS_A_ROW_GROUP),
    "spark.sql.parquet.compression.codec": "zstd",
}

_CONFLICT = re.compile(r"\bDELTA_(CONCURRENT_\w+|METADATA_CHANGED|PROTOCOL_CHANGED)\b")

Open = Callable[[dict[str, Any]], SparkSession]


def open_session(conf: Mapping[str, Any]) -> SparkSession:
    """A Spark session with these settings."""
    builder = SparkSession.builder
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


class SparkEngine:
    """Spark, started on first use.

    Args:
        master: ``local[*]``, ``spark://…``, ``yarn`` or ``k8s://…``.
        remote: the address of a Spark Connect server (``sc://…``), used in place of ``master``.
        conf_file: further Spark settings, in the form of ``spark-defaults.conf``.
        jars: a local folder with the Delta JARs, which are fetched by default.
        places: where the lake's tables are; an object store among them needs Hadoop's connector to it.
        open: makes the session from its settings.

    Raises:
        UserError: on first use, within a minute, where Java, the JARs, the master or the server are missing.

    Examples:
        >>> engine = SparkEngine(remote="sc://host:15002")
        >>> engine.conf()["spark.remote"]
        'sc://host:15002'
        >>> engine.close()
    """

    def __init__(
        self,
        master: str | None = None,
        remote: str | None = None,
        conf_file: str | None = None,
        jars: str | None = None,
        places: Collection[str] = (),
        open: Open = open_session,
    ) -> None:
        """An engine that has not started yet."""
        # Spark sorts by date and spills: what is large for one process is not for it, and each commit costs seconds.
        self.slice_bounds = SliceBounds(rows=100_000_000, dates=1_000)
        self._master = master or "local[*]"
        self._on_this_machine = self._master.startswith("local")
        self.remote = remote
        self._conf_file = conf_file
        self._jars = jars
        self._schemes = {urlsplit(spark_path(place)).scheme for place in places}
        self._open = open
        self._starting = threading.Lock()
        self._session: SparkSession | None = None

    @property
    def session(self) -> SparkSession:
        """The session, in UTC, with Delta."""
        with self._starting:
            if self._session is None:
                self._session = self._connect(self.remote) if self.remote else self._start()
            return self._session

    def conf(self) -> dict[str, str]:
        """The settings that the session is made from: what Delta needs, and the user's file before our defaults."""
        own = runtime.read_properties(self._conf_file) if self._conf_file else {}
        if self.remote:
            return {**own, **_SESSION, "spark.remote": self.remote}
        on_s3 = "s3a" in self._schemes
        local_files = self._on_this_machine and not on_s3  # S3A keeps its buffers in Hadoop's own local file system
        conf = {"spark.app.name": "gold_assets", "spark.master": self._master, **_DELTA}
        if self._jars:
            conf |= spark_jars.jars_in(self._jars)
        else:
            conf |= spark_jars.coordinates(self._schemes, local_files=local_files)
        if self._on_this_machine:
            conf |= _LOCAL
        if on_s3:
            conf |= runtime.s3_settings()
        made = _joined(conf, own)
        if local_files:
            made = _joined(spark_jars.file_system(made), made)
        return {**made, **_SESSION}

    def location_of(self, name: str) -> str:
        """Where the table of this name in the session's catalog lies. Raises ``UserError`` where there is none."""
        quoted = ".".join(map(SPARK.name, name.split(".")))
        try:
            [detail] = self.session.sql(f"DESCRIBE DETAIL {quoted}").collect()
        except (PySparkException, Py4JError) as error:
            raise UserError(
                f"There is nothing at the path {name}, and no such table in Spark's catalog ({reason(error)}): "
                "correct the setting, or register the table with CREATE TABLE … USING delta LOCATION …."
            ) from error
        if detail["format"] != "delta":
            raise UserError(
                f"The table {name} of Spark's catalog is {detail['format']}, expected delta: name another one."
            )
        scheme, path = located(str(detail["location"]))
        return path if scheme == "file" else str(detail["location"])

    def read(
        self,
        table: DeltaTable,
        on: RowsOn | None = None,
        files: Collection[Mapping[str, Any]] | None = None,
        among: Collection[pa.Table] | None = None,
    ) -> DataFrame:
        """As ``Engine.read``. Rows that are not ``among`` these are left to what joins them, which Spark does as it reads."""
        version, path = table.version(), spark_path(table.table_uri)
        rows = self.session.read.format("delta").option("versionAsOf", version).load(path)
        if files is not None:
            in_log = {str(file["path"]).rsplit("/", 1)[-1] for file in files}
            names = in_log | set(map(unquote, in_log))  # Spark and the log do not escape the same signs
            # Not by its plain name, which a column of the table may have.
            rows = rows.filter(rows.metadataColumn("_metadata")["file_name"].isin(*names))
        return rows if on is None else rows.filter(on.sql(SPARK))

    def rows(self, rows: pa.Table) -> DataFrame:
        """As ``Engine.rows``."""
        return self.session.createDataFrame(rows)

    def replace(
        self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str, keys: pa.Table | None = None
    ) -> None:
        """As ``Engine.replace``."""
        if keys is not None:
            kept = having_keys(self.read(table).filter(predicate), self.rows(keys), "left_anti")
            rows = kept.unionByName(rows)
        replacing = rows.repartition(EVENT_DATE).write.format("delta").mode("overwrite")  # one file for each date
        options = {"replaceWhere": predicate, "userMetadata": user_metadata}
        with _failures_told():
            replacing.options(**options).save(spark_path(table.table_uri))

    def append(self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str) -> None:
        """As ``Engine.append``."""
        # Appended rows would not conflict with rows that another appends.
        before = self.read(table).filter(predicate)
        self.replace(table, before.unionByName(rows), predicate, user_metadata)

    def optimize(
        self, table: DeltaTable, dates: Collection[dt.date], zorder_by: Sequence[str], user_metadata: str
    ) -> None:
        """As ``Engine.optimize``."""
        columns = ", ".join(map(SPARK.name, zorder_by))
        path = spark_path(table.table_uri).replace("`", "``")
        optimize = f"OPTIMIZE delta.`{path}` WHERE {predicate(dates)}" + (f" ZORDER BY ({columns})" if columns else "")
        with _failures_told(), _set_for_now(self.session, {**_LAYOUT, _USER_METADATA: user_metadata}):
            self.session.sql(optimize).collect()

    def close(self) -> None:
        """End the session. Used again, it starts anew."""
        with self._starting:
            if self._session is not None:
                with suppress(Py4JError, OSError):  # its JVM has ended
                    self._session.stop()
            self._session = None

    def _start(self) -> SparkSession:
        runtime.check_java()
        runtime.check_versions()
        runtime.check_answers(self._master, "GOLD_SPARK_MASTER")
        conf = spark_jars.fetch_jars(self.conf())
        if self._on_this_machine:
            conf.setdefault("spark.local.dir", runtime.folder_for_spills())
        try:
            if self._master.startswith("spark://"):
                return _in_time(lambda: self._open(conf), self._master)
            return self._open(conf)
        except (PySparkException, Py4JError) as error:
            ended = "JAVA_GATEWAY_EXITED" in str(error)
            why = "its JVM ended before it was ready, and said why above" if ended else reason(error)
            raise UserError(
                f"Spark did not start on {self._master} ({why}): correct GOLD_SPARK_MASTER or the file of GOLD_SPARK_CONF."
            ) from error

    def _connect(self, remote: str) -> SparkSession:
        runtime.check_answers(remote, "GOLD_SPARK_REMOTE")
        runtime.check_speaks_connect(remote)
        try:
            session = self._open(self.conf())
            extensions = session.conf.get("spark.sql.extensions", "") or ""
        except PySparkException as error:
            raise UserError(
                f"The Spark Connect server at {without_credentials(remote)} refused the session ({reason(error)}): "
                "correct GOLD_SPARK_REMOTE or mend the server."
            ) from error
        if _DELTA["spark.sql.extensions"] not in extensions:
            packages = spark_jars.coordinates(self._schemes)["spark.jars.packages"]
            raise UserError(
                f"The Spark Connect server at {without_credentials(remote)} knows no Delta tables: start it with --packages {packages} and "
                + " ".join(f"--conf {key}={value}" for key, value in _DELTA.items())
                + "."
            )
        return session


def _joined(ours: Mapping[str, str], users: Mapping[str, str]) -> dict[str, str]:
    """Both settings, the user's before ours, but for the lists."""
    lists = {key: f"{ours[key]}{by}{users[key]}" for key, by in _JOINED.items() if key in ours and key in users}
    return {**ours, **users, **lists}


@contextmanager
def _failures_told() -> Iterator[None]:
    """Let what Spark fails with be a ``CommitConflict`` or an ``OSError``."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        failure = CommitConflict if _CONFLICT.search(str(error)) else OSError
        raise failure(reason(error)) from error


@contextmanager
def _set_for_now(session: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """The session's settings while the block runs. Delta's commands take these from nowhere else."""
    before = {key: session.conf.get(key, None) for key in settings}
    for key, value in settings.items():
        session.conf.set(key, value)
    try:
        yield
    finally:
        for key, old in before.items():
            if old is None:
                session.conf.unset(key)
            else:
                session.conf.set(key, old)


def _in_time(work: Callable[[], SparkSession], master: str) -> SparkSession:
    """The result of ``work``. Spark itself asks a standalone master three times for 20 s before it gives up."""
    done: Future[SparkSession] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    # A daemon: what never answers must not keep the process from ending.
    threading.Thread(target=run, name=f"start {master}", daemon=True).start()
    try:
        return done.result(_START_SECONDS)
    except FutureTimeoutError:
        raise UserError(runtime.not_spark(master, "GOLD_SPARK_MASTER", _START_SECONDS)) from None
