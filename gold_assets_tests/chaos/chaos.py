"""Everything at once: others change Silver, people ask for Gold, and what runs is killed; once it is left alone, Gold is true."""

import dataclasses
import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import dagster as dg
import psutil
import pyarrow.compute as pc
from deltalake import DeltaTable

from gold_assets.delta.errors import UserError
from gold_assets.delta.plural import plural
from gold_assets.delta.query import as_table
from gold_assets.gold.decisions import Verdict
from gold_assets.gold.held import HeldDate, decide, held_date
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.publication import Publications
from gold_assets.gold.safeguards import Safeguards
from gold_assets_tests.chaos.deployed import FILE, project_of
from gold_assets_tests.chaos.histories import DATES, SilverHistory
from gold_assets_tests.chaos.measures import Measures, measure
from gold_assets_tests.chaos.user_interface import Refused, UserInterface
from gold_assets_tests.end_to_end.command_line import run
from gold_assets_tests.instance.dagster_dev import DagsterDev, command_line_of
from gold_assets_tests.instance.postgres_server import PostgresServer
from gold_assets_tests.truth import GOLD, QUARANTINE, differences, rows_of

TABLES = (*GOLD, QUARANTINE)
QUIET_AFTER = (3.0, 120.0)
"""Seconds of chaos between two moments at which everything is left alone, at least and at most: short ones let Gold follow commit by commit."""
MOST_WAITED = 900.0
"""Seconds that Gold has to become true in: the sensor's pauses between attempts grow to ten minutes."""
LEAST_ROWS = 4
"""A date of fewer is never held: so few that the dates of a history are."""
_MORE_FILES = 60
"""How many more than at first the daemon may have open: its SQLite keeps some, one for each run of late."""

_IN_FLIGHT = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class Red(Exception):
    """Something that must hold does not."""


class Chaos:
    """A real ``dagster dev`` on a lake in ``folder``, and what is done to it. ``seed`` gives what is done, in which order, with which pauses.

    With ``postgres`` Dagster's records are there, and it goes and comes too.
    """

    def __init__(self, folder: Path, seed: int, postgres: PostgresServer | None, say: Callable[[str], None]) -> None:
        window = {"GOLD_PARTITIONS_START": str(DATES[0]), "GOLD_PARTITIONS_END": str(DATES[-1])}
        self._deployed, self._number = folder / "deployed", 0
        self._deployed.write_text("0")
        self.dev = DagsterDev(
            folder,
            module="gold_assets_tests.chaos.deployed",
            GOLD_FUSE_LEAST_ROWS=str(LEAST_ROWS),
            **{FILE: str(self._deployed)},
            **window,
        )
        self.done: Counter[str] = Counter()
        self.waits: list[float] = []
        """Seconds until Gold was true, at each quiet moment."""
        self.measures: list[Measures] = []
        self._postgres = postgres
        self._order = random.Random(f"order {seed}")
        self._choice = random.Random(f"choice {seed}")
        self._quiet = random.Random(f"quiet {seed}")
        self._silver = SilverHistory(self.dev.lake, self._choice)
        self._say = say
        if postgres:
            postgres.keep_records_of(self.dev.home)

    @property
    def lake(self) -> Lake:
        """The lake, as what is deployed sees it."""
        safeguards = Safeguards(least_rows=LEAST_ROWS)
        return dataclasses.replace(self.dev.lake, project=project_of(self._number), safeguards=safeguards)

    def run(self, seconds: float, events: int = 0) -> None:
        """For so many seconds and at least so many events, with quiet moments in between and at the end. Raises ``Red``."""
        self._silver.begin()
        with self.dev:
            self._be_quiet()
            while seconds > 0 or events > 0:
                part = min(seconds, self._quiet.uniform(*QUIET_AFTER))
                until = time.monotonic() + part
                while time.monotonic() < until or (part == seconds and events > 0):
                    self._something_happens()
                    events -= 1
                    time.sleep(self._order.uniform(0, 3))
                seconds -= part
                self._be_quiet()
            self._approve_all()
        if left_over := self.dev.processes():
            raise Red(f"when all was stopped, {_named(left_over)} went on")

    # What happens

    def _something_happens(self) -> None:
        events = self._events()
        [event] = self._order.choices(list(events), weights=list(events.values()))
        name = event.__name__.strip("_").replace("_", " ")
        try:
            told = event()
        except Refused as refused:
            self.done["refused by the user interface"] += 1
            told = f"refused: {refused}"
        else:
            self.done[name] += 1
        self._say(f"{name}{f': {told}' if told else ''}{self._silver_version(event)}")

    def _events(self) -> dict[Callable[[], str | None], int]:
        """How often each happens, of about 70 times."""
        silver = self._silver
        return {
            silver.append: 20,
            silver.append_rows_that_break_rules: 3,
            silver.append_with_another_column: 1,
            silver.overwrite_a_date: 1,
            silver.delete: 4,
            silver.update: 4,
            silver.merge: 8,
            silver.move_to_another_date: 4,
            silver.take_dates_away: 1,
            silver.give_dates: 1,
            silver.optimize: 2,
            silver.vacuum: 1,
            silver.restore: 2,
            silver.forget_old_dates: 1,
            silver.load_a_date_twice: 2,
            self._decide: 4,
            self._materialize: 3,
            self._backfill: 1,
            self._maintain: 2,
            self._check: 1,
            self._deploy: 2,
            self._kill_a_run: 4,
            self._kill_the_daemon: 1,
            self._kill_everything: 1,
            self._kill_the_code_server: 1,
            **({self._database_goes: 1} if self._postgres else {}),
        }

    def _silver_version(self, event: Callable[[], str | None]) -> str:
        return f", Silver is at {self._silver.version}" if getattr(event, "__self__", None) is self._silver else ""

    def _materialize(self) -> str:
        table, date = self._choice.choice(TABLES), self._choice.choice(DATES)
        UserInterface(self.dev.url).materialize(table, date)
        return f"{table} on {date}"

    def _backfill(self) -> str:
        tables = self._choice.sample(TABLES, self._choice.randint(1, len(TABLES)))
        first = self._choice.randrange(len(DATES))
        dates = DATES[first : first + self._choice.randint(2, 10)]
        UserInterface(self.dev.url).backfill(tables, dates)
        return f"{', '.join(tables)} from {dates[0]} to {dates[-1]}"

    def _maintain(self) -> None:
        UserInterface(self.dev.url).run("maintenance")

    def _check(self) -> None:
        UserInterface(self.dev.url).run("run_checks")

    def _decide(self) -> str:
        """Of some dates, of which some may be held."""
        return self._decide_of(self._choice.sample(DATES, self._choice.randint(1, len(DATES))))

    def _decide_of(self, dates: Sequence[dt.date]) -> str:
        verdict: Verdict = self._choice.choice(["approve", "approve", "keep"])
        try:
            return decide(self.lake, verdict, dates, by="chaos", reason="why not").summary
        except UserError as error:
            return str(error)

    def _deploy(self) -> str:
        """Another version of two tables, whatever the one before has come to."""
        self._number += 1
        self._deployed.write_text(str(self._number))
        self._kill(self.dev.code_servers())
        self._load_definitions()
        return str(self._number)

    def _kill_a_run(self) -> str:
        """The next that there is, somewhere in its middle."""
        after, which = self._choice.uniform(0, 3), self._choice.random()
        until = time.monotonic() + 10
        while not (processes := self.dev.run_processes()) and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(after)
        if not processes:
            return "none came"
        return self._kill([processes[int(which * len(processes))]])

    def _kill_the_daemon(self) -> str:
        """The others of ``dagster dev`` end then; somebody starts it again."""
        before = self._choice.uniform(0, 3)
        killed = self._kill(self.dev.daemons())
        time.sleep(before)
        self._start_again()
        return killed

    def _kill_everything(self) -> str:
        before = self._choice.uniform(0, 3)
        killed = self._kill(self.dev.processes())
        time.sleep(before)
        self._start_again()
        return killed

    def _kill_the_code_server(self) -> str:
        """Somebody has the definitions loaded again, from the user interface."""
        before = self._choice.uniform(0, 15)
        killed = self._kill(self.dev.code_servers())
        time.sleep(before)
        self._load_definitions()
        return killed

    def _database_goes(self) -> str:
        """And comes again, while others go on to change Silver."""
        assert self._postgres
        commits = self._choice.randint(0, 3)
        self._postgres.stop()
        for _ in range(commits):
            time.sleep(self._choice.uniform(0, 4))
            self._silver.append()
        self._postgres.start()
        return f"for {plural(commits, 'commit')} to Silver"

    def _kill(self, processes: Sequence[psutil.Process]) -> str:
        killed = 0
        for process in processes:
            try:
                process.kill()
                killed += 1
            except psutil.NoSuchProcess:
                continue
        self.done["processes killed"] += killed
        return f"{killed} killed"

    def _start_again(self) -> None:
        self.dev.stop()
        self.dev.start()

    def _load_definitions(self) -> None:
        try:
            UserInterface(self.dev.url).reload_definitions()
        except Refused as refused:
            self._say(f"the definitions are not loaded again: {refused}")

    # What must hold

    def _be_quiet(self) -> None:
        """Leave everything alone until Gold is true and nothing runs, then look at all that must hold."""
        self._say("all is left alone")
        began = time.monotonic()
        self._wait("Gold is true", self._untrue)
        self.waits.append(time.monotonic() - began)
        self._say(f"Gold is true, after {self.waits[-1]:.1f} s")
        self._wait("all runs have ended", self._running)
        self._look_at_what_is_held()
        self._wait(f"all dates are made by deployment {self._number}", self._made_by_another)
        self._wait("all runs have ended that this took", self._running)
        if untrue := self._untrue():
            raise Red(f"Gold was true, and is not once all runs have ended: {untrue}")
        self._look_at_publication()
        self._look_at_files()
        checks = run("gold", "--project", "gold_assets_tests.chaos.deployed:project", "checks", env=self.dev.env)
        if checks.returncode != 0:
            raise Red(f"gold checks ends with {checks.returncode}:\n{checks.stdout}{checks.stderr}")
        self._look_at_growth()

    def _wait(self, what: str, missing: Callable[[], str]) -> None:
        deadline = time.monotonic() + MOST_WAITED
        while found := missing():
            if time.monotonic() > deadline:
                raise Red(f"not within {MOST_WAITED:.0f} s: {what}\n{found}")
            if self.dev.has_ended():
                self.done["dagster dev ended by itself"] += 1
                self._say("dagster dev has ended by itself, and is started again")
                self._start_again()
            time.sleep(1)

    def _untrue(self) -> str:
        if not all(DeltaTable.is_deltatable(self.lake.place(table)) for table in TABLES):
            return "a table is not there yet"
        # What a next place has not got yet is rolled out.
        moment = Moment(self.lake)
        lacking = set().union(*(moment.lacks(table) for table in self.lake.tables))
        return "\n".join(differences(self.lake, set(DATES) - lacking - self._left_alone().keys())[:20])

    def _made_by_another(self) -> str:
        """The dates that an earlier deployment made, or that a table's next place has not got."""
        moment = Moment(self.lake)
        found = []
        for table in self.lake.tables:
            behind = {
                date
                for version, dates in moment.made_by(table, DATES).items()
                for date in dates
                if version != table.code_version
            }
            behind |= {*moment.to_make(table)}  # not what is held: no roll-out makes that
            found += [f"{table.name}: {date}" for date in sorted(behind)]
        return "\n".join(found)

    def _left_alone(self) -> dict[dt.date, HeldDate]:
        """The dates on which Gold does not follow Silver."""
        moment = Moment(self.lake)
        return {date: held for date in DATES if (held := held_date(moment, date)) is not None}

    def _look_at_what_is_held(self) -> None:
        """By the rows that are there, whatever commits say; then somebody decides of it, and Gold comes true."""
        decided: dict[dt.date, Verdict] = {
            date: decision.verdict for decision in reversed(self.lake.decisions()) for date in decision.dates
        }
        silver = Counter(rows_of(self.lake.silver)["event_date"].to_pylist())
        for date, held in self._left_alone().items():
            made = self._rows_made_from(date)
            is_accident = made >= LEAST_ROWS and (2 * silver[date] <= made or silver[date] >= 2 * made)
            # Where a run was killed between two tables, they tell of different versions.
            is_whole = len(held.tables) == len(TABLES)
            if decided.get(date) != "keep" and is_whole and not is_accident:
                raise Red(f"{date} is held, Gold has {made} rows of Silver's and Silver {silver[date]}: {held.summary}")
        while undecided := [date for date, held in self._left_alone().items() if not held.is_decided]:
            self._say(f"held: {', '.join(map(str, undecided))}; {self._decide_of(undecided)}")
        self._wait("Gold is true where somebody has approved", self._untrue)
        self._wait("all runs have ended that this took", self._running)

    def _rows_made_from(self, date: dt.date) -> int:
        """How many rows of Silver the date was made from: each is valid or quarantined."""
        valid, broken = (
            rows_of(self.lake.place(name)).filter(pc.field("event_date") == date)
            for name in ("user_spend_summary", QUARANTINE)
        )
        return int(sum(valid["transaction_count"].to_pylist()) + broken.num_rows)

    def _approve_all(self) -> None:
        """What was kept, too: then Gold is Silver's again, everywhere."""
        with suppress(UserError):
            self._say(decide(self.lake, "approve", DATES, by="chaos", reason="the end").summary)
        self._wait("nothing is left as it was", lambda: ", ".join(map(str, self._left_alone())))
        self._be_quiet()

    def _running(self) -> str:
        try:
            backfills = UserInterface(self.dev.url).open_backfills()
        except Refused as refused:
            return f"the user interface: {refused}"
        with self.dev.instance() as instance:
            runs = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=_IN_FLIGHT))]
        processes = self.dev.run_processes()
        return f"{backfills} backfills, runs {runs}, {_named(processes)}" if backfills or runs or processes else ""

    def _look_at_publication(self) -> None:
        """What is published is one state of Silver, whatever has been killed before the newest could be."""
        newest = Publications(str(self.dev.lake.published)).newest()
        if newest is None or newest.silver_version is None:
            self._say("nothing is published yet" if newest is None else f"no one version is published: {newest.reason}")
            return
        promised = set(DATES) - {*newest.dates_kept}
        if newest.code_versions.keys() != set(TABLES):
            raise Red(f"a publication is of more than one definition: {newest.code_versions}")
        lake = dataclasses.replace(self.lake, places={name: table.uri for name, table in newest.tables.items()})
        wrong = differences(lake, promised, silver_version=newest.silver_version, versions=newest.versions)
        if wrong:
            raise Red(f"what is published is not Silver's version {newest.silver_version}: {wrong[:20]}")
        self._say(
            f"Silver's version {newest.silver_version} is published, of {DeltaTable(self.dev.lake.silver).version()}"
        )

    def _look_at_files(self) -> None:
        """A table's log has each version, and the newest has each of its files, whole."""
        for table in TABLES:
            place = Path(self.lake.place(table))
            gold = DeltaTable(place)
            commits = sorted(int(file.stem) for file in (place / "_delta_log").glob("*.json"))
            if commits != list(range(commits[0], gold.version() + 1)):
                raise Red(f"{table} is at version {gold.version()}, and its log has the commits {commits}")
            for path, size in _files(gold):
                if not (place / path).is_file() or (place / path).stat().st_size != size:
                    raise Red(f"{table} lacks {path}, or it is not of {size} bytes")

    def _look_at_growth(self) -> None:
        self._wait("all runs have ended that began meanwhile", self._running)
        now = measure(self.dev, self._postgres)
        self.measures.append(now)
        self._say(str(now))
        first = self.measures[0]
        if now.processes > first.processes:
            raise Red(
                f"{now.processes} processes, of which there were {first.processes}: {_named(self.dev.processes())}"
            )
        if now.daemon_files > first.daemon_files + _MORE_FILES:
            raise Red(f"the daemon has {now.daemon_files} files open, of which it had {first.daemon_files}")


def _files(table: DeltaTable) -> list[tuple[str, int]]:
    actions = as_table(table.get_add_actions(flatten=True))
    return list(zip(map(unquote, actions["path"].to_pylist()), actions["size_bytes"].to_pylist(), strict=True))


def _named(processes: Sequence[psutil.Process]) -> str:
    return "; ".join(f"{process.pid} {' '.join(command_line_of(process))[:200]}" for process in processes)
