"""What the UI tells of a table and its columns: as they are declared, and as a run has left them."""

import datetime as dt
import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import dagster as dg
from deltalake import DeltaTable

from gold_assets.declaring.column import Column
from gold_assets.declaring.source import Source
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.plural import plural
from gold_assets.delta.query import query
from gold_assets.delta.types import type_name
from gold_assets.explaining.differences import differences
from gold_assets.gold.commits import WrittenDate
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import Refreshed
from gold_assets.resources import asset_key

_ROWS_SHOWN = 5

KEYS: Mapping[str, Mapping[str, str]] = {
    "A table": {
        "dagster/column_schema": "Its columns with types and descriptions.",
        "dagster/uri": "Where it lies.",
        "dagster/code_references": "The functions that make it, which *Source code* opens.",
        "partition_expr": "The column by which other assets are given their partitions of it.",
        "key": "Its key.",
        "zorder_by": "What OPTIMIZE clusters it by.",
    },
    "A materialization of a date": {
        "dagster/partition_row_count": "The date's rows.",
        "how": "What was done, `recomputed`, `patched`, or `keys`, which computes the rows of changed keys alone; and why.",
        "seconds": "How long writing the date took, in seconds.",
        "silver_version": "The version of Silver that the date was made from.",
        "table_version": "The version of the table that holds it.",
        "quarantined_share": "Of the quarantine: which part of the date's rows of Silver is there.",
        "restated": "What the run changed of a date before yesterday, which people have read.",
        "example_rows": "With `GOLD_EXAMPLES=on`, of the run's last date: a few rows.",
        "dagster/column_schema": "Of the run's last date: the columns as they are.",
        "dagster/column_lineage": "Of the run's last date: from which columns of Silver each is made.",
    },
    "A publication": {
        "published_at": "When it was.",
        "tables": "The tables and their versions.",
        "dates_verified": "How many dates were compared with Silver for it.",
        "silver_version": "The version of Silver whose rows every date holds; or why there is none.",
        "silver_versions_behind": "How many versions of Silver have come since that readers lack.",
        "minutes_behind_silver": "For how long readers have lacked what Silver has.",
        "gold_versions_behind": "How many versions of the tables have come since.",
        "dates_held": "The dates of which Gold keeps what it has, until a person decides.",
        "published_by_run": "The run that published.",
    },
    "An attempt to publish that was held back": {
        "held_since": "Since when.",
        "dates_verified": "How many dates were compared with Silver.",
        "failures": "Which dates failed which checks, and what was found.",
    },
    "A check": {
        "rows": "Examples of what is wrong. Without `GOLD_EXAMPLES=on` they hold no value of a row: dates, counts, names of columns and rules.",
        "dates_checked": "Of `no_failed_dates`: how many dates have been checked.",
        "dates_failed": "Of `no_failed_dates`: how many of them failed when they were last checked.",
        "dates": "Of `no_failed_dates`: those dates, and which checks they failed.",
    },
    "Maintenance of a table": {
        "files_before": "How many files the table had.",
        "files_after": "How many it has.",
        "bytes_before": "Their size before.",
        "bytes_after": "Their size after.",
        "ordered": "The dates that were compacted and clustered.",
        "dates_ordered": "How many these are.",
        "dates_skipped": "How many other dates have files: in order already, today's or later, or not asked for.",
        "files_deleted": "How many files VACUUM deleted.",
        "bytes_freed": "Their size.",
        "held_back": "What was kept since a publication needs it.",
        "not_ordered": "Why nothing could be clustered, where the engine cannot do it to this table.",
        "retention_hours": "How far back VACUUM kept the files of older versions.",
        "seconds": "How long it took, in seconds.",
    },
    "A dry run of maintenance": {
        "would_order": "The dates that would be clustered.",
        "would_order_dates": "How many these are.",
        "would_delete_files": "How many files VACUUM would delete.",
        "would_delete": "The first of these.",
        "would_free_bytes": "Their size.",
    },
}
"""What stands beside the tables, their dates, publications, checks and maintenance in Dagster, by key. A date also has its table's
``numbers``, a check the numbers that it counts.
"""

_TYPE_IN_SQL = {"long": "bigint", "key": Column("", "key", "").accepted}
"""Names that people, and the UI's icons, know by another."""


def table_schema(columns: Sequence[Column]) -> dg.TableSchema:
    """The columns with their types and descriptions."""
    return dg.TableSchema(
        [dg.TableColumn(c.name, type=_TYPE_IN_SQL.get(c.type, c.type), description=c.description) for c in columns]
    )


def columns_in_silver(source: Source) -> list[Column]:
    """The source's columns with the types that Silver may have them in, in words."""
    return [replace(column, type=column.accepted) for column in source.columns]


def columns_of(table: Table) -> list[Column]:
    """The table's columns, with those that it is known to keep of Silver's."""
    own = {column.name for column in table.columns}
    kept = columns_in_silver(table.source) if table.keeps_source_columns else []
    return [*(column for column in kept if column.name not in own), *table.columns]


def columns_in(gold: DeltaTable, table: Table) -> list[Column]:
    """The columns that the table turned out to have, each with what is declared of it."""
    declared = {column.name: column.description for column in columns_of(table)}
    return [
        Column(field.name, type_name(field), declared.get(field.name, "As in Silver."))
        for field in gold.schema().fields
    ]


def column_lineage(gold: DeltaTable, table: Table, silver: dg.AssetKey) -> dg.TableColumnLineage:
    """From which columns of Silver each column of the table is made; one of Silver's is its own."""
    return dg.TableColumnLineage(
        {
            field.name: [dg.TableColumnDep(silver, name) for name in table.made_from(field.name)]
            for field in gold.schema().fields
        }
    )


def declared_metadata(table: Table, uri: str) -> dict[str, Any]:
    """The table's columns, place and keys, and links to the code that makes it."""
    return {
        "dagster/column_schema": table_schema(columns_of(table)),
        "dagster/uri": uri,
        "partition_expr": EVENT_DATE,  # by which other assets are given their partitions of it
        "dagster/code_references": _code_of(table),
        "key": ", ".join(table.key) or "one row per Silver row",
        "zorder_by": ", ".join(table.zorder_by),
    }


def _code_of(table: Table) -> dg.CodeReferencesMetadataValue:
    functions = [function for function in (table.transformation, table.rows) if function.__name__.isidentifier()]
    return dg.CodeReferencesMetadataValue(
        code_references=[
            dg.LocalFileCodeReference(
                file_path=str(inspect.getsourcefile(function)),
                line_number=inspect.getsourcelines(function)[1],
                label=function.__name__,
            )
            for function in functions
        ]
    )


def metadata_by_date(
    table: Table, lake: Lake, refreshed: Refreshed, *, examples: bool = False
) -> dict[dt.date, dict[str, Any]]:
    """Numbers of each date that was written; with the last one the table's columns, and where ``examples`` some rows."""
    written = refreshed.dates[table.name]
    if not written:
        return {}
    last = max(written)
    gold, newest = refreshed.tables[table.name], max(date.table_version for date in written.values())
    if gold.version() != newest:  # somebody else has committed since
        gold = DeltaTable(lake.place(table.name), version=newest)
    numbers, with_rows = _numbers_by_date(table, gold, written), [date for date in written if written[date].rows]
    metadata: dict[dt.date, dict[str, Any]] = {
        date: refreshed_numbers(table, date, refreshed, numbers.get(date, {})) for date in written
    }
    if with_rows and examples:
        metadata[last]["example_rows"] = table_of(_example_rows(table, gold, max(with_rows)))
    for date, restated in _restated(table, lake, gold, written).items():
        metadata[date]["restated"] = restated
    metadata[last]["dagster/column_schema"] = table_schema(columns_in(gold, table))
    metadata[last]["dagster/column_lineage"] = column_lineage(gold, table, asset_key(lake.project, table.source.asset))
    return metadata


def _numbers_by_date(table: Table, gold: DeltaTable, dates: Collection[dt.date]) -> dict[dt.date, dict[str, float]]:
    """The ``table.numbers`` of each of the ``dates`` that has rows."""
    if not table.numbers:
        return {}
    select = ", ".join(f"{sql} AS {name}" for name, sql in table.numbers.items())
    rows = query(f"SELECT {EVENT_DATE}, {select} FROM gold WHERE {predicate(dates)} GROUP BY {EVENT_DATE}", gold=gold)
    return {
        row.pop(EVENT_DATE): {
            name: float(value) if isinstance(value, Decimal) else value
            for name, value in row.items()
            if value is not None
        }
        for row in rows
    }


def _example_rows(table: Table, gold: DeltaTable, date: dt.date) -> list[dict[str, Any]]:
    """A few rows of the date, in the order of the table's key."""
    return query(
        f"SELECT * FROM gold WHERE {predicate([date])} ORDER BY {table.row_order} LIMIT {_ROWS_SHOWN}", gold=gold
    )


def _restated(table: Table, lake: Lake, gold: DeltaTable, written: Mapping[dt.date, WrittenDate]) -> dict[dt.date, str]:
    """What a run changed of dates before yesterday, which people have read; ``gold`` is at the run's last version."""
    yesterday = dt.datetime.now(dt.timezone.utc).date() - dt.timedelta(days=1)
    if not (past := {date for date in written if date < yesterday}):
        return {}  # as with most micro-batches, whose logs and tables need not be opened again
    before = DeltaTable(gold.table_uri, version=min(date.table_version for date in written.values()) - 1)
    found = differences(lake, table, before, gold, past & FileDates(before).dates())
    return {
        date: f"{plural(count, table.what)} of this date; in all of the run {found.summary}"
        for date, count in found.dates.items()
        if date is not None
    }


def refreshed_numbers(
    table: Table, date: dt.date, refreshed: Refreshed, numbers: Mapping[str, float] = MappingProxyType({})
) -> dict[str, int | float | str]:
    """What a refresh did to a date of a table, and ``numbers`` of the date's rows, as they are plotted."""
    written = refreshed.dates[table.name][date]
    silver_rows = refreshed.silver_rows.get(date, 0)
    shares = {}
    if table.is_quarantine and silver_rows is not None:
        shares["quarantined_share"] = written.rows / silver_rows if silver_rows else 0.0
    return {
        "dagster/partition_row_count": written.rows,
        **numbers,
        **shares,
        "how": str(written.step),
        "seconds": round(written.seconds, 3),
        "silver_version": refreshed.silver_version,
        "table_version": written.table_version,
    }


def table_of(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """The rows, of which there is one at least, as a table of the UI."""
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name) for name in rows[0]]))


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    return value if isinstance(value, str | int | float | bool | None) else str(value)
