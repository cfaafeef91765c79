"""Small Silver tables, written by delta-rs."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from gold_assets.gold.lake import Lake

MONDAY = dt.date(2024, 1, 1)
TUESDAY = dt.date(2024, 1, 2)
WEDNESDAY = dt.date(2024, 1, 3)

SILVER_WITH_DELETION_VECTORS = Path(__file__).parent / "silver_with_deletion_vectors"
"""Written by Spark 4.2 with delta-spark 4.4.0, by ``delete_by_vectors`` below: rows of two dates, some deleted or changed."""

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("product_id", pa.string()),
        ("amount", pa.float64()),
        ("usage_cost_ratio", pa.float64()),
        ("risk_level", pa.string()),
        ("event_date", pa.date32()),
    ]
)


def row(**changes: Any) -> dict[str, Any]:
    """A valid row of Silver on Monday, with ``changes``; further columns are welcome."""
    valid = {
        "user_id": "ann",
        "product_id": "tea",
        "amount": 2.5,
        "usage_cost_ratio": 0.5,
        "risk_level": "low",
        "event_date": MONDAY,
    }
    return valid | changes


def high_risk_row(**changes: Any) -> dict[str, Any]:
    """A valid row of Silver on Monday that is high-risk, with ``changes``."""
    return row(risk_level="high", usage_cost_ratio=0.1) | changes


def with_type(name: str, type: pa.DataType, schema: pa.Schema = SCHEMA) -> pa.Schema:
    """``schema`` with the column ``name`` of ``type``, in its place where it is there, else at the end."""
    index = schema.get_field_index(name)
    field = pa.field(name, type)
    return schema.append(field) if index < 0 else schema.set(index, field)


def write_silver(
    lake: Lake,
    rows: Sequence[Mapping[str, Any]],
    *,
    schema: pa.Schema = SCHEMA,
    mode: str = "append",
    partition_by: Sequence[str] = ("event_date",),
) -> DeltaTable:
    """One commit of ``rows`` to the lake's Silver, which it creates and gives the new columns of ``schema``."""
    write_deltalake(
        lake.silver,
        pa.Table.from_pylist([dict(row) for row in rows], schema=schema),
        mode=mode,
        partition_by=list(partition_by) or None,
        schema_mode="merge" if mode == "append" else "overwrite",
    )
    return DeltaTable(lake.silver)
