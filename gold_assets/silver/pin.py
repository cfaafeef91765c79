"""Silver, pinned at one version and held against what its source declares before anything is read."""

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deltalake import DeltaTable, Field
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets.declaring.source import Source, types_of
from gold_assets.delta.dates import EVENT_DATE, FIRST_DAY, LAST_DAY, RowsOn, dates_text
from gold_assets.delta.errors import UserError, reason, remedy
from gold_assets.delta.file_dates import FileDates, UnknownDate
from gold_assets.delta.log import DeltaLog
from gold_assets.delta.query import View, datafusion
from gold_assets.delta.sql import DATAFUSION, SPARK
from gold_assets.delta.types import parts
from gold_assets.engines import Engine
from gold_assets.silver.columns import SilverColumns, known_columns

_NOT_TEXT = re.compile(r"non UTF-8 data|invalid utf-8|Invalid UTF8", re.IGNORECASE)


@dataclass(frozen=True)
class Silver:
    """One version of the Silver table. ``table`` is loaded at ``version``; ``table_id`` changes when it is made anew.

    Whatever is read of it has the names that ``columns`` gives, and an event_date that is a date that Python knows.

    Attributes:
        source: what is declared of it.
        commit: the fingerprint of the commit that made this version, taken before anything else was read of it; empty
            where log clean-up has taken that.
        dates_kept_at: a place for what is read of the dates in its files, where it is to outlast the process.
    """

    uri: str
    source: Source
    table: DeltaTable
    version: int
    table_id: str
    commit: str
    columns: SilverColumns
    dates_kept_at: str | None = None

    @property
    def fields(self) -> list[Field]:
        """Silver's columns, without the metadata that Delta features keep on them."""
        return [column.field for column in self.columns.mapped]

    @cached_property
    def types(self) -> dict[str, str]:
        """Their types by name, as Delta names them."""
        return types_of(self.fields)

    @cached_property
    def file_dates(self) -> FileDates:
        """Which dates are in which of Silver's files."""
        return FileDates(self.table, self.columns.date.name, kept_at=self.dates_kept_at)

    def learn_dates(self, until: float) -> int:
        """Look into files that the log does not tell the dates of, as ``FileDates.learn``: how many are left."""
        with self._dates_told():
            return self.file_dates.learn(until)

    def dates(self) -> set[dt.date | None]:
        """The dates that Silver has files for; rows without a date are date None."""
        with self._dates_told():
            return self.file_dates.dates()

    def rows_by_date(self, dates: Collection[dt.date] | None = None) -> dict[dt.date | None, int | None]:
        """By date, rows in its files, those among them that deletion vectors hide: None where a file does not tell.

        NULL dates are key None. Where there are ``dates``, of them at least; files without any of them are not asked.
        """
        with self._dates_told():
            return self.file_dates.rows(dates)

    def rows_told(self, dates: Collection[dt.date]) -> dict[dt.date | None, int | None]:
        """``rows_by_date`` of some dates, as far as the log tells."""
        return self.file_dates.rows_told(dates)

    def not_text(self, error: Exception, dates: Collection[dt.date | None]) -> UserError | None:
        """Which column has what made reading these dates fail, where that was bytes that are no text; else None."""
        if not _NOT_TEXT.search(str(error)):
            return None
        view = self.view(dates)
        for name in [field.name for field in self.fields if "string" in parts(field.type)]:
            sql = f"SELECT {DATAFUSION.name(name)} FROM (SELECT {view.select} FROM rows WHERE {view.where})"
            try:
                for _ in datafusion({"rows": self.table}).execute(sql):
                    pass
            except Exception as found:  # DataFusion's errors arrive as bare Exceptions
                if _NOT_TEXT.search(str(found)):
                    return UserError(
                        f"Silver's column {name} at {self.uri}, version {self.version}, has bytes that are no text, as UTF-8 has it, "
                        f"on {dates_text(dates, 3)}: write them again as text, or as a column of binary."
                    )
        return None

    @contextmanager
    def _dates_told(self) -> Iterator[None]:
        try:
            yield
        except UnknownDate as unknown:
            raise UserError(
                f"The file {unknown} of Silver at {self.uri} cannot be read at version {self.version}, and the log does not tell "
                "which dates it holds: see that the file is there and whole, and that this process may read it."
            ) from unknown

    def cannot_be_read(self, error: Exception, dates: Collection[dt.date | None]) -> UserError:
        """The sentence about rows of these dates that an engine could not read."""
        otherwise = "check that its files are there and whole, and that this process may read them"
        return self.not_text(error, dates) or UserError(
            f"Silver at {self.uri} cannot be read at version {self.version} ({reason(error)}): {remedy(error, otherwise)}."
        )

    def read(
        self,
        engine: Engine,
        dates: Collection[dt.date | None],
        files: Collection[Mapping[str, Any]] | None = None,
    ) -> DataFrame:
        """Silver's rows of these dates, those without a date as None; of ``files`` alone, as ``Engine.read`` has it."""
        rows = engine.read(self.table, RowsOn(dates, self.columns.date), files)
        beyond = [day for day in (FIRST_DAY, LAST_DAY) if day in dates]
        if self.columns.as_they_are and not beyond:
            return rows
        selected = []
        for column in self.columns.mapped:
            value = F.col(SPARK.name(column.source))
            if column.name == EVENT_DATE:
                value = value.cast("date")
                for day in beyond:
                    # As text: pyspark writes the year 1 of a date as 1, which Java does not take.
                    bound = F.lit(day.isoformat()).cast("date")
                    value = F.when(value < bound if day == FIRST_DAY else value > bound, bound).otherwise(value)
            elif column.is_char:
                value = F.rtrim(value)
            selected.append(value.alias(column.name))
        return rows.select(*selected)

    def view(self, dates: Collection[dt.date | None]) -> View:
        """The same rows for ``query``."""
        selected = []
        for column in self.columns.mapped:
            value = DATAFUSION.name(column.source)
            if column.name == EVENT_DATE:
                value = f"CAST({value} AS DATE)"
                if not {FIRST_DAY, LAST_DAY}.isdisjoint(dates):
                    first, last = (f"DATE '{day}'" for day in (FIRST_DAY, LAST_DAY))
                    value = (
                        f"CASE WHEN {value} < {first} THEN {first} WHEN {value} > {last} THEN {last} ELSE {value} END"
                    )
            elif column.is_char:
                value = f"rtrim({value}, ' ')"
            selected.append(f"{value} AS {DATAFUSION.name(column.name)}")
        where = RowsOn(dates, self.columns.date).sql(DATAFUSION)
        return View(self.table, ", ".join(selected), where or "false")


def pin_silver(
    uri: str,
    source: Source,
    version: int | None = None,
    given: Mapping[str, str] | None = None,
    reserved: Collection[str] = (),
    dates_kept_at: str | None = None,
) -> Silver:
    """Silver at ``version``, by default its newest, with the columns ``known_columns`` finds by ``given`` and ``reserved``.

    Raises ``UserError`` where there is no Delta table, no such version, or a required column is missing or has a type
    that the source does not accept.
    """
    try:
        table = DeltaTable(uri, version=version)
        # Now, and not when it is asked for: until then the log may have been put back and written anew.
        commit = DeltaLog(table).fingerprint(table.version())
    except TableNotFoundError:
        if version is not None and DeltaTable.is_deltatable(uri):
            raise UserError(
                f"Silver at {uri} cannot be read at version {version}, of which log clean-up has taken what makes it: ask for "
                "a newer version."
            ) from None
        raise UserError(
            f"There is no Delta table at {uri}, where Silver is expected: "
            "set GOLD_SOURCE_PATH to your Silver table, or build the demo's with make demo."
        ) from None
    except (DeltaError, OSError) as error:
        asked = "its newest version" if version is None else f"version {version}"
        otherwise = "check that this process may read it, that the version exists and that its log is whole"
        raise UserError(
            f"Silver at {uri} cannot be read at {asked} ({reason(error)}): {remedy(error, otherwise)}."
        ) from error
    columns = known_columns(uri, source, table.schema().fields, given or {}, reserved)
    return Silver(uri, source, table, table.version(), str(table.metadata().id), commit, columns, dates_kept_at)
