"""Where Silver and the tables made from it are."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from gold_assets.delta.errors import UserError
from gold_assets.silver.changes import dates_with_files

_UNADDRESSABLE = re.compile(r"[\[\]^|]|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Lake:
    """Where the tables are: Silver's place and, by table name, the places of the tables made from it. Paths or URIs.

    Raises ``UserError`` for a path that delta-rs would not find again.
    """

    silver: str
    places: Mapping[str, str]

    def __post_init__(self) -> None:
        for place in (self.silver, *self.places.values()):
            if "://" not in place and (found := _UNADDRESSABLE.search(place)):
                raise UserError(
                    f"The path {place} holds {found[0]}, which delta-rs cannot address or takes for something else: "
                    "choose a path without it."
                )


def gold_dates(lake: Lake) -> set[dt.date]:
    """The dates that any of the tables made from Silver has files for."""
    dates: set[dt.date | None] = set()
    for uri in lake.places.values():
        try:
            dates |= dates_with_files(DeltaTable(uri))
        except TableNotFoundError:
            continue
    return {date for date in dates if date is not None}
