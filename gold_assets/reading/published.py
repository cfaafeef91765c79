"""The tables as they were published, for those who read them. Starts no engine, and knows nothing of Dagster."""

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE, as_date
from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.errors import UserError, missing_extra, store_failures_told
from gold_assets.delta.query import rows_of
from gold_assets.gold.publication import Publication, Publications

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from pyspark.sql import DataFrame, SparkSession

    from gold_assets.declaring.project import Project
    from gold_assets.engines import Engine
    from gold_assets.gold.lake import Lake

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)

PUBLISH = "publish with gold checks --publish"


@dataclass(frozen=True)
class Published:
    """The tables at the versions that one publication names. A table is opened when it is first asked for.

    Attributes:
        publication: when it was, the versions, and the Silver version that they are true to.

    Examples:
        >>> reader = published(lake="data/published")
        >>> reader.names[0], reader.delta("user_spend_summary").version() == reader.publication.versions["user_spend_summary"]
        ('user_spend_summary', True)
    """

    publication: Publication
    _opened: dict[str, DeltaTable] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        """The published tables."""
        return list(self.publication.tables)

    @store_failures_told()
    def delta(self, name: str) -> DeltaTable:
        """The table, opened at the published version.

        Args:
            name: one of ``names``.

        Returns:
            A table of delta-rs.

        Raises:
            UserError: no such table is published, its files are gone, or it has been made anew since.
        """
        if name not in self.publication.tables:
            raise UserError(
                f"There is no published table {name}, expected one of {', '.join(self.names)}: correct the name."
            )
        if name not in self._opened:
            table = self.publication.tables[name].open()
            self._check_files(name, table)
            self._opened[name] = table
        return self._opened[name]

    def arrow(self, name: str, first: dt.date | None = None, last: dt.date | None = None) -> pa.Table:
        """The rows as an Arrow table in memory. The files of other dates are not opened.

        Args:
            name: one of ``names``.
            first: the first date, by default of all. A range leaves out the rows without a date, which the quarantine may have.
            last: the last date, included.

        Returns:
            An Arrow table.

        Raises:
            UserError: as ``delta`` does.

        Examples:
            >>> published(lake="data/published").arrow("user_spend_summary", first=dt.date(2026, 11, 1)).num_rows
            1
        """
        ends = [f"{EVENT_DATE} {sign} DATE '{as_date(date)}'" for sign, date in ((">=", first), ("<=", last)) if date]
        return rows_of(self.delta(name), " AND ".join(ends) or "true")

    def duckdb(self) -> "DuckDBPyConnection":
        """A new connection to DuckDB, in memory, with a view of each table under its name. Its time zone is UTC.

        Rows are read when a query needs them, at the published versions; a filter on event_date opens the files of its dates alone.

        Returns:
            The connection, which whoever asks for it closes.

        Raises:
            UserError: DuckDB is not installed, or as ``delta`` does.

        Examples:
            >>> connection = published(lake="data/published").duckdb()
            >>> connection.sql("SELECT DISTINCT user_id FROM user_spend_summary").fetchall()
            [(1609,)]
            >>> connection.close()
        """
        try:
            import duckdb
        except ModuleNotFoundError as error:
            raise missing_extra(error) from error
        from gold_assets.delta.dataset import dataset_of  # and pandas with it, by way of pyarrow.dataset

        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        for name in self.names:
            connection.register(name, dataset_of(self.delta(name)))
        return connection

    def spark(self, session: "SparkSession | Engine", name: str) -> "DataFrame":
        """The rows as a DataFrame.

        Args:
            session: a Spark session that knows Delta, or an engine of ours, ``SailEngine`` or ``SparkEngine``.
            name: one of ``names``.

        Returns:
            A DataFrame of the published version.

        Raises:
            UserError: as ``delta`` does.

        Examples:
            >>> from gold_assets import SailEngine
            >>> engine = SailEngine()
            >>> published(lake="data/published").spark(engine, "high_risk_txns").select("user_id").distinct().collect()
            [Row(user_id=1609)]
            >>> engine.close()
        """
        from gold_assets.delta.places import spark_path

        table = self.delta(name)
        if callable(session.read):
            return session.read(table)
        reader = session.read.format("delta").option("versionAsOf", table.version())
        return reader.load(spark_path(table.table_uri))

    def _check_files(self, name: str, table: DeltaTable) -> None:
        """Whether the files are still there that the newest version has no more, which VACUUM may have taken."""
        kept = set(_paths(DeltaTable(table.table_uri)))
        if not (left := set(_paths(table)) - kept):
            return
        there = files_of(table).get_file_info(pafs.FileSelector("", recursive=True))
        if gone := left - {info.path.lstrip("/") for info in there}:
            raise UserError(
                f"Version {table.version()} of {name}, published at {text_of(self.publication.at)}, has lost {len(gone)} of its files to "
                f"VACUUM: ask for a later moment, or {PUBLISH} where this is the newest publication."
            )


@store_failures_told()
def published(
    at: dt.datetime | str | None = None, *, lake: "Lake | str | None" = None, project: "Project | None" = None
) -> Published:
    """What readers should read: the newest publication, or the one that they went by at a moment.

    Args:
        at: an aware datetime, or ISO text, which is in UTC where it names no zone.
        lake: a lake, or the place of its table of publications, a path or a URI; by default that of the settings, which
            are read as the command ``gold`` reads them: from a file ``.env`` in the working directory, or else the
            environment.
        project: whose settings these are; by default the one that ``gold`` would find.

    Returns:
        The tables as they were published, which stay so while others are written.

    Raises:
        UserError: nothing is published, or nothing was by then.

    Examples:
        >>> published().publication.silver_version
        42
    """
    moment = None if at is None else moment_of(at)
    publications = publications_of(lake, project)
    found = publications.newest(moment)
    if found is not None:
        return Published(found)
    earliest = publications.newest() and publications.since(_EPOCH)
    if moment is None or not earliest:
        raise UserError(f"Nothing is published at {publications.uri} yet: materialize all tables, then {PUBLISH}.")
    raise UserError(
        f"Nothing was published by {text_of(moment)}; the first publication was at {text_of(min(each.at for each in earliest))}: ask for that moment or a "
        "later one."
    )


def publications_of(lake: "Lake | str | None", project: "Project | None" = None) -> Publications:
    """The table of publications of a lake, at a place, or of the settings."""
    if lake is None:
        from gold_assets.environment import find_project, load_reading_settings, read_env_file

        read_env_file()
        settings = load_reading_settings(project or find_project())
        return Publications(settings.published_path, prefix=settings.prefix)
    if isinstance(lake, str):
        return Publications(lake)
    if lake.published is None:
        raise UserError("The lake has no place for publications: give it one, Lake(…, published=…).")
    return lake.publications()


def moment_of(given: dt.datetime | str) -> dt.datetime:
    """A moment in UTC. Raises ``UserError``."""
    try:
        moment = dt.datetime.fromisoformat(given.replace("Z", "+00:00")) if isinstance(given, str) else given
    except ValueError:
        raise UserError(f"{given} is no moment, expected one such as 2026-01-31T08:00:00Z: correct it.") from None
    if moment.tzinfo is None:
        if not isinstance(given, str):
            raise UserError(f"The moment {given} has no time zone, expected an aware datetime: give it tzinfo.")
        moment = moment.replace(tzinfo=dt.timezone.utc)
    try:
        return moment.astimezone(dt.timezone.utc)
    except OverflowError:
        raise UserError(
            f"The moment {given} is before the year 1 or after 9999 in UTC: ask for one between them."
        ) from None


def text_of(moment: dt.datetime) -> str:
    """A moment as it can be asked for again, to the microsecond: a publication is not there before it."""
    return moment.astimezone(dt.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _paths(table: DeltaTable) -> list[str]:
    return list(pa.table(table.get_add_actions(flatten=True))["path"].to_pylist())
