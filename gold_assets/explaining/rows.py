"""Which of the rows asked about are in which of a table's files, those that are no longer in force among them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import pyarrow.fs as pafs
from deltalake import DeltaTable

from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.query import View, query
from gold_assets.delta.scratch import of_files
from gold_assets.delta.storage import is_uri

Rows = list[dict[str, Any]]

MOST_ROWS = 10_000
"""Of those asked about, in all files together."""

_FILE = "gold_assets_file"
_ASKED_AT_ONCE = 16


class TooManyRows(Exception):
    """More than ``MOST_ROWS``."""


def rows_in_files(
    table: DeltaTable, files: Sequence[Mapping[str, Any]], view: Callable[[DeltaTable], View], where: str
) -> list[Rows | None]:
    """For each of the files, given as the table's log adds or removes them: its rows that meet ``where``, None where it is gone.

    Args:
        view: of a table that has some of the files, the rows as they are to be shown.

    Raises ``TooManyRows``.
    """
    there = _are_there(table, files)
    rows: list[Rows | None] = [[] if is_there else None for is_there in there]
    left = MOST_ROWS
    for numbers in _rounds(files, there):
        numbered = of_files(table, [files[number] for number in numbers], number_as=_FILE)
        seen = view(numbered)
        found = query(
            f"SELECT * FROM rows WHERE {where} LIMIT {left + 1}",
            rows=View(numbered, f"{seen.select}, {_FILE}" if seen.select != "*" else "*", seen.where),
        )
        left -= len(found)
        if left < 0:
            raise TooManyRows
        for row in found:
            of_file = rows[numbers[row.pop(_FILE)]]
            assert of_file is not None
            of_file.append(row)
    return rows


def came_and_went(added: Rows, removed: Rows) -> tuple[Rows, Rows]:
    """The rows that are there more often after, and those that are there less often."""
    counts = Counter(map(_told_apart, added))
    counts.subtract(map(_told_apart, removed))
    return _taken(added, counts), _taken(removed, Counter({row: -count for row, count in counts.items()}))


def _taken(rows: Rows, counts: Counter[str]) -> Rows:
    taken = []
    for row in rows:
        if counts[_told_apart(row)] > 0:
            counts[_told_apart(row)] -= 1
            taken.append(row)
    return taken


def _told_apart(row: Mapping[str, Any]) -> str:
    """NaN equals itself here."""
    return repr(sorted(row.items()))


def _are_there(table: DeltaTable, files: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each file is still there; those that are elsewhere, as in a shallow clone, are taken to be."""
    filesystem = files_of(table)

    def is_there(path: str) -> bool:
        return is_uri(path) or filesystem.get_file_info([unquote(path)])[0].type != pafs.FileType.NotFound

    paths = list(dict.fromkeys(str(file["path"]) for file in files))
    with ThreadPoolExecutor(max_workers=_ASKED_AT_ONCE) as pool:
        known = dict(zip(paths, pool.map(is_there, paths), strict=True))
    return [known[str(file["path"])] for file in files]


def _rounds(files: Sequence[Mapping[str, Any]], there: Sequence[bool]) -> list[list[int]]:
    """The numbers of the files that are there, in lists without a path twice: a file with another deletion vector has the same path."""
    rounds: list[list[int]] = []
    seen: Counter[str] = Counter()
    for number, file in enumerate(files):
        if there[number]:
            path = str(file["path"])
            if seen[path] == len(rounds):
                rounds.append([])
            rounds[seen[path]].append(number)
            seen[path] += 1
    return rounds
