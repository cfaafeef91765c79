"""Where Silver and the tables made from it are."""

import datetime as dt
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from gold_assets.delta.errors import UserError
from gold_assets.gold.declaration import Table
from gold_assets.gold.tables import TABLES
from gold_assets.silver.changes import dates_with_files

_UNADDRESSABLE = re.compile(r"[\[\]^|]|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Lake:
    """Silver and the tables made from it.

    Attributes:
        silver: Silver's place, a path or a URI.
        places: the places of the tables made from it, by table name.
        tables: what those tables are, each of which needs a place.

    Raises ``UserError`` for a path that delta-rs would not find again.
    """

    silver: str
    places: Mapping[str, str]
    tables: tuple[Table, ...] = TABLES

    def __post_init__(self) -> None:
        for place in (self.silver, *self.places.values()):
            if "://" not in place and (found := _UNADDRESSABLE.search(place)):
                raise UserError(
                    f"The path {place} holds {found[0]}, which delta-rs cannot address or takes for something else: "
                    "choose a path without it."
                )
        if missing := [table.name for table in self.tables if table.name not in self.places]:
            raise UserError(
                f"The lake has no place for {', '.join(missing)}, expected one for each of its tables: add it to places."
            )

    def named(self, names: Collection[str]) -> tuple[Table, ...]:
        """The tables with these names, in the order of ``tables``. Raises ``UserError`` for a name that is none of theirs."""
        known = [table.name for table in self.tables]
        if unknown := [name for name in names if name not in known]:
            raise UserError(f"There is no table {unknown[0]}, expected some of {', '.join(known)}: correct the name.")
        return tuple(table for table in self.tables if table.name in names)


def gold_dates(lake: Lake) -> set[dt.date]:
    """The dates that any of the tables made from Silver has files for."""
    dates: set[dt.date | None] = set()
    for table in lake.tables:
        try:
            dates |= dates_with_files(DeltaTable(lake.places[table.name]))
        except TableNotFoundError:
            continue
    return {date for date in dates if date is not None}
