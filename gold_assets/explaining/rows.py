"""Which of the rows asked about are in which of a table's files, those that are no longer in force among them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import pyarrow.fs as pafs
from deltalake import DeltaTable

from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.log import FileChange
from gold_assets.delta.scratch import of_files
from gold_assets.delta.storage import is_uri
from gold_assets.explaining.question import Rows

MOST_ROWS = 10_000
"""Of those asked about, in all files together."""

_FILE = "gold_assets_file"
_ASKED_AT_ONCE = 16


class TooManyRows(Exception):
    """More than ``MOST_ROWS``."""


Read = Callable[[DeltaTable, str, int], Rows]
"""From a table that has some of another's files, the name of a column and a number: the rows asked about, with that column, so many at most."""


def came_and_went(
    table: DeltaTable, commits: Sequence[Sequence[FileChange]], read: Read
) -> list[tuple[Rows | None, Rows | None]]:
    """For each commit, given by its files: the rows that are there more often after it, and those that are less often.

    None where one of its files is gone. NaN equals itself here. Raises ``TooManyRows``.
    """
    found = iter(_rows_in_files(table, [file.action for files in commits for file in files], read))
    moved: list[tuple[Rows | None, Rows | None]] = []
    for files in commits:
        of_files = [(1 if file.is_add else -1, next(found)) for file in files]
        known: dict[str, dict[str, Any]] = {}
        counts: Counter[str] = Counter()
        for times, rows in of_files:
            for row in rows or ():
                text = repr(sorted(row.items()))
                known[text] = row
                counts[text] += times
        came, went = ([known[text] for text in more.elements()] for more in (+counts, -counts))
        moved.append((None, None) if any(rows is None for _, rows in of_files) else (came, went))
    return moved


def _rows_in_files(table: DeltaTable, files: Sequence[Mapping[str, Any]], read: Read) -> list[Rows | None]:
    """For each of the files, given as the table's log adds or removes them: its rows, None where it is gone."""
    paths = [str(file["path"]) for file in files]
    there = _are_there(table, paths)
    rows: list[Rows | None] = [[] if there[path] else None for path in paths]
    # A file with another deletion vector has the same path, and is read in another round.
    rounds: dict[int, list[int]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for number, path in enumerate(paths):
        if there[path]:
            rounds[seen[path]].append(number)
            seen[path] += 1
    left = MOST_ROWS
    for numbers in rounds.values():
        found = read(of_files(table, [files[number] for number in numbers], number_as=_FILE), _FILE, left + 1)
        left -= len(found)
        if left < 0:
            raise TooManyRows
        for row in found:
            of_file = rows[numbers[row.pop(_FILE)]]
            assert of_file is not None
            of_file.append(row)
    return rows


def _are_there(table: DeltaTable, paths: Sequence[str]) -> Mapping[str, bool]:
    """By path, whether the file is still there; those that are elsewhere, as in a shallow clone, are taken to be."""
    filesystem = files_of(table)

    def is_there(path: str) -> bool:
        return is_uri(path) or filesystem.get_file_info([unquote(path)])[0].type != pafs.FileType.NotFound

    once = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(max_workers=_ASKED_AT_ONCE) as pool:
        return dict(zip(once, pool.map(is_there, once), strict=True))
