"""What the tables promise their readers, in the Open Data Contract Standard, and which of its changes break them.

https://bitol-io.github.io/open-data-contract-standard/v3.1.0/
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from deltalake import Field
from deltalake.schema import ArrayType, PrimitiveType

from gold_assets.declaring.project import Project
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.types import can_become, type_name
from gold_assets.gold.open_table import declared_fields

API_VERSION = "v3.1.0"

_LOGICAL_TYPES = {
    **dict.fromkeys(("byte", "short", "integer", "long"), "integer"),
    **dict.fromkeys(("decimal", "double", "float"), "number"),
    **dict.fromkeys(("timestamp", "timestamp_ntz"), "timestamp"),
    **{name: name for name in ("string", "boolean", "date", "array")},
}
"""By Delta's names without their digits. The standard has none for binary."""


@dataclass(frozen=True)
class Change:
    """What a contract says otherwise than the one before, and whether that breaks readers."""

    said: str
    breaks: bool


def contract_of(project: Project, silver_fields: Sequence[Field]) -> dict[str, Any]:
    """The contract of the project's tables, made from a Silver with these columns.

    It has the declared columns. Further ones of Silver's, which a table may keep, are no promise.
    """
    return {
        "kind": "DataContract",
        "apiVersion": API_VERSION,
        "id": project.name,
        "name": project.name,
        "version": "1.0.0",
        "status": "active",
        "schema": [_table(table, silver_fields) for table in project.tables],
    }


def as_yaml(contract: Mapping[str, Any], file: Path | None = None) -> str:
    """The contract as YAML. What the ``file`` says besides its tables stays, such as version, team and support."""
    there = read(file) if file is not None and file.exists() else {}
    ours = {name: contract[name] for name in ("kind", "apiVersion", "schema")}
    text: str = yaml.safe_dump({**contract, **there, **ours}, sort_keys=False, allow_unicode=True, width=120)
    return text


def read(file: Path) -> dict[str, Any]:
    """A contract from its file. Raises ``UserError``."""
    again = f"write it with gold contract --output {file}"
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"There is no contract {file}, expected the one that readers know: {again}, and commit it."
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"The contract {file} cannot be read ({reason(error)}): {again}.") from error
    is_whole = isinstance(found, dict) and found.get("kind") == "DataContract" and isinstance(found.get("schema"), list)
    if not is_whole or not all(isinstance(table, dict) and "name" in table for table in found["schema"]):
        raise UserError(
            f"{file} is no contract of the Open Data Contract Standard, expected kind DataContract and a schema of tables: {again}."
        )
    contract: dict[str, Any] = found
    return contract


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What readers of ``before`` find otherwise in ``after``, what breaks them first."""
    return sorted(_changes(before, after), key=lambda change: not change.breaks)


def _table(table: Table, silver_fields: Sequence[Field]) -> dict[str, Any]:
    of_source = table.source.by_name if table.keeps_source_columns else {}
    own = {column.name: column for column in table.columns}
    descriptions = {name: column.description for name, column in {**of_source, **own}.items()}
    needed = {*table.key, *(() if table.is_quarantine else (EVENT_DATE,))}
    if not table.is_quarantine:
        needed |= {name for name, column in of_source.items() if not column.may_be_null}
    return _said(
        name=table.name,
        logicalType="object",
        physicalType="table",
        description=table.description,
        dataGranularityDescription=f"One row for each {', '.join(table.key)}." if table.key else "",
        properties=[
            _column(field, table, descriptions[field.name], is_required=field.name in needed)
            for field in declared_fields(table, silver_fields)
            if field.name in descriptions
        ],
        quality=list(_quality(table)),
    )


def _column(field: Field, table: Table, description: str, *, is_required: bool) -> dict[str, Any]:
    items = (
        _said(logicalType=_logical_type(field.type.element_type), physicalType=type_name(field)[6:-1])
        if isinstance(field.type, ArrayType)
        else {}
    )
    return _said(
        name=field.name,
        description=description,
        logicalType=_logical_type(field.type),
        physicalType=type_name(field),
        items=items,
        required=is_required,
        primaryKey=field.name in table.key,
        primaryKeyPosition=table.key.index(field.name) + 1 if field.name in table.key else None,
        partitioned=field.name == EVENT_DATE,
        partitionKeyPosition=1 if field.name == EVENT_DATE else None,
    )


def _quality(table: Table) -> Iterator[dict[str, Any]]:
    if table.key:
        yield {
            "name": "key_is_unique",
            "description": f"No two rows have the same {', '.join(table.key)}.",
            "dimension": "uniqueness",
            "metric": "duplicateValues",
            "arguments": {"properties": list(table.key)},
            "mustBe": 0,
        }
    for name, holds in table.invariants.items():
        yield _sql(name, f"Every row meets {holds}.", holds)
    for rule in table.source.rules:
        means = rule.description or rule.condition
        if table.is_quarantine:
            yield {
                "name": rule.name,
                "type": "text",
                "description": f"Rows of {table.source.name} that break this rule are here: {means}.",
            }
        elif table.keeps_source_columns and rule.condition:
            yield _sql(rule.name, f"No row is here that breaks this rule: {means}.", rule.condition)
        else:
            yield {
                "name": rule.name,
                "type": "text",
                "description": f"No row of {table.source.name} counts that breaks this rule: {means}.",
            }


def _sql(name: str, description: str, holds: str) -> dict[str, Any]:
    query = f"SELECT count(*) FROM {{object}} WHERE NOT coalesce(({holds}), false)"
    return {
        "name": name,
        "description": description,
        "dimension": "conformity",
        "type": "sql",
        "query": query,
        "mustBe": 0,
    }


def _said(**said: Any) -> dict[str, Any]:
    """What says something: the standard takes what is not there for no, and refuses NULL."""
    return {name: value for name, value in said.items() if value not in (None, "", False, [], {})}


def _logical_type(type: object) -> str | None:
    name = (
        "array" if isinstance(type, ArrayType) else type.type.split("(")[0] if isinstance(type, PrimitiveType) else ""
    )
    return _LOGICAL_TYPES.get(name)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old, new = (_by_name(contract.get("schema")) for contract in (before, after))
    yield from (Change(f"The table {name} is gone.", True) for name in old if name not in new)
    yield from (Change(f"The table {name} is new.", False) for name in new if name not in old)
    for name in old.keys() & new.keys():
        yield from _changes_of(name, old[name], new[name])


def _changes_of(table: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old, new = (_by_name(side.get("properties")) for side in (before, after))
    keys = [_key(columns.values()) for columns in (old, new)]
    if keys[0] != keys[1]:
        was, is_now = (", ".join(sorted(key)) or "none" for key in keys)
        yield Change(f"The key of {table} is {is_now}, it was {was}.", True)
    for name, column in old.items():
        if name not in new:
            yield Change(f"The column {table}.{name} is gone.", True)
        else:
            yield from _changes_in(f"{table}.{name}", column, new[name])
    yield from (Change(f"The column {table}.{name} is new.", False) for name in new if name not in old)
    rules = [_by_name(side.get("quality")) for side in (before, after)]
    for name in rules[0].keys() | rules[1].keys():
        if rules[0].get(name) != rules[1].get(name):
            yield Change(f"{table} promises another {name}.", False)
    if before.get("description") != after.get("description"):
        yield Change(f"{table} has another description.", False)


def _changes_in(column: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    was, is_now = (str(side.get("physicalType", "")) for side in (before, after))
    if was != is_now:
        is_wider = _holds(was, is_now)
        yield Change(
            f"The column {column} is {is_now}, it was {was}{'' if is_wider else ', which does not fit into that'}.",
            not is_wider,
        )
    if before.get("required") and not after.get("required"):
        yield Change(f"The column {column} may be NULL, which it never was.", True)
    elif after.get("required") and not before.get("required"):
        yield Change(f"The column {column} is never NULL any more.", False)
    if before.get("description") != after.get("description"):
        yield Change(f"The column {column} has another description.", False)


def _by_name(elements: Any) -> dict[str, Mapping[str, Any]]:
    return {str(each["name"]): each for each in elements or () if isinstance(each, Mapping) and "name" in each}


def _key(columns: Collection[Mapping[str, Any]]) -> set[str]:
    return {str(column["name"]) for column in columns if column.get("primaryKey")}


def _holds(was: str, is_now: str) -> bool:
    """Whether a column of the one type, by Delta's names, holds every value of the other."""
    old, new = _type(was), _type(is_now)
    return old is not None and new is not None and can_become(old, new)


def _type(name: str) -> PrimitiveType | ArrayType | None:
    try:
        return ArrayType(PrimitiveType(name[len("array<") : -1])) if name.startswith("array<") else PrimitiveType(name)
    except ValueError:
        return None
