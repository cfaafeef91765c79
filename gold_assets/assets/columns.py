"""Declared columns as the UI's column schema and lineage."""

from collections.abc import Sequence

import dagster as dg
from deltalake import DeltaTable

from gold_assets.delta.types import type_name
from gold_assets.gold.declaration import Table
from gold_assets.silver.contract import SILVER_COLUMNS, Column

_TYPE_IN_SQL = {"long": "bigint"}
"""Delta's names that people, and the UI's icons, know by another."""


def table_schema(columns: Sequence[Column]) -> dg.TableSchema:
    """The columns with their types and descriptions."""
    return dg.TableSchema(
        [dg.TableColumn(c.name, type=_TYPE_IN_SQL.get(c.type, c.type), description=c.description) for c in columns]
    )


def columns_of(table: Table) -> list[Column]:
    """The table's columns, with those that Silver is known to lend it."""
    own = {column.name for column in table.columns}
    lent = [column for column in SILVER_COLUMNS if column.name not in own] if table.keeps_silver_columns else []
    return [*lent, *table.columns]


def columns_in(gold: DeltaTable, table: Table) -> list[Column]:
    """The columns that the table turned out to have, each with what is declared of it."""
    declared = {column.name: column.description for column in columns_of(table)}
    return [
        Column(field.name, type_name(field), declared.get(field.name, "As in Silver."))
        for field in gold.schema().fields
    ]


def column_lineage(gold: DeltaTable, table: Table, silver: dg.AssetKey) -> dg.TableColumnLineage:
    """From which columns of ``silver`` each column of the table is made; one that Silver lends is its own."""
    made_from = {column.name: column.made_from for column in table.columns}
    return dg.TableColumnLineage(
        {
            field.name: [
                dg.TableColumnDep(asset_key=silver, column_name=name)
                for name in made_from.get(field.name, (field.name,))
            ]
            for field in gold.schema().fields
        }
    )
