"""The one write path: recompute dates of Gold from one pinned version of Silver."""

import datetime as dt
import json
import logging
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from gold_assets.delta.commit_races import until_committed
from gold_assets.delta.dates import contiguous, predicate
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.log import Commit, DeltaLog
from gold_assets.delta.sql import SPARK
from gold_assets.delta.types import type_name
from gold_assets.engines import Engine, SliceBounds
from gold_assets.gold.declaration import Table
from gold_assets.gold.lake import Lake
from gold_assets.gold.open_table import declared_fields, open_or_create
from gold_assets.gold.provenance import STAMP
from gold_assets.gold.waiting import wait_and_hear_signals
from gold_assets.silver import contract
from gold_assets.silver.pin import Silver

logger = logging.getLogger(__name__)

_FAILURES = (DeltaError, OSError, PySparkException, Py4JError)


@dataclass(frozen=True)
class WrittenDate:
    """What a refresh left of one date in one table: its rows, the table's version that holds them, its share of seconds."""

    rows: int
    table_version: int
    seconds: float


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    ``dates`` holds, per table name and date, what was written; dates that ended empty are there. ``silver_rows`` holds
    Silver's rows of these dates, and maybe of others, as ``Silver.rows_by_date`` tells them.
    """

    silver_version: int
    silver_rows: Mapping[dt.date | None, int | None]
    dates: Mapping[str, Mapping[dt.date, WrittenDate]]
    seconds: float


def refresh(
    lake: Lake,
    engine: Engine,
    dates: Iterable[dt.date],
    silver_version: int | None = None,
    tables: Sequence[Table] | None = None,
) -> Refreshed:
    """Make each table's ``dates`` equal to its transformation of Silver's rows at one pinned version.

    ``silver_version`` is by default Silver's newest, ``tables`` all of the lake's. A table's dates are replaced in one commit, or in several where
    there is more than a slice of data, each with whole dates: a reader sees a date before or after. The tables are
    written side by side. Rows of Silver without a date belong to no date: whenever the quarantine is refreshed they are.

    Raises ``UserError`` before anything is written where Silver or a table's place is not what it must be, and where a
    write fails; what was committed by then is whole, and the same refresh again completes it.
    """
    started = time.perf_counter()
    wanted = sorted(set(dates))
    tables = lake.tables if tables is None else tables
    silver = lake.pin(silver_version)
    columns = ", ".join(f"{field.name} {type_name(field)}" for field in silver.fields)
    logger.info("Silver at %s, version %d, has the columns %s", silver.uri, silver.version, columns)
    for theirs, ours in silver.columns.renamed.items():
        logger.info("Silver's column %s is called %s here", theirs, ours)
    targets = open_or_create(tables, lake.places, silver.fields)
    silver_rows = silver.rows_by_date(wanted)
    slices = slices_of(wanted, silver_rows, engine.slice_bounds)
    logger.info(
        "Refreshing %s on %s from Silver version %d in %d slices",
        ", ".join(targets),
        ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in contiguous(wanted))
        or "no date",
        silver.version,
        len(slices),
    )
    undated = any(table.is_quarantine for table in tables)
    written: dict[str, dict[dt.date, WrittenDate]] = {table.name: {} for table in tables}
    with ThreadPoolExecutor(max_workers=len(tables) + 1) as pool:
        read = [
            partial(_read_slice, silver, engine, dates, and_null=undated and dates is slices[0]) for dates in slices
        ]
        upcoming = pool.submit(read[0])
        for number, dates in enumerate(slices, start=1):
            wait_and_hear_signals([upcoming])
            part = upcoming.result()
            if number < len(slices):  # one ahead and no more, for rows that an engine has to copy
                upcoming = pool.submit(read[number])
            writes = {
                table.name: pool.submit(_replace, table, targets[table.name], silver, engine, part) for table in tables
            }
            wait_and_hear_signals(writes.values())
            _raise_first([error for write in writes.values() if (error := write.exception()) is not None])
            for name, write in writes.items():
                written[name] |= write.result()
            logger.info("Slice %d of %d, up to %s, is written", number, len(slices), max(dates, default=None))
    seconds = time.perf_counter() - started
    logger.info("Refreshed %d dates of %d tables in %.1f s", len(wanted), len(tables), seconds)
    return Refreshed(silver.version, silver_rows, written, seconds)


def slices_of(
    dates: list[dt.date], rows_by_date: Mapping[dt.date | None, int | None], bounds: SliceBounds
) -> list[list[dt.date]]:
    """The dates in order, cut so that a slice's Silver rows and open partitions stay bounded, however long the range."""
    slices: list[list[dt.date]] = [[]]
    rows_in_slice = 0
    for date in dates:
        known = rows_by_date.get(date, 0)
        rows = bounds.rows if known is None else known
        if slices[-1] and (rows_in_slice + rows > bounds.rows or len(slices[-1]) == bounds.dates):
            slices.append([])
            rows_in_slice = 0
        slices[-1].append(date)
        rows_in_slice += rows
    return slices


@dataclass(frozen=True)
class _Slice:
    """Silver's rows on dates that are computed together, and which of these hold rows that break a rule.

    Where ``and_null``, the rows without a date are there too.
    """

    dates: list[dt.date]
    and_null: bool
    rows: DataFrame
    broken_dates: set[dt.date]


def _read_slice(silver: Silver, engine: Engine, dates: list[dt.date], *, and_null: bool) -> _Slice | None:
    """The slice, None where it could hold no row."""
    if not dates and not and_null:
        return None
    try:
        rows = silver.read(engine, dates, and_null=and_null)
        return _Slice(dates, and_null, rows, contract.broken_dates(rows) if dates else set())
    except _FAILURES as error:
        raise UserError(
            f"Silver at {silver.uri} cannot be read at version {silver.version} ({reason(error)}): "
            "check that its files are there and that this process may read them."
        ) from error


def _raise_first(errors: list[BaseException]) -> None:
    for error in errors[1:]:
        if error is not errors[0]:
            logger.error("%s", error)
    if errors:
        raise errors[0]


def _replace(
    table: Table, target: DeltaTable, silver: Silver, engine: Engine, part: _Slice | None
) -> dict[dt.date, WrittenDate]:
    """Write a slice of a table."""
    started = time.perf_counter()
    if part is None:
        return {}
    dates, and_null = part.dates, part.and_null and table.is_quarantine
    where = predicate(dates, and_null=and_null)
    if not where:
        return {}
    refresh_id = str(uuid.uuid4())
    stamp = {
        "refresh_id": refresh_id,
        "silver_version": silver.version,
        "silver_table_id": silver.table_id,
        "code_version": table.code_version,
        "dates": [[str(first), str(last)] for first, last in contiguous(dates)],
        "and_null": and_null,
    }
    uri = target.table_uri
    # Known without asking the engine, which would plan the query, and read Silver's log, for the answer.
    has = {field.name for field in declared_fields(table, silver.fields)}

    def commit_once() -> None:
        target.update_incremental()  # a commit is checked against those since the version it began from
        rows = _with_columns_of(target, table.of(part.rows, part.broken_dates), has)
        engine.replace(target, rows, where, json.dumps({STAMP: stamp}))

    try:
        until_committed(table.name, uri, commit_once)
    except _FAILURES as error:
        raise UserError(
            f"{table.name} could not be written to {uri} ({reason(error)}): mend that and run again; "
            "readers still see the version before."
        ) from error
    commit = _own_commit(target, refresh_id)
    counts: dict[str | None, int] = {}
    for added in commit.adds:
        counts[added.date] = counts.get(added.date, 0) + (added.rows or 0)
    share = (time.perf_counter() - started) / max(len(dates), 1)
    return {date: WrittenDate(counts.get(str(date), 0), commit.version, share) for date in dates}


def _with_columns_of(target: DeltaTable, rows: DataFrame, has: Collection[str]) -> DataFrame:
    """The rows, which have the columns ``has``, in the table's order. What only the table has, because Silver lost it, is NULL."""
    # Delta keeps its schema in Spark's own notation.
    fields = StructType.fromJson(json.loads(target.schema().to_json())).fields
    return rows.select(
        *(
            F.col(SPARK.name(field.name)) if field.name in has else F.lit(None).cast(field.dataType).alias(field.name)
            for field in fields
        )
    )


def _own_commit(target: DeltaTable, refresh_id: str) -> Commit:
    target.update_incremental()
    for commit in DeltaLog(target).commits_backwards(target.version()):
        if commit.user_metadata.get(STAMP, {}).get("refresh_id") == refresh_id:
            return commit
    raise UserError(
        f"A commit to {target.table_uri} is no longer in its log, so another writer has overwritten it, as happens on a store "
        "without conditional put, and where Spark and another process write at once: let one process write Gold at a time, "
        "then run again."
    )
