"""VACUUM that keeps what readers go by."""

import datetime as dt
import itertools
import math
import re
from collections.abc import Sequence

import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable

from gold_assets.delta.delta_rs_internals import files_of
from gold_assets.delta.log import DeltaLog
from gold_assets.gold.open_table import FILE_RETENTION, LOG_RETENTION, LOG_RETENTION_HOURS, RETENTION_HOURS
from gold_assets.gold.publication import Publication, Publications

_HOURS_PER = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1, "day": 24, "week": 168}


def needed_publications(uri: str | None) -> list[Publication]:
    """Of those in the table at ``uri``: the last week's, and in any case the newest; the newest first."""
    if uri is None:
        return []
    publications = Publications(uri)
    recent = publications.since(dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=RETENTION_HOURS))
    newest = publications.newest()
    return recent or ([newest] if newest else [])


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

    Returns the retention, which the table's own property raises; the size of each file that was, or would be, deleted by its path
    below the table; and, where the newest of the ``publications`` needs older files, that in a sentence.
    """
    if hours >= RETENTION_HOURS:
        hours = max(hours, _hours(delta_table, FILE_RETENTION, RETENTION_HOURS))
        if not dry_run:
            _raise_retention(delta_table, hours)
    keep, held_back = _published_versions(name, delta_table, publications, hours)
    if held_back and not dry_run:
        _keep_log(delta_table, publications[0])
    stored = _stored_files(delta_table)
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


def _published_versions(
    name: str, delta_table: DeltaTable, publications: Sequence[Publication], hours: int
) -> tuple[list[int], str]:
    """The versions that publications of the last week need, and the newest, of which files may be older than the retention.

    And where it is the newest that needs them, that in a sentence: nothing could be published for so long.
    """
    published = {
        publication.tables[name].version: publication
        for publication in reversed(publications)
        if name in publication.tables and publication.tables[name].id == str(delta_table.metadata().id)
    }
    cutoff = (dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=hours)).timestamp() * 1000
    log = DeltaLog(delta_table)

    def was_replaced_before(version: int) -> bool:
        if version >= delta_table.version():
            return False
        try:
            return int(log.commit(version + 1).info.get("timestamp", 0)) <= cutoff
        except FileNotFoundError:
            return True

    keep = list(itertools.takewhile(was_replaced_before, sorted(published)))
    newest = max(published, default=-1)
    if newest not in keep or hours < RETENTION_HOURS:
        return keep, ""
    since = published[newest].at
    return keep, (
        f"VACUUM keeps the files of version {newest}, which readers still go by: nothing has been published since "
        f"{since:%Y-%m-%d %H:%M} UTC. See published_gold, mend what holds it back, and run again."
    )


def _keep_log(delta_table: DeltaTable, newest: Publication) -> None:
    """Let the log tell of the newest publication's version for a week more, however old that is."""
    hours = math.ceil((dt.datetime.now(dt.timezone.utc) - newest.at).total_seconds() / 3600)
    if _hours(delta_table, LOG_RETENTION, LOG_RETENTION_HOURS) < hours + RETENTION_HOURS:
        delta_table.alter.set_table_properties({LOG_RETENTION: f"interval {2 * hours + RETENTION_HOURS} hours"})


def _raise_retention(delta_table: DeltaTable, hours: int) -> None:
    """Let the table's properties promise what VACUUM keeps: a checkpoint forgets removed files after that time."""
    properties = {}
    if _hours(delta_table, FILE_RETENTION, RETENTION_HOURS) < hours:
        properties[FILE_RETENTION] = f"interval {hours} hours"
    if _hours(delta_table, LOG_RETENTION, LOG_RETENTION_HOURS) < hours:
        properties[LOG_RETENTION] = f"interval {hours} hours"
    if properties:
        delta_table.alter.set_table_properties(properties)


def _hours(delta_table: DeltaTable, name: str, default: int) -> int:
    """A property such as ``interval 7 days`` in whole hours, rounded up."""
    value = delta_table.metadata().configuration.get(name, "")
    found = re.fullmatch(r"(?:interval\s+)?(\d+)\s+(second|minute|hour|day|week)s?", value.strip().lower())
    return -int(-int(found[1]) * _HOURS_PER[found[2]] // 1) if found else default


def _stored_files(delta_table: DeltaTable) -> dict[str, int]:
    """The sizes of all data files in the table's place by path, those of older versions and of nobody included."""
    return {
        entry.path: entry.size
        for entry in files_of(delta_table).get_file_info(pafs.FileSelector("", recursive=True))
        if entry.type == pafs.FileType.File and not any(part[0] in "._" for part in entry.path.split("/"))
    }
