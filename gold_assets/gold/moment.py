"""A lake at one moment: Silver pinned, its tables opened, and what the logs of both tell, each read once."""

import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import Literal

from deltalake import DeltaTable

from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.log import DeltaLog
from gold_assets.delta.places import resolved
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.holds import Hold, Holds
from gold_assets.gold.lake import Lake
from gold_assets.gold.provenance import Made, MadeFrom
from gold_assets.gold.publication import Publication, PublishedTable
from gold_assets.gold.standing import Basis, Lag, Standing
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver


class Moment:
    """A lake at one moment.

    Args:
        silver: by default its newest version, when it is first asked for.
        opened: the tables by name, None where one is not there yet; by default they are opened now.

    Raises ``UserError`` where a table cannot be opened, and where Silver is asked for and is not what it must be.
    """

    def __init__(
        self, lake: Lake, silver: Silver | None = None, opened: Mapping[str, DeltaTable | None] | None = None
    ) -> None:
        self.lake = lake
        # Gold before Silver, so that no Gold comes from a Silver newer than the one at hand.
        self.opened = {table.name: lake.open(table) for table in lake.tables} if opened is None else opened
        if silver is not None:
            self.silver = silver
        self._reading = threading.RLock()
        self._logs: dict[str, GoldLog] = {}
        self._made: dict[str, dict[dt.date | None, MadeFrom | None]] = defaultdict(dict)
        self._held: dict[str, frozenset[dt.date | None]] = {}
        self._lacks: dict[str, Collection[dt.date]] = {}
        self._silvers: dict[int, Silver | None] = {}
        self._changes: dict[int, SilverChanges] = {}

    @cached_property
    def silver(self) -> Silver:
        return self.lake.pin()

    @property
    def changes(self) -> SilverChanges:
        """What the commits of Silver have changed, up to the version that it is pinned at."""
        return self.changes_of(self.silver)

    @cached_property
    def holds(self) -> Holds:
        """What holds dates of the tables, so that Gold does not follow Silver there."""
        return Holds(self)

    def changes_of(self, silver: Silver) -> SilverChanges:
        """What the commits up to the version of ``silver`` have changed."""
        with self._reading:
            if silver.version not in self._changes:
                self._changes[silver.version] = SilverChanges(silver)
            return self._changes[silver.version]

    def silver_at(self, version: int) -> Silver | None:
        """Silver at another version, None where that cannot be opened any more."""
        if version == self.silver.version:
            return self.silver
        with self._reading:
            if version not in self._silvers:
                self._silvers[version] = None
                with suppress(UserError):
                    self._silvers[version] = self.lake.pin(version)
            return self._silvers[version]

    def silver_of(self, basis: Basis) -> Silver:
        """The Silver that a date is compared with."""
        silver = self.silver_at(basis.version)
        assert silver is not None
        return silver

    def logs_of(self, publication: Publication) -> list[GoldLog]:
        """The logs of the tables as the publication names them, which are not opened again where that is how they are."""
        opened = {name: self._log(name) for name, gold in self.opened.items() if gold is not None}
        return [
            opened[name]
            if name in opened and PublishedTable.of(name, table.uri, opened[name]) == table
            else GoldLog(table.open())
            for name, table in publication.tables.items()
        ]

    def now(self) -> "Moment":
        """This one, as long as neither Silver nor a table has a newer version; else another."""
        opened = [self.silver.table, *self.opened.values()]
        if all(table is not None and DeltaLog(table).file_of(table.version() + 1) is None for table in opened):
            return self
        return Moment(self.lake)

    def gold(self, table: Table) -> DeltaTable | None:
        return self.opened.get(table.name)

    def log(self, table: Table) -> GoldLog:
        """Of a table that is there."""
        return self._log(table.name)

    def made_from(self, table: Table, dates: Collection[dt.date | None]) -> Made:
        """The Silver that each of the dates was made from, where the table's log tells."""
        made = self._made[table.name]
        if self.gold(table) is not None and (asked := [date for date in dates if date not in made]):
            made |= dict.fromkeys(asked) | self.log(table).made_from(asked)
        return {date: known for date in dates if (known := made.get(date)) is not None}

    def held(self, table: Table) -> Collection[dt.date | None]:
        """The dates that the table has files for."""
        if table.name not in self._held:
            gold = self.gold(table)
            self._held[table.name] = frozenset() if gold is None else frozenset(FileDates(gold).dates())
        return self._held[table.name]

    @cached_property
    def dates(self) -> frozenset[dt.date | None]:
        """The dates that Silver or a table has files for; rows without a date are date None."""
        return frozenset(self.silver.file_dates.dates()).union(*map(self.held, self.lake.tables))

    def refuse_another_silver(self) -> None:
        """Raise ``UserError`` where the tables were made from another Silver, in another place.

        Another table in the same place is a Silver that was made anew, and the same table in another place a lake that
        was moved.
        """
        names = [name for name, gold in self.opened.items() if gold is not None]
        with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
            made = pool.map(lambda name: self._log(name).newest_made(), names)
        for name, newest in zip(names, made, strict=True):
            if newest is None or newest.silver_table_id == self.silver.table_id:
                continue
            made_from = newest.silver_uri or self.lake.published_silver(newest.silver_table_id)
            if made_from and resolved(made_from) != resolved(self.silver.uri):
                raise UserError(
                    f"{name} at {self.lake.place(name)} was made from Silver at {made_from}, and Silver is now another table, at "
                    f"{self.silver.uri}, whose rows are not added to it: set {self.lake.project.env_prefix}LAKE_ROOT to another place for what is made from that, "
                    f"or move the folders of {', '.join(self.lake.places)} away and materialize all dates."
                )

    def _log(self, name: str) -> GoldLog:
        with self._reading:
            if name not in self._logs:
                gold = self.opened[name]
                assert gold is not None
                self._logs[name] = GoldLog(gold)
            return self._logs[name]

    def standing(self, table: Table, date: dt.date | None) -> Standing:
        """Which rows of Silver the date of the table holds, as far as the logs tell."""
        made, newest = self.made_from(table, [date]).get(date), self.silver.version
        if made is None:
            return Standing("missing", None, newest, "the log does not tell which Silver version it was made from")
        version = made.silver_version
        if foreign := self.changes.foreign(made):
            # Where it has no rows, none may be right in this Silver too.
            is_empty = made.silver_table_id != self.silver.table_id and date not in self.held(table)
            kind: Literal["open", "foreign"] = "open" if is_empty else "foreign"
            return Standing(self._unless_kept(kind, made, date), made, newest, f"it was {foreign}")
        if version >= newest:
            return Standing("known", made, newest)
        if self.changes.gap_after(version):
            return Standing(self._unless_kept("open", made, date), made, version)
        changed = self.changes.changed_after(date, version)
        if changed is None:
            doubt = f"nothing tells whether Silver changed it after version {version}, which it was made from"
            return Standing(self._unless_kept("open", made, date), made, newest, doubt)
        return Standing("known", made, version if changed else newest)

    def _unless_kept(
        self, kind: Literal["open", "foreign"], made: MadeFrom, date: dt.date | None
    ) -> Literal["open", "foreign", "kept"]:
        return kind if self.holds.on(made, date) is None else "kept"

    def hold(self, table: Table, date: dt.date | None) -> Hold | None:
        """Why the table keeps what it has of the date, though Silver has changed it, or may have; None where it does not."""
        if not self.holds.may_hold(date):
            return None
        standing = self.standing(table, date)
        is_current = standing.kind == "known" and standing.version == self.silver.version
        return None if is_current else self.holds.on(standing.made, date)

    def older_version(self, table: Table, date: dt.date | None) -> str:
        """By which other version of the table the date was made; empty where by the one that is declared."""
        made = self.made_from(table, [date]).get(date)
        return "" if made is None or made.code_version == table.code_version else made.code_version or "unknown"

    def made_by(self, table: Table, dates: Collection[dt.date]) -> dict[str, set[dt.date]]:
        """By version of the table, those of the dates that it made and that nothing holds."""
        found: dict[str, set[dt.date]] = defaultdict(set)
        for date, made in self.made_from(table, dates).items():
            if date is not None and self.holds.on(made, date) is None:
                found[made.code_version].add(date)
        return found

    def lacks(self, table: Table) -> Collection[dt.date]:
        """The dates that the table which readers have was made on, and that its next place has not got, or not as readers have them.

        As they have them it cannot get those of which Silver has no rows any more, and those that are held. None where readers
        have the table from the place where it is.
        """
        if table.name not in self._lacks:
            self._lacks[table.name] = frozenset(self._lacking(table))
        return self._lacks[table.name]

    def to_make(self, table: Table) -> Collection[dt.date]:
        """Of the dates that the table's next place ``lacks``, those that a refresh makes."""
        if not (lacks := self.lacks(table)):
            return set()
        made, in_silver = self.made_from(table, lacks), self.silver.file_dates.dates()
        return {date for date in lacks if date not in made and date in in_silver}

    def _lacking(self, table: Table) -> Iterator[dt.date]:
        before = None if self._publication is None else self._publication.tables.get(table.name)
        if before is None or before.uri == self.lake.place(table.name):
            return
        try:
            log = GoldLog(before.open())
        except UserError:  # nobody can read it any more
            return
        in_silver = self.silver.file_dates.dates()
        dates = {*FileDates(log.table).dates(), *log.made_from(in_silver)}
        made = self.made_from(table, dates)
        for date in dates:
            if date is not None and (date not in made or date not in in_silver or self._is_held(date)):
                yield date

    def _is_held(self, date: dt.date) -> bool:
        """Whether a table keeps what it has of the date, until a person decides or because one has: what ``gold approve`` can let through."""
        holds = [hold for table in self.lake.tables if (hold := self.hold(table, date)) is not None]
        return any(not hold.is_decided or self.holds.kept(date) is not None for hold in holds)

    def basis(self, table: Table, date: dt.date | None) -> Basis:
        """What to compare the date with: Silver's newest version where that has the same rows of it, else the version it was made from.

        Where that is not known or cannot be read any more, the newest: a date passes only if it is true to one of them;
        or it is kept, or was made by an earlier version of the table, and then what it was verified by counts.
        """
        if date in self.lacks(table) and not self.made_from(table, [date]) and self._publication is not None:
            at = f"version {self._publication.versions[table.name]} of the table before, published at {self._publication.at:%Y-%m-%d %H:%M:%S} UTC"
            return Basis(self.silver.version, f"{table.name} at {self.lake.place(table.name)} has not got it yet", at)
        if (older := self.older_version(table, date)) and (verified := self._verified(table, date)):
            doubt = f"it was made by version {older} of the table, which is {table.code_version} now"
            return Basis(self.silver.version, doubt, verified)
        return self.basis_in_silver(table, date)

    def basis_in_silver(self, table: Table, date: dt.date | None) -> Basis:
        """The same by whatever version of the table the date was made."""
        standing, newest = self.standing(table, date), self.silver.version
        of_another = standing.kind == "kept" and standing.version == newest
        if not of_another and self.silver_at(standing.version) is not None:
            return Basis(standing.version, standing.doubt)
        doubt = (
            standing.doubt or f"Silver version {standing.version}, which it was made from, cannot be opened any more"
        )
        return self.basis_without(table, date, doubt)

    def basis_without(self, table: Table, date: dt.date | None, doubt: str) -> Basis:
        """The same where the Silver that the date was made from is no longer to be read, for ``doubt``."""
        verified = self._verified(table, date) if self.hold(table, date) else ""
        return Basis(self.silver.version, doubt, verified)

    def _verified(self, table: Table, date: dt.date | None) -> str:
        """By which publication the rows that the table has of the date were verified; empty where there is none."""
        made, gold, last = self.made_from(table, [date]).get(date), self.gold(table), self._verified_last
        of_table = None if last is None else last.tables.get(table.name)
        if last is None or of_table is None or made is None or gold is None or of_table.id != str(gold.metadata().id):
            return ""
        newest = max(made.table_version, made.overwritten_in or 0)
        how = "compared" if last.failures else "published"
        at = f"version {of_table.version} of the table, {how} at {last.at:%Y-%m-%d %H:%M:%S} UTC"
        return at if newest <= of_table.version else ""

    @cached_property
    def _publication(self) -> Publication | None:
        return self.lake.publications().newest() if self.lake.published else None

    @cached_property
    def _verified_last(self) -> Publication | None:
        """The newest publication, or where a person put readers back since, what they were put back from: its rows were verified.

        So were those of a newer attempt that found nothing wrong, but waits.
        """
        last = self._publication
        attempt = None if last is None else self.lake.publications().last_attempt()
        if attempt is not None and attempt.failures and all(failure.waits for failure in attempt.failures):
            return attempt
        return last if last is None or not last.put_back_by else self.lake.publications().before_putting_back()

    def lag(self, *, after: int, first: dt.date, last: dt.date, publication: Publication | None = None) -> Lag | None:
        """What the tables lack of Silver's commits after version ``after``, on the dates from ``first`` to ``last``; None where nothing.

        Of the tables as they are opened, or as the ``publication`` names them. What they keep, sealed or held, they do not lack.
        """
        logs: Sequence[GoldLog | None]
        if publication is not None:
            logs = self.logs_of(publication)
        else:
            logs = [None if gold is None else self._log(name) for name, gold in self.opened.items()]
        changed = self.changes.dates_after(after)
        if self.changes.everywhere_after(after):
            changed = changed.union(*(FileDates(log.table).dates() for log in logs if log is not None))
        touched = {date for date in changed if date is not None and first <= date <= last}
        missing: dict[dt.date, int] = {}
        for log in logs if touched else ():
            made = {} if log is None else log.made_from(touched)
            for date in touched:
                source = made.get(date)
                has = -1 if source is None or self.changes.foreign(source) else source.silver_version
                oldest = self.changes.first_after(date, max(after, has))
                if oldest is not None and self.holds.on(source, date) is None:
                    missing[date] = min(oldest, missing.get(date, oldest))
        if not missing:
            return None
        version = min(missing.values())
        return Lag(sorted(missing), version, self.changes.told_of(version).at)
