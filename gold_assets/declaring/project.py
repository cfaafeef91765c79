"""A project: one source, and the tables that are made from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gold_assets.declaring.column import Column
from gold_assets.declaring.source import VIOLATIONS, Source, refuse_twice
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError

if TYPE_CHECKING:
    from gold_assets.gold.lake import Lake


@dataclass(frozen=True)
class Project:
    """What a lake, Dagster's definitions and the commands work for.

    Attributes:
        name: what it is called.
        source: what its tables are made from.
        tables: the tables, in the order in which people see them. To those in SQL a quarantine is added, where there is none.

    Example: ``Project("sales", orders, (REVENUE_BY_DAY, BAD_ORDERS))``.

    Raises ``UserError`` where a table is made from another source, or two tables have the same name, setting or path.
    """

    name: str
    source: Source
    tables: Sequence[Table]

    def __post_init__(self) -> None:
        tables = [replace(table, source=self.source) if table.source is None else table for table in self.tables]
        if any(table.sql for table in tables) and not any(table.is_quarantine for table in tables):
            tables.append(_quarantine(self.source))
        object.__setattr__(self, "tables", tuple(tables))
        for kind in ("name", "path_setting", "default_path"):
            refuse_twice(f"The project {self.name}", f"table's {kind}", [getattr(table, kind) for table in self.tables])
        if other := [table for table in self.tables if table.source != self.source]:
            raise UserError(
                f"The table {other[0].name} is made from {other[0].source.name}, expected the source of the project {self.name}, "
                f"{self.source.name}: declare it for that one."
            )

    def lake(self, root: str) -> "Lake":
        """The project's lake with all its places below ``root``, a path or a URI: ``project.lake("data/web")``."""
        from gold_assets.gold.lake import Lake

        root = root.rstrip("/")
        places = {table.name: f"{root}/{table.default_path}" for table in self.tables}
        return Lake(self, f"{root}/silver/{self.source.name}", places, published=f"{root}/published")


def _quarantine(source: Source) -> Table:
    return Table(
        f"quarantined_{source.name}",
        source,
        description=f"Rows of {source.name} that break a rule, with the names of the rules, and therefore count in no table.",
        reference=f"SELECT *, {VIOLATIONS} FROM {source.name}",
        columns=(
            Column(VIOLATIONS, "array<string>", "Names of the broken rules."),
            Column(EVENT_DATE, "date", "UTC date; the partition."),
        ),
        default_path=f"quarantine/{source.name}",
    )
