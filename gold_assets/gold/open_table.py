"""Creating, opening and evolving the tables that refresh writes."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow.fs as pafs
from deltalake import DeltaTable, Field, PostCommitHookProperties, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.schema import ArrayType, PrimitiveType

from gold_assets.delta.commit_races import CommitConflict, races_told, until_committed
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError, reason, remedy
from gold_assets.delta.types import type_name
from gold_assets.gold.declaration import Table
from gold_assets.silver.contract import Column

FILE_RETENTION = "delta.deletedFileRetentionDuration"
"""The property that says how far back time travel reaches. VACUUM on Spark obeys it."""

RETENTION_HOURS = 168
"""A week: what VACUUM keeps for readers and time travel, unless more is asked for."""

LOG_RETENTION = "delta.logRetentionDuration"
LOG_RETENTION_HOURS = 720
"""Thirty days: how far back the log tells what happened."""

LOG_CLEANUP = "delta.enableExpiredLogCleanup"
"""Whether a writer cleans the log beside its commit. Ours must not: maintenance does, which knows what is still needed."""


def open_or_create(
    tables: Sequence[Table],
    places: Mapping[str, str],
    silver_fields: Sequence[Field],
    accept: Callable[[Mapping[str, DeltaTable | None]], None] = lambda found: None,
) -> dict[str, DeltaTable]:
    """The Delta tables by name, each with a column for every one that Silver lends it.

    Creates a table with its schema where nothing is there, and adds the columns that Silver has gained. Raises
    ``UserError`` where a place holds something else, or a column of another type, before it changes any of them; ``accept`` may refuse
    what is there until then.
    """
    fields = {table.name: declared_fields(table, silver_fields) for table in tables}
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda table: _open(table, places[table.name], fields[table.name]), tables))
    accept({table.name: there for table, there in zip(tables, found, strict=True)})
    return {
        table.name: _with_columns(
            table, there or _create(table, places[table.name], fields[table.name]), fields[table.name]
        )
        for table, there in zip(tables, found, strict=True)
    }


def declared_fields(table: Table, silver_fields: Sequence[Field]) -> list[Field]:
    """The table's columns in order: Silver's first where it keeps them, then its own, the partition last."""
    silver_types = {field.name: field.type for field in silver_fields}
    own = [
        Field(column.name, silver_types[column.made_from[0]] if column.keeps_type else _delta_type(column))
        for column in table.columns
    ]
    if not table.keeps_silver_columns:
        return own
    return [field for field in silver_fields if field.name != EVENT_DATE] + own


def _open(table: Table, uri: str, fields: list[Field]) -> DeltaTable | None:
    """The table at ``uri``, None where nothing is there."""
    try:
        delta_table = DeltaTable(uri)
    except TableNotFoundError:
        _check_is_empty(table, uri)
        return None
    except (DeltaError, OSError) as error:
        raise UserError(
            f"The place of {table.name}, {uri}, cannot be opened as a Delta table ({reason(error)}): "
            f"{remedy(error, 'clear it')}, or set {table.path_setting} to another path."
        ) from error
    _check_is_the_table(table, uri, delta_table, fields)
    return delta_table


def _create(table: Table, uri: str, fields: list[Field]) -> DeltaTable:
    try:
        return DeltaTable.create(
            uri,
            schema=Schema(fields),
            partition_by=[EVENT_DATE],
            name=table.name,
            description=table.description,
            configuration={
                FILE_RETENTION: f"interval {RETENTION_HOURS} hours",
                LOG_RETENTION: f"interval {LOG_RETENTION_HOURS} hours",
                LOG_CLEANUP: "false",
            },
        )
    except (DeltaError, OSError) as error:
        if (made := _open(table, uri, fields)) is not None:
            return made  # by another writer, in the same moment
        raise UserError(
            f"{table.name} cannot be created at {uri} ({reason(error)}): "
            f"{remedy(error, 'make the place writable')}, or set {table.path_setting} to another path."
        ) from error


def keep_log(name: str, delta_table: DeltaTable) -> None:
    """See that no commit to the table ``name`` cleans its log, which one that another version made may do."""

    def commit_once() -> None:
        if delta_table.metadata().configuration.get(LOG_CLEANUP, "true").lower() == "false":
            return
        try:
            with races_told():
                delta_table.alter.set_table_properties(
                    {LOG_CLEANUP: "false"},
                    post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
                )
        except CommitConflict:
            delta_table.update_incremental()
            raise

    until_committed(name, delta_table.table_uri, commit_once)


def _with_columns(table: Table, delta_table: DeltaTable, fields: list[Field]) -> DeltaTable:
    known = {field.name for field in delta_table.schema().fields}
    if gained := [field for field in fields if field.name not in known]:
        try:
            delta_table.alter.add_columns(gained)
        except (DeltaError, OSError) as error:
            raise UserError(
                f"{table.name} at {delta_table.table_uri} cannot take Silver's columns "
                f"{', '.join(field.name for field in gained)} ({reason(error)}): {remedy(error, 'mend that')}, "
                "then run again."
            ) from error
    keep_log(table.name, delta_table)
    return delta_table


def _check_is_empty(table: Table, uri: str) -> None:
    try:
        files = pafs.PyFileSystem(DeltaStorageHandler(uri))
        found = [
            entry.base_name
            for entry in files.get_file_info(pafs.FileSelector("", allow_not_found=True))
            if entry.base_name != "_delta_log"
        ]
    except TableNotFoundError:
        return  # a local folder that is not there yet
    if found:
        raise UserError(
            f"The place of {table.name}, {uri}, holds {found[0]} and no Delta table, expected {table.name} or nothing: "
            f"clear it or set {table.path_setting} to another path."
        )


def check_partitioning(table: Table, uri: str, delta_table: DeltaTable) -> None:
    """That it is partitioned as every table of ours, by which whoever opens it finds its dates. Raises ``UserError``."""
    partitioned_by = delta_table.metadata().partition_columns
    if partitioned_by != [EVENT_DATE]:
        raise UserError(
            f"The Delta table at {uri} is partitioned by {', '.join(partitioned_by) or 'nothing'}, "
            f"{table.name} expects {EVENT_DATE}: {_move(table)}."
        )


def _check_is_the_table(table: Table, uri: str, delta_table: DeltaTable, fields: list[Field]) -> None:
    check_partitioning(table, uri, delta_table)
    move = _move(table)
    found = {field.name: type_name(field) for field in delta_table.schema().fields}
    found_in_lower_case = {name.lower(): name for name in found}
    for field in fields:
        similar = found_in_lower_case.get(field.name.lower(), field.name)
        if similar != field.name:
            raise UserError(
                f"The Delta table at {uri} has a column {similar}, which {table.name} expects as {field.name}, "
                f"and Delta takes the two for one: {move}."
            )
        if field.name in found and found[field.name] != type_name(field):
            raise UserError(
                f"Column {field.name} of the Delta table at {uri} is {found[field.name]}, "
                f"{table.name} expects {type_name(field)}: {move}."
            )
    own = [column.name for column in table.columns]
    missing = [name for name in own if name not in found]
    surplus = [] if table.keeps_silver_columns else [name for name in found if name not in own]
    if missing or surplus:
        raise UserError(
            f"The Delta table at {uri} has the columns {', '.join(found)}, "
            f"{table.name} expects {', '.join(own)}: {move}."
        )


def _move(table: Table) -> str:
    return f"set {table.path_setting} to another path, or move that table away and materialize all dates again"


def _delta_type(column: Column) -> PrimitiveType | ArrayType:
    if column.type.startswith("array<"):
        return ArrayType(PrimitiveType(column.type[len("array<") : -1]))
    return PrimitiveType(column.type)
