"""A small Delta table beside the lake whose rows are only appended, one at a time. They are numbered, and the numbers order them: a clock may be wrong."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from gold_assets.delta.commit_races import CommitConflict, races_told
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.opening import opened
from gold_assets.delta.query import query

_COMMITS_A_FILE = 20
"""So many rows are rewritten as one file, and the log gets a checkpoint: whoever reads the newest opens few."""

FILES_KEPT_HOURS, LOG_KEPT_HOURS = 1, 6
"""How long the table's own past is kept, which nobody asks for: earlier rows are rows of the newest version."""

_PROPERTIES = {
    "delta.checkpointInterval": str(_COMMITS_A_FILE),
    "delta.logRetentionDuration": f"interval {LOG_KEPT_HOURS} hours",
    "delta.deletedFileRetentionDuration": f"interval {FILES_KEPT_HOURS} hours",
}


class Ledger:
    """The table at ``uri``, as it is when it is opened; it may not be there yet.

    Args:
        name: what its rows are, for people, such as ``publications``.
        schema: its columns; ``number``, which orders the rows, among them.
        setting: by which its place is given, for people.
        gained: the columns that a table of an earlier release lacks until it gets its next row, and its rows for good.

    Raises ``UserError`` where something else is there.
    """

    def __init__(self, uri: str, name: str, schema: pa.Schema, setting: str, gained: Collection[str] = ()) -> None:
        self.uri, self._name, self._schema, self._setting = uri, name, schema, setting
        self.columns: set[str] = set(schema.names)
        """Those that it has: of an earlier release's fewer, until the next row."""
        self._table = opened(
            f"The table of {name} at {uri}",
            uri,
            otherwise="see that the place is a Delta table and can be read",
            then=f", or set {setting} to another path",
        )
        if self._table is None:
            return
        self.columns = {field.name for field in self._table.schema().fields}
        if missing := [column for column in schema.names if column not in self.columns and column not in gained]:
            raise UserError(
                f"The Delta table at {uri} has no column {missing[0]}, expected the table of {name}: set {setting} to another path."
            )

    @property
    def next_number(self) -> int:
        """The number of the row that is appended next."""
        return 0 if self._table is None else self._table.version() + 1

    def rows(self, where: str = "", limit: str = "", then_by: str = "") -> Iterator[dict[str, Any]]:
        """The rows that meet a condition, the newest first; those without a number last, ordered by ``then_by``."""
        if self._table is not None:
            order = [
                *(["number DESC NULLS LAST"] if "number" in self.columns else []),
                *([then_by] if then_by else []),
            ]
            yield from query(f"SELECT * FROM rows {where} ORDER BY {', '.join(order)} {limit}", rows=self._table)

    def append(self, record: Mapping[str, Any]) -> None:
        """One commit with one row, which gets the next number.

        Raises ``CommitConflict`` where somebody else has appended since this was opened, ``UserError`` where it cannot be written.
        """
        number = self.next_number
        rows = pa.Table.from_pylist([{**record, "number": number}], schema=self._schema)
        # Appends do not conflict with each other. Transactions of one application do.
        once = CommitProperties(app_transactions=[Transaction("gold_assets", number)])
        gained: Literal["merge"] | None = "merge" if set(self._schema.names) - self.columns else None
        how: dict[str, Any] = {"mode": "append", "schema_mode": gained}
        if self._table is None:
            how = {"mode": "error", "name": self._name, "configuration": _PROPERTIES}
        try:
            with races_told():
                write_deltalake(self._table or self.uri, rows, commit_properties=once, **how)
        except (DeltaError, OSError) as error:
            if isinstance(error, DeltaError) and self._table is None and DeltaTable.is_deltatable(self.uri):
                raise CommitConflict(str(error)) from error
            raise UserError(
                f"The table of {self._name} could not be written to {self.uri} ({reason(error)}): make the place writable or set "
                f"{self._setting} to another path; what it had is still there."
            ) from error
        if self._table is not None and number % _COMMITS_A_FILE == 0:
            self._table.update_incremental()
            self._table.optimize.compact()

    def vacuum(self, hours: int = FILES_KEPT_HOURS) -> None:
        """Delete the files that were rewritten as one more than so long ago."""
        if self._table is not None:
            self._table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
