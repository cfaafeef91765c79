"""The one write path: bring dates of Gold to one pinned version of Silver."""

import datetime as dt
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from deltalake import DeltaTable
from pyspark.sql import DataFrame

from gold_assets.declaring.table import Table
from gold_assets.delta.dates import as_date, dates_text, slices_of
from gold_assets.delta.errors import store_failures_told
from gold_assets.delta.types import type_name
from gold_assets.engines import FAILURES, Engine
from gold_assets.gold.changed_keys import ChangedKeys
from gold_assets.gold.commits import NewRows, Steps, Target, Written, WrittenDate
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.open_table import open_or_create
from gold_assets.gold.plan import ASKED_FOR, Planner, by_step
from gold_assets.silver.pin import Silver

logger = logging.getLogger(__name__)

_WAKE_SECONDS = 0.1


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        silver_version: the version of Silver that it went by.
        dates: per table name and date, what was written; dates that ended empty are there.
        current: per table name, the dates that were left as they are, because they held Silver's rows; and why.
        held: per table name, those that were left as they are because they are sealed or held; and why.
        tables: by name, at the version that they were left at.
        silver_rows: Silver's rows of these dates, as ``FileDates.rows_told`` tells them.
        seconds: how long it took.
    """

    silver_version: int
    silver_rows: Mapping[dt.date | None, int | None]
    dates: Mapping[str, Mapping[dt.date, WrittenDate]]
    current: Mapping[str, Steps]
    held: Mapping[str, Steps]
    seconds: float
    tables: Mapping[str, DeltaTable]


def refresh(
    lake: Lake,
    engine: Engine,
    dates: Iterable[dt.date],
    silver_version: int | None = None,
    tables: Sequence[Table] | None = None,
    *,
    how: Literal["recompute", "patch"] = "recompute",
    by: str = "",
    opened: Collection[dt.date] = (),
) -> Refreshed:
    """Make each table's ``dates`` equal to its transformation of Silver's rows at one pinned version.

    What is recomputed is replaced in one commit of a table, or in several where there is more than a slice of data, each with whole
    dates: a reader sees a date before or after. The tables are written side by side. Rows of Silver without a date belong to no
    date: whenever the quarantine is refreshed they are.

    Args:
        lake: where Silver and the tables are.
        engine: what computes, ``SailEngine`` or ``SparkEngine``.
        dates: the dates to bring up.
        silver_version: by default Silver's newest.
        tables: by default all of the lake's.
        how: ``recompute`` computes every row, whatever is there. ``patch`` goes by the logs of Silver and the tables: a date
            is left as it is where it holds Silver's rows, is added to where Silver has only gained files since, has the rows of
            changed keys computed where Silver has lost or changed rows, and is recomputed where neither is sure or costs less.
            All end with the same rows; averages agree to 1e-12.
        by: who asks for it, such as ``run 88b020ab``, as the commits will tell.
        opened: the dates that a person opens: the others are left as they are where the lake's safeguards seal or hold them.

    Returns:
        What was written of each table and date, and what was left as it is, and why.

    Raises:
        UserError: Silver or a table's place is not what it must be, or a table was made from another Silver in another
            place, and nothing is written; or a write failed: what was committed by then is whole, and the same refresh again completes it.

    Examples:
        >>> import datetime as dt
        >>> from gold_assets import SailEngine, transactions
        >>> engine, day = SailEngine(), dt.date(2026, 1, 1)
        >>> refreshed = refresh(transactions.project.lake("data"), engine, [day])
        >>> refreshed.dates["user_spend_summary"][day].rows
        1
        >>> engine.close()
    """
    moment = Moment(lake, lake.pin(silver_version), {})
    return refresh_at(moment, engine, dates, lake.tables if tables is None else tables, how=how, by=by, opened=opened)


@store_failures_told()
def refresh_at(
    moment: Moment,
    engine: Engine,
    dates: Iterable[dt.date],
    tables: Sequence[Table],
    *,
    how: Literal["recompute", "patch"],
    by: str,
    opened: Collection[dt.date] = (),
) -> Refreshed:
    """``refresh`` from Silver as the moment has it; the tables are opened anew, and are then the moment's."""
    started = time.perf_counter()
    wanted = sorted(set(map(as_date, dates)))
    _say_what_is_read(moment.silver, tables, wanted)
    steps: dict[str, Steps] = {
        table.name: dict.fromkeys([*wanted, *([None] if table.is_quarantine else [])], ASKED_FOR) for table in tables
    }
    written: dict[str, Written] = {table.name: {} for table in tables}
    planner = Planner(moment, opened)

    def open_tables() -> list[Target]:
        targets = _open(moment, tables, engine, by)
        if how == "recompute":
            steps.update({table.name: planner.asked_for(table, steps[table.name]) for table in tables})
        return targets

    with ThreadPoolExecutor(max_workers=1) as pool:
        opening = pool.submit(open_tables)  # while what is recomputed is read
        if how == "patch":
            wait_and_hear_signals([opening])
            new_rows = NewRows(moment.silver, engine, wanted)
            opened_tables = [(target.table, target.delta) for target in opening.result()]
            changed_keys = ChangedKeys(moment.silver, moment.changes, engine, opened_tables)
            patches = _side_by_side(
                {
                    target.table.name: partial(target.patch, steps[target.table.name], planner, new_rows, changed_keys)
                    for target in opening.result()
                }
            )
            for name, (patched, others) in patches.items():
                written[name], steps[name] = patched, others
        _recompute(moment.silver, engine, opening, steps, written)
        opening.result()  # where nothing was recomputed, too
    refreshed = Refreshed(
        moment.silver.version,
        moment.silver.file_dates.rows_told(wanted),
        {name: {date: made for date, made in of.items() if date is not None} for name, of in written.items()},
        {name: {date: step for date, step in left.items() if step.how == "current"} for name, left in steps.items()},
        {name: {date: step for date, step in left.items() if step.hold is not None} for name, left in steps.items()},
        time.perf_counter() - started,
        {name: gold for name, gold in moment.opened.items() if gold is not None},
    )
    for name, of_table in written.items():
        done = {**{date: made.step for date, made in of_table.items()}, **refreshed.current[name]}
        for said, on in by_step(done).items():
            logger.info("%s, %s: %s", name, on, said)
        for said, on in by_step(refreshed.held[name]).items():
            logger.warning("%s, %s, is left as it is: %s", name, on, said)
    if moment.holds.unseen:
        logger.warning("The fuse cannot see %s: nothing tells Silver's rows by date", dates_text(moment.holds.unseen))
    logger.info("Refreshed %d dates of %d tables in %.1f s", len(wanted), len(tables), refreshed.seconds)
    return refreshed


def _say_what_is_read(silver: Silver, tables: Sequence[Table], dates: Sequence[dt.date]) -> None:
    columns = ", ".join(f"{field.name} {type_name(field)}" for field in silver.fields)
    logger.info("Silver at %s, version %d, has the columns %s", silver.uri, silver.version, columns)
    for theirs, ours in silver.columns.renamed.items():
        logger.info("Silver's column %s is called %s here", theirs, ours)
    for name, why in silver.columns.left.items():
        logger.warning("Silver's column %s stays there: %s", name, why)
    names, on = ", ".join(table.name for table in tables), dates_text(dates) or "no date"
    logger.info("Refreshing %s on %s from Silver version %d", names, on, silver.version)


def _open(moment: Moment, tables: Sequence[Table], engine: Engine, by: str) -> list[Target]:
    """The tables, made where they are not there yet, and known to the moment. Raises ``UserError`` as ``refresh`` says."""

    def accept(found: Mapping[str, DeltaTable | None]) -> None:
        moment.opened = found
        moment.refuse_another_silver()

    opened = open_or_create(tables, moment.lake.place, moment.silver.fields, accept)
    moment.opened = opened
    return [Target(table, opened[table.name], moment.silver, engine, by) for table in tables]


def _recompute(
    silver: Silver,
    engine: Engine,
    targets: Future[list[Target]],
    steps: Mapping[str, Steps],
    written: Mapping[str, Written],
) -> None:
    """Recompute the dates of each table that its steps say so of, and add what was done to ``written``.

    The steps are settled once the ``targets`` are there.
    """
    asked = {date for dates in steps.values() for date, step in dates.items() if step.how == "recomputed"}
    if not asked:
        return
    wanted = sorted(date for date in asked if date is not None)
    rows_by_date = silver.file_dates.rows(wanted)
    most = engine.slice_bounds
    slices: list[list[dt.date | None]]
    slices = [[*dates] for dates in slices_of(wanted, rows_by_date, most.rows, most.dates)] or [[]]
    if None in asked:
        slices[0].append(None)
    read = [partial(_read_slice, silver, engine, dates) for dates in slices]
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(read[0])
        for number, dates in enumerate(slices, start=1):
            wait_and_hear_signals([targets, upcoming])
            opened, (rows, broken_dates) = targets.result(), upcoming.result()
            if number < len(slices):  # one ahead and no more, for rows that an engine has to copy
                upcoming = pool.submit(read[number])
            on = {
                name: {date: of[date] for date in dates if date in of and of[date].how == "recomputed"}
                for name, of in steps.items()
            }
            done = _side_by_side(
                {
                    target.table.name: partial(target.recompute, rows, broken_dates, on[target.table.name])
                    for target in opened
                    if on[target.table.name]
                }
            )
            for name, dates_done in done.items():
                written[name].update(dates_done)
            logger.info(
                "Slice %d of %d, up to %s, is written", number, len(slices), max(filter(None, dates), default=None)
            )


def _side_by_side(work: Mapping[str, Any]) -> dict[str, Any]:
    """What each of the calls returns, by name. All are waited for; the first failure is raised, the others logged."""
    with ThreadPoolExecutor(max_workers=max(len(work), 1)) as pool:
        futures: dict[str, Future[Any]] = {name: pool.submit(call) for name, call in work.items()}
        wait_and_hear_signals(futures.values())
    errors = [error for future in futures.values() if (error := future.exception()) is not None]
    for error in errors[1:]:
        if error is not errors[0]:
            logger.error("%s", error)
    if errors:
        raise errors[0]
    return {name: future.result() for name, future in futures.items()}


def _read_slice(silver: Silver, engine: Engine, dates: list[dt.date | None]) -> tuple[DataFrame, set[dt.date | None]]:
    """Silver's rows on dates that are computed together, and which of these hold rows that break a rule."""
    try:
        rows = silver.read(engine, dates)
        return rows, {None} if dates == [None] else silver.source.broken_dates(rows)
    except FAILURES as error:
        raise silver.cannot_be_read(error, dates) from error


def wait_and_hear_signals(futures: Collection[Future[Any]]) -> None:
    """Wait until all are done. A signal's handler runs meanwhile, whichever thread the system gives the signal to.

    Python runs handlers in the main thread, once it is awake, and a signal taken by another thread does not wake it
    (https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers).
    """
    while wait(futures, timeout=_WAKE_SECONDS).not_done:
        pass
