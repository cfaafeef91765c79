"""What a patch of Gold did, told by the logs: which rows of Silver it added, and which of Gold's files it wrote and took away."""

import dataclasses
import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.checks.pairs import Sides
from gold_assets.delta.scratch import of_files
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.provenance import MadeFrom
from gold_assets.silver.changes import SilverChanges
from gold_assets.silver.pin import Silver


@dataclass(frozen=True)
class Patch:
    """The newest patch of some dates of a table, which are in one commit.

    Attributes:
        since, to: the versions of Silver between which it added what had been added.
        sides: what it must have done, and what it did.
    """

    since: int
    to: int
    sides: Sides


def patch_of(
    gold: DeltaTable,
    made: MadeFrom,
    dates: Collection[dt.date | None],
    silver: Silver,
    changes: SilverChanges,
) -> Patch | None:
    """What the commit that ``made`` tells of did to the ``dates``; None where the logs do not tell, or tell of anything else.

    ``silver`` is at the version that it says, up to which there are its ``changes``.
    """
    try:
        commit = GoldLog(gold).commit(made.table_version)
        stamp = commit.stamp
        if stamp is None or stamp.since is None or stamp.refresh_id != made.refresh_id:
            return None
        new = {file.path: file for date in dates for file in changes.files_after(date, stamp.since)}
        only_added = all(file.is_add and not file.has_vector for file in new.values())
        if not only_added or changes.every_date_after(stamp.since):
            return None
    except FileNotFoundError:
        return None
    added = dataclasses.replace(silver, table=of_files(silver.table, [file.action for file in new.values()]))
    written, taken = ([file.action for file in files if file.date in dates] for files in (commit.adds, commit.removes))
    sides = Sides(added, of_files(gold, written), of_files(gold, taken))
    return Patch(stamp.since, made.silver_version, sides)
