"""Where the logs of Silver and of the tables end, by which a tick knows whether anything is new, and whether a table was put back."""

from concurrent.futures import ThreadPoolExecutor

from gold_assets.declaring.table import Table
from gold_assets.delta.log import CommitFile, DeltaLog, end_after, ends_at
from gold_assets.gold.lake import Lake
from gold_assets.micro_batches.cursor import Cursor
from gold_assets.silver.pin import Silver


def nothing_is_new(lake: Lake, cursor: Cursor) -> bool:
    """Whether the logs end where the cursor says. Reads none of them, and opens no table."""
    if cursor.silver is None or cursor.gold.keys() != {table.name for table in lake.tables}:
        return False
    if cursor.safeguards != lake.safeguards:
        return False
    ends: dict[str, CommitFile | None] = {lake.silver: cursor.silver}
    ends |= {lake.places[name] if end is None else lake.place(name): end for name, end in cursor.gold.items()}
    if lake.decisions_at is not None and (cursor.held or cursor.decisions):  # else there is nothing to decide
        ends[lake.decisions_at] = cursor.decisions
    with ThreadPoolExecutor(max_workers=len(ends)) as pool:
        return all(pool.map(ends_at, ends.keys(), ends.values()))


def end_of(lake: Lake, table: Table, before: CommitFile | None) -> CommitFile | None:
    """Where the table's log ends, which ended ``before`` when it was last looked at; None where there is no table."""
    if (end := end_after(lake.place(table.name), before)) is not None:
        return end
    opened = lake.open(table)
    return None if opened is None else DeltaLog(opened).file_of(opened.version())


def silver_was_put_back(silver: Silver, cursor: Cursor) -> bool:
    """Whether Silver is an older state of the table that the cursor knows, or one written anew from there."""
    if silver.version < cursor.followed:
        return True
    log = DeltaLog(silver.table)
    if not cursor.commit or (cursor.silver is not None and log.file_of(cursor.followed) == cursor.silver):
        return False
    return log.fingerprint(cursor.followed) not in ("", cursor.commit)


def was_only_written_to(place: str, before: CommitFile | None, end: CommitFile | None) -> bool:
    """Whether a table holds what it held when its log ended ``before``, and what was committed since."""
    if before is None or before == end:
        return True
    if end is None or (log := DeltaLog(place)).file_of(before.version) != before:
        return False
    since = range(before.version + 1, end.version + 1)
    return all(log.info(version).get("operation") != "RESTORE" for version in since)
