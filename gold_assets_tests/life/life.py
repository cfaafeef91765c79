"""A lake's life: its Silver's owner, the people who use it, its nightly jobs, time and bad luck, in any order.

Whenever all is quiet, Gold is true, its checks pass, what is published is that, and nothing of anybody else's is gone.
"""

import dataclasses
import datetime as dt
import functools
import itertools
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import hypothesis.strategies as st
import pyarrow as pa
from dagster._core.events import DagsterEventType
from deltalake import DeltaTable, write_deltalake
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gold_assets.checks.catalogue import all_checks, gold_checks, run
from gold_assets.checks.findings import Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import Checked, publish
from gold_assets.declaring.table import Table
from gold_assets.delta import kept_dates
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.publication import Publications
from gold_assets.gold.refresh import refresh
from gold_assets.partitions import range_of, touched_dates
from gold_assets.reading.published import published
from gold_assets.transactions.tables import TABLES
from gold_assets_tests import mapped_silver, silver_changes
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.life.passing_time import in_cursor, let_time_pass
from gold_assets_tests.micro_batches.daemon import Daemon
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    add_mapped_column,
    drop_mapped_column,
    high_risk_row,
    rename_columns,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import differences, rows_of

DATES = days(MONDAY, MONDAY + dt.timedelta(days=7))
FURTHER = with_type("note", pa.string(), with_type("net", pa.float64(), with_type("shop", pa.string(), SCHEMA)))
LAYOUTS = (("event_date",), (), ("shop",), ("event_date", "shop"))
TICKS_UNTIL_QUIET = 8
_LONGEST_PAUSE = 700.0

a_date = st.sampled_from(DATES)
a_layout = st.sampled_from(LAYOUTS)
_users = st.sampled_from(["ann", "bob", "cid"])
_KINDS = (
    row(shop="a", net=1.0, note="x", amount=10.25, usage_cost_ratio=0.6),
    row(shop="a", amount=-3.0, usage_cost_ratio=0.1),
    row(shop="b", usage_cost_ratio=None),
    high_risk_row(shop="b", net=2.0),
    row(shop="a", product_id=" "),
    row(shop="b", event_date=None),
)
_rows = st.lists(st.tuples(st.integers(0, len(_KINDS) - 1), _users, a_date), min_size=1, max_size=4)
_UNDATED = len(_KINDS) - 1
"""Each as the number of its kind, its user and its date."""
_tables = st.lists(st.sampled_from([table.name for table in TABLES]), min_size=1, unique=True)


def step(**given: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule of the life, which is counted."""

    def decorated(follow: Callable[..., None]) -> Any:
        @functools.wraps(follow)
        def counted(life: "LakeLife", **drawn: Any) -> None:
            life.done[follow.__name__] += 1
            follow(life, **drawn)

        as_rule: Callable[..., Any] = rule(**given)
        return as_rule(counted)

    return decorated


class LakeLife(RuleBasedStateMachine):
    """See the rules. Everything is in ``folder``, which is gone in the end, and the lake in ``root``, which may move."""

    engine: ClassVar[Engine]
    done: ClassVar[Counter[str]] = Counter()
    """How often each rule was followed, in all lives."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gold_assets-life-"))
        self.root = self.folder / "lake"
        self.lake = lake_in(self.root)
        self.instance = dg.DagsterInstance.ephemeral()
        self.daemon = Daemon(self.lake, self.instance)
        self.daemon.window = (DATES[0], DATES[-1])
        self.oldest = 0
        """The oldest version that Silver's owner can put back."""
        self.has_moved = False
        self._numbers = itertools.count()

    def teardown(self) -> None:
        if sys.exc_info()[0] is None and DeltaTable.is_deltatable(self.lake.silver):
            self._be_quiet()
        self.instance.dispose()
        shutil.rmtree(self.folder)

    @initialize(rows=_rows, layout=a_layout)
    def begin(self, rows: Sequence[Any], layout: Sequence[str]) -> None:
        for neighbour in ("notes.txt", "user_spend_summary_old/event_date=2024-01-01/part-0.parquet", "silver_2/x"):
            (self.root / neighbour).parent.mkdir(parents=True, exist_ok=True)
            (self.root / neighbour).write_text("somebody else's")
        write_silver(self.lake, _rows_of(rows), schema=FURTHER, partition_by=layout)

    # Silver's owner

    @property
    def silver(self) -> Path:
        return Path(self.lake.silver)

    def is_mapped(self) -> bool:
        return mapped_silver.is_mapped(self.silver)

    def is_not_mapped(self) -> bool:
        return not self.is_mapped()

    def _append(self, rows: Sequence[Any]) -> None:
        names = self.lake.silver_columns
        rows = [{names.get(name, name): value for name, value in each.items()} for each in _rows_of(rows)]
        if self.is_mapped():
            mapped_silver.append(self.silver, rows)
        else:
            write_silver(self.lake, rows, schema=FURTHER)

    @step(rows=_rows)
    def owner_appends(self, rows: Sequence[Any]) -> None:
        self._append(rows)

    @step(rows=_rows, commits=st.integers(2, 4))
    def owner_appends_several_times(self, rows: Sequence[Any], commits: int) -> None:
        for _ in range(commits):
            self._append(rows)

    @step(date=a_date, user=_users)
    def owner_deletes(self, date: dt.date, user: str) -> None:
        if self.is_mapped():
            mapped_silver.change_rows(
                self.silver, lambda each: None if (each["event_date"], each["user_id"]) == (date, user) else each
            )
        else:
            silver_changes.delete(date, f"user_id >= '{user}'")(self.lake)

    @step(date=a_date)
    def owner_updates(self, date: dt.date) -> None:
        if self.is_mapped():
            mapped_silver.change_rows(
                self.silver, lambda each: {**each, "usage_cost_ratio": 0.15} if each["event_date"] == date else each
            )
        else:
            silver_changes.update(date)(self.lake)

    @step(date=a_date, to=a_date | st.none())
    def owner_moves_rows(self, date: dt.date, to: dt.date | None) -> None:
        if self.is_mapped():
            mapped_silver.change_rows(
                self.silver, lambda each: {**each, "event_date": to} if each["event_date"] == date else each
            )
        else:
            silver_changes.move(date, to)(self.lake)

    @precondition(is_not_mapped)
    @step(to=a_date)
    def owner_gives_dates(self, to: dt.date) -> None:
        silver_changes.give_a_date(to)(self.lake)

    @precondition(is_not_mapped)
    @step(date=a_date, user=_users, delete=st.booleans(), feed=st.booleans())
    def owner_merges_with_deletion_vectors(self, date: dt.date, user: str, delete: bool, feed: bool) -> None:
        silver_changes.merge(date, delete=delete, feed=feed, user=user)(self.lake)

    @precondition(is_not_mapped)
    @step(rows=_rows)
    def owner_merges(self, rows: Sequence[Any]) -> None:
        by_key = {(each["user_id"], each["event_date"]): each for each in _rows_of(rows)}
        source = pa.Table.from_pylist(list(by_key.values()), schema=FURTHER)
        merger = DeltaTable(self.silver).merge(
            source,
            "s.user_id = n.user_id AND s.event_date = n.event_date",
            source_alias="n",
            target_alias="s",
        )
        merger.when_matched_update({"amount": "n.amount + 1"}).when_not_matched_insert(
            {name: f"n.{name}" for name in FURTHER.names}
        ).execute()

    @precondition(is_not_mapped)
    @step(rows=_rows, date=a_date)
    def owner_overwrites_a_day(self, rows: Sequence[Any], date: dt.date) -> None:
        table = pa.Table.from_pylist(
            [{**each, "event_date": date} for each in _rows_of(rows)], schema=self._arrow_schema()
        )
        write_deltalake(self.silver, table, mode="overwrite", predicate=f"event_date = '{date}'")

    def _arrow_schema(self) -> pa.Schema:
        return pa.schema(DeltaTable(self.silver).schema().to_arrow())

    @step()
    def owner_adds_a_column(self) -> None:
        name = f"more_{next(self._numbers)}"
        if self.is_mapped():
            add_mapped_column(self.silver, name, "string")
        else:
            one = [row(event_date=DATES[0], shop="a", **{name: "new"})]
            write_silver(self.lake, one, schema=with_type(name, pa.string(), FURTHER))
            self.oldest = self._version()

    @step()
    def owner_renames_a_column(self) -> None:
        names = self._names()
        rename_columns(self.silver, {"note": "remark"} if "note" in names else {"remark": "note"})
        self.oldest = self._version()

    @step()
    def owner_swaps_two_columns(self) -> None:
        """``amount`` was net, and is gross from now on."""
        theirs = self.lake.silver_columns.get("amount", "amount")
        if "net" in self._names():
            rename_columns(self.silver, {theirs: "net", "net": theirs})
            self.oldest = self._version()

    @precondition(is_mapped)
    @step()
    def owner_drops_a_column(self) -> None:
        if gone := [name for name in ("net", "remark") if name in self._names()]:
            drop_mapped_column(self.silver, gone[0])

    @step()
    def owner_renames_a_column_that_is_needed_and_the_settings_follow(self) -> None:
        if "gross" in self._names():
            rename_columns(self.silver, {"gross": "amount"})
            self._set(silver_columns={})
        else:
            rename_columns(self.silver, {"amount": "gross"})
            self._set(silver_columns={"amount": "gross"})
        self.oldest = self._version()

    @precondition(is_not_mapped)
    @step(layout=a_layout, without=a_date | st.none())
    def owner_lays_out_anew(self, layout: Sequence[str], without: dt.date | None) -> None:
        kept = rows_of(str(self.silver))
        kept = kept.filter(
            pa.array([date is None or date != without for date in kept["event_date"].to_pylist()], pa.bool_())
        )
        write_deltalake(self.silver, kept, mode="overwrite", schema_mode="overwrite", partition_by=list(layout) or None)
        self.oldest = self._version()

    def is_where_it_was(self) -> bool:
        return not self.has_moved

    @precondition(is_where_it_was)  # another table in another place is refused
    @step(rows=_rows, layout=a_layout)
    def owner_makes_it_anew(self, rows: Sequence[Any], layout: Sequence[str]) -> None:
        """Another table in its place."""
        shutil.rmtree(self.silver)
        self._set(silver_columns={})
        write_silver(self.lake, _rows_of(rows), schema=FURTHER, partition_by=layout)
        self.oldest = 0

    @precondition(is_not_mapped)
    @step(back=st.integers(1, 3))
    def owner_restores(self, back: int) -> None:
        silver_changes.restore(back, self.oldest)(self.lake)

    @precondition(is_not_mapped)
    @step()
    def owner_compacts(self) -> None:
        silver_changes.compact(self.lake)

    @step()
    def owner_vacuums(self) -> None:
        if self.is_not_mapped():
            silver_changes.vacuum(self.lake)
            self.oldest = self._version()

    @precondition(is_not_mapped)
    @step()
    def owner_sets_a_property(self) -> None:
        silver_changes.set_a_property(self.lake)

    @step()
    def owner_cleans_the_log(self) -> None:
        DeltaTable(self.silver).create_checkpoint()
        DeltaTable(self.silver).cleanup_metadata()
        there = sorted(int(commit.stem) for commit in (self.silver / "_delta_log").glob("*.json"))
        self.oldest = max(self.oldest, min(there, default=0))

    def _version(self) -> int:
        return int(DeltaTable(self.silver).version())

    def _names(self) -> list[str]:
        return [field.name for field in DeltaTable(self.silver).schema().fields]

    # People

    def _set(self, **settings: Any) -> None:
        self.lake = self.daemon.lake = dataclasses.replace(self.lake, **settings)

    @property
    def window(self) -> list[dt.date]:
        return days(*self.daemon.window)

    @property
    def limits(self) -> Limits:
        first, last = self.daemon.window
        return Limits(first_date=first, last_date=last)

    @step(first=st.sampled_from(DATES[:3]), last=st.sampled_from(DATES[-3:]))
    def people_move_the_window(self, first: dt.date, last: dt.date) -> None:
        self.daemon.window = (first, last)

    @step(names=_tables, data=st.data())
    def people_materialize(self, names: Sequence[str], data: st.DataObject) -> None:
        date = data.draw(st.sampled_from(self.window), label="date")
        self._refresh_and_check([date], how="recompute", tables=self.lake.named(names))

    @step()
    def people_backfill(self) -> None:
        self._refresh_and_check(self.window, how="recompute")

    @step()
    def people_check_and_publish(self) -> None:
        self._check(all_checks(self.lake.project), Inspection(self.lake, None, self.limits))

    # Nightly jobs

    @step()
    def maintenance_runs(self) -> None:
        with self._nothing_else_changes():
            if any(DeltaTable.is_deltatable(place) for place in self.lake.places.values()):
                maintain(self.lake, self.engine)

    @step()
    def patched_dates_are_compared(self) -> None:
        patched: set[dt.date] = set()
        for table in self.lake.tables:
            if (gold := self.lake.open(table)) is not None:
                patched |= {
                    date for date, made in GoldLog(gold).made_from(self.window).items() if date and made.patches
                }
        self._check(gold_checks(self.lake.tables), Inspection(self.lake, patched, self.limits))

    # Time

    @step(passed=st.sampled_from([1, 8, 31, 400]))
    def time_passes(self, passed: int) -> None:
        self._let_pass(dt.timedelta(days=passed))

    @step(minutes=st.sampled_from([2, 60]))
    def all_clocks_go_back(self, minutes: int) -> None:
        self._let_pass(-dt.timedelta(minutes=minutes))

    @step(minutes=st.sampled_from([2, 60]))
    def a_machine_publishes_whose_clock_is_ahead(self, minutes: int) -> None:
        self.people_check_and_publish()
        if (self.root / "published").exists():
            let_time_pass(self.root / "published", -dt.timedelta(minutes=minutes))

    @step(seconds=st.sampled_from([-3600, 3600]))
    def the_sensors_clock_jumps(self, seconds: int) -> None:
        self.daemon.late += seconds

    def _let_pass(self, by: dt.timedelta) -> None:
        fingerprints = let_time_pass(self.root, by)
        if self.daemon.cursor:
            self.daemon.cursor = in_cursor(self.daemon.cursor, fingerprints, by)
        self.daemon.late += by.total_seconds()

    # Bad luck

    @step()
    def processes_start_again(self) -> None:
        kept_dates.kept_dates.cache_clear()

    @step(tables=st.integers(0, len(TABLES)), is_told=st.booleans())
    def a_run_is_killed(self, tables: int, is_told: bool) -> None:
        """After some of its tables' commits; after all of them, before or after its checks."""
        self.daemon.tick()
        for run_in_flight in self.daemon.in_flight():
            self._do(run_in_flight, self.lake.tables[:tables], checks=is_told and tables == len(TABLES))
            self.daemon.end(run_in_flight, DagsterEventType.RUN_FAILURE)

    @step(launched=st.booleans())
    def a_tick_is_lost(self, launched: bool) -> None:
        result = self.daemon.evaluate()
        if launched:
            self.daemon.launch(result)

    @step()
    def the_sensor_forgets(self) -> None:
        """Somebody resets its cursor."""
        self.daemon.cursor = None

    @step()
    def gold_is_backed_up(self) -> None:
        for place in map(Path, self.lake.places.values()):
            shutil.rmtree(self._backup_of(place), ignore_errors=True)
            if place.exists():
                shutil.copytree(place, self._backup_of(place))

    @step()
    def gold_is_put_back(self) -> None:
        for place in map(Path, self.lake.places.values()):
            if self._backup_of(place).exists():
                shutil.rmtree(place)
                shutil.copytree(self._backup_of(place), place)

    def _backup_of(self, place: Path) -> Path:
        return self.root / "backup" / place.name

    def gold_is_made_from_silver(self) -> bool:
        tables = [opened for table in self.lake.tables if (opened := self.lake.open(table)) is not None]
        made = [GoldLog(table).newest_made() for table in tables]
        return {of.silver_table_id for of in made if of is not None} <= {str(DeltaTable(self.silver).metadata().id)}

    @precondition(gold_is_made_from_silver)  # else it is another table in another place, which is refused
    @step()
    def the_lake_moves(self) -> None:
        moved = self.folder / f"lake {next(self._numbers)}"
        self.root.rename(moved)
        self.root = moved
        self.has_moved = True
        there = lake_in(moved)
        self._set(silver=there.silver, places=there.places, published=there.published)

    # What Dagster's runs do

    @step()
    def the_sensor_ticks(self) -> None:
        with self._nothing_else_changes():
            self.daemon.tick()

    @step()
    def runs_end(self) -> None:
        self._end_runs()

    def _end_runs(self) -> None:
        for run_in_flight in self.daemon.in_flight():
            self._do(run_in_flight)
            self.daemon.end(run_in_flight)

    def _do(self, asked: dg.DagsterRun, tables: Sequence[Table] | None = None, *, checks: bool = True) -> None:
        dates, touched = range_of(asked), touched_dates(asked)
        assert dates is not None and touched is not None
        wanted = [date for date in days(*dates) if date in touched]
        self._refresh_and_check(wanted, how="patch", tables=tables, by=f"run {asked.run_id}", checks=checks)

    def _refresh_and_check(
        self,
        dates: Sequence[dt.date],
        how: Any,
        tables: Sequence[Table] | None = None,
        by: str = "",
        checks: bool = True,
    ) -> None:
        with self._nothing_else_changes():
            refreshed = refresh(self.lake, self.engine, dates, tables=tables, how=how, by=by)
        for name, written in refreshed.dates.items():
            for date, made in written.items():
                told = {"table_version": made.table_version}
                self.instance.report_runless_asset_event(
                    dg.AssetMaterialization(name, partition=str(date), metadata=told)
                )
        if checks:
            checked = self.lake.tables if tables is None else tables
            self._check(gold_checks(checked), Inspection(self.lake, dates, self.limits, patches=how == "patch"))

    def _check(self, checks: Sequence[Any], inspection: Inspection) -> list[Finding]:
        with self._nothing_else_changes():
            findings = list(run(checks, inspection))
            publish(self.lake, self.limits, Checked(inspection, findings))
        return findings

    # What must hold

    @contextmanager
    def _nothing_else_changes(self) -> Iterator[None]:
        """Whatever is not in one of our own tables stays as it is."""
        before = self._of_others()
        yield
        after = self._of_others()
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        assert not changed, f"we changed what is not ours: {sorted(changed)}"

    def _of_others(self) -> dict[str, tuple[int, int]]:
        published = str(self.lake.published)
        ours = {Path(place).name for place in (*self.lake.places.values(), published, f"{published}_silver_dates")}
        return {
            str(path.relative_to(self.root)): (path.stat().st_size, path.stat().st_mtime_ns)
            for top in self.root.iterdir()
            if top.name not in ours
            for path in ([top] if top.is_file() else top.rglob("*"))
            if path.is_file()
        }

    @step()
    def all_is_quiet(self) -> None:
        self._be_quiet()

    @step()
    def all_is_quiet_again(self) -> None:
        self._be_quiet()

    def _be_quiet(self) -> None:
        self._let_the_sensor_follow()
        if not any(DeltaTable.is_deltatable(place) for place in self.lake.places.values()):
            assert not self._shown(self._silver_rows()), "no table is made"
            return
        self._gold_is_true()
        self._checks_pass()
        self._what_is_published_is_true()

    def _let_the_sensor_follow(self) -> None:
        said = ""
        for _ in range(TICKS_UNTIL_QUIET):
            self._end_runs()
            with self._nothing_else_changes():
                said = self.daemon.tick()
            if not self.daemon.remembered.asked and not self.daemon.in_flight():
                return
            if not self.daemon.in_flight():
                self.daemon.late += _LONGEST_PAUSE
        raise AssertionError(f"the sensor has not caught up within {TICKS_UNTIL_QUIET} ticks: {said}")

    def _silver_rows(self) -> pa.Table:
        ours = {theirs: name for name, theirs in self.lake.silver_columns.items()}
        rows = rows_of(str(self.silver))
        rows = rows.rename_columns([ours.get(name, name) for name in rows.column_names])
        # A column that holds nothing reaches Gold with the next rows.
        shown = self._shown(rows)
        further = set(rows.column_names) - set(SCHEMA.names)
        return rows.drop_columns([name for name in further if all(each[name] is None for each in shown)])

    def _shown(self, rows: pa.Table) -> list[dict[str, Any]]:
        """Those that Gold must show: on the window's dates, or without one."""
        return [each for each in rows.to_pylist() if each["event_date"] is None or each["event_date"] in self.window]

    def _gold_is_true(self) -> None:
        wrong = differences(self.lake, self.window, silver=self._silver_rows())
        assert not wrong, "Gold is not true:\n" + "\n".join(wrong[:10])

    def _checks_pass(self) -> None:
        inspection = Inspection(self.lake, None, self.limits)
        failed = [
            f"{finding.check.table}:{finding.check.name} on {finding.date}: {finding.summary}"
            for finding in run(all_checks(self.lake.project), inspection)
            if not finding.passed
            and (finding.severity == "error" or finding.check.name == "gold_follows")
            and finding.check.name != "dates_in_window"
        ]
        assert not failed, "checks fail:\n" + "\n".join(failed[:10])

    def _what_is_published_is_true(self) -> None:
        last = Publications(str(self.lake.published), self.lake.places).last_attempt()
        assert last is not None, "nothing is published"
        held = [f"held back by {each.check} on {each.date}: {each.found}" for each in last.failures]
        newest = published(lake=self.lake)
        versions = {table.name: newest.delta(table.name).version() for table in self.lake.tables}
        wrong = differences(self.lake, self.window, silver=self._silver_rows(), versions=versions)
        assert not wrong, "what is published is not true:\n" + "\n".join([*wrong[:3], *held])
        assert newest.publication.silver_version is not None, (
            f"no version of Silver is published: {newest.publication.reason}"
        )


def _rows_of(kinds: Sequence[tuple[int, str, dt.date]]) -> list[dict[str, Any]]:
    """The rows, of which those without a date or a product stay so."""
    return [
        {**_KINDS[kind], "user_id": user} | ({} if kind == _UNDATED else {"event_date": date})
        for kind, user, date in kinds
    ]


def without(rules: Collection[str]) -> type[LakeLife]:
    """A life in which these never happen. Raises ``ValueError`` for one that there is not."""
    if unknown := [name for name in rules if not hasattr(LakeLife, name)]:
        raise ValueError(f"no rule is called {unknown[0]}")
    return type("LakeLife", (LakeLife,), dict.fromkeys(rules))
