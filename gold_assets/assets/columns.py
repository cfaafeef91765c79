"""Declared columns as the UI's column schema."""

from collections.abc import Sequence

import dagster as dg

from gold_assets.lakehouse.contract import SILVER_COLUMNS, Column
from gold_assets.lakehouse.tables import Table


def table_schema(columns: Sequence[Column]) -> dg.TableSchema:
    """The columns with their types and descriptions."""
    return dg.TableSchema([dg.TableColumn(c.name, type=c.type, description=c.description) for c in columns])


def columns_of(table: Table) -> list[Column]:
    """The table's columns, with those that Silver is known to lend it."""
    own = {column.name for column in table.columns}
    lent = [column for column in SILVER_COLUMNS if column.name not in own] if table.keeps_silver_columns else []
    return [*lent, *table.columns]
