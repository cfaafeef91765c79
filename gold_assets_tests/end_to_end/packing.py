"""Installations of earlier versions: packed by the scripts that let those make them, unpacked by tests.

The scripts run with an earlier version's code, which knows nothing of this module, and load it from its file.
"""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

_PARTS = ("lake", "dagster_home")
_OF_PROCESSES = (".logs_queue", ".telemetry", "logs", "storage", "artifacts")
"""What Dagster keeps for its processes alone."""


def pack(folder: Path, installation: Path) -> None:
    """The lake and the Dagster instance of a folder, of which no process is left."""
    for database in (folder / "dagster_home").rglob("*.db"):
        with closing(sqlite3.connect(database)) as records:
            records.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            records.execute("PRAGMA journal_mode=DELETE")
    with tarfile.open(installation, "w:xz", preset=9) as archive:
        for part in _PARTS:
            archive.add(folder / part, part, filter=_of_no_one)


def unpack(installation: Path, folder: Path) -> None:
    """Put into the folder what was packed."""
    with tarfile.open(installation) as archive:
        archive.extractall(folder, filter="data")


def _of_no_one(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without its owner; and without what Dagster keeps for its processes alone."""
    if Path(entry.name).name in _OF_PROCESSES:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
