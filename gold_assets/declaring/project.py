"""A project: one source, and the tables that are made from it."""

from collections import Counter
from dataclasses import dataclass

from gold_assets.declaring.source import Source
from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError


@dataclass(frozen=True)
class Project:
    """What a lake, Dagster's definitions and the commands work for.

    Attributes:
        name: what it is called.
        source: what its tables are made from.
        tables: the tables, in the order in which people see them.

    Example: ``Project("sales", Source("orders", columns, rules), (REVENUE_BY_DAY, BAD_ORDERS))``.

    Raises ``UserError`` where two tables have the same name, setting or path.
    """

    name: str
    source: Source
    tables: tuple[Table, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", tuple(self.tables))
        for what in ("name", "path_setting", "default_path"):
            given, times = next(iter(Counter(getattr(table, what) for table in self.tables).most_common(1)), ("", 0))
            if times > 1:
                raise UserError(
                    f"{times} tables of the project {self.name} have the {what} {given}: give each one of its own."
                )
