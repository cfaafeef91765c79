"""Changed tables, made beside the lake from the Silver that is published, and compared with what is published."""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from deltalake import DeltaTable

from gold_assets.checks.pairs import keys
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import predicate
from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.query import View, query
from gold_assets.delta.sql import DATAFUSION
from gold_assets.engines import Engine
from gold_assets.explaining.differences import differences
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.publication import Publication
from gold_assets.gold.refresh import refresh_at
from gold_assets.gold.standing import Basis
from gold_assets.reading.published import Published, text_of
from gold_assets.silver.pin import Silver
from gold_assets.trying.table_trial import TableTrial

Dates = Collection[dt.date | None]

_SHARE_OF_A_KIND = 6
"""One in so many dates of a sample is one of those with the most rows, and as many of those with the most quarantined ones."""


@dataclass(frozen=True)
class Trial:
    """What a change of code does to the tables.

    Attributes:
        compared_with: what the tables are compared with, in words.
        silver_versions: those that the tables were made from: each date from the one whose rows the published one holds.
        asked: how many dates of the window Silver or a table has, of which those tried are chosen.
        dates: those tried.
        tables: those tried; ``unchanged`` those left out because the code that made them is the code of now.
        kept: the dates left out because Silver has changed them and Gold keeps them, sealed or held: no roll-out would make them.
        doubts: by why it is not sure from which rows of Silver a published date was made, the dates.
        seconds, rows: how long making them took, and of how many of Silver's rows; None where its log does not count them.
        all_rows: of Silver, in the window.
    """

    compared_with: str
    silver_versions: Sequence[int]
    asked: int
    dates: Sequence[dt.date]
    tables: Sequence[TableTrial]
    unchanged: Sequence[str]
    kept: Sequence[dt.date] = ()
    doubts: Mapping[str, Dates] = field(default_factory=dict)
    seconds: float = 0.0
    rows: int | None = 0
    all_dates: int = 0
    all_rows: int | None = 0

    @property
    def differs(self) -> bool:
        return any(table.differs for table in self.tables)

    @property
    def roll_out_seconds(self) -> float | None:
        """How long making all dates of the window would take at this rate, None where there is none."""
        return None if not self.rows or self.all_rows is None else self.seconds * self.all_rows / self.rows


def try_out(
    lake: Lake,
    engine: Callable[[], Engine],
    scratch: str,
    dates: Collection[dt.date],
    window: Collection[dt.date],
    *,
    sample: int | None = None,
    tables: Sequence[Table] | None = None,
) -> Trial:
    """Make tables of the lake, as they are declared now, below ``scratch``, and compare them with what is published.

    Nothing is written in the lake. Each date is made from the version of Silver whose rows the published date holds, so that
    what differs is the code's doing alone. Where nothing is published, the tables are compared as they are.

    Args:
        engine: starts one, where there is something to make.
        dates: of which those are tried that Silver or a table has.
        window: all dates that a roll-out would make.
        sample: try so many of them, as ``sampled`` chooses.
        tables: by default those that are new, or were made by another code version than they have now.

    Raises ``UserError`` where Silver or a table is not what it must be, a version of Silver is gone, or there is no date to try.
    """
    newest = lake.publications().newest() if lake.published else None
    reader = None if newest is None else Published(newest)
    moment = Moment(lake, opened=_opened(lake, reader))
    moment.silver = _pinned(moment, newest)
    asked = sorted(date for date in moment.dates.intersection(dates) if date is not None)
    for table in lake.tables:
        moment.made_from(table, asked)  # once for all dates, which are asked for one by one below
    changed = [table for table in lake.tables if _is_changed(moment, table, asked)] if tables is None else tables
    kept = {date for date in asked if any(moment.hold(table, date) for table in changed)}
    asked = [date for date in asked if date not in kept]
    if changed and not asked:
        why = "is sealed or held in Gold" if kept else "is neither in Silver nor in a table"
        raise UserError(f"Each of the dates to try {why}: give others, with --from and --to.")
    chosen = asked if sample is None else sampled(moment, asked, sample)
    trial = Trial(
        f"what was published at {text_of(reader.publication.at)}"
        if reader
        else "the tables as they are, for nothing is published",
        [],
        len(asked),
        chosen,
        (),
        [table.name for table in lake.tables if table not in changed],
        sorted(kept),
    )
    return _made(trial, moment, engine(), scratch, changed, window) if changed else trial


def sampled(moment: Moment, dates: Sequence[dt.date], number: int) -> Sequence[dt.date]:
    """So many of the dates, spread over them, with some of those that have the most rows and the most quarantined ones.

    The logs tell: of Silver's rows those that it counts by date.
    """
    rows = moment.silver.file_dates.rows_told(dates)
    broken: Mapping[dt.date | None, int | None] = {}
    for table in moment.lake.tables:
        if table.is_quarantine and (gold := moment.gold(table)) is not None:
            broken = FileDates(gold).rows_told(dates)
    share = -(-number // _SHARE_OF_A_KIND) if number > 2 else 0
    chosen: list[dt.date] = []
    for counted in (broken, rows):
        most = sorted((date for date in dates if counted.get(date)), key=lambda date: (-(counted[date] or 0), date))
        chosen += [date for date in most if date not in chosen][:share]
    left = [date for date in dates if date not in chosen]
    wanted = min(max(number - len(chosen), 0), len(left))
    chosen += [left[(2 * n + 1) * len(left) // (2 * wanted)] for n in range(wanted)]
    return sorted(chosen)


def _opened(lake: Lake, reader: Published | None) -> dict[str, DeltaTable | None]:
    """The tables as readers have them; without a publication as they are."""
    if reader is None:
        return {table.name: lake.open(table) for table in lake.tables}
    return {table.name: reader.delta(table.name) if table.name in reader.names else None for table in lake.tables}


def _pinned(moment: Moment, publication: Publication | None) -> Silver:
    """Silver at the newest version of which the publication holds rows on some date; without one, of which Gold does."""
    newest = moment.lake.pin()
    made = [GoldLog(gold).newest_made() for gold in moment.opened.values() if gold is not None]
    versions = [each.silver_version for each in made if each is not None and each.silver_table_id == newest.table_id]
    if publication is not None and publication.silver_table_id == newest.table_id:
        versions += [] if publication.silver_version is None else [publication.silver_version]
    version = max(versions, default=newest.version)
    return newest if version >= newest.version else moment.lake.pin(version)


def _is_changed(moment: Moment, table: Table, dates: Collection[dt.date]) -> bool:
    """Whether the table is new, or one of the dates was made by another version of the code."""
    made = moment.made_from(table, [*dates, *([None] if table.is_quarantine else [])])
    return moment.gold(table) is None or any(each.code_version != table.code_version for each in made.values())


def _made(
    trial: Trial, moment: Moment, engine: Engine, scratch: str, tables: Sequence[Table], window: Collection[dt.date]
) -> Trial:
    lake = moment.lake
    beside = dataclasses.replace(lake.project.lake(scratch), silver=lake.silver, silver_columns=lake.silver_columns)
    alike, doubts = _made_alike(moment, tables, trial.dates)
    made: dict[str, DeltaTable] = {}
    rows: dict[str, dict[dt.date, int]] = defaultdict(dict)
    read: dict[tuple[int, dt.date], int | None] = {}
    seconds = 0.0
    for (version, dates), of in sorted(alike.items(), key=lambda group: group[0][0]):
        silver = moment.silver_at(version)
        assert silver is not None
        done = refresh_at(Moment(beside, silver, {}), engine, dates, of, how="recompute", by="gold try")
        seconds += done.seconds
        read |= {(version, date): done.silver_rows.get(date, 0) for date in dates}
        made |= done.tables
        for name, written in done.dates.items():
            rows[name] |= {date: each.rows for date, each in written.items()}
    told = moment.silver.file_dates.rows_told(window)
    in_window = {date: told[date] for date in window if told.get(date) != 0}

    def compared(table: Table) -> TableTrial:
        count = sum(rows[table.name].values())
        return _compared(lake, table, moment.gold(table), made[table.name], trial.dates, count)

    with ThreadPoolExecutor() as pool:
        trials = list(pool.map(compared, tables))
    return dataclasses.replace(
        trial,
        silver_versions=sorted({version for version, _ in alike}),
        tables=trials,
        doubts=doubts,
        seconds=seconds,
        rows=_sum(read.values()),
        all_dates=len(in_window),
        all_rows=_sum(in_window.values()),
    )


def _made_alike(
    moment: Moment, tables: Sequence[Table], dates: Sequence[dt.date]
) -> tuple[dict[tuple[int, tuple[dt.date, ...]], list[Table]], dict[str, Dates]]:
    """The tables by the version of Silver and the dates that are made from it; and the dates of which that is not sure, by why."""
    alike: dict[tuple[int, tuple[dt.date, ...]], list[Table]] = {}
    doubts: dict[str, set[dt.date | None]] = defaultdict(set)
    for table in tables:
        versions: dict[int, list[dt.date]] = defaultdict(list)
        for date in dates:
            basis = Basis(moment.silver.version)
            if date in moment.held(table) or moment.made_from(table, [date]):
                basis = moment.basis_in_silver(table, date)
            versions[basis.version].append(date)
            if basis.doubt:
                doubts[basis.doubt].add(date)
        for version, of in versions.items():
            alike.setdefault((version, tuple(of)), []).append(table)
    return alike, dict(doubts)


def _compared(
    lake: Lake, table: Table, before: DeltaTable | None, after: DeltaTable, dates: Sequence[dt.date], rows: int
) -> TableTrial:
    on: Dates = [*dates, *([None] if table.is_quarantine else [])]
    trial = TableTrial(table, before, after, rows)
    why_not = "it is new" if before is None else _why_not(table, trial, before, on)
    if why_not:
        return dataclasses.replace(trial, why_not=why_not)
    return dataclasses.replace(trial, differences=differences(lake, table, before, after, on, in_common=True))


def _why_not(table: Table, trial: TableTrial, before: DeltaTable, dates: Dates) -> str:
    """Why the rows of a table that has another key now cannot be compared by it; empty where they can."""
    if missing := [name for name in table.key if name in trial.came]:
        return f"its key has {', '.join(missing)} now, which it had not"
    if not table.key or not trial.went:
        return ""
    key = ", ".join(DATAFUSION.name(name) for name in keys(table))
    twice = f"SELECT 1 AS twice FROM rows GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
    if query(twice, rows=View(before, "*", predicate(dates))):
        return f"its key is {', '.join(keys(table))} now, of which there were several rows each"
    return ""


def _sum(rows: Collection[int | None]) -> int | None:
    known = [each for each in rows if each is not None]
    return sum(known) if len(known) == len(rows) else None
