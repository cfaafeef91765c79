"""Where Silver and the tables made from it are."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from deltalake import DeltaTable

from gold_assets.declaring.project import Project
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError
from gold_assets.delta.opening import opened
from gold_assets.delta.places import refuse_overlaps
from gold_assets.gold.decisions import Decision, Decisions
from gold_assets.gold.next_place import place_of
from gold_assets.gold.open_table import check_partitioning
from gold_assets.gold.production import Production
from gold_assets.gold.publication import Publications
from gold_assets.gold.safeguards import Safeguards
from gold_assets.silver.pin import Silver, pin_silver

_UNADDRESSABLE = {"path": re.compile(r"[\[\]^|]|%[0-9A-Fa-f]{2}"), "URI": re.compile(r"[\[\]^|?#]")}


@dataclass(frozen=True)
class Lake:
    """Silver and the tables made from it.

    Attributes:
        project: what Silver and the tables are; each table needs a place.
        silver: Silver's place, a path or a URI.
        places: the places of the tables made from it, by table name. A table whose key or columns become others is made beside it.
        silver_columns: by our name of a column of Silver, Silver's own, where it has another.
        published: the place of the table of publications, where there are any.
        safeguards: when Gold does not follow Silver by itself.
        production: of a branch, where the tables are that it does not change.

    Raises:
        UserError: a path is one that delta-rs would not find again, a table has no place, or one place lies within another.

    Examples:
        >>> from gold_assets import transactions
        >>> places = {table.name: f"data/{table.name}" for table in transactions.project.tables}
        >>> Lake(transactions.project, "data/silver", places, published="data/published").silver
        'data/silver'
    """

    project: Project
    silver: str
    places: Mapping[str, str]
    silver_columns: Mapping[str, str] = field(default_factory=dict)
    published: str | None = None
    safeguards: Safeguards = field(default_factory=Safeguards)
    production: Production | None = None

    def __post_init__(self) -> None:
        for place in filter(None, (self.silver, *self.places.values(), self.published)):
            kind = "URI" if "://" in place else "path"
            if found := _UNADDRESSABLE[kind].search(place):
                raise UserError(
                    f"The {kind} {place} holds {found[0]}, which delta-rs cannot address or takes for something else: "
                    f"choose a {kind} without it."
                )
        if missing := [table.name for table in self.tables if table.name not in self.places]:
            raise UserError(
                f"The lake has no place for {', '.join(missing)}, expected one for each of its tables: add it to places."
            )
        refuse_overlaps(self.named_places)

    @property
    def tables(self) -> Sequence[Table]:
        """The project's tables."""
        return self.project.tables

    @property
    def named_places(self) -> Mapping[str, str]:
        """By what people call them, all places that are read or written."""
        beside = {
            "published": self.published,
            "what is kept beside published": self._dates_kept_at,
            "the decisions beside published": self.decisions_at,
        }
        return {"Silver": self.silver, **self.places, **{name: place for name, place in beside.items() if place}}

    def pin(self, version: int | None = None) -> Silver:
        """Silver at ``version``, by default its newest. Raises ``UserError`` where it is not what it must be."""
        reserved = {column.name for table in self.tables if table.keeps_source_columns for column in table.columns} - {
            EVENT_DATE
        }
        return pin_silver(
            self.silver,
            self.project.source,
            version,
            self.silver_columns,
            reserved,
            self._dates_kept_at,
            self.project.env_prefix,
        )

    @property
    def _dates_kept_at(self) -> str | None:
        return self._beside("silver_dates")

    @property
    def decisions_at(self) -> str | None:
        """The place of what people have decided of dates that Gold does not follow, where there is one."""
        return self._beside("decisions")

    def _beside(self, what: str) -> str | None:
        """A place beside the publications: whatever may write these may write there."""
        return None if self.published is None else f"{self.published.rstrip('/')}_{what}"

    def publications(self) -> Publications:
        """The table of publications, of a lake that has a place for it. Raises ``UserError`` where that cannot be read."""
        assert self.published is not None
        # What a branch published while a table was production's is still there, whosever the table is now.
        places = self.places if self.production is None else {}
        return Publications(self.published, places, self.project.env_prefix)

    def decisions(self) -> Sequence[Decision]:
        """What people have decided, the newest first. Raises ``UserError`` where it cannot be read."""
        return [] if self.decisions_at is None else Decisions(self.decisions_at, self.published_setting).all()

    @property
    def published_setting(self) -> str:
        """By which the place of publications is given, for people."""
        return f"{self.project.env_prefix}PUBLISHED_PATH"

    def place(self, name: str) -> str:
        """Where the table of this name is: at its place in ``places``, or at the next one, see ``place_of``."""
        [table] = self.named([name])
        return place_of(table, self.places[name])

    def open(self, table: Table, version: int | None = None) -> DeltaTable | None:
        """The table at ``version``, by default its newest; None where there is none.

        Raises ``UserError`` where it cannot be opened, or another table is in its place.
        """
        place = self.place(table.name)
        otherwise = "see that the place is a Delta table, that its log is whole and that this process may read it"
        if (delta_table := opened(f"{table.name} at {place}", place, version, otherwise=otherwise)) is not None:
            check_partitioning(table, place, delta_table)
        return delta_table

    def published_silver(self, table_id: str) -> str:
        """Where the Silver table with this id is, as the newest publication says; empty where it names another one."""
        newest = self.publications().newest() if self.published else None
        return newest.silver_uri if newest is not None and newest.silver_table_id == table_id else ""

    def named(self, names: Collection[str]) -> Sequence[Table]:
        """The tables with these names, in the order of ``tables``. Raises ``UserError`` for a name that is none of theirs."""
        known = [table.name for table in self.tables]
        if unknown := [name for name in names if name not in known]:
            raise UserError(f"There is no table {unknown[0]}, expected some of {', '.join(known)}: correct the name.")
        return tuple(table for table in self.tables if table.name in names)
