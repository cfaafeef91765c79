"""Apache Spark with delta-spark: a JVM on this machine, a cluster, or a Spark Connect server. It also commits."""

import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from deltalake import DeltaTable
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from gold_assets.engines import CommitConflict
from gold_assets.engines import spark_runtime as runtime
from gold_assets.lakehouse.dates import EVENT_DATE
from gold_assets.lakehouse.errors import UserError, reason

_START_SECONDS = 50
"""How long a master or a Connect server that listens may take before it counts as not answering."""

_SESSION = {
    "spark.sql.session.timeZone": "UTC",
    # A value that fits no type is NULL and breaks a rule of the contract, as on Sail; ANSI would fail the run.
    "spark.sql.ansi.enabled": "false",
    # Spark's default is INT96, which other readers cast and which has no statistics.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # A refresh that finds nothing and leaves nothing is in the log too: a commit tells from which Silver version it is.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
}
_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_LOCAL = {
    # Spark's defaults are made for clusters: 200 shuffle tasks, 50 to read a table's log, thousands to list a folder.
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
_JOINED = ("spark.jars.packages", "spark.jars.excludes", "spark.jars", "spark.sql.extensions")
"""Settings that are lists: what the user's file adds stands beside what Delta needs."""

_CONFLICT = re.compile(r"\bDELTA_(CONCURRENT_\w+|METADATA_CHANGED|PROTOCOL_CHANGED)\b")

T = TypeVar("T")
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
        remote: the address of a running Spark Connect server (``sc://…``), used in place of ``master``.
        conf_file: further Spark settings, in the form of ``spark-defaults.conf``.
        jars: a local folder with the Delta JARs; by default they come by coordinates.
        open: makes the session from its settings.

    Raises ``UserError`` on first use, within a minute, where Java, the JARs, the master or the server are missing.
    """

    def __init__(
        self,
        master: str | None = None,
        remote: str | None = None,
        conf_file: str | None = None,
        jars: str | None = None,
        open: Open = open_session,
    ) -> None:
        self._master = master or "local[*]"
        self._remote = remote
        self._conf_file = conf_file
        self._jars = jars
        self._open = open
        self._starting = threading.Lock()
        self._session: SparkSession | None = None

    @property
    def session(self) -> SparkSession:
        with self._starting:
            if self._session is None:
                self._session = self._connect(self._remote) if self._remote else self._start()
            return self._session

    def conf(self) -> dict[str, str]:
        """The settings that the session is made from: what Delta needs, and the user's file before our defaults."""
        own = runtime.read_properties(self._conf_file) if self._conf_file else {}
        if self._remote:
            return {**own, **_SESSION, "spark.remote": self._remote}
        conf = {"spark.app.name": "gold_assets", "spark.master": self._master, **_DELTA}
        conf |= runtime.delta_jars_in(self._jars) if self._jars else runtime.delta_coordinates()
        if self._master.startswith("local"):
            conf |= _LOCAL
        joined = {key: f"{conf[key]},{own[key]}" for key in _JOINED if key in conf and key in own}
        return {**conf, **own, **joined, **_SESSION}

    def read(self, uri: str, version: int) -> DataFrame:
        return self.session.read.format("delta").option("versionAsOf", version).load(spark_path(uri))

    def replace(self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str) -> None:
        try:
            (
                rows.repartition(EVENT_DATE)  # one file for each date
                .write.format("delta")
                .mode("overwrite")
                .option("replaceWhere", predicate)
                .option("userMetadata", user_metadata)
                .save(spark_path(table.table_uri))
            )
        except (PySparkException, Py4JError) as error:
            if _CONFLICT.search(str(error)):
                raise CommitConflict(_what_spark_says(error)) from error
            raise OSError(_what_spark_says(error)) from error

    def close(self) -> None:
        with self._starting:
            if self._session is not None:
                self._session.stop()
            self._session = None

    def _start(self) -> SparkSession:
        runtime.check_java()
        runtime.check_versions()
        runtime.check_answers(self._master, "GOLD_SPARK_MASTER")
        conf = self.conf()
        runtime.fetch_jars(conf)
        try:
            if self._master.startswith("spark://"):
                return _in_time(lambda: self._open(conf), self._master, "GOLD_SPARK_MASTER")
            return self._open(conf)
        except (PySparkException, Py4JError) as error:
            if "JAVA_GATEWAY_EXITED" in str(error):
                runtime.explain_start(conf)
            raise UserError(
                f"Spark did not start on {self._master} ({_what_spark_says(error)}): "
                "correct GOLD_SPARK_MASTER or the file of GOLD_SPARK_CONF."
            ) from error

    def _connect(self, remote: str) -> SparkSession:
        runtime.check_answers(remote, "GOLD_SPARK_REMOTE")

        def connect() -> tuple[SparkSession, str]:
            session = self._open(self.conf())
            return session, session.conf.get("spark.sql.extensions", "") or ""

        try:
            session, extensions = _in_time(connect, remote, "GOLD_SPARK_REMOTE")
        except PySparkException as error:
            raise UserError(
                f"The Spark Connect server at {remote} refused the session ({_what_spark_says(error)}): "
                "correct GOLD_SPARK_REMOTE or mend the server."
            ) from error
        if _DELTA["spark.sql.extensions"] not in extensions:
            packages = runtime.delta_coordinates()["spark.jars.packages"]
            raise UserError(
                f"The Spark Connect server at {remote} knows no Delta tables: start it with --packages {packages} and "
                + " ".join(f"--conf {key}={value}" for key, value in _DELTA.items())
                + "."
            )
        return session


def spark_path(uri: str) -> str:
    """The place as Spark names it: local ones with ``file:`` and unescaped, whatever the cluster's own file system."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return f"file://{unquote(parts.path)}"
    if "://" in uri:
        return uri
    return f"file://{Path(uri).absolute()}"


def _in_time(work: Callable[[], T], url: str, setting: str) -> T:
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    # A daemon: what never answers must not keep the process from ending.
    threading.Thread(target=run, name=f"start {url}", daemon=True).start()
    try:
        return done.result(_START_SECONDS)
    except FutureTimeoutError:
        raise UserError(
            f"{setting} is {url}, where something listens and does not answer as Spark within {_START_SECONDS} s: "
            f"{runtime.start_it(url)}."
        ) from None


def _what_spark_says(error: Exception) -> str:
    """The first line of a JVM's failure that is not about the call, and the last cause that it names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("An error occurred while calling")] or [reason(error)]
    causes = [line.removeprefix("Caused by: ") for line in lines[1:] if line.startswith("Caused by: ")]
    return " <- ".join([lines[0].removeprefix(": ").rstrip(".!"), *causes[-1:]])
