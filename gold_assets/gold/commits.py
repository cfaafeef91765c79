"""A table that a refresh writes: one commit replaces or adds to its rows on some dates, and says from which Silver they are."""

import datetime as dt
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from gold_assets.declaring.table import Table
from gold_assets.delta.commit_races import until_committed
from gold_assets.delta.dates import RowsOn, predicate
from gold_assets.delta.errors import UserError, failed
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.log import FileChange
from gold_assets.delta.query import Unreadable, query, rows_of_keys
from gold_assets.delta.sql import SPARK
from gold_assets.delta.types import type_name
from gold_assets.engines import FAILURES, Engine, having_keys
from gold_assets.gold.changed_keys import ChangedKeys, NotByKey
from gold_assets.gold.combine import MOST_APPENDED, combined
from gold_assets.gold.gold_log import GoldCommit, GoldLog
from gold_assets.gold.open_table import declared_fields, left_in_silver
from gold_assets.gold.plan import Planner, Step
from gold_assets.gold.provenance import COMMITS_A_SUMMARY, Stamp
from gold_assets.silver.pin import Silver

logger = logging.getLogger(__name__)

_KEEPS_ROWS = ("patched", "keys")
"""The steps that leave rows of a date as they are."""

Steps = Mapping[dt.date | None, Step]
"""By date, what there is to do; None stands for the rows without a date."""


@dataclass(frozen=True)
class WrittenDate:
    """What a refresh left of one date in one table.

    Attributes:
        rows: how many there are.
        table_version: the table's version that holds them.
        seconds: the date's share of the time it took.
        step: whether it was patched, brought up by its changed keys or recomputed, and why.
    """

    rows: int
    table_version: int
    seconds: float
    step: Step


Written = dict[dt.date | None, WrittenDate]


class NewRows:
    """Rows of Silver that came with some of its files, read once for all tables."""

    def __init__(self, silver: Silver, engine: Engine, dates: Collection[dt.date]) -> None:
        self._silver = silver
        self._engine = engine
        self._dates = dates
        self._reading = threading.Lock()
        self._read: dict[frozenset[str], DataFrame] = {}

    def of(self, files: Collection[FileChange]) -> DataFrame:
        """The rows of these files, on the refresh's dates or without a date."""
        by_path = {file.path: file.action for file in files}
        key = frozenset(by_path)
        with self._reading:
            if key not in self._read:
                try:
                    self._read[key] = self._silver.read(self._engine, [*self._dates, None], list(by_path.values()))
                except FAILURES as error:
                    raise self._silver.cannot_be_read(error, [*self._dates, None]) from error
            return self._read[key]


@dataclass(frozen=True)
class Target:
    """A table that a refresh writes, opened; the Silver it is made from, the engine that makes it, and who asked for it."""

    table: Table
    delta: DeltaTable
    silver: Silver
    engine: Engine
    by: str

    def recompute(self, rows: DataFrame, broken_dates: Collection[dt.date | None], steps: Steps) -> Written:
        """Replace what the table holds on the dates of ``steps`` by what Silver's ``rows`` make of them; ``rows`` may have more dates."""
        started = time.perf_counter()
        where = predicate(steps)

        def commit_once() -> _Attempt:
            stamp = self._stamp(steps, None in steps, began=int(time.time() * 1000))
            made = self._in_order(self.table.of(rows.filter(where), broken_dates))
            self.engine.replace(self.delta, made, where, self._user_metadata(stamp))
            return _Attempt(steps, stamp)

        return self._written(self._committed(commit_once, steps), started)

    def patch(
        self, dates: Collection[dt.date | None], planner: Planner, new_rows: NewRows, changed_keys: ChangedKeys
    ) -> tuple[Written, Steps]:
        """Bring up those of the dates of which the plan keeps rows: what was written, and the plan's steps for the others.

        The plan is made anew for each attempt to commit: another writer may have added the same rows meanwhile.
        """
        written: Written = {}
        not_by_key: dict[dt.date | None, str] = {}
        while True:
            started = time.perf_counter()
            left = set(dates) - written.keys()
            bring_up_once = partial(self._bring_up_once, left, not_by_key, planner, new_rows, changed_keys)
            attempt = self._committed(bring_up_once, left)
            if attempt.stamp is None:
                return written, attempt.steps
            written |= self._written(attempt, started)

    def _bring_up_once(
        self,
        left: Collection[dt.date | None],
        not_by_key: dict[dt.date | None, str],
        planner: Planner,
        new_rows: NewRows,
        changed_keys: ChangedKeys,
    ) -> "_Attempt":
        """One commit for those of the dates that can share it. Why others do not go by keys, as it turns out, is added to ``not_by_key``."""
        while True:
            steps = {
                date: replace(step, how="recomputed", reason=f"{step.reason}, {not_by_key[date]}")
                if step.how == "keys" and date in not_by_key
                else step
                for date, step in planner.steps(self.table, left).items()
            }
            if not (kept := _of_one_version(steps)):
                return _Attempt(steps)
            # Each plan asks for the rows without a date, and would search further back for them where no stamp covers them.
            holds_null = None in kept or (None in steps and planner.is_still_true(steps[None], kept.values()))
            if all(step.how == "patched" for step in kept.values()):
                return self._patch_once(kept, new_rows, holds_null=holds_null)
            try:
                return self._make_keys_once(kept, changed_keys, holds_null=holds_null)
            except NotByKey as doubt:
                not_by_key.update(dict.fromkeys(kept, str(doubt)))
            except Unreadable as error:
                logger.warning("What %s holds cannot be kept: %s", self.table.name, error)
                not_by_key.update(dict.fromkeys(kept, "but the rows that are there cannot be read"))

    def _patch_once(self, steps: Steps, new_rows: NewRows, *, holds_null: bool) -> "_Attempt":
        where = predicate(steps)
        new = new_rows.of([file for step in steps.values() for file in step.files])
        new = self._in_order(self.table.of(new.filter(where)))
        appended = 1 + max(step.made.appended for step in steps.values() if step.made is not None)
        if not self.table.key and appended <= MOST_APPENDED:
            return self._append(steps, new, self._stamp(steps, holds_null, appended))
        before = self.engine.read(self.delta, RowsOn(steps))
        stamp = self._stamp(steps, holds_null)
        self.engine.replace(self.delta, combined(self.table, before, new), where, self._user_metadata(stamp))
        return _Attempt(steps, stamp)

    def _make_keys_once(self, steps: Steps, changed_keys: ChangedKeys, *, holds_null: bool) -> "_Attempt":
        """Compute the rows of the keys of which Silver lost or gained rows, and leave all others. Raises ``NotByKey``."""
        where, dates = predicate(steps), [*steps]
        (since,) = {step.made.silver_version for step in steps.values() if step.made is not None}
        changed = changed_keys.of(self.table, steps, since)
        of_keys = having_keys(changed_keys.rows(dates, since), self.engine.rows(changed))
        new = self._in_order(self.table.of(of_keys))
        appended = 1 + max(step.made.appended for step in steps.values() if step.made is not None)
        keys = changed.rename_columns([*self.table.merge_key])
        if not self.table.key and appended <= MOST_APPENDED and not self._has(keys, where):
            return self._append(steps, new, self._stamp(steps, holds_null, appended, keys=keys.num_rows))
        stamp = self._stamp(steps, holds_null, keys=keys.num_rows)
        self.engine.replace(self.delta, new, where, self._user_metadata(stamp), keys)
        return _Attempt(steps, stamp)

    def _has(self, keys: pa.Table, where: str) -> bool:
        """Whether the table has rows of these keys that meet ``where``. Raises ``Unreadable``."""
        rows = rows_of_keys(self.delta, where, keys, keys.column_names)
        return bool(query("SELECT 1 AS one FROM rows LIMIT 1", rows=rows))

    def _append(self, steps: Steps, new: DataFrame, stamp: Stamp) -> "_Attempt":
        """Leave the files that are there."""
        rows_before = FileDates(self.delta).rows()
        self.engine.append(self.delta, new, predicate(steps), self._user_metadata(stamp))
        return _Attempt(steps, stamp, rows_before)

    def _stamp(
        self, steps: Steps, holds_null: bool, appended: int = 0, began: int | None = None, keys: int | None = None
    ) -> Stamp:
        made = [step.made for step in steps.values() if step.how in _KEEPS_ROWS and step.made is not None]
        dates = sorted(date for date in steps if date is not None)
        rows = self.silver.file_dates.rows_told(dates)
        return Stamp(
            **vars(self.silver.as_told),
            refresh_id=str(uuid.uuid4()),
            code_version=self.table.code_version,
            renamed=dict(self.silver.columns.renamed),
            on_version=self.delta.version(),
            dates=dates,
            and_null=holds_null,
            since=made[0].silver_version if made else None,
            patches=1 + max(step.patches for step in made) if made else 0,
            appended=appended,
            by="; ".join(filter(None, [self.by, *sorted({str(step.approval or "") for step in steps.values()})])),
            silver_rows=[rows[date] for date in dates],
            began=began,
            keys=keys,
        )

    def _user_metadata(self, stamp: Stamp) -> str:
        """What the commit says: the stamp, and now and then what those before it said of all dates."""
        is_due = (stamp.on_version + 1) % COMMITS_A_SUMMARY == 0
        return stamp.user_metadata(GoldLog(self.delta).sum_up() if is_due else None)

    def _in_order(self, rows: DataFrame) -> DataFrame:
        """The rows in the table's order of columns and of its types. What only the table has, because Silver lost it, is NULL."""
        # Known without asking the engine, which would plan the query, and read Silver's log, for the answer.
        declared = declared_fields(self.table, self.silver.fields)
        left = left_in_silver(self.table, self.delta, declared)
        types = {field.name: type_name(field) for field in self.delta.schema().fields}
        has = {field.name: type_name(field) == types[field.name] for field in declared if field.name not in left}

        def value(field: StructField) -> Column:
            if field.name not in has:
                return F.lit(None).cast(field.dataType).alias(field.name)
            column = F.col(SPARK.name(field.name))
            return column if has[field.name] else column.cast(field.dataType).alias(field.name)

        # Delta keeps its schema in Spark's own notation.
        return rows.select(*map(value, StructType.fromJson(json.loads(self.delta.schema().to_json())).fields))

    def _committed(self, attempt: Callable[[], "_Attempt"], dates: Collection[dt.date | None]) -> "_Attempt":
        try:
            return until_committed(self.table.name, self.delta, attempt)
        except FAILURES as error:
            if (not_text := self.silver.not_text(error, dates)) is not None:
                raise not_text from error
            what = f"{self.table.name} could not be written to {self.delta.table_uri}"
            then = ", then run again; readers still see the version before"
            raise failed(what, error, "mend that", then) from error

    def _written(self, attempt: "_Attempt", started: float) -> Written:
        assert attempt.stamp is not None
        commit = self._own_commit(attempt.stamp)
        replaced = {file.date for file in commit.removes}  # Spark appends by replacing
        rows = {date: attempt.rows_before.get(date) or 0 if date not in replaced else 0 for date in attempt.steps}
        for file in commit.adds:
            rows[file.date] = rows.get(file.date, 0) + (file.rows or 0)
        share = (time.perf_counter() - started) / len(attempt.steps)
        return {date: WrittenDate(rows[date], commit.version, share, step) for date, step in attempt.steps.items()}

    def _own_commit(self, stamp: Stamp) -> GoldCommit:
        self.delta.update_incremental()
        for commit in GoldLog(self.delta).backwards():
            if commit.stamp is not None and commit.stamp.refresh_id == stamp.refresh_id:
                return commit
        raise UserError(
            f"A commit to {self.delta.table_uri} is no longer in its log, so another writer has overwritten it, as happens on a "
            "store without conditional put, and where Spark and another process write at once: let one process write Gold at a "
            "time, then run again."
        )


@dataclass(frozen=True)
class _Attempt:
    """What was committed: ``stamp``, None where the plan had nothing to patch; and the rows before that were kept."""

    steps: Steps
    stamp: Stamp | None = None
    rows_before: Mapping[dt.date | None, int | None] = field(default_factory=dict)


def _of_one_version(steps: Steps) -> Steps:
    """The steps of one commit, whose stamp names one version of Silver that rows were kept from: those that keep rows of the oldest, in the same way.

    A date of a newer version waits for a commit of its own: what Silver changed before that version and put back after it has not
    changed since the oldest.
    """
    kept = {
        date: (step.made.silver_version, step.how)
        for date, step in steps.items()
        if step.how in _KEEPS_ROWS and step.made is not None
    }
    return {date: steps[date] for date in kept if kept[date] == min(kept.values())}
