"""What was read of the dates in files of a table, kept for as long as the files are there: in this process, and in a file beside the lake."""

import datetime as dt
import functools
import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from deltalake.exceptions import DeltaError, TableNotFoundError

from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.errors import reason
from gold_assets.delta.storage import located

logger = logging.getLogger(__name__)

RowsByDate = Mapping[dt.date | None, int | None]
"""Rows by date, None where they are not known; those without a date under None. What deletion vectors hide is among them."""

_TABLES_AT_ONCE = 16
_BUFFER_BYTES = 1 << 20
_FILES_KEPT = 300_000
"""Of a table: some 500 bytes of memory each. What comes then is read again each time."""


@dataclass(frozen=True, slots=True)
class Held:
    """The rows by date in a file; ``has_column`` is False where it does not have the column that dates them."""

    rows: RowsByDate
    has_column: bool = True


_Known = tuple[int | None, int | None, Held]
"""Of a file its size, its time, and what is in it."""


class KeptDates:
    """What is known of the files of one table, by their paths as the log has them.

    A file that has another size or another time than the log says now is not the one that was read. At ``place`` there
    is a file of a JSON line each, which may be deleted at any time: then the table's files are read again.
    """

    def __init__(self, place: str | None, name: str) -> None:
        self._place, self._file = place, f"{name}.json"
        self._known = {} if place is None else self._loaded(place)
        self._has_new = False

    def of(self, path: str, size: int | None, modified: int | None) -> Held | None:
        """What is in the file; None where it is not known. Who removes a file need not say its size and time."""
        known_size, known_modified, held = self._known.get(path, (size, modified, None))
        is_another = size not in (None, known_size) or modified not in (None, known_modified)
        return None if is_another else held

    def learn(self, path: str, size: int | None, modified: int | None, held: Held) -> None:
        if len(self._known) < _FILES_KEPT or path in self._known:
            self._known[path] = size, modified, held
            self._has_new = True

    def keep(self, files: Collection[str]) -> None:
        """Write what is known to the place, if some of it is new; where there is no more room, forget all that is not among ``files``."""
        if len(self._known) >= _FILES_KEPT:
            self._known = {path: self._known[path] for path in files if path in self._known}
        if not self._has_new or self._place is None:
            return
        self._has_new = False
        try:
            self._write(self._place)
        except (OSError, DeltaError) as error:
            logger.warning(
                "What was read of the dates in Silver's files cannot be kept at %s (%s): it will be read again",
                self._place,
                reason(error),
            )

    def _loaded(self, place: str) -> dict[str, _Known]:
        try:
            with files_of(place).open_input_stream(self._file) as opened:
                kept = map(json.loads, opened.read().splitlines())
            return {
                path: (size, modified, Held({_date(date): rows for date, rows in held}, has_column))
                for path, size, modified, has_column, held in kept
            }
        except (FileNotFoundError, TableNotFoundError):
            pass  # nothing was kept yet
        except (OSError, DeltaError, ValueError, TypeError) as error:
            logger.warning(
                "What was kept of the dates in Silver's files at %s cannot be read (%s): it will be read again",
                place,
                reason(error),
            )
        return {}

    def _write(self, place: str) -> None:
        scheme, path = located(place)
        if scheme == "file":  # a store has no folders to make
            Path(path).mkdir(parents=True, exist_ok=True)
        with files_of(place).open_output_stream(self._file, buffer_size=_BUFFER_BYTES) as opened:
            for file, (size, modified, held) in list(self._known.items()):  # to which other threads add
                line = json.dumps((file, size, modified, held.has_column, list(held.rows.items())), default=str)
                opened.write(f"{line}\n".encode())


def _date(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


@functools.lru_cache(maxsize=_TABLES_AT_ONCE)
def kept_dates(place: str | None, uri: str, table_id: str, column: str) -> KeptDates:
    """What is known of the files of a table, by the column that dates its rows; the same for all of this process."""
    return KeptDates(place, f"{table_id}-{hashlib.sha256(f'{uri} {column}'.encode()).hexdigest()[:8]}")
