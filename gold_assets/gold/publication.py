"""Publications: which versions of the tables belong together and have passed their checks. Readers go by the newest.

Delta has no commit over several tables. A publication is a row of a small Delta table that names their versions; nothing is copied,
and the rows of earlier ones stay, so that what was read on a day can be told. An attempt to publish that found a date
wrong is a row too: the next attempt need not look again at what it found right.

Rows are numbered, and the numbers order them: a clock may be wrong. A lake may be copied with its publications: its
tables are where the lake says, and else where they were seen from the table of publications.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError
from gold_assets.delta.opening import opened
from gold_assets.delta.places import absolute, beside, seen_from
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.ledger import FILES_KEPT_HOURS, Ledger

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
        ("number", pa.int64()),
        ("published_uri", pa.string()),
        ("fingerprints", pa.list_(pa.string())),
        ("dates_behind", pa.list_(pa.date32())),
        ("dates_kept", pa.list_(pa.date32())),
        ("code_versions", pa.list_(pa.string())),
        ("put_back_to", _TIME),
        ("put_back_by", pa.string()),
        ("put_back_because", pa.string()),
    ]
)
"""The columns of the table. A row with ``held_since`` is no publication, but an attempt that ``failures`` held back.

``number`` orders the rows. ``published_uri`` is the place that the table itself had, beside which ``tables`` were.
"""

_SAID = ("put_back_to", "put_back_by", "put_back_because")
GAINED = ("number", "published_uri", "fingerprints", "dates_behind", "dates_kept", "code_versions", *_SAID)
"""The columns that a table of an earlier version lacks until it gets its next row, and its rows for good."""

OF_ONE_VERSION = "of_one_version"
"""What holds a publication back while a table's new version is rolled out."""

PUT_BACK = "put_back"
"""What holds publications back after a person put readers back to an earlier one."""

_SEVERAL = "?"
"""In place of a table's version, where several made its dates."""

_AS_THEY_ARE = ("silver_uri", "silver_table_id", "silver_version", "dates_verified", "run_id", "held_since")
"""The columns that a publication has under the same name."""


@dataclass(frozen=True)
class PublishedTable:
    """A version of a table.

    Attributes:
        id: another one where the table is made anew.
        fingerprint: of the commit that made its rows, another one where the table was put back to an older state and
            written on; empty where that is not known.
    """

    name: str
    uri: str
    id: str
    version: int
    fingerprint: str = ""

    @classmethod
    def of(cls, name: str, uri: str, log: GoldLog) -> "PublishedTable":
        """The table as it is opened."""
        version = log.table.version()
        return cls(name, uri, str(log.table.metadata().id), version, _fingerprint(log, version))

    def open(self) -> DeltaTable:
        """The table at the version. Raises ``UserError``."""
        again = "publish again, with gold checks --publish"
        table = opened(
            f"{self.name} at {self.uri}, which is published,", self.uri, self.version, otherwise=again, newer=again
        )
        if table is None:
            raise UserError(f"There is no Delta table at {self.uri}, where {self.name} was published: {again}.")
        if str(table.metadata().id) != self.id:
            raise UserError(
                f"The table at {self.uri} is not the {self.name} that was published, but was made anew: publish again, with "
                "gold checks --publish."
            )
        if self._was_put_back(GoldLog(table)):
            raise UserError(
                f"Version {self.version} of {self.name} at {self.uri} is not the one that was published, for the table was put back to an "
                "older state and written on: publish again, with gold checks --publish."
            )
        return table

    def changes(self, log: GoldLog) -> Mapping[dt.date | None, int] | None:
        """How many commits to the table, up to the version that it is opened at, changed rows of each date after this one.

        None where its log does not tell, and where this is no earlier version of it.
        """
        table = log.table
        if self.id != str(table.metadata().id) or self.version > table.version() or self._was_put_back(log):
            return None
        return log.changes_after(self.version)

    def moved_on(self) -> "PublishedTable":
        """The newest version of the table where only commits that change no row have come since, else this one."""
        try:
            log = GoldLog(DeltaTable(self.uri))
        except (DeltaError, OSError):
            return self
        return PublishedTable.of(self.name, self.uri, log) if self.changes(log) == {} else self

    def _was_put_back(self, log: GoldLog) -> bool:
        return bool(self.fingerprint) and _fingerprint(log, self.version) not in ("", self.fingerprint)


@dataclass(frozen=True)
class Failure:
    """A check that failed, named with its table, and what it found; ``date`` is None where that is of the table as a whole."""

    date: dt.date | None
    check: str
    found: str

    @property
    def waits(self) -> bool:
        """Whether no date is wrong, and the publication only waits for other dates, or for a person."""
        return self.check.partition(":")[2] in (OF_ONE_VERSION, PUT_BACK)


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
        dates_behind: those outside the window of partitions that lack rows of ``silver_version``, which nobody keeps
            true.
        dates_kept: those of which the tables keep what they have, because they are sealed or held, and may lack rows of
            ``silver_version``.
        code_versions: by table, the one version of it that made all dates that nothing holds; a table is not there where they are
            of several.
        put_back_to: when the publication was that a person put readers back to, whose versions these are; else None.
        put_back_by, put_back_because: who put readers back, or let publishing go on after it, and why; else empty.
        number: its row's, by which rows are ordered; None of one that is not written yet, or that an early release wrote.
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
    dates_behind: Sequence[dt.date] = ()
    dates_kept: Sequence[dt.date] = ()
    code_versions: Mapping[str, str] = field(default_factory=dict)
    put_back_to: dt.datetime | None = None
    put_back_by: str = ""
    put_back_because: str = ""
    number: int | None = field(default=None, compare=False)

    @property
    def put_back(self) -> str:
        """Who put readers back to this, and why, for people; empty where nobody did."""
        if self.put_back_to is None:
            return ""
        return f"{self.put_back_by} put readers back to the publication of {self.put_back_to:%Y-%m-%d %H:%M:%S} UTC: {self.put_back_because}"

    @property
    def exceptions(self) -> str:
        """The dates that may lack rows of ``silver_version``, and why, for people; empty where none does."""
        of_kinds = {"outside the window": self.dates_behind, "sealed or held": self.dates_kept}
        told = " and ".join(f"{dates_text(dates, 5)} {kind}" for kind, dates in of_kinds.items() if dates)
        return told and f", but for {told}"

    @property
    def versions(self) -> dict[str, int]:
        return {name: table.version for name, table in self.tables.items()}

    def record(self) -> dict[str, Any]:
        """As a row of ``SCHEMA``, which leaves out what it has no column for."""
        return {
            "published_at": self.at,
            "tables": [{**vars(table), "uri": absolute(table.uri)} for table in self.tables.values()],
            "silver_version_is_null_because": self.reason or None,
            **{name: getattr(self, name) for name in _AS_THEY_ARE},
            "failures": [{**vars(failure), "event_date": failure.date} for failure in self.failures],
            "fingerprints": [table.fingerprint for table in self.tables.values()],
            "dates_behind": list(self.dates_behind),
            "dates_kept": list(self.dates_kept),
            "code_versions": [self.code_versions.get(name) for name in self.tables],
            **{name: getattr(self, name) or None for name in _SAID},
        }

    @classmethod
    def of(cls, record: Mapping[str, Any], uri: str, places: Mapping[str, str]) -> "Publication":
        """What ``record`` wrote to the table of publications that is at ``uri`` now; its tables are at the ``places``, or beside it."""
        then = record.get("published_uri") or uri
        fingerprints = record.get("fingerprints") or [""] * len(record["tables"])
        return cls(
            at=record["published_at"],
            tables={
                table["name"]: PublishedTable(
                    table["name"],
                    beside(places[table["name"]], table["uri"])
                    if table["name"] in places
                    else seen_from(uri, table["uri"], then),
                    table["id"],
                    table["version"],
                    fingerprint,
                )
                for table, fingerprint in zip(record["tables"], fingerprints, strict=True)
            },
            **{name: record[name] for name in _AS_THEY_ARE},
            reason=record["silver_version_is_null_because"] or "",
            failures=[Failure(each["event_date"], each["check"], each["found"]) for each in record["failures"]],
            dates_behind=tuple(record.get("dates_behind") or ()),
            dates_kept=tuple(record.get("dates_kept") or ()),
            code_versions={
                table["name"]: version
                for table, version in zip(record["tables"], record.get("code_versions") or [], strict=False)
                if version is not None
            },
            put_back_to=record.get("put_back_to"),
            put_back_by=record.get("put_back_by") or "",
            put_back_because=record.get("put_back_because") or "",
            number=record.get("number"),
        )


class Publications:
    """The table of publications at ``uri``, as it is when it is opened; it may not be there yet.

    The tables that it names are at the ``places`` of the lake, and where it names none, beside it as they were when it
    named them. ``prefix`` is what the project's settings begin with, for people. Raises ``UserError`` where something else is
    there, or the publications of another project.
    """

    def __init__(self, uri: str, places: Mapping[str, str] | None = None, prefix: str = "GOLD_") -> None:
        self.uri = uri
        self._places = places or {}
        self._setting = f"{prefix}PUBLISHED_PATH"
        self._ledger = Ledger(uri, "publications", SCHEMA, self._setting, GAINED)

    def newest(self, at: dt.datetime | None = None) -> Publication | None:
        """The publication that readers went by at the moment ``at``, by default now."""
        before = "" if at is None else f" AND published_at <= {_utc(at)}"
        return self._first(f"WHERE held_since IS NULL{before}")

    def last_attempt(self) -> Publication | None:
        """The newest row: a publication, or an attempt at one."""
        return self._first("")

    def numbered(self, number: int) -> Publication | None:
        """The publication of this number; None where there is none."""
        return self._first(f"WHERE held_since IS NULL AND number = {number}")

    def before_putting_back(self) -> Publication | None:
        """The newest publication that was verified as such: what readers were put back from, whatever a person has said since."""
        by_nobody = " AND put_back_by IS NULL" if "put_back_by" in self._ledger.columns else ""
        return self._first(f"WHERE held_since IS NULL{by_nobody}")

    def before_roll_out(self, newest: Publication, since: dt.datetime) -> Publication | None:
        """The last publication of other definitions than the ``newest`` has, one of each table, of those after a moment; None where there is none."""
        if "code_versions" not in self._ledger.columns:
            return None
        versions = ",".join(newest.code_versions.get(name, _SEVERAL) for name in newest.tables)
        told = f"array_to_string(code_versions, ',', '{_SEVERAL}')"
        others = f"{told} <> '{versions}' AND strpos({told}, '{_SEVERAL}') = 0"
        return self._first(f"WHERE held_since IS NULL AND published_at >= {_utc(since)} AND {others}")

    def since(self, moment: dt.datetime) -> list[Publication]:
        """The publications after a moment, by the clocks of those who published, the newest first."""
        return list(self._rows(f"WHERE held_since IS NULL AND published_at >= {_utc(moment)}"))

    def last(self, most: int) -> list[Publication]:
        """The last publications, the newest first."""
        return list(self._rows("WHERE held_since IS NULL", f"LIMIT {most}"))

    def append(self, publication: Publication) -> None:
        """One commit with one row. Raises ``CommitConflict`` where somebody else has appended since this was opened."""
        self._ledger.append({**publication.record(), "published_uri": absolute(self.uri)})

    def vacuum(self, hours: int = FILES_KEPT_HOURS) -> None:
        """Delete the files that were rewritten as one more than so long ago."""
        self._ledger.vacuum(hours)

    def _first(self, where: str) -> Publication | None:
        return next(self._rows(where, "LIMIT 1"), None)

    def _rows(self, where: str, limit: str = "") -> Iterator[Publication]:
        for record in self._ledger.rows(where, limit, then_by="published_at DESC"):
            publication = Publication.of(record, self.uri, self._places)
            if self._places and self._places.keys().isdisjoint(publication.tables):
                raise UserError(
                    f"The publications at {self.uri} are another project's, of {', '.join(publication.tables)}: set {self._setting} to "
                    "another path, or give the project an env_prefix of its own."
                )
            yield publication


def _utc(moment: dt.datetime) -> str:
    """In SQL, to the microsecond: in DataFusion's nanoseconds no year after 2262 has a place."""
    told = moment.astimezone(dt.timezone.utc).isoformat(sep=" ")
    return f"arrow_cast('{told}', 'Timestamp(Microsecond, Some(\"UTC\"))')"


def _fingerprint(log: GoldLog, version: int) -> str:
    """Tells the rows of a version from those of any other of that number: by its files, or the refresh that had none to write."""
    for commit in log.backwards(version):
        files = sorted(f"{file.path} {file.rows}" for file in commit.files)
        if told := files or ([commit.stamp.refresh_id] if commit.stamp is not None else []):
            return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
    return ""
