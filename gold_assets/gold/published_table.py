"""A version of a table that is published: opened, and held against what the table is now."""

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.delta.errors import UserError
from gold_assets.delta.opening import opened
from gold_assets.gold.gold_log import GoldLog


@dataclass(frozen=True)
class PublishedTable:
    """A version of a table.

    Attributes:
        id: another one where the table is made anew.
        fingerprint: of the commit that made its rows, another one where the table was put back to an older state and
            written on; empty where that is not known.
    """

    name: str
    uri: str
    id: str
    version: int
    fingerprint: str = ""

    @classmethod
    def of(cls, name: str, uri: str, log: GoldLog) -> "PublishedTable":
        """The table as it is opened."""
        version = log.table.version()
        return cls(name, uri, str(log.table.metadata().id), version, _fingerprint(log, version))

    def open(self) -> DeltaTable:
        """The table at the version. Raises ``UserError``."""
        again = "publish again, with gold checks --publish"
        table = opened(
            f"{self.name} at {self.uri}, which is published,", self.uri, self.version, otherwise=again, newer=again
        )
        if table is None:
            raise UserError(f"There is no Delta table at {self.uri}, where {self.name} was published: {again}.")
        if str(table.metadata().id) != self.id:
            raise UserError(
                f"The table at {self.uri} is not the {self.name} that was published, but was made anew: publish again, with "
                "gold checks --publish."
            )
        if self._was_put_back(GoldLog(table)):
            raise UserError(
                f"Version {self.version} of {self.name} at {self.uri} is not the one that was published, for the table was put back to an "
                "older state and written on: publish again, with gold checks --publish."
            )
        return table

    def changes(self, log: GoldLog) -> Mapping[dt.date | None, int] | None:
        """How many commits to the table, up to the version that it is opened at, changed rows of each date after this one.

        None where its log does not tell, and where this is no earlier version of it.
        """
        table = log.table
        if self.id != str(table.metadata().id) or self.version > table.version() or self._was_put_back(log):
            return None
        return log.changes_after(self.version)

    def moved_on(self) -> "PublishedTable":
        """The newest version of the table where only commits that change no row have come since, else this one."""
        try:
            log = GoldLog(DeltaTable(self.uri))
        except (DeltaError, OSError):
            return self
        return PublishedTable.of(self.name, self.uri, log) if self.changes(log) == {} else self

    def _was_put_back(self, log: GoldLog) -> bool:
        return bool(self.fingerprint) and _fingerprint(log, self.version) not in ("", self.fingerprint)


def _fingerprint(log: GoldLog, version: int) -> str:
    """Tells the rows of a version from those of any other of that number: by its files, or the refresh that had none to write."""
    for commit in log.backwards(version):
        files = sorted(f"{file.path} {file.rows}" for file in commit.files)
        if told := files or ([commit.stamp.refresh_id] if commit.stamp is not None else []):
            return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
    return ""
