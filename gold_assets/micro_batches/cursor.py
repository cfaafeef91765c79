"""What the micro-batch sensor remembers from tick to tick."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from gold_assets.delta.dates import dates_text
from gold_assets.delta.log import CommitFile
from gold_assets.gold.safeguards import Safeguards
from gold_assets.partitions import Range

_DATES_TOLD = 3
"""So many runs of dates are named."""


@dataclass(frozen=True)
class Asked:
    """A range of dates that a run was asked for, until one has succeeded.

    Attributes:
        versions: the first and the last commit of Silver for which it was asked for first.
        attempt: how often it was asked for.
        again_at: when it is asked for again, in seconds since 1970. Until then the dates wait; None while their run is
            in flight.
        run_id: of the last run that did not succeed. That run's configuration tells which dates of the range are meant.
    """

    versions: tuple[int, int]
    dates: Range
    attempt: int
    again_at: float | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Cursor:
    """How far the sensor has followed Silver, and what it has asked for that is not done.

    Attributes:
        table_id: Silver's. Another one means that the table was made anew, and everything starts over.
        followed, commit: Silver's version up to which Gold has every change, but for what is asked for, -1 before the
            first; and the fingerprint of its commit.
        silver, gold: the commits at which Silver's log and those of the tables ended, which tell what is new without
            opening any; None for a log that was not there. ``gold`` is empty before the first look.
        window: the partition window when dates were last asked for. A date that enters it is asked for.
        outside: which dates of Silver the window leaves out, for people.
        asked: what is asked for.
        held: the dates on which Gold keeps what it has until a person decides.
        decisions: the commit at which the log of decisions ended.
        safeguards: by which dates were held when they were last looked at.
    """

    table_id: str | None = None
    followed: int = -1
    commit: str = ""
    silver: CommitFile | None = None
    gold: Mapping[str, CommitFile | None] = field(default_factory=dict)
    window: Range | None = None
    outside: str = ""
    asked: tuple[Asked, ...] = ()
    held: tuple[dt.date, ...] = ()
    decisions: CommitFile | None = None
    safeguards: Safeguards | None = None

    @property
    def notes(self) -> str:
        """What is told with everything else, for people."""
        if not self.held:
            return self.outside
        return f"{self.outside} Gold keeps what it has on {dates_text(self.held, _DATES_TOLD)}: gold held tells why."

    def dumps(self) -> str:
        return _JSON.dump_json(self).decode()

    @classmethod
    def loads(cls, text: str | None) -> "Cursor":
        """The cursor as it was written; one that makes no sense, or none, is the first: it asks for everything."""
        try:
            values = json.loads(text or "{}")
            return _JSON.validate_python(_of_an_earlier_release(values) if "applied" in values else values)
        except (KeyError, TypeError, ValueError):
            return cls()


_JSON = TypeAdapter(Cursor)


def _of_an_earlier_release(values: Mapping[str, Any]) -> dict[str, Any]:
    """The cursor with one window of commits in flight, whose ranges were all waited for."""
    applied, requested = values["applied"], values.get("requested")
    if not requested:
        return {**values, "followed": applied}
    versions = (applied + 1, requested["to"])
    of_all = {"versions": versions, "attempt": requested["attempt"], "again_at": requested["again_at"]}
    asked = [{**of_all, "dates": dates} for dates in requested["ranges"]]
    return {**values, "followed": requested["to"], "commit": requested.get("commit", ""), "asked": asked}
