"""VACUUM and log clean-up that keep what readers go by."""

import datetime as dt
import itertools
import re
from collections.abc import Sequence

import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.errors import UserError
from gold_assets.delta.log import DeltaLog
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.open_table import FILE_RETENTION, LOG_RETENTION, LOG_RETENTION_HOURS, RETENTION_HOURS
from gold_assets.gold.publication import Publication

_DEFAULT_HOURS = {FILE_RETENTION: RETENTION_HOURS, LOG_RETENTION: LOG_RETENTION_HOURS}
_HOURS_PER = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1, "day": 24, "week": 168}


def needed_publications(lake: Lake) -> list[Publication]:
    """Of the lake's publications the newest, the last week's others, and the last month's last one of other definitions; the newest first.

    To that one readers can be put back after a roll-out. Not for longer: the log of a table, which tells what is needed
    to open it, is kept for a month.
    """
    if lake.published is None:
        return []
    publications, now = lake.publications(), dt.datetime.now(dt.timezone.utc)
    if (newest := publications.newest()) is None:
        return []
    recent = [newest, *publications.since(now - dt.timedelta(hours=RETENTION_HOURS))]
    before = publications.before_roll_out(newest, now - dt.timedelta(hours=LOG_RETENTION_HOURS))
    return list({(each.number, each.at): each for each in [*recent, *([before] if before else [])]}.values())


def vacuum(
    name: str,
    delta_table: DeltaTable,
    hours: int,
    publications: Sequence[Publication],
    user_metadata: str,
    *,
    dry_run: bool = False,
) -> tuple[int, dict[str, int], str]:
    """Delete the files of the table ``name`` that no version of the last ``hours``, and none that is published, needs.

    Returns the retention, which the table's own property raises; the size of each file that was, or would be, deleted
    by its path below the table; and, where the newest of the ``publications`` needs older files, or one cannot be
    opened, that in a sentence. Raises ``UserError`` before it deletes anything where another Delta table lies below
    this one.
    """
    stored = _stored_files(delta_table)
    if hours >= RETENTION_HOURS:
        hours = max(hours, _hours(delta_table, FILE_RETENTION))
        if not dry_run:
            _raise_retention(delta_table, hours)
    keep, held_back = _published_versions(name, delta_table, publications, hours)
    # By delta-rs on every engine: Spark's VACUUM keeps no versions.
    paths = delta_table.vacuum(
        hours,
        dry_run=dry_run,
        enforce_retention_duration=False,
        full=True,  # else the files of a killed writer, which no log names, stay for ever
        keep_versions=keep or None,
        commit_properties=CommitProperties(custom_metadata={"userMetadata": user_metadata}),
    )
    if dry_run:
        return hours, {path: stored[path] for path in paths if path in stored}, held_back
    delta_table.update_incremental()
    left = _stored_files(delta_table)
    return hours, {path: size for path, size in stored.items() if path not in left}, held_back


def clean_log(name: str, delta_table: DeltaTable, publications: Sequence[Publication]) -> str:
    """Take what has expired from the log of the table ``name``, but nothing that tells what a date was made from.

    Where one of the ``publications`` would lose its version, nothing is taken; returns that in a sentence, else an
    empty one.
    """
    hours = _hours(delta_table, LOG_RETENTION)
    kept_from = DeltaLog(delta_table).kept_from(dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=hours))
    if kept_from is None:
        return ""
    lost = [version for version in _published(name, delta_table, publications) if version < kept_from]
    if needed := [version for version in lost if _can_be_opened(delta_table, version)]:
        return (
            f"The log of {name} is not cleaned, for readers still go by version {min(needed)}, which would be lost: see published_gold, "
            "mend what holds it back, and run again."
        )
    GoldLog(delta_table).keep_what_it_tells(name, kept_from)
    delta_table.cleanup_metadata()
    return ""


def _published(name: str, delta_table: DeltaTable, publications: Sequence[Publication]) -> dict[int, Publication]:
    """By the version of the table that it names, the newest of the publications that do."""
    return {
        publication.tables[name].version: publication
        for publication in reversed(publications)
        if name in publication.tables and publication.tables[name].id == str(delta_table.metadata().id)
    }


def _can_be_opened(delta_table: DeltaTable, version: int) -> bool:
    try:
        DeltaTable(delta_table.table_uri, version=version)
    except (DeltaError, OSError):
        return False
    return True


def _published_versions(
    name: str, delta_table: DeltaTable, publications: Sequence[Publication], hours: int
) -> tuple[list[int], str]:
    """The versions named by the ``publications`` that were replaced more than ``hours`` ago: VACUUM would take their files.

    And a sentence where one of them cannot be opened, or where the newest publication is what needs them.
    """
    published = _published(name, delta_table, publications)
    cutoff = (dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=hours)).timestamp() * 1000
    log = GoldLog(delta_table)

    def was_replaced_before(version: int) -> bool:
        if version >= delta_table.version():
            return False
        try:
            return int(log.commit(version + 1).info.get("timestamp", 0)) <= cutoff
        except FileNotFoundError:
            return True

    needed = list(itertools.takewhile(was_replaced_before, sorted(published)))
    keep = [version for version in needed if _can_be_opened(delta_table, version)]
    sentences = []
    if lost := sorted(set(needed) - set(keep)):
        sentences.append(
            f"Version {lost[-1]} of {name}, which is published, cannot be opened any more, so VACUUM keeps nothing for it: publish again, "
            "with gold checks --publish."
        )
    newest = publications[0] if publications else None
    if newest is not None and hours >= RETENTION_HOURS and any(published[version] is newest for version in keep):
        sentences.append(
            f"VACUUM keeps the files of version {newest.tables[name].version}, which readers still go by: nothing has been published since "
            f"{newest.at:%Y-%m-%d %H:%M} UTC. See published_gold, mend what holds it back, and run again."
        )
    return keep, " ".join(sentences)


def _raise_retention(delta_table: DeltaTable, hours: int) -> None:
    """Let the table's properties promise what VACUUM keeps: a checkpoint forgets removed files after that time."""
    shorter = [name for name in _DEFAULT_HOURS if _hours(delta_table, name) < hours]
    if shorter:
        delta_table.alter.set_table_properties(dict.fromkeys(shorter, f"interval {hours} hours"))


def _hours(delta_table: DeltaTable, name: str) -> int:
    """A property of ``_DEFAULT_HOURS`` such as ``interval 7 days`` in whole hours, rounded up."""
    value = delta_table.metadata().configuration.get(name, "")
    found = re.fullmatch(r"(?:interval\s+)?(\d+)\s+(second|minute|hour|day|week)s?", value.strip().lower())
    return -int(-int(found[1]) * _HOURS_PER[found[2]] // 1) if found else _DEFAULT_HOURS[name]


def _stored_files(delta_table: DeltaTable) -> dict[str, int]:
    """The sizes of all data files in the table's place by path, those of older versions and of nobody included.

    Raises ``UserError`` where another Delta table lies below.
    """
    stored: dict[str, int] = {}
    for entry in files_of(delta_table).get_file_info(pafs.FileSelector("", recursive=True)):
        parts = entry.path.strip("/").split("/")
        if "_delta_log" in parts[1:]:
            below = "/".join(parts[: parts.index("_delta_log", 1)])
            raise UserError(
                f"A Delta table lies at {below} below {delta_table.table_uri}, whose VACUUM would delete it, and nothing was deleted: move "
                "one of the two to a place of its own."
            )
        if entry.type == pafs.FileType.File and not any(part[0] in "._" for part in parts):
            stored[entry.path] = entry.size
    return stored
