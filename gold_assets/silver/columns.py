"""Silver's columns as the project knows them: under which names, and with which types."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import Field
from deltalake.schema import PrimitiveType

from gold_assets.declaring.column import Column
from gold_assets.declaring.source import Source
from gold_assets.delta.dates import EVENT_DATE, DateColumn
from gold_assets.delta.errors import UserError
from gold_assets.delta.types import CHAR_TYPE, parts, plain, type_name

_MAPPED_TO = "silver_{}"
"""The name of a column of Silver whose own name means something else here."""


@dataclass(frozen=True)
class MappedColumn:
    """A column as the project knows it, and the column of Silver that it is.

    Attributes:
        is_char: a CHAR, of which blanks at the end do not count: Spark may store them or not.
    """

    name: str
    source: str
    type: Any
    is_char: bool = False

    @property
    def field(self) -> Field:
        return Field(self.name, self.type)


@dataclass(frozen=True)
class SilverColumns:
    """Silver's columns, in its order, under the names by which the project knows them; and the one that dates a row.

    Attributes:
        left: by Silver's name, why a column is not among them.
    """

    mapped: tuple[MappedColumn, ...]
    date: DateColumn
    left: Mapping[str, str]

    @property
    def renamed(self) -> Mapping[str, str]:
        """By Silver's own name, the name of each column that has another here."""
        return {column.source: column.name for column in self.mapped if column.name != column.source}

    @property
    def as_they_are(self) -> bool:
        """Whether Silver has them all by the same names and as they are read, and dates its rows by a date."""
        is_char = any(column.is_char for column in self.mapped)
        return not self.renamed and not self.left and not is_char and self.date.type == "date"


def known_columns(
    uri: str,
    source: Source,
    fields: Sequence[Field],
    given: Mapping[str, str],
    reserved: Collection[str],
    prefix: str = "GOLD_",
) -> SilverColumns:
    """The columns ``fields`` of the Silver at ``uri`` as the project knows them.

    Args:
        given: by our name of a column, Silver's, where it has another. Case does not matter, as Delta has it.
        reserved: names that the tables need for columns of their own.
        prefix: what the project's settings begin with, for people.

    Raises ``UserError`` where a required column is missing or has a type that the source does not accept, and where there
    is no name left for one.
    """
    given = {column.name: column.source for column in source.columns if column.source} | dict(given)
    sources = {column.name: _source(uri, fields, column, given.get(column.name), prefix) for column in source.columns}
    date = DateColumn(sources[EVENT_DATE].name, type_name(sources[EVENT_DATE]))
    taken = {*sources, *(name.lower() for name in reserved)}
    theirs = {field.name.lower() for field in fields}
    mapped: list[MappedColumn] = []
    left: dict[str, str] = {}
    for field in fields:
        names = [name for name, source in sources.items() if source.name == field.name]
        mapped += [_mapped(name, field) for name in names]
        if names and not (EVENT_DATE in names and date.type != "date"):
            continue
        if why := _cannot_travel(field):
            left[field.name] = why
            continue
        name = field.name
        if name.lower() in taken:
            name = _MAPPED_TO.format(field.name)
            if name.lower() in {*taken, *theirs}:
                raise UserError(
                    f"Silver at {uri} has the columns {field.name} and {name}, of which the first would have to travel under "
                    f"the second's name, since the tables need {field.name} for their own: rename one of them in Silver."
                )
        mapped.append(_mapped(name, field))
    return SilverColumns(tuple(mapped), date, left)


def _mapped(name: str, field: Field) -> MappedColumn:
    if name == EVENT_DATE:
        return MappedColumn(name, field.name, PrimitiveType("date"))
    return MappedColumn(name, field.name, plain(field.type), str(field.metadata.get(CHAR_TYPE, "")).startswith("char("))


def _cannot_travel(field: Field) -> str:
    """Why a column that nothing needs stays in Silver; empty where it travels."""
    if "void" in parts(field.type):
        return "it has the type VOID, which holds nothing and which not every reader knows"
    if not isinstance(field.type, PrimitiveType) and re.search(r"\bchar\(", str(field.metadata.get(CHAR_TYPE, ""))):
        return "a CHAR is within it, which Spark stores with blanks at its end or without"
    return ""


def _source(uri: str, fields: Sequence[Field], column: Column, given: str | None, prefix: str) -> Field:
    wanted = given or column.name
    found = {field.name.lower(): field for field in fields}.get(wanted.lower())
    if found is None:
        names = ", ".join(field.name for field in fields)
        if given:
            raise UserError(
                f"Silver at {uri} has no column {given}, which its declaration or {prefix}SILVER_COLUMNS gives for {column.name}: correct it "
                f"(found: {names})."
            )
        raise UserError(
            f"Silver at {uri} has no column {column.name}, expected {column.accepted}: add it, name the one that it is in "
            f"{prefix}SILVER_COLUMNS, or point {prefix}SOURCE_PATH at a table that has it (found: {names})."
        )
    if not column.accepts(type_name(found)):
        raise UserError(
            f"Silver's column {found.name} is {type_name(found)}, expected {column.accepted}: "
            f"write Silver at {uri} with {found.name} as {column.accepted}."
        )
    return found
