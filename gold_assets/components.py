"""The component by which ``dg`` makes a project from a file defs.yaml: ``dg scaffold defs gold_assets.components.GoldProject web --silver URI``.

``dg`` imports this module wherever gold_assets is installed, whatever its extras: all else is imported when it is used.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import dagster as dg
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from gold_assets.declaring.project import Project


class ColumnModel(dg.Model):
    """A ``Column`` of the source."""

    name: str
    type: str
    description: str = ""
    source: str = ""
    nullable: bool | None = None


class RuleModel(dg.Model):
    """A ``Rule`` of the source."""

    name: str
    description: str = ""
    condition: str = ""
    reads: str = ""


class SourceModel(dg.Model):
    """The ``Source``."""

    name: str
    date: str
    columns: Sequence[ColumnModel] = ()
    rules: Sequence[RuleModel] = ()


class TableModel(dg.Model):
    """A ``Table``, by its SELECT."""

    name: str
    sql: str
    key: Sequence[str] = ()
    description: str = ""


class Params(BaseModel):
    """What ``dg scaffold defs`` asks for."""

    silver: str = Field(description="The Delta table that Gold is to be made from, a path or a URI.")


class GoldProjectScaffolder(dg.Scaffolder[Params]):
    """Looks at a Delta table and declares it, with one table that counts its rows, as ``gold init`` does."""

    @classmethod
    def get_scaffold_params(cls) -> type[Params]:
        """What ``dg scaffold defs`` asks for."""
        return Params

    def scaffold(self, request: dg.ScaffoldRequest[Params]) -> None:
        """Write defs.yaml, and say what of the table is not declared there."""
        from gold_assets.declaring.draft import draft_of, plain_name
        from gold_assets.delta.errors import UserError
        from gold_assets.environment import load_reading_settings, read_env_file

        try:
            read_env_file()
            load_reading_settings()
            draft = draft_of(request.params.silver)
        except UserError as error:
            request.target_path.rmdir()  # made just now, and in the way of another try
            raise click.ClickException(str(error)) from None
        declared = {"columns": list(map(_given, draft.columns)), "rules": list(map(_given, draft.rules))}
        source = {"name": draft.source.name, "date": draft.source.date, **declared}
        table = {"name": draft.table.name, "sql": " ".join(draft.table.sql.split())}
        dg.scaffold_component(
            request, {"name": plain_name(request.target_path.name), "source": source, "tables": [table]}
        )
        for column, why in draft.left.items():
            click.echo(f"Not declared: {column}, {why}.")
        click.echo(f"Write GOLD_SOURCE_PATH='{draft.uri}' to the file .env of the folder that dagster is started in.")


@dg.scaffold_with(GoldProjectScaffolder)
class GoldProject(dg.Component, dg.Resolvable, dg.Model):
    """Gold tables, each one SELECT, kept exactly true to a Delta table: assets, checks, sensor, schedules and publication.

    Attributes:
        name: the project's name.
        source: the source, its columns and rules.
        tables: the tables, each with its name and SELECT.
        env_prefix: what its settings begin with.

    Raises:
        UserError: parts of the declaration contradict each other.

    Examples:
        >>> declared = {
        ...     "name": "web",
        ...     "source": {"name": "page_views", "date": "viewed_at", "columns": [{"name": "page", "type": "string"}]},
        ...     "tables": [
        ...         {"name": "views", "sql": "SELECT page, event_date, count(*) AS views FROM page_views GROUP BY page, event_date"}
        ...     ],
        ... }
        >>> GoldProject.from_attributes_dict(attributes=declared).project.tables[0].key
        ('page', 'event_date')
    """

    name: str
    source: SourceModel
    tables: Sequence[TableModel]
    env_prefix: str = "GOLD_"

    @property
    def project(self) -> "Project":
        """What it declares, for the command ``gold`` and for Python."""
        from gold_assets.declaring.column import Column
        from gold_assets.declaring.project import Project
        from gold_assets.declaring.source import Rule, Source
        from gold_assets.declaring.table import Table

        columns = [Column(**dict(column)) for column in self.source.columns]
        rules = [Rule(**dict(rule)) for rule in self.source.rules]
        source = Source(self.source.name, columns, rules, date=self.source.date)
        return Project(self.name, source, [Table(**dict(table)) for table in self.tables], self.env_prefix)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """What Dagster loads of it."""
        from gold_assets.code_location import definitions

        return definitions(self.project)


def _given(declared: object) -> Mapping[str, Any]:
    return {name: value for name, value in vars(declared).items() if value}
