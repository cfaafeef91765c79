"""Maintenance that pays for itself: OPTIMIZE ZORDER BY where files changed, VACUUM, checkpoints, log clean-up.

What was last ordered is known from the table's own log. A commit of ours says in its ``userMetadata`` from which version
it started and which dates were out of order then; the dates whose files it added are in order since. So the commits down
to the newest of ours tell everything, however long the log is. Where log clean-up has taken that commit, because nothing
was there to maintain for as long as the log is kept, every date counts as out of order: it is ordered once more, and no
more than once in that time.
"""

import datetime as dt
import json
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.declaring.table import Table
from gold_assets.delta.commit_races import until_committed
from gold_assets.delta.dates import EVENT_DATE, slices_of
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.log import DeltaLog
from gold_assets.delta.query import as_table
from gold_assets.engines import TARGET_FILE_BYTES, CannotOrder, Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.open_table import RETENTION_HOURS, keep_log
from gold_assets.gold.provenance import STAMP, dates_of, runs_of
from gold_assets.gold.publication import Publication
from gold_assets.gold.publishing_again import move_on
from gold_assets.gold.vacuum import clean_log, needed_publications
from gold_assets.gold.vacuum import vacuum as vacuum_table

logger = logging.getLogger(__name__)

_BYTES_A_COMMIT = 1 << 30
"""A run that is killed loses little of its work."""
_COMMITS_A_CHECKPOINT = 10


@dataclass(frozen=True)
class Maintained:
    """What was done to one table, or would be where ``dry_run``.

    Attributes:
        files_before: how many files the table's newest version had.
        files_after: how many it has.
        bytes_before: their size before.
        bytes_after: their size after.
        ordered: the dates that were compacted and clustered.
        not_ordered: why none could be, where the engine cannot do it to this table; else empty.
        skipped: the other dates that have files: in order already, today's or later, or not asked for.
        deleted: the files that VACUUM deleted, by their paths below the table.
        bytes_freed: their size.
        retention_hours: how far back VACUUM kept the files of older versions.
        dry_run: whether nothing was changed.
        held_back: which older files or commits were kept as well, since a publication needs them; empty where none
            were.
        seconds: how long all of that took.
    """

    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    ordered: tuple[dt.date, ...]
    not_ordered: str
    skipped: tuple[dt.date, ...]
    deleted: tuple[str, ...]
    bytes_freed: int
    retention_hours: int
    held_back: str
    dry_run: bool
    seconds: float

    def __str__(self) -> str:
        would_be = "would be: " if self.dry_run else ""
        return (
            f"{would_be}{len(self.ordered)} dates ordered, {len(self.skipped)} skipped, {len(self.deleted)} files deleted, "
            f"{self.bytes_freed} bytes freed in {self.seconds:.1f} s"
        )


class MaintenanceFailed(UserError):
    """The maintenance of some tables failed; ``maintained`` holds what was done to the others, by name."""

    def __init__(self, message: str, maintained: Mapping[str, Maintained]) -> None:
        """That some failed, and what was done to the others."""
        super().__init__(message)
        self.maintained = maintained


@dataclass(frozen=True)
class _Asked:
    dates: frozenset[dt.date] | None
    zorder: bool
    vacuum: bool
    retention_hours: int
    dry_run: bool
    today: dt.date
    publications: Sequence[Publication]


def maintain(
    lake: Lake,
    engine: Engine,
    tables: Sequence[Table] | None = None,
    dates: Collection[dt.date] | None = None,
    *,
    zorder: bool = True,
    vacuum: bool = True,
    retention_hours: int = RETENTION_HOURS,
    allow_short_retention: bool = False,
    dry_run: bool = False,
    today: dt.date | None = None,
) -> dict[str, Maintained]:
    """Maintain the tables one after the other, and return what was done by table name; tables not made yet are left out.

    A table whose log has grown gets a checkpoint, and of the log is removed what has expired and no publication needs. A table
    that fails does not stop the others.

    Args:
        lake: where the tables are.
        engine: what orders them, ``SailEngine`` or ``SparkEngine``.
        tables: by default all of the lake's.
        dates: look at these dates only, by default at all. Of them, those are ordered whose files changed since they
            were last ordered and that lie before ``today`` (UTC).
        zorder: compact those dates and cluster them by the table's ``zorder_by``, where it has one.
        vacuum: delete the files that no version within the retention needs, nor the newest publication or one of the
            last week. The table's own retention property is raised to ``retention_hours`` where it is shorter, and
            counts where it is longer.
        retention_hours: below 168 only with ``allow_short_retention``, since readers and time travel lose their files.
        allow_short_retention: let ``retention_hours`` be below 168.
        dry_run: change nothing; the result says what would be ordered and deleted.
        today: dates from this one on are left as they are; by default today's, UTC.

    Returns:
        What was done, or would be, by table name.

    Raises:
        UserError: the retention is too short, and nothing is done.
        MaintenanceFailed: at the end, where some tables failed; it names each.

    Examples:
        >>> from gold_assets import SailEngine, transactions
        >>> engine = SailEngine()
        >>> done = maintain(transactions.project.lake("data"), engine, dry_run=True)
        >>> done["user_spend_summary"].deleted
        ()
        >>> engine.close()
    """
    if retention_hours < 0 or (retention_hours < RETENTION_HOURS and not allow_short_retention):
        raise UserError(
            f"retention_hours is {retention_hours}, expected {RETENTION_HOURS} or more: VACUUM deletes for good what "
            "running readers and time travel still need, so raise it, or set allow_short_retention where nobody reads."
        )
    if vacuum and not dry_run and retention_hours < RETENTION_HOURS:
        logger.warning(
            "allow_short_retention is set: VACUUM keeps %d hours, and readers of older versions fail", retention_hours
        )
    tables = lake.tables if tables is None else tables
    asked = _Asked(
        dates=None if dates is None else frozenset(dates),
        zorder=zorder,
        vacuum=vacuum,
        retention_hours=retention_hours,
        dry_run=dry_run,
        today=today or dt.datetime.now(dt.timezone.utc).date(),
        publications=needed_publications(lake),
    )
    done: dict[str, Maintained] = {}
    failed: dict[str, str] = {}
    for table in tables:
        try:
            if (opened := lake.open(table)) is None:
                logger.info("%s is not made yet: nothing to maintain", table.name)
            else:
                done[table.name] = _maintain(table, opened, engine, asked)
        except Exception as error:
            failed[table.name] = reason(error)
            logger.exception("The maintenance of %s failed", table.name)
    if not dry_run and lake.published is not None:
        move_on(lake.published, lake.publications)
        if vacuum:
            lake.publications().vacuum()
    if failed:
        what = "; ".join(f"{name} ({why})" for name, why in failed.items())
        raise MaintenanceFailed(
            f"Maintenance failed for {len(failed)} of {len(tables)} tables: {what}. "
            "The others are done and no content has changed: mend that and run again, it goes on where it stopped.",
            done,
        )
    return done


def dates_out_of_order(table: DeltaTable, zorder_by: Sequence[str]) -> set[dt.date]:
    """The dates that have files which no OPTIMIZE of ours by these columns has written, from the log alone.

    Where a table has no such columns, the dates of which two files can become one.
    """
    if not zorder_by:
        smallest = {date: sorted(sizes)[:2] for date, sizes in _live_files(table).items()}
        return _dated(date for date, sizes in smallest.items() if len(sizes) == 2 and sum(sizes) <= TARGET_FILE_BYTES)
    ordered: set[dt.date] = set()
    changed: set[dt.date] = set()
    since: tuple[int, set[dt.date]] | None = None
    with_files = _dated(_live_files(table))
    for commit in GoldLog(table).backwards():
        stamp = commit.said.get("maintenance", {})
        if stamp.get("zorder_by") == list(zorder_by):
            ordered |= _dated(file.date for file in commit.adds) - changed
            if since is None:
                # Not the commit's own version: others may have committed while it was at work.
                since = stamp["version"], dates_of(stamp["out_of_order"])
        else:
            # Whatever else wrote files has undone their order, an OPTIMIZE of somebody else too.
            changed |= _dated(file.date for file in commit.files) - ordered
        if since is not None and commit.version <= since[0] + 1:
            return with_files & (changed | (since[1] - ordered))
    return with_files - ordered


def _maintain(table: Table, delta_table: DeltaTable, engine: Engine, asked: _Asked) -> Maintained:
    started = time.perf_counter()
    if not asked.dry_run:
        keep_log(table.name, delta_table)
    before = _live_files(delta_table)
    with_files = sorted(_dated(before))
    ordered: list[dt.date] = []
    not_ordered = ""
    if asked.zorder:
        due = dates_out_of_order(delta_table, table.zorder_by)
        ordered = [date for date in sorted(due) if date < asked.today and (asked.dates is None or date in asked.dates)]
        if not asked.dry_run:
            try:
                sizes = {date: sum(files) for date, files in before.items()}
                for part in slices_of(ordered, sizes, _BYTES_A_COMMIT, len(ordered)):
                    _order(table, delta_table, engine, part)
            except CannotOrder as why:
                ordered, not_ordered = [], f"{table.name} is not ordered: {why}."
                logger.warning("%s", not_ordered)
    deleted: dict[str, int] = {}
    retention_hours, held_back = asked.retention_hours, ""
    if asked.vacuum:
        stamp = _stamp(table, delta_table, dates_out_of_order(delta_table, table.zorder_by))
        retention_hours, deleted, held_back = vacuum_table(
            table.name, delta_table, asked.retention_hours, asked.publications, stamp, dry_run=asked.dry_run
        )
    if not asked.dry_run:
        held_back = " ".join(filter(None, (held_back, clean_log(table.name, delta_table, asked.publications))))
        if delta_table.version() - DeltaLog(delta_table).last_checkpoint() >= _COMMITS_A_CHECKPOINT:
            delta_table.create_checkpoint()  # whoever opens the table reads the newest and the commits after it
    if held_back:
        logger.warning("%s: %s", table.name, held_back)
    after = _live_files(delta_table)
    maintained = Maintained(
        files_before=sum(map(len, before.values())),
        files_after=sum(map(len, after.values())),
        bytes_before=sum(map(sum, before.values())),
        bytes_after=sum(map(sum, after.values())),
        ordered=tuple(ordered),
        not_ordered=not_ordered,
        skipped=tuple(date for date in with_files if date not in set(ordered)),
        deleted=tuple(sorted(deleted)),
        bytes_freed=sum(deleted.values()),
        retention_hours=retention_hours,
        held_back=held_back,
        dry_run=asked.dry_run,
        seconds=time.perf_counter() - started,
    )
    logger.info("%s: %s", table.name, maintained)
    return maintained


def _order(table: Table, delta_table: DeltaTable, engine: Engine, dates: list[dt.date]) -> None:
    def commit_once() -> None:
        out_of_order = dates_out_of_order(delta_table, table.zorder_by)
        if todo := [date for date in dates if date in out_of_order]:
            engine.optimize(delta_table, todo, table.zorder_by, _stamp(table, delta_table, out_of_order))
            delta_table.update_incremental()

    until_committed(table.name, delta_table, commit_once)


def _stamp(table: Table, delta_table: DeltaTable, out_of_order: Collection[dt.date]) -> str:
    stamp = {
        "zorder_by": list(table.zorder_by),
        "version": delta_table.version(),
        "out_of_order": runs_of(out_of_order),
    }
    return json.dumps({STAMP: {"maintenance": stamp}})


def _live_files(delta_table: DeltaTable) -> dict[dt.date | None, list[int]]:
    """The sizes of the files of the table's version by date, from the log."""
    files = as_table(delta_table.get_add_actions(flatten=True))
    sizes: dict[dt.date | None, list[int]] = defaultdict(list)
    for file in files.select([f"partition.{EVENT_DATE}", "size_bytes"]).to_pylist() if files.num_rows else ():
        sizes[file[f"partition.{EVENT_DATE}"]].append(file["size_bytes"])
    return dict(sizes)


def _dated(dates: Iterable[dt.date | None]) -> set[dt.date]:
    # Rows without a date have one file, which every refresh of the quarantine writes anew: nothing to gain there.
    return {date for date in dates if date is not None}
