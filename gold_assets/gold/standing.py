"""How dates of Gold stand to Silver."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from gold_assets.gold.provenance import MadeFrom


@dataclass(frozen=True)
class Standing:
    """How a date of a table stands to Silver, as the logs of both tell.

    Attributes:
        kind: ``known``: its rows are those of the Silver version that it was made from. ``open``: the logs leave open of
            which version they are. ``foreign``: they were made from another Silver, or from a version that this one does
            not have. ``missing``: the table's log tells of no refresh of it. ``kept``: Gold keeps it as it was verified
            last, since it is sealed or held, and Silver's log does not tell any more what it was made from.
        made: how it was made, where that is told.
        version: of Silver, to compare the date with.
        doubt: why that is the newest, where that need not be the one the date was made from.
    """

    kind: Literal["known", "open", "foreign", "missing", "kept"]
    made: MadeFrom | None
    version: int
    doubt: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nothing but a comparison tells which rows of Silver the date holds."""
        return self.kind in ("open", "missing")


@dataclass(frozen=True)
class Basis:
    """What a date is compared with: a version of Silver, and why it is not simply the one that the date was made from.

    Attributes:
        verified: where Silver has neither any more, and the date is kept as it was verified last: when that was.
    """

    version: int
    doubt: str = ""
    verified: str = ""


@dataclass(frozen=True)
class Lag:
    """What Silver's newest commits hold and a table does not.

    Attributes:
        dates: those of which rows are missing.
        version: the oldest commit of Silver whose rows are.
        committed: when that was, by its writer's clock, in UTC; None where its log does not say.
    """

    dates: Collection[dt.date]
    version: int
    committed: dt.datetime | None

    def seconds(self, now: float, since: float = 0.0) -> float:
        """For how long they have been missing, but at most since ``since``. Both moments in seconds since 1970."""
        began = max(self.committed.timestamp() if self.committed else 0.0, since)
        return now - began if began else 0.0
