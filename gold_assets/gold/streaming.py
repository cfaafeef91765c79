"""Silver followed as a stream: each batch patches what is behind in Gold, up to Silver's newest version.

What is behind is told by Gold's own commits. The first batch after a start looks at every date, and so makes up for whatever
happened to Silver, to Gold or to the stream before; the next ones look at the dates that Silver has changed since.
"""

import datetime as dt
import logging
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError, store_failures_told
from gold_assets.delta.log import DeltaLog, ends_at
from gold_assets.engines import Engine
from gold_assets.engines.spark import SparkEngine
from gold_assets.gold.decisions import end_of_decisions
from gold_assets.gold.lake import Lake
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import Refreshed, refresh_at
from gold_assets.silver.pin import Silver
from gold_assets.silver.version import SilverVersion

logger = logging.getLogger(__name__)

_SECONDS = {"millisecond": 0.001, "second": 1, "minute": 60, "hour": 3600}


@dataclass(frozen=True)
class Batch:
    """What one batch of the stream did.

    Attributes:
        id: on Spark its number, which starts over with a new checkpoint; on Sail its number since the start.
        moment: of the lake, with Silver at the version that Gold was brought to.
        after: the version of Silver after which its commits were new to Gold; -1 where Gold knew none of them.
        refreshed: what was written, and which of the dates that were looked at held Silver's rows already.
    """

    id: int
    moment: Moment
    after: int
    refreshed: Refreshed

    @property
    def dates(self) -> list[dt.date]:
        """The dates of which a table was written, in order."""
        return sorted(set().union(*self.refreshed.dates.values()))


@store_failures_told()
def follow(
    lake: Lake,
    engine: Engine,
    checkpoint_path: str,
    *,
    optimize: bool = False,
    interval: str | None = None,
    on_refreshed: Callable[[Batch], None] | None = None,
    stop: threading.Event | None = None,
    opened: Collection[dt.date] = (),
    opened_by: str = "",
) -> set[dt.date]:
    """Keep the lake's tables true to Silver by a stream of micro-batches, and return the dates that were written.

    Args:
        engine: Sail, or Spark on this machine or on a cluster; Spark Connect cannot run the stream's batches here.
        checkpoint_path: where Spark keeps how far its stream came. Sail needs none, and starts with every date.
        optimize: at the end, OPTIMIZE ZORDER BY the written dates that lie before today.
        interval: how often to look for new commits, such as ``200 milliseconds``, for good; by default drain Silver and end.
        on_refreshed: called after each batch, on Spark before the checkpoint counts it as done.
        stop: once set, the stream ends after the batch in hand.
        opened: the dates that a person opens, which are followed though they are sealed or held.
        opened_by: who opens them, and why, as their commits will tell.

    Raises ``UserError`` where Silver, a table's place or the checkpoint is not what it must be, or a write fails.
    """
    seconds = None if interval is None else _seconds(interval)
    batches = Batches(lake, engine, on_refreshed or (lambda batch: None), stop or threading.Event(), opened, opened_by)
    if isinstance(engine, SparkEngine):
        from gold_assets.gold.structured_streaming import run

        run(batches, engine, checkpoint_path, seconds)
    else:
        _poll(batches, seconds)
    if optimize and batches.dates:
        maintain(lake, engine, dates=batches.dates, vacuum=False)
    return batches.dates


def _seconds(interval: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(\w+?)s?", interval.strip())
    if found is None or found[2] not in _SECONDS:
        raise UserError(
            f"The interval is {interval}, expected one such as '200 milliseconds' or '1 minute': correct it."
        )
    return float(found[1]) * _SECONDS[found[2]]


class Batches:
    """The batches of a stream, one at a time."""

    def __init__(
        self,
        lake: Lake,
        engine: Engine,
        on_refreshed: Callable[[Batch], None],
        stop: threading.Event,
        opened: Collection[dt.date] = (),
        opened_by: str = "",
    ) -> None:
        self.lake = lake
        self.stop = stop
        self.dates: set[dt.date] = set()
        """Those that were written."""
        self._engine = engine
        self._on_refreshed = on_refreshed
        self._opened, self._opened_by = opened, opened_by
        self._reached: SilverVersion | None = None
        """The version of Silver that the last batch brought Gold to."""
        self._held: set[dt.date] = set()
        """The dates that batches left as they were, sealed or held, until somebody decides."""
        self._decisions = end_of_decisions(lake.decisions_at, None)

    def has_new_decisions(self) -> bool:
        """Whether somebody has decided since the last batch, which held dates."""
        return bool(self._held) and end_of_decisions(self.lake.decisions_at, self._decisions) != self._decisions

    def do(self, number: int) -> Silver:
        """Bring Gold up to Silver's newest version, which is returned, as the batch of this number."""
        moment, before = Moment(self.lake, self.lake.pin(), {}), self._reached
        silver, changes = moment.silver, moment.changes
        if before is None or changes.foreign(before) or changes.every_date_after(before.silver_version):
            before = None
            touched = {None, *Moment(self.lake, silver).dates}
        else:
            touched = {*changes.dates_after(before.silver_version)}
        if self.has_new_decisions():
            touched |= self._held
        self._decisions = end_of_decisions(self.lake.decisions_at, self._decisions)
        if touched:
            dates = {date for date in touched if date is not None}
            by = "; ".join(filter(None, [f"batch {number} of the stream", self._opened_by]))
            refreshed = refresh_at(
                moment, self._engine, dates, self.lake.tables, how="patch", by=by, opened=self._opened
            )
            held = {date for of in refreshed.held.values() for date in of if date is not None}
            self._held = (self._held - dates) | held
            after = _made_from(refreshed, silver) if before is None else before.silver_version
            self._tell(Batch(number, moment, after, refreshed))
        self._reached = silver.as_told
        return silver

    def _tell(self, batch: Batch) -> None:
        quarantines = [table.name for table in self.lake.tables if table.is_quarantine]
        logger.info(
            "Batch %d: Silver version %d, %s written, %d rows of it quarantined, %.1f s",
            batch.id,
            batch.moment.silver.version,
            dates_text(batch.dates) or "no date",
            sum(made.rows for name in quarantines for made in batch.refreshed.dates[name].values()),
            batch.refreshed.seconds,
        )
        self._on_refreshed(batch)
        self.dates |= set(batch.dates)


def _made_from(refreshed: Refreshed, silver: Silver) -> int:
    """The oldest version of Silver that a date was made from before the refresh; -1 where one was made from none that is known."""
    steps = [made.step for dates in refreshed.dates.values() for made in dates.values()]
    steps += [step for dates in refreshed.current.values() for step in dates.values()]
    known = [step.made for step in steps if step.made is not None and step.made.silver_table_id == silver.table_id]
    versions = [made.silver_version for made in known]
    return min(versions) if versions and len(known) == len(steps) and max(versions) <= silver.version else -1


def _poll(batches: Batches, interval: float | None) -> None:
    """A batch for each end of Silver's log that is new, until there is none or the stream is to stop."""
    number, end = 0, None
    while not batches.stop.is_set():
        if end is None or not ends_at(batches.lake.silver, end) or batches.has_new_decisions():
            silver = batches.do(number)
            number, end = number + 1, DeltaLog(silver.table).file_of(silver.version)
        elif interval is None:
            return
        else:
            batches.stop.wait(interval)
