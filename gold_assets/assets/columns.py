"""Declared columns as the UI's column schema and lineage."""

from collections.abc import Sequence
from dataclasses import replace

import dagster as dg
from deltalake import DeltaTable

from gold_assets.declaring.column import Column
from gold_assets.declaring.source import Source
from gold_assets.declaring.table import Table
from gold_assets.delta.types import type_name

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


def column_lineage(gold: DeltaTable, table: Table) -> dg.TableColumnLineage:
    """From which columns of Silver each column of the table is made; one of Silver's is its own."""
    silver = dg.AssetKey(table.source.asset)
    return dg.TableColumnLineage(
        {
            field.name: [dg.TableColumnDep(silver, name) for name in table.made_from(field.name)]
            for field in gold.schema().fields
        }
    )
