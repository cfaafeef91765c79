"""The rows that Silver lost and gained after a version of it: read from the files that its log names, and from no others."""

import datetime as dt
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError
from deltalake.schema import PrimitiveType
from pyroaring import BitMap64

from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.deletion_vectors import positions
from gold_assets.delta.log import FileChange
from gold_assets.delta.query import Unreadable, View, query_table
from gold_assets.delta.scratch import of_files
from gold_assets.delta.sql import DATAFUSION
from gold_assets.delta.types import type_name
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver

Action = Mapping[str, Any]
_FLOATING = ("double", "float")


@dataclass
class _Files:
    """The files in which the rows are that Silver lost or gained.

    Attributes:
        changed: of which each row is one of them, but for those at the positions that ``hidden`` has by path.
        lost, gained: which came or went, and have rows besides that may be in both.
    """

    changed: list[Action] = field(default_factory=list)
    hidden: dict[str, BitMap64] = field(default_factory=dict)
    lost: list[Action] = field(default_factory=list)
    gained: list[Action] = field(default_factory=list)


def most_telling(keys: Collection[pa.Table]) -> list[pa.Table]:
    """Of each key the values of its most selective column, those of the same column in one: what ``Silver.read`` and ``Silver.copied`` filter by.

    Never ``event_date``, by which rows are filtered anyway, and which Silver may have as a moment.
    """
    by_column: dict[str, list[pa.Table]] = {}
    for key in keys:
        columns = [distinct(key.select([name])) for name in key.column_names if name != EVENT_DATE]
        values = max(columns, key=lambda each: each.num_rows)
        by_column.setdefault(values.column_names[0], []).append(values)
    return [distinct(pa.concat_tables(values)) for values in by_column.values()]


def distinct(rows: pa.Table) -> pa.Table:
    """The rows, each once."""
    return rows.group_by(rows.column_names).aggregate([])


class ChangedRows:
    """The rows of some dates that Silver lost and gained after version ``since``, up to that at which it is pinned.

    Of a commit that wrote a change data feed, they are those in it. Of any other, a file that was removed lost its rows, and one that
    was added gained them; where a file was removed and added again with another deletion vector, those at the positions in which
    the two differ. A row that was removed with one file and added with another is not among them: rewritten files hold both. A
    file that came and went between the two versions counts on neither side, and compaction changes no rows.
    """

    def __init__(self, silver: Silver, changes: SilverChanges, dates: Collection[dt.date | None], since: int) -> None:
        self._silver, self._changes = silver, changes
        self._dates, self._since = dates, since

    def values(self, columns: Collection[str]) -> pa.Table:
        """The values that such rows have in these columns and ``event_date``, each combination once.

        There may be some that no such row has. Raises ``Unreadable`` where a file is not there any more.
        """
        names = list(dict.fromkeys([*columns, EVENT_DATE]))
        selected = ", ".join(map(DATAFUSION.name, names))
        types = pa.schema(Schema(self._silver.fields).to_arrow())
        schema = pa.schema([types.field(name) for name in names])
        try:
            asked, tables = self._asked(selected)
            if not asked:
                return schema.empty_table()
            return query_table(f"SELECT DISTINCT {selected} FROM ({' UNION ALL '.join(asked)})", **tables).cast(schema)
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise Unreadable(f"What Silver at {self._silver.uri} has changed cannot be read ({error}).") from error

    def keys(self, tables: Collection[Table]) -> dict[str, pa.Table]:
        """By table, the ``values`` of the source's columns that its ``merge_key`` is of. Raises ``Unreadable``."""
        changed = self.values({column for table in tables for column in table.merge_key.values()})
        return {table.name: distinct(changed.select([*table.merge_key.values()])) for table in tables}

    def _asked(self, selected: str) -> tuple[list[str], dict[str, View]]:
        """SELECTs of all such rows, and what they read."""
        tables: dict[str, View] = {}
        asked = []
        files = self._read
        if files.changed:
            tables["changed"] = self._view(of_files(self._silver.table, files.changed, hidden=files.hidden))
            asked.append(f"SELECT {selected} FROM changed")
        if files.lost:
            tables["lost"] = self._view(of_files(self._silver.table, files.lost))
            tables["gained"] = self._view(of_files(self._silver.table, files.gained))
            asked.append(f"SELECT {selected} FROM ({self._differing})")
        return asked, tables

    @property
    def _differing(self) -> str:
        """The rows that one side has more often than the other, each once; all rows of both where DataFusion cannot group by a column."""
        names = [DATAFUSION.name(field.name) for field in self._silver.fields]
        columns = [f"c{number}" for number in range(len(names))]
        # DataFusion groups -0.0 with 0.0.
        floating = [
            name for name, field in zip(names, self._silver.fields, strict=True) if type_name(field) in _FLOATING
        ]
        signs = [f"sign_{number}" for number in range(len(floating))]
        read = [f"{name} AS {column}" for name, column in zip(names, columns, strict=True)]
        read += [f"{name} = 0 AND 1.0 / {name} < 0 AS {sign}" for name, sign in zip(floating, signs, strict=True)]
        both = " UNION ALL ".join(
            f"SELECT {', '.join(read)}, {side} AS side FROM {table}" for table, side in (("gained", 1), ("lost", -1))
        )
        # DataFusion does not group by every type of array, map and struct.
        if all(isinstance(field.type, PrimitiveType) for field in self._silver.fields):
            grouped = ", ".join([*columns, *signs])
            both = f"SELECT {', '.join(columns)} FROM ({both}) GROUP BY {grouped} HAVING sum(side) <> 0"
        by_name = ", ".join(f"{column} AS {name}" for name, column in zip(names, columns, strict=True))
        return f"SELECT {by_name} FROM ({both})"

    def _view(self, table: DeltaTable) -> View:
        view = self._silver.view(self._dates)
        return replace(view, table=table)

    @cached_property
    def _files(self) -> Sequence[FileChange]:
        """Those that touch one of the dates, the oldest first; in a commit the removed ones before the added ones."""
        files = {
            (file.version, file.is_add, file.path): file
            for date in self._dates
            for file in self._changes.files_after(date, self._since)
        }
        return [files[key] for key in sorted(files)]

    @property
    def rows_to_read(self) -> tuple[int, int, int] | None:
        """By what the log tells: the rows of files with other deletion vectors, those of files that came or went, and about how many changed.

        Of a file that came or went all rows count as changed; of one with another deletion vector, as many as it hides more or fewer.
        None where the log does not tell, or contradicts itself. What a change data feed holds is not among them.
        """
        hidden = whole = changed = 0
        with suppress(Unreadable):
            for before, after in self._states:
                if before is not None and after is not None:
                    hidden += after.rows_in_file or before.rows_in_file or self._rows_by_size(after)
                    changed += abs(before.hidden - after.hidden)
                elif (file := before or after) is not None:
                    rows = file.rows_in_file or self._rows_by_size(file)
                    whole, changed = whole + rows, changed + rows - file.hidden
            return hidden, whole, changed
        return None

    def _rows_by_size(self, file: FileChange) -> int:
        """About how many rows a file has of which the log tells the size alone, by those of Silver's other files. Raises ``Unreadable``."""
        rows_a_byte = self._silver.file_dates.rows_a_byte
        if rows_a_byte is None or "size" not in file.action:
            raise Unreadable(f"The log of Silver at {self._silver.uri} does not tell the rows of {file.path}.")
        return int(file.action["size"] * rows_a_byte)

    @cached_property
    def _read(self) -> _Files:
        """Raises ``Unreadable``."""
        files = _Files()
        for version in sorted({file.version for file in self._files}):
            files.changed += self._changes.feed_of(version)
        for before, after in self._states:
            self._take(before, after, files)
        if not files.lost or not files.gained:  # then no row is in both
            files.changed += files.lost + files.gained
            files.lost, files.gained = [], []
        return files

    @cached_property
    def _states(self) -> Sequence[tuple[FileChange | None, FileChange | None]]:
        """Files as they were and as they are, where the two are not the same; None where one was not, or is not, there. Raises ``Unreadable``.

        A file is there more than once where a commit in between has told its changes by a feed.
        """
        counts: Counter[tuple[str, str]] = Counter()
        newest: dict[tuple[str, str], FileChange] = {}
        for file in self._files:
            if not self._changes.feed_of(file.version):
                state = file.path, _vector_id(file.action)
                counts[state] += 1 if file.is_add else -1
                newest[state] = file
        of_path: dict[str, dict[int, list[FileChange]]] = defaultdict(lambda: {-1: [], 0: [], 1: []})
        for (path, vector), count in counts.items():
            if abs(count) > 1:
                raise Unreadable(f"The log of Silver at {self._silver.uri} adds or removes {path} twice in a row.")
            of_path[path][count].append(newest[path, vector])
        pairs = []
        for by_count in of_path.values():
            were, are = (sorted(by_count[count], key=lambda file: file.version) for count in (-1, 1))
            pairs += list(itertools.zip_longest(were, are))
        return pairs

    def _take(self, before: FileChange | None, after: FileChange | None, files: _Files) -> None:
        if before is None or after is None or (rows := before.rows_in_file or after.rows_in_file) is None:
            files.lost += [] if before is None else [before.action]
            files.gained += [] if after is None else [after.action]
            return
        try:
            was, now = (positions(self._silver.table, file.action.get("deletionVector")) for file in (before, after))
        except (OSError, DeltaError, ValueError) as error:
            raise Unreadable(
                f"The deletion vectors of {after.path} of Silver at {self._silver.uri} cannot be read ({error})."
            ) from error
        if after.path not in files.hidden:
            files.changed.append(after.action)
        hidden = files.hidden.get(after.path, BitMap64(range(rows)))
        files.hidden[after.path] = hidden - (was ^ now)


def _vector_id(action: Action) -> str:
    """By which Delta's protocol tells apart a file's deletion vectors; empty where it has none."""
    vector = action.get("deletionVector")
    return "" if vector is None else f"{vector['storageType']}{vector['pathOrInlineDv']}@{vector.get('offset')}"
