"""Creating, opening and evolving the tables that refresh writes."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable, Field, PostCommitHookProperties, Schema, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.schema import ArrayType, PrimitiveType

from gold_assets.declaring.column import Column
from gold_assets.declaring.table import Table
from gold_assets.delta.commit_races import until_committed
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.errors import UserError, failed
from gold_assets.delta.opening import opened
from gold_assets.delta.query import datafusion
from gold_assets.delta.sql import DATAFUSION
from gold_assets.delta.types import can_become, plain, type_name
from gold_assets.gold.gold_log import GoldLog

logger = logging.getLogger(__name__)

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
    place: Callable[[str], str],
    silver_fields: Sequence[Field],
    accept: Callable[[Mapping[str, DeltaTable | None]], None] = lambda found: None,
) -> dict[str, DeltaTable]:
    """The Delta tables by name, each with a column for every one that it keeps of Silver.

    Creates a table with its schema where nothing is there, adds the columns and fields that Silver or the declaration has gained, and
    widens those whose types it has widened; what it has changed otherwise stays in Silver, as ``left_in_silver`` says.
    Raises ``UserError`` where a place holds something else, or a column of another type, before it changes any of them;
    ``accept`` may refuse what is there until then.
    """
    fields = {table.name: declared_fields(table, silver_fields) for table in tables}
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda table: _open(table, place(table.name), fields[table.name]), tables))
    accept({table.name: there for table, there in zip(tables, found, strict=True)})
    return {
        table.name: _evolved(table, there or _create(table, place(table.name), fields[table.name]), fields[table.name])
        for table, there in zip(tables, found, strict=True)
    }


def declared_fields(table: Table, silver_fields: Sequence[Field]) -> list[Field]:
    """The table's columns in order: Silver's first where it keeps them, then its own, the partition last."""
    silver_types = {field.name: field.type for field in silver_fields}
    own = [
        Field(
            column.name, silver_types[table.made_from(column.name)[0]] if column.type == "key" else delta_type(column)
        )
        for column in table.columns
    ]
    if not table.keeps_source_columns:
        return own
    return [field for field in silver_fields if field.name != EVENT_DATE] + own


def left_in_silver(table: Table, delta_table: DeltaTable, fields: Sequence[Field]) -> dict[str, str]:
    """By name, why a further column of Silver is NULL in the rows that are made now: its type and the table's are too unlike.

    Args:
        fields: the table's, as ``declared_fields`` has them.
    """
    needed = {column.name for column in (*table.source.columns, *table.columns)}
    there = {field.name: field for field in delta_table.schema().fields}
    return {
        field.name: f"it is {type_name(field)} in Silver now and {type_name(there[field.name])} in the table"
        for field in fields
        if field.name in there
        and field.name not in needed
        and not can_become(there[field.name].type, field.type)
        and not can_become(field.type, there[field.name].type)
    }


def fits(there: Field, field: Field) -> bool:
    """Whether a column that is there takes the values of ``field``: as it is, or once it has been widened."""
    is_wider = isinstance(field.type, PrimitiveType) and can_become(field.type, there.type)
    return is_wider or can_become(there.type, field.type)


def _open(table: Table, uri: str, fields: list[Field]) -> DeltaTable | None:
    """The table at ``uri``, None where nothing is there."""
    then = f", or set {table.path_setting} to another path"
    delta_table = opened(f"{table.name} at {uri}", uri, otherwise="clear the place", then=then)
    if delta_table is None:
        _check_is_empty(table, uri)
        return None
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
        then = f", or set {table.path_setting} to another path"
        raise failed(f"{table.name} cannot be created at {uri}", error, "make the place writable", then) from error


def keep_log(name: str, delta_table: DeltaTable) -> None:
    """See that no commit to the table ``name`` cleans its log, which one that another version made may do."""

    def is_kept() -> bool:
        return delta_table.metadata().configuration.get(LOG_CLEANUP, "true").lower() == "false"

    def commit_once() -> None:
        if not is_kept():
            keeping = PostCommitHookProperties(cleanup_expired_logs=False)
            delta_table.alter.set_table_properties({LOG_CLEANUP: "false"}, post_commithook_properties=keeping)

    if not is_kept():
        until_committed(name, delta_table, commit_once)


def _evolved(table: Table, delta_table: DeltaTable, fields: list[Field]) -> DeltaTable:
    """The table with the columns that Silver or the declaration has gained, and with their types where these hold every value that is there."""
    keep_log(table.name, delta_table)
    if changed := [field.name for of in _differing(delta_table, fields) for field in of]:
        try:
            until_committed(table.name, delta_table, lambda: _take(delta_table, fields))
        except UserError:
            raise
        except Exception as error:  # DataFusion's errors arrive as bare Exceptions
            what = (
                f"{table.name} at {delta_table.table_uri} cannot take the columns {', '.join(changed)} as they are now"
            )
            raise failed(what, error, "mend that", ", then run again") from error
        logger.info("%s has the columns %s as Silver or its declaration has them now", table.name, ", ".join(changed))
    for name, why in left_in_silver(table, delta_table, fields).items():
        logger.warning(
            "%s: Silver's column %s is NULL in what is made from now on, for %s: set %s to another path to have it",
            table.name,
            name,
            why,
            table.path_setting,
        )
    return delta_table


def _differing(delta_table: DeltaTable, fields: Sequence[Field]) -> tuple[list[Field], list[Field]]:
    """Those of the fields that the table lacks; and those of which it has another type, which theirs holds every value of."""
    there = {field.name: field.type for field in delta_table.schema().fields}
    known = [field for field in fields if field.name in there and plain(there[field.name]) != plain(field.type)]
    wider = [field for field in known if can_become(there[field.name], field.type)]
    return [field for field in fields if field.name not in there], wider


def _take(delta_table: DeltaTable, fields: Sequence[Field]) -> None:
    there = {field.name: field.type for field in delta_table.schema().fields}
    gained, wider = _differing(delta_table, fields)
    added = gained + [field for field in wider if can_become(there[field.name], field.type, widened=False)]
    if added:
        delta_table.alter.add_columns(added)
    if len(added) < len(gained) + len(wider):
        _write_anew(delta_table, wider)


def _write_anew(delta_table: DeltaTable, wider: Sequence[Field]) -> None:
    """Write all rows with wider types of some columns, in one commit: delta-rs widens no column of files that are there."""
    types = {field.name: field for field in wider}
    fields = [types.get(field.name, field) for field in delta_table.schema().fields]
    schema = pa.schema(Schema(fields).to_arrow())
    columns = ", ".join(map(DATAFUSION.name, schema.names))
    batches = datafusion({"rows": delta_table}).execute(f"SELECT {columns} FROM rows")
    write_deltalake(
        delta_table,
        pa.RecordBatchReader.from_batches(schema, (pa.record_batch(batch).cast(schema) for batch in batches)),
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=[EVENT_DATE],
    )


def _check_is_empty(table: Table, uri: str) -> None:
    try:
        files = files_of(uri)
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
    there = {field.name: field for field in delta_table.schema().fields}
    left = left_in_silver(table, delta_table, fields)
    found_in_lower_case = {name.lower(): name for name in found}
    for field in fields:
        similar = found_in_lower_case.get(field.name.lower(), field.name)
        if similar != field.name:
            raise UserError(
                f"The Delta table at {uri} has a column {similar}, which {table.name} expects as {field.name}, "
                f"and Delta takes the two for one: {move}."
            )
        if field.name in there and field.name not in left and not fits(there[field.name], field):
            raise UserError(
                f"Column {field.name} of the Delta table at {uri} is {found[field.name]}, "
                f"{table.name} expects {type_name(field)}: {move}."
            )
    own = [column.name for column in table.columns]
    missing = [name for name in own if name not in found]
    surplus = [] if table.keeps_source_columns else [name for name in found if name not in own]
    # A table that refreshes of ours made gets what the declaration has gained, but for a key, by which it would be another.
    can_gain = not set(table.key) & set(missing)
    if surplus or (missing and not (can_gain and GoldLog(delta_table).newest_made() is not None)):
        raise UserError(
            f"The Delta table at {uri} has the columns {', '.join(found)}, "
            f"{table.name} expects {', '.join(own)}: {move}."
        )


def _move(table: Table) -> str:
    return f"set {table.path_setting} to another path"


def delta_type(column: Column) -> PrimitiveType | ArrayType:
    """The type of a column that is declared with one."""
    if column.type.startswith("array<"):
        return ArrayType(PrimitiveType(column.type[len("array<") : -1]))
    return PrimitiveType(column.type)
