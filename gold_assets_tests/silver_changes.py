"""What others do to a Silver: each of these makes a change, which is a function of the lake."""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from gold_assets.gold.lake import Lake
from gold_assets_tests import vectors
from gold_assets_tests.small_silver import SCHEMA, commit, rename_columns, with_type, write_silver

Change = Callable[[Lake], object]
Rows = Sequence[Mapping[str, Any]]


def append(new: Rows) -> Change:
    return lambda lake: write_silver(lake, new)


def append_with_another_column(new: Rows) -> Change:
    schema = with_type("note", pa.string(), SCHEMA)
    return lambda lake: write_silver(lake, [{**each, "note": "x"} for each in new], schema=schema)


def overwrite(new: Rows) -> Change:
    return lambda lake: write_silver(lake, new, mode="overwrite")


def overwrite_a_day(new: Rows, date: dt.date) -> Change:
    def change(lake: Lake) -> None:
        silver = DeltaTable(lake.silver)
        rows = pa.Table.from_pylist([{**each, "event_date": date} for each in new], schema=SCHEMA)
        for column in silver.schema().fields:
            if column.name not in rows.column_names:
                rows = rows.append_column(column.name, pa.nulls(rows.num_rows, pa.string()))
        write_deltalake(silver, rows, mode="overwrite", predicate=f"event_date = '{date}'")

    return change


def delete(date: dt.date, where: str = "true") -> Change:
    return lambda lake: DeltaTable(lake.silver).delete(f"event_date = DATE '{date}' AND {where}")


def update(date: dt.date) -> Change:
    return lambda lake: DeltaTable(lake.silver).update({"amount": "7"}, predicate=f"event_date = DATE '{date}'")


def move(date: dt.date, to: dt.date | None, where: str = "true") -> Change:
    """Rows of a date go to another, or lose theirs."""
    there = {"event_date": "CAST(NULL AS DATE)" if to is None else f"DATE '{to}'"}
    return lambda lake: DeltaTable(lake.silver).update(there, predicate=f"event_date = DATE '{date}' AND {where}")


def give_a_date(to: dt.date) -> Change:
    return lambda lake: DeltaTable(lake.silver).update({"event_date": f"DATE '{to}'"}, predicate="event_date IS NULL")


def restore(back: int, oldest: int = 0) -> Change:
    """To some versions ago, where it goes no further back than to the ``oldest``."""

    def change(lake: Lake) -> None:
        silver = DeltaTable(lake.silver)
        if silver.version() - back >= oldest:
            silver.restore(silver.version() - back)

    return change


def compact(lake: Lake) -> None:
    DeltaTable(lake.silver).optimize.compact()


def vacuum(lake: Lake) -> None:
    """Of all files that the newest version does not need."""
    DeltaTable(lake.silver).vacuum(0, dry_run=False, enforce_retention_duration=False)


def set_a_property(lake: Lake) -> None:
    DeltaTable(lake.silver).alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})


def merge(date: dt.date, *, delete: bool, feed: bool, insert: Rows = (), user: str = "ann") -> Change:
    """A MERGE with deletion vectors, of a user's rows of a date, and a change data feed where ``feed``."""

    def matched(rows: pa.Table) -> pa.Array:
        return pc.and_(pc.equal(rows["event_date"], date), pc.equal(rows["user_id"], user))

    def update(rows: pa.Table) -> pa.Table:
        changed = rows.set_column(rows.column_names.index("amount"), "amount", pc.add(rows["amount"], 1.0))
        ratio = pc.if_else(pc.equal(rows["risk_level"], "high"), 0.25, 0.125)
        changed = changed.set_column(rows.column_names.index("usage_cost_ratio"), "usage_cost_ratio", ratio)
        return changed.set_column(
            rows.column_names.index("risk_level"), "risk_level", pa.array(["high"] * rows.num_rows)
        )

    def change(lake: Lake) -> None:
        new = None
        if insert:
            schema = pa.schema(DeltaTable(lake.silver).schema().to_arrow())
            new = pa.Table.from_pylist([{**dict.fromkeys(schema.names), **each} for each in insert], schema=schema)
        vectors.merge(lake.silver, matched, None if delete else update, new, feed=feed)

    return change


def compact_by_vectors(lake: Lake) -> None:
    """A compaction that leaves out the rows that deletion vectors hide."""
    vectors.compact(lake.silver)


def swap_two_columns(rows: Rows) -> Change:
    """Commits ``rows`` with a ``gross`` that is ten times the amount, and then one that renames each of the two to the other."""

    def change(lake: Lake) -> None:
        with_gross = [{**each, "gross": 10 * each["amount"]} for each in rows]
        write_silver(lake, with_gross, schema=with_type("gross", pa.float64()))
        rename_columns(Path(lake.silver), {"amount": "gross", "gross": "amount"})

    return change


def say_metadata_again(lake: Lake, of_user_id: Mapping[str, Any]) -> None:
    """A commit of Silver's metadata as it is, but for what a feature keeps with the column user_id."""
    table = DeltaTable(lake.silver)
    schema = json.loads(table.schema().to_json())
    [user_id] = [column for column in schema["fields"] if column["name"] == "user_id"]
    user_id["metadata"] |= of_user_id
    metadata = {
        "id": str(table.metadata().id),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps(schema),
        "partitionColumns": table.metadata().partition_columns,
        "configuration": table.metadata().configuration,
    }
    commit(Path(lake.silver), {"metaData": metadata})
