"""A project: one source, and the tables that are made from it."""

import copy
import importlib
import re
from collections.abc import Collection, Sequence
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
        name: what it is called. In Dagster its assets are ``web/views_by_page`` …, its sensors, jobs and all else ``web_micro_batch_sensor`` …
        source: what its tables are made from.
        tables: the tables, in the order in which people see them. To those in SQL a quarantine is added, where there is none.
        env_prefix: what its settings begin with in place of ``GOLD_``, so that it has places and a window of its own beside another
            project: with ``WEB_`` they are ``WEB_SOURCE_PATH``, ``WEB_PARTITIONS_START`` … and what they do not say lies below
            ``data/`` and the project's name. Engine, store, alerts and UI are as ``GOLD_`` has them, unless ``WEB_`` has them too.

    Raises:
        UserError: a table is made from another source, two tables have the same name, setting or path, or the name or prefix
            cannot be one.

    Examples:
        >>> views = Source("page_views", [Column("page", "string")], date="viewed_at")
        >>> by_page = Table("views_by_page", sql="SELECT page, event_date, count(*) AS views FROM page_views GROUP BY page, event_date")
        >>> [table.name for table in Project("web", views, [by_page]).tables]
        ['views_by_page', 'quarantined_page_views']
    """

    name: str
    source: Source
    tables: Sequence[Table]
    env_prefix: str = "GOLD_"

    def __post_init__(self) -> None:
        tables = [replace(table, source=self.source) if table.source is None else table for table in self.tables]
        if any(table.sql for table in tables) and not any(table.is_quarantine for table in tables):
            tables.append(_quarantine(self.source))
        if not re.fullmatch(r"[A-Za-z0-9_]+", self.name):
            raise UserError(
                f"The project's name is {self.name!r}, expected letters, digits and _, such as web: its names in Dagster begin with it."
            )
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*_", self.env_prefix):
            raise UserError(
                f"The project {self.name} has the env_prefix {self.env_prefix!r}, expected capitals that end with _, such as WEB_: correct it."
            )
        for table in tables if self.env_prefix != "GOLD_" else []:
            if not table.path_setting.startswith(self.env_prefix):
                setting = self.env_prefix + table.path_setting.removeprefix("GOLD_")
                tables[tables.index(table)] = replace(table, path_setting=setting)
        object.__setattr__(self, "tables", tuple(tables))
        for kind in ("name", "path_setting", "default_path"):
            refuse_twice(f"The project {self.name}", f"table's {kind}", [getattr(table, kind) for table in self.tables])
        if other := [table for table in self.tables if table.source != self.source]:
            raise UserError(
                f"The table {other[0].name} is made from {other[0].source.name}, expected the source of the project {self.name}, "
                f"{self.source.name}: declare it for that one."
            )

    def only(self, names: Collection[str]) -> "Project":
        """The project with the tables of these names alone, without a quarantine where that is none of them.

        Args:
            names: of some of its tables.

        Returns:
            A project of the same name and source, with the same settings.

        Examples:
            >>> from gold_assets import transactions
            >>> [table.name for table in transactions.project.only(["high_risk_txns"]).tables]
            ['high_risk_txns']
        """
        narrowed = copy.copy(self)
        object.__setattr__(narrowed, "tables", tuple(table for table in self.tables if table.name in names))
        return narrowed

    def lake(self, root: str | None = None) -> "Lake":
        """The project's lake, with all its places below one root.

        Args:
            root: a path or a URI; by default the places are those of the settings, as ``gold`` reads them.

        Returns:
            The lake; nothing is looked at or made yet.

        Raises:
            UserError: a setting makes no sense, or the root cannot be addressed.

        Examples:
            >>> from gold_assets import transactions
            >>> lake = transactions.project.lake("data")
            >>> lake.silver, lake.places["user_spend_summary"], lake.published
            ('data/silver/transactions', 'data/gold/user_spend_summary', 'data/published')
        """
        from gold_assets.gold.lake import Lake

        if root is None:
            settings = importlib.import_module("gold_assets.environment")  # by name, for it stands above
            settings.read_env_file()
            of_settings: Lake = settings.load_settings(self).lake
            return of_settings
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
