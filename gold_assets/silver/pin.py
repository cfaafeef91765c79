"""Silver, pinned at one version and held against what its source declares before anything is read."""

import datetime as dt
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame

from gold_assets.declaring.source import Source, types_of
from gold_assets.delta.dates import EVENT_DATE, FIRST_DAY, LAST_DAY, RowsOn, dates_text
from gold_assets.delta.errors import UserError, failed
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.log import DeltaLog
from gold_assets.delta.opening import opened
from gold_assets.delta.places import absolute
from gold_assets.delta.query import Among, View, among_sql, datafusion, query_table
from gold_assets.delta.scratch import of_rows
from gold_assets.delta.sql import DATAFUSION, SPARK, Dialect
from gold_assets.delta.types import parts, plain
from gold_assets.engines import Engine
from gold_assets.silver.columns import SilverColumns, known_columns
from gold_assets.silver.version import SilverVersion

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
        among: which of its rows ``view`` has; None where it has all. ``read`` does not go by it.
    """

    uri: str
    source: Source
    table: DeltaTable
    version: int
    table_id: str
    commit: str
    columns: SilverColumns
    dates_kept_at: str | None = None
    among: Among | None = None

    @property
    def as_told(self) -> SilverVersion:
        """Which one this is, as what is made from it tells."""
        return SilverVersion(
            silver_table_id=self.table_id,
            silver_version=self.version,
            silver_commit=self.commit,
            silver_uri=absolute(self.uri),
        )

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

    def cannot_be_read(self, error: Exception, dates: Collection[dt.date | None]) -> UserError:
        """The sentence about rows of these dates that an engine could not read."""
        otherwise = "check that its files are there and whole, and that this process may read them"
        what = f"Silver at {self.uri} cannot be read at version {self.version}"
        return self.not_text(error, dates) or failed(what, error, otherwise)

    def read(
        self,
        engine: Engine,
        dates: Collection[dt.date | None],
        files: Collection[Mapping[str, Any]] | None = None,
        among: Collection[pa.Table] | None = None,
    ) -> DataFrame:
        """Silver's rows of these dates, those without a date as None; of ``files`` alone or ``among`` values, as ``Engine.read`` has it."""
        among = None if among is None else self._in_silver(among)
        rows = engine.read(self.table, RowsOn(dates, self.columns.date), files, among)
        if self.columns.as_they_are and {FIRST_DAY, LAST_DAY}.isdisjoint(dates):
            return rows
        return rows.selectExpr(*self._selected(dates, SPARK))

    def view(self, dates: Collection[dt.date | None]) -> View:
        """The same rows for ``query``."""
        where = RowsOn(dates, self.columns.date).sql(DATAFUSION)
        return View(self.table, ", ".join(self._selected(dates, DATAFUSION)), where or "false", self.among)

    def copied(self, dates: Collection[dt.date | None], among: Collection[pa.Table]) -> "Silver":
        """The same with a copy of its rows of these dates that have one of the values ``among``, for ``view`` alone. Raises ``Unreadable``."""
        kept = {column.source for column in self.columns.mapped} | {self.columns.date.name}
        fields = [Field(field.name, plain(field.type)) for field in self.table.schema().fields if field.name in kept]
        is_among, tables = among_sql(self._in_silver(among))
        where = RowsOn(dates, self.columns.date).sql(DATAFUSION) or "false"
        columns = ", ".join(DATAFUSION.name(field.name) for field in fields)
        rows = query_table(f"SELECT {columns} FROM rows WHERE ({where}) AND ({is_among})", rows=self.table, **tables)
        return replace(self, table=of_rows(rows.cast(pa.schema(Schema(fields).to_arrow()))))

    def _in_silver(self, among: Collection[pa.Table]) -> list[pa.Table] | None:
        """The values by Silver's names of their columns; None where Silver has others, as a CHAR has, whose blanks are read away."""
        columns = {column.name: column for column in self.columns.mapped}
        of = [(columns[values.column_names[0]], values) for values in among]
        is_char = any(column.is_char for column, _ in of)
        return None if is_char else [values.rename_columns([column.source]) for column, values in of]

    def _selected(self, dates: Collection[dt.date | None], dialect: Dialect) -> list[str]:
        """The columns in SQL, as they are known here."""
        selected = []
        for column in self.columns.mapped:
            value = dialect.name(column.source)
            if column.name == EVENT_DATE:
                value = f"CAST({value} AS DATE)"
                if not {FIRST_DAY, LAST_DAY}.isdisjoint(dates):
                    first, last = (f"DATE '{day}'" for day in (FIRST_DAY, LAST_DAY))
                    value = (
                        f"CASE WHEN {value} < {first} THEN {first} WHEN {value} > {last} THEN {last} ELSE {value} END"
                    )
            elif column.is_char:
                value = f"rtrim({value})"
            selected.append(f"{value} AS {dialect.name(column.name)}")
        return selected


def pin_silver(
    uri: str,
    source: Source,
    version: int | None = None,
    given: Mapping[str, str] | None = None,
    reserved: Collection[str] = (),
    dates_kept_at: str | None = None,
    prefix: str = "GOLD_",
) -> Silver:
    """Silver at ``version``, by default its newest, with the columns ``known_columns`` finds by ``given`` and ``reserved``.

    ``prefix`` is what the project's settings begin with, for people.

    Raises ``UserError`` where there is no Delta table, no such version, or a required column is missing or has a type
    that the source does not accept.
    """
    what = f"Silver at {uri}"
    otherwise = "check that this process may read it, that the version exists and that its log is whole"
    if (table := opened(what, uri, version, otherwise=otherwise)) is None:
        raise UserError(
            f"There is no Delta table at {uri}, where Silver is expected: "
            f"set {prefix}SOURCE_PATH to your Silver table, or build the demo's with make demo."
        )
    try:
        # Now, and not when it is asked for: until then the log may have been put back and written anew.
        commit = DeltaLog(table).fingerprint(table.version())
    except (DeltaError, OSError) as error:
        raise failed(f"{what} cannot be read at version {table.version()}", error, otherwise) from error
    columns = known_columns(uri, source, table.schema().fields, given or {}, reserved, prefix)
    return Silver(uri, source, table, table.version(), str(table.metadata().id), commit, columns, dates_kept_at)
