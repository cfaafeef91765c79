"""What there is to do so that the dates of a table hold Silver's rows: told by the logs of both, without an engine."""

import dataclasses
import datetime as dt
import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deltalake.exceptions import DeltaError

from gold_assets.declaring.table import Table
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import failed
from gold_assets.delta.log import FileChange
from gold_assets.delta.plural import plural
from gold_assets.delta.query import as_table
from gold_assets.gold.combine import MOST_PATCHES
from gold_assets.gold.decisions import Decision
from gold_assets.gold.holds import Hold
from gold_assets.gold.moment import Moment
from gold_assets.gold.provenance import MadeFrom
from gold_assets.silver.changed_rows import ChangedRows

How = Literal["current", "patched", "keys", "recomputed", "sealed", "held"]


@dataclass(frozen=True)
class Estimate:
    """About what it takes to make the changed keys of a date anew.

    Attributes:
        rows: Silver's of the date.
        share: of computing all of them; 1 where it is not worth trying.
    """

    rows: int
    share: float

    @property
    def spared(self) -> float:
        """Of how many rows the computing is spared."""
        return self.rows * (1 - self.share)


@dataclass(frozen=True)
class Step:
    """What there is to do for a date of a table, or what was done.

    Attributes:
        how: ``current``: nothing; ``patched``: add what the files that Silver gained make; ``keys``: compute the rows of the keys of
            which Silver lost or gained rows, and keep all others; ``recomputed``: compute all rows; ``sealed`` and ``held``: nothing,
            though Silver has changed it, or may have, for ``hold`` holds it.
        reason: why, in a few words.
        made: how the rows that are there were made, where the table's log tells.
        files: those that Silver gained, where that is what is added; or gained and lost, where it goes by keys.
        estimate: where it goes by keys, about what that takes; None where the logs do not tell.
        approval: the decision by which it is done, where the safeguards may have held it.
    """

    how: How
    reason: str
    made: MadeFrom | None = None
    files: tuple[FileChange, ...] = ()
    estimate: Estimate | None = None
    hold: Hold | None = None
    approval: Decision | None = None

    @property
    def is_behind(self) -> bool:
        """Whether a refresh would change the date."""
        return self.how in ("patched", "keys", "recomputed")

    def __str__(self) -> str:
        return f"{self.how}: {self.reason}"


OF_OTHER_ROWS, OF_HIDDEN_ROWS, OF_REWRITTEN_ROWS = 0.35, 0.05, 0.3
"""What making changed keys anew takes, where computing a row takes 1: for each row of the date, all of which are searched for those keys;
besides, for each row of a file with another deletion vector; and for each row of a file that came or went, which is compared with
the other such rows. Measured by ``benchmarks.changed_keys``."""

AS_MANY_ROWS = 170_000
"""What a commit by keys takes however few there are, as the number of rows that are computed in that time."""

OF_SOME_TABLES = 0.25
"""What is left of what changed keys spare on a date of which another table is computed anew besides: one follows the other."""

MOST_REWRITTEN = 0.5
"""Where a larger share of a date's rows is in files that came or went, they are not compared: that costs too much where it turns out that most
keys have changed."""

MOST_CHANGED = 0.3
"""Where a larger share of a date's rows has changed, most keys are taken to have."""

ASKED_FOR = Step("recomputed", "asked for")
NOT_THERE = Step("recomputed", "the table is not there yet")


class Planner:
    """Plans by a moment of a lake, whose tables may be brought up to date meanwhile.

    Args:
        opened: the dates that a person has opened: neither a seal nor the fuse counts there.
    """

    def __init__(self, moment: Moment, opened: Collection[dt.date] = ()) -> None:
        self._moment, self._silver, self._changes = moment, moment.silver, moment.changes
        self._opened = frozenset(opened)
        self._paths_at = functools.cache(self._paths)
        self._estimate_of = functools.cache(self._estimate)

    def steps(self, table: Table, dates: Collection[dt.date | None]) -> dict[dt.date | None, Step]:
        """What there is to do for each of the ``dates`` of the table, as it is now. Raises ``UserError``."""
        return self._steps(table, dates, lambda made, date: self._step(table, made, date))

    def asked_for(self, table: Table, dates: Collection[dt.date | None]) -> dict[dt.date | None, Step]:
        """The same where a person asks that every row be computed. Raises ``UserError``."""
        if not any(map(self._moment.holds.may_hold, dates)):
            return dict.fromkeys(dates, ASKED_FOR)
        return self._steps(table, dates, lambda made, date: dataclasses.replace(ASKED_FOR, made=made))

    def _steps(
        self,
        table: Table,
        dates: Collection[dt.date | None],
        step_of: Callable[[MadeFrom | None, dt.date | None], Step],
    ) -> dict[dt.date | None, Step]:
        if (gold := self._moment.gold(table)) is None:
            return dict.fromkeys(dates, NOT_THERE)
        try:
            made = self._moment.log(table).made_from(dates)
            steps = _unless_few({date: step_of(made.get(date), date) for date in dates})
            return {date: self._unless_held(step, date) for date, step in steps.items()}
        except (DeltaError, OSError) as error:
            what = f"What there is to do for {table.name} at {gold.table_uri} cannot be told from its log and Silver's"
            otherwise = (
                "see that the place is a Delta table, that both logs are whole and that this process may read them"
            )
            raise failed(what, error, otherwise) from error

    def is_still_true(self, undated: Step, patched: Collection[Step]) -> bool:
        """Whether the stamp of a patch is also true of the rows without a date, which the patch leaves as they are."""
        since = min(step.made.silver_version for step in patched if step.made is not None)
        return (
            undated.how == "current"
            and undated.made is not None
            and undated.made.silver_version <= self._silver.version
            and self._changes.changed_after(None, since) is False
        )

    def _unless_held(self, step: Step, date: dt.date | None) -> Step:
        if not step.is_behind or date in self._opened:
            return step
        if (hold := self._moment.holds.on(step.made, date)) is not None:
            return Step(hold.kind, hold.reason, step.made, hold=hold)
        approval = self._moment.holds.approval(date)
        return step if approval is None else dataclasses.replace(step, approval=approval)

    def _step(self, table: Table, made: MadeFrom | None, date: dt.date | None) -> Step:
        if made is None:
            return Step("recomputed", "the log tells of no refresh of it")
        if reason := self._not_to_be_built_on(table, made):
            return Step("recomputed", reason, made)
        if made.silver_version >= self._silver.version:
            return Step("current", f"made from version {made.silver_version}", made)
        if gap := self._changes.gap_after(made.silver_version):
            return Step("recomputed", f"made from version {made.silver_version} of Silver, and {gap}", made)
        if everywhere := self._changes.everywhere_after(made.silver_version):
            return Step("recomputed", next(iter(everywhere.values())), made)
        files = self._changes.files_after(date, made.silver_version)
        if not files:
            return Step("current", f"made from version {made.silver_version}, unchanged since", made)
        return self._step_on_top(table, made, date, files)

    def _step_on_top(self, table: Table, made: MadeFrom, date: dt.date | None, files: Sequence[FileChange]) -> Step:
        """The step for a date of which Silver added or removed these files: one that keeps rows where that is exact and costs less."""
        if not made.refresh_id:
            return Step("recomputed", "the log tells of no refresh of it", made)
        if made.patches >= MOST_PATCHES:
            return Step("recomputed", f"patched {made.patches} times in a row", made)
        versions = _versions(sorted({file.version for file in files}))
        not_added = self._not_only_added(files, made.silver_version)
        changed = not_added or f"{plural(len(files), 'file')} added in {versions}"
        if not not_added and table.combines:
            return Step("patched", changed, made, tuple(files))
        if not not_added:
            changed += f", and {table.name} does not say how its columns add up"
        if reason := self._not_by_key(table, files):
            return Step("recomputed", f"{changed}, and {reason}", made)
        estimate = self._estimate_of(date, made.silver_version)
        if estimate is not None and estimate.share >= 1:
            return Step("recomputed", f"{changed}, in too large a part of the date", made)
        return Step("keys", changed, made, tuple(files), estimate)

    def _not_by_key(self, table: Table, files: Collection[FileChange]) -> str:
        """Why the keys that these files have changed cannot be computed anew by themselves; empty where they can."""
        if not table.merge_key:
            return f"no key of {table.name} is a column of Silver"
        if self._silver.table.metadata().partition_columns and any(
            "partitionValues" not in file.action for file in files
        ):
            return "the log does not tell of which partitions"
        return ""

    def _estimate(self, date: dt.date | None, since: int) -> Estimate | None:
        """What it takes to make the keys anew that have changed since a version; None where the logs do not tell."""
        told = self._silver.file_dates
        rows = told.count_told([date])
        if rows is None and date is not None:
            rows = told.rows_in_files(date)
        to_read = ChangedRows(self._silver, self._changes, [date], since).rows_to_read
        if rows is None or to_read is None:
            return None
        hidden, whole, changed = to_read
        if whole > rows * MOST_REWRITTEN or changed > rows * MOST_CHANGED:
            return Estimate(rows, 1)
        return Estimate(rows, OF_OTHER_ROWS + (OF_HIDDEN_ROWS * hidden + OF_REWRITTEN_ROWS * whole) / max(rows, 1))

    def _not_to_be_built_on(self, table: Table, made: MadeFrom) -> str:
        if made.overwritten_in is not None:
            return f"somebody else changed its rows in version {made.overwritten_in} of the table"
        if reason := self._changes.foreign(made):
            return reason
        if made.code_version != table.code_version:
            return f"made by code version {made.code_version or 'unknown'}, which is {table.code_version} now"
        if dict(made.renamed) != dict(self._silver.columns.renamed):
            return "made when other columns of Silver had other names here"
        return ""

    def _not_only_added(self, files: Collection[FileChange], made_from: int) -> str:
        for file in sorted(files, key=lambda file: file.version):
            if not file.is_add:
                return f"rows removed in version {file.version}"
            if file.has_vector:
                return f"rows hidden by a deletion vector in version {file.version}"
        paths = [file.path for file in files]
        names = list(map(_name, paths))
        # Whoever compacts files does not say that rows changed.
        if len(set(paths)) < len(paths) or not set(paths) <= self._live:
            return f"files added in {_versions(sorted({file.version for file in files}))} are not there any more"
        # Spark finds a file by its name.
        if sum(self._live_names[name] for name in set(names)) != len(names):
            return "files of the same name were added"
        if (before := self._paths_at(made_from)) is None:
            return f"version {made_from} of Silver, which it was made from, cannot be opened any more"
        if not before.isdisjoint(paths):
            return "files were added that were there"
        return ""

    def _paths(self, version: int) -> frozenset[str] | None:
        """The paths of Silver's files at a version, as its log has them; None where that cannot be opened any more."""
        silver = self._moment.silver_at(version)
        return None if silver is None else frozenset(as_table(silver.table.get_add_actions())["path"].to_pylist())

    @functools.cached_property
    def _live(self) -> frozenset[str]:
        return self._paths_at(self._silver.version) or frozenset()

    @functools.cached_property
    def _live_names(self) -> Counter[str]:
        return Counter(map(_name, self._live))


def _unless_few(steps: dict[dt.date | None, Step]) -> dict[dt.date | None, Step]:
    """The steps; where a commit by keys would not spare enough, all rows are computed."""
    by_version: dict[int, dict[dt.date | None, Step]] = defaultdict(dict)
    for date, step in steps.items():
        if step.how == "keys" and step.made is not None:
            by_version[step.made.silver_version][date] = step
    chosen = dict(steps)
    for by_keys in by_version.values():
        is_enough = spares_enough(by_keys.values())
        chosen |= {date: _with_estimate(step) if is_enough else _few(step) for date, step in by_keys.items()}
    return chosen


def spares_enough(steps: Collection[Step], *, beside_others: bool = False) -> bool:
    """Whether a commit by keys spares more than it takes in any case, ``AS_MANY_ROWS``, as far as the logs tell.

    ``beside_others``: another table of these dates is computed anew.
    """
    spared = [step.estimate.spared for step in steps if step.estimate is not None]
    enough = max(spared, default=0) * OF_SOME_TABLES if beside_others else sum(spared)
    return len(spared) < len(steps) or enough >= AS_MANY_ROWS


def _few(step: Step) -> Step:
    return Step("recomputed", f"{step.reason}, of so few rows that computing all takes less", step.made)


def _with_estimate(step: Step) -> Step:
    if step.estimate is None:
        return step
    takes = f"about {step.estimate.share:.1f} of computing all rows"
    return dataclasses.replace(step, reason=f"{step.reason}, {takes}")


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _versions(versions: list[int]) -> str:
    return f"version {versions[0]}" if len(versions) == 1 else f"versions {versions[0]} to {versions[-1]}"


def by_step(steps: Mapping[dt.date | None, Step]) -> dict[str, str]:
    """The dates as runs by what is done to them, for people."""
    grouped: dict[str, list[dt.date | None]] = {}
    for date, step in steps.items():
        grouped.setdefault(str(step), []).append(date)
    return {said: dates_text(dates) for said, dates in grouped.items()}
