"""A project: one source, and the tables that are made from it."""

from dataclasses import dataclass

from gold_assets.declaring.source import Source, refuse_twice
from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError


@dataclass(frozen=True)
class Project:
    """What a lake, Dagster's definitions and the commands work for.

    Attributes:
        name: what it is called.
        source: what its tables are made from.
        tables: the tables, in the order in which people see them.

    Example: ``Project("sales", orders, (REVENUE_BY_DAY, BAD_ORDERS))``.

    Raises ``UserError`` where a table is made from another source, or two tables have the same name, setting or path.
    """

    name: str
    source: Source
    tables: tuple[Table, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", tuple(self.tables))
        for kind in ("name", "path_setting", "default_path"):
            refuse_twice(f"The project {self.name}", f"table's {kind}", [getattr(table, kind) for table in self.tables])
        if other := [table for table in self.tables if table.source != self.source]:
            raise UserError(
                f"The table {other[0].name} is made from {other[0].source.name}, expected the source of the project {self.name}, "
                f"{self.source.name}: declare it for that one."
            )
