"""Silver, pinned at one version and held against the contract before anything is read."""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable, Field
from deltalake.exceptions import DeltaError, TableNotFoundError

from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.query import as_table
from gold_assets.delta.types import type_name
from gold_assets.silver.contract import SILVER_COLUMNS, SilverColumn


@dataclass(frozen=True)
class Silver:
    """One version of the Silver table. ``table`` is loaded at ``version``; ``table_id`` changes when it is made anew."""

    uri: str
    table: DeltaTable
    version: int
    table_id: str

    @property
    def fields(self) -> list[Field]:
        """Silver's columns, without the metadata that Delta features keep on them."""
        return [Field(field.name, field.type) for field in self.table.schema().fields]

    def rows_by_date(self) -> dict[dt.date | None, int | None]:
        """Rows in the files of each date, from the log: None where a file has no statistics. NULL dates are key None.

        Rows that deletion vectors hide are among them.
        """
        files = as_table(self.table.get_add_actions(flatten=True))
        rows: dict[dt.date | None, int | None] = defaultdict(int)
        if files.num_rows == 0:
            return {}
        counts = files["num_records"] if "num_records" in files.column_names else pa.nulls(files.num_rows)
        for date, count in zip(files[f"partition.{EVENT_DATE}"].to_pylist(), counts.to_pylist(), strict=True):
            known = rows[date]
            rows[date] = None if known is None or count is None else known + count
        return dict(rows)


def pin_silver(uri: str, version: int | None = None) -> Silver:
    """Silver at ``version``, by default its newest.

    Raises ``UserError`` where there is no Delta table, no such version, a required column is missing or has the wrong
    type, or the table is not partitioned by event_date.
    """
    try:
        table = DeltaTable(uri, version=version)
    except TableNotFoundError:
        raise UserError(
            f"There is no Delta table at {uri}, where Silver is expected: "
            "set GOLD_SOURCE_PATH to your Silver table, or build the demo's with make demo."
        ) from None
    except (DeltaError, OSError) as error:
        asked = "its newest version" if version is None else f"version {version}"
        raise UserError(
            f"Silver at {uri} cannot be read at {asked} ({reason(error)}): "
            "check that this process may read it, that the version exists and that its log is whole."
        ) from error
    for column in SILVER_COLUMNS:
        _check_column(uri, table, column)
    partitioned_by = table.metadata().partition_columns
    if partitioned_by != [EVENT_DATE]:
        found = f"by {', '.join(partitioned_by)}" if partitioned_by else "not at all"
        raise UserError(
            f"Silver at {uri} is partitioned {found}, expected by {EVENT_DATE}: write it again partitioned by {EVENT_DATE}."
        )
    return Silver(uri=uri, table=table, version=table.version(), table_id=str(table.metadata().id))


def _check_column(uri: str, table: DeltaTable, column: SilverColumn) -> None:
    fields = {field.name: field for field in table.schema().fields}
    if column.name not in fields:
        raise UserError(
            f"Silver at {uri} has no column {column.name}, expected {column.type}: "
            f"add it, or point GOLD_SOURCE_PATH at a table that has it (found: {', '.join(fields)})."
        )
    found = type_name(fields[column.name])
    if found.split("(")[0] not in column.types:
        raise UserError(
            f"Silver's column {column.name} is {found}, expected {column.type}: "
            f"write Silver at {uri} with {column.name} as {column.type}."
        )
