"""Time passes for a lake, in a moment: whatever its files say of a time, and the times of the files, become older.

So nothing that reads a clock has to be lied to, be it ours, delta-rs or an engine. To set a clock back, time passes by less than nothing.
"""

import datetime as dt
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_TIMES = ("timestamp", "inCommitTimestamp", "modificationTime", "deletionTimestamp", "createdTime", "lastUpdated")
"""What Delta calls a moment in milliseconds, wherever in a log."""

_TOLD = re.compile(rb'("(?:%s)"\s*:\s*)(\d{13})\b' % "|".join(_TIMES).encode())
_MODIFIED = re.compile(rb'("modified":\s*)(\d+)')
_FINGERPRINT = re.compile(rb"\b[0-9a-f]{16}\b")

Fingerprints = Mapping[str, str]
"""Of commits as they are now, by what they were: a commit that tells another time is another commit to whoever has its fingerprint."""


def let_time_pass(root: Path, by: dt.timedelta) -> Fingerprints:
    """Let every Delta table below ``root``, and every file there, become so much older.

    Rows are as they were, but for those of publications and decisions, which tell when they were made. Whoever remembers fingerprints of commits, as the sensor's cursor
    does, needs those that are returned.
    """
    tables = list(_tables(root))
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    published = {table: _publications(table, by) for table in tables}
    before = {commit: _fingerprint(commit) for table in tables for commit in _commits(table)}
    for commit in before:
        shifted = _TOLD.sub(lambda found: found[1] + b"%d" % (int(found[2]) - _milliseconds(by)), commit.read_bytes())
        commit.write_bytes(_with_sizes(shifted, published[commit.parent.parent]))
    fingerprints = {old: _fingerprint(commit) for commit, old in before.items()}
    for table in tables:
        if decided := _decisions(table, fingerprints, by):
            for commit in _commits(table):
                commit.write_bytes(_with_sizes(commit.read_bytes(), decided))
            published[table] = decided
    for commit in before:
        commit.write_bytes(_FINGERPRINT.sub(lambda found: _renamed(found[0], fingerprints), commit.read_bytes()))
    for table in tables:
        for checkpoint in (table / "_delta_log").glob("*.checkpoint*.parquet"):
            _edit(checkpoint, lambda row, table=table: _older_action(row, by, published[table]))
    for path, time in times.items():
        if path.exists():
            os.utime(path, ns=(time - _nanoseconds(by),) * 2)
    return fingerprints


def in_cursor(text: str, fingerprints: Fingerprints, by: dt.timedelta) -> str:
    """What the sensor remembers of commits, with the fingerprints of now and the times of the files of now."""
    told = _FINGERPRINT.sub(lambda found: _renamed(found[0], fingerprints), text.encode())
    return _MODIFIED.sub(lambda found: found[1] + b"%d" % (int(found[2]) - _nanoseconds(by)), told).decode()


def _renamed(fingerprint: bytes, fingerprints: Fingerprints) -> bytes:
    return fingerprints.get(fingerprint.decode(), fingerprint.decode()).encode()


def _tables(root: Path) -> Iterator[Path]:
    """Silver's commits are known by their fingerprints in Gold's, and nobody's else are."""
    return (log.parent for log in sorted(root.rglob("_delta_log")))


def _commits(table: Path) -> list[Path]:
    return sorted((table / "_delta_log").glob("*.json"))


def _fingerprint(commit: Path) -> str:
    return hashlib.sha256(commit.read_bytes()).hexdigest()[:16]


def _milliseconds(by: dt.timedelta) -> int:
    return round(by.total_seconds() * 1000)


def _nanoseconds(by: dt.timedelta) -> int:
    return _milliseconds(by) * 1_000_000


def _publications(table: Path, by: dt.timedelta) -> dict[str, int]:
    """Where the rows of a table tell when they were published, let them tell of then; and how large its files are now."""
    return _rewritten(
        table,
        "published_at",
        lambda row: {**row, **{name: _earlier(row[name], by) for name in row if _is_moment(row[name])}},
    )


def _decisions(table: Path, fingerprints: Fingerprints, by: dt.timedelta) -> dict[str, int]:
    """The same of decisions, which tell of a commit of Silver by its fingerprint."""
    return _rewritten(
        table,
        "decided_at",
        lambda row: {
            **row,
            "decided_at": row["decided_at"] - by,
            "silver_commit": fingerprints.get(row["silver_commit"], row["silver_commit"]),
        },
    )


def _rewritten(table: Path, column: str, edit: Any) -> dict[str, int]:
    """Each row of a table that has the column becomes what ``edit`` makes of it. How large its files are now."""
    sizes = {}
    for path in table.rglob("*.parquet"):
        if "_delta_log" not in path.parts and column in pq.read_schema(path).names:
            _edit(path, edit)
            sizes[path.relative_to(table).as_posix()] = path.stat().st_size
    return sizes


def _is_moment(value: object) -> bool:
    return isinstance(value, dt.datetime)


def _earlier(moment: dt.datetime, by: dt.timedelta) -> dt.datetime:
    return moment - by


def _with_sizes(commit: bytes, sizes: Mapping[str, int]) -> bytes:
    if not sizes:
        return commit
    actions = [json.loads(line) for line in commit.splitlines() if line]
    return b"\n".join(
        json.dumps({kind: _sized(told, sizes) for kind, told in action.items()}).encode() for action in actions
    )


def _sized(file: Any, sizes: Mapping[str, int]) -> Any:
    """What is told of a file, of its size now, and not between which moments its rows lie."""
    if not isinstance(file, dict) or file.get("path") not in sizes:
        return file
    rows = {"numRecords": json.loads(file["stats"])["numRecords"]} if file.get("stats") else {}
    return {**file, "size": sizes[file["path"]], **({"stats": json.dumps(rows)} if "stats" in file else {})}


def _older_action(action: dict[str, Any], by: dt.timedelta, sizes: Mapping[str, int]) -> dict[str, Any]:
    def older(told: Any) -> Any:
        if not isinstance(told, dict):
            return told
        return {
            name: value - _milliseconds(by) if name in _TIMES and value is not None else value
            for name, value in _sized(told, sizes).items()
        }

    return {kind: older(told) for kind, told in action.items()}


def _edit(file: Path, edit: Any) -> None:
    """Each row of a Parquet file becomes what ``edit`` makes of it."""
    rows = pq.read_table(file, partitioning=None)
    pq.write_table(pa.Table.from_pylist([edit(row) for row in rows.to_pylist()], schema=rows.schema), file)
