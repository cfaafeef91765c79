"""The one table that a project's tables are made from."""

from dataclasses import dataclass

from gold_assets.silver.contract import Rule, SilverColumn


@dataclass(frozen=True)
class Source:
    """A Delta table that others write, and from which the project's tables are made.

    Attributes:
        name: what it is called, in the SQL of the tables' references too; as an asset it is ``silver_`` and the name.
        columns: the columns that it must have.
        rules: what every row must be to count as valid.
    """

    name: str
    columns: tuple[SilverColumn, ...]
    rules: tuple[Rule, ...]
    description: str = ""
