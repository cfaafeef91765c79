"""Publications: which versions of the tables belong together and have passed their checks. Readers go by the newest.

Delta has no commit over several tables. A publication is a row of a small Delta table that names their versions; nothing is copied,
and the rows of earlier ones stay, so that what was read on a day can be told. An attempt to publish that found a date
wrong is a row too: the next attempt need not look again at what it found right.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from gold_assets.delta.commit_races import CommitConflict
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.query import query

_TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("published_at", _TIME),
        (
            "tables",
            pa.list_(pa.struct({"name": pa.string(), "uri": pa.string(), "id": pa.string(), "version": pa.int64()})),
        ),
        ("silver_uri", pa.string()),
        ("silver_table_id", pa.string()),
        ("silver_version", pa.int64()),
        ("silver_version_is_null_because", pa.string()),
        ("dates_verified", pa.int64()),
        ("run_id", pa.string()),
        ("held_since", _TIME),
        ("failures", pa.list_(pa.struct({"event_date": pa.date32(), "check": pa.string(), "found": pa.string()}))),
    ]
)
"""The columns of the table. A row with ``held_since`` is no publication, but an attempt that ``failures`` held back."""

_COMMITS_A_FILE = 20
"""So many publications are rewritten as one file, and the log gets a checkpoint: whoever reads the newest opens few."""

FILES_KEPT_HOURS, LOG_KEPT_HOURS = 1, 6
"""How long the table's own past is kept, which nobody asks for: earlier publications are rows of the newest version."""

_PROPERTIES = {
    "delta.checkpointInterval": str(_COMMITS_A_FILE),
    "delta.logRetentionDuration": f"interval {LOG_KEPT_HOURS} hours",
    "delta.deletedFileRetentionDuration": f"interval {FILES_KEPT_HOURS} hours",
}


@dataclass(frozen=True)
class PublishedTable:
    """A version of a table. ``id`` changes where the table is made anew."""

    name: str
    uri: str
    id: str
    version: int

    def open(self) -> DeltaTable:
        """The table at the version. Raises ``UserError``."""
        try:
            table = DeltaTable(self.uri, version=self.version)
        except (DeltaError, OSError) as error:
            raise UserError(
                f"Version {self.version} of {self.name} at {self.uri}, which is published, cannot be opened ({reason(error)}): publish "
                "again, with gold checks --publish."
            ) from error
        if str(table.metadata().id) != self.id:
            raise UserError(
                f"The table at {self.uri} is not the {self.name} that was published, but was made anew: publish again, with "
                "gold checks --publish."
            )
        return table


@dataclass(frozen=True)
class Failure:
    """A check that failed, named with its table, and what it found; ``date`` is None where that is of the table as a whole."""

    date: dt.date | None
    check: str
    found: str


@dataclass(frozen=True)
class Publication:
    """Versions of all tables whose dates were all compared with Silver.

    Attributes:
        at: when, UTC.
        tables: by name.
        silver_uri, silver_table_id: the Silver that they were made from.
        silver_version: the newest version of it whose rows every published date holds, None where there is none.
        reason: why there is none.
        dates_verified: how many dates were compared for it, because they had changed.
        run_id: Dagster's, empty elsewhere.
        failures: what was found wrong; then it is no publication, but an attempt at one.
        held_since: when the first of such attempts was, of those since a publication.
    """

    at: dt.datetime
    tables: Mapping[str, PublishedTable]
    silver_uri: str
    silver_table_id: str
    silver_version: int | None
    reason: str
    dates_verified: int
    run_id: str
    failures: Sequence[Failure] = ()
    held_since: dt.datetime | None = None

    @property
    def versions(self) -> dict[str, int]:
        return {name: table.version for name, table in self.tables.items()}

    def record(self) -> dict[str, Any]:
        """As a row of ``SCHEMA``."""
        return {
            "published_at": self.at,
            "tables": [vars(table) for table in self.tables.values()],
            "silver_uri": self.silver_uri,
            "silver_table_id": self.silver_table_id,
            "silver_version": self.silver_version,
            "silver_version_is_null_because": self.reason or None,
            "dates_verified": self.dates_verified,
            "run_id": self.run_id,
            "held_since": self.held_since,
            "failures": [
                {"event_date": failure.date, "check": failure.check, "found": failure.found}
                for failure in self.failures
            ],
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Publication":
        """What ``record`` wrote."""
        return cls(
            at=record["published_at"],
            tables={table["name"]: PublishedTable(**table) for table in record["tables"]},
            silver_uri=record["silver_uri"],
            silver_table_id=record["silver_table_id"],
            silver_version=record["silver_version"],
            reason=record["silver_version_is_null_because"] or "",
            dates_verified=record["dates_verified"],
            run_id=record["run_id"],
            failures=[Failure(each["event_date"], each["check"], each["found"]) for each in record["failures"]],
            held_since=record["held_since"],
        )


class Publications:
    """The table of publications at ``uri``, as it is when it is opened; it may not be there yet.

    Raises ``UserError`` where something else is there.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._table: DeltaTable | None = None
        try:
            self._table = DeltaTable(uri)
        except TableNotFoundError:
            return
        except (DeltaError, OSError) as error:
            raise UserError(
                f"The table of publications at {uri} cannot be opened ({reason(error)}): see that the place is a Delta table and can be "
                "read, or set GOLD_PUBLISHED_PATH to another path."
            ) from error
        found = {field.name for field in self._table.schema().fields}
        if missing := [name for name in SCHEMA.names if name not in found]:
            raise UserError(
                f"The Delta table at {uri} has no column {missing[0]}, expected the table of publications: set GOLD_PUBLISHED_PATH to "
                "another path."
            )

    def newest(self, at: dt.datetime | None = None) -> Publication | None:
        """The publication that readers went by at the moment ``at``, by default now."""
        before = "" if at is None else f" AND published_at <= TIMESTAMP '{_utc(at)}'"
        return self._first(f"WHERE held_since IS NULL{before}")

    def last_attempt(self) -> Publication | None:
        """The newest row: a publication, or an attempt at one."""
        return self._first("")

    def since(self, moment: dt.datetime) -> list[Publication]:
        """The publications after a moment, the newest first."""
        return list(self._rows(f"WHERE held_since IS NULL AND published_at >= TIMESTAMP '{_utc(moment)}'"))

    def last(self, most: int) -> list[Publication]:
        """The last publications, the newest first."""
        return list(self._rows("WHERE held_since IS NULL", f"LIMIT {most}"))

    def append(self, publication: Publication) -> None:
        """One commit with one row. Raises ``CommitConflict`` where somebody else has appended since this was opened."""
        version = -1 if self._table is None else self._table.version()
        rows = pa.Table.from_pylist([publication.record()], schema=SCHEMA)
        # Appends do not conflict with each other. Transactions of one application do.
        once = CommitProperties(app_transactions=[Transaction("gold_assets", version + 1)])
        try:
            if self._table is None:
                write_deltalake(
                    self.uri, rows, mode="error", name="publications", configuration=_PROPERTIES, commit_properties=once
                )
            else:
                write_deltalake(self._table, rows, mode="append", commit_properties=once)
        except (CommitFailedError, DeltaError) as error:
            if isinstance(error, CommitFailedError) or (self._table is None and DeltaTable.is_deltatable(self.uri)):
                raise CommitConflict(str(error)) from error
            raise self._unwritable(error) from error
        except OSError as error:
            raise self._unwritable(error) from error
        if self._table is not None and (version + 1) % _COMMITS_A_FILE == 0:
            self._table.update_incremental()
            self._table.optimize.compact()

    def vacuum(self, hours: int = FILES_KEPT_HOURS) -> None:
        """Delete the files that were rewritten as one more than so long ago."""
        if self._table is not None:
            self._table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)

    def _unwritable(self, error: Exception) -> UserError:
        return UserError(
            f"The publication could not be written to {self.uri} ({reason(error)}): make the place writable or set "
            "GOLD_PUBLISHED_PATH to another path; readers still have the one before."
        )

    def _first(self, where: str) -> Publication | None:
        return next(self._rows(where, "LIMIT 1"), None)

    def _rows(self, where: str, limit: str = "") -> Iterator[Publication]:
        if self._table is not None:
            sql = f"SELECT * FROM publications {where} ORDER BY published_at DESC {limit}"
            yield from map(Publication.of, query(sql, publications=self._table))


def _utc(moment: dt.datetime) -> str:
    return moment.astimezone(dt.timezone.utc).isoformat(sep=" ")
