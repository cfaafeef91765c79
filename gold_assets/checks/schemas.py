"""That Silver and the tables have the columns they must have."""

from collections.abc import Iterator

from deltalake import Field

from gold_assets.checks.findings import Check, Finding
from gold_assets.checks.inspection import Inspection, where_there
from gold_assets.checks.second_opinion import Number
from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError
from gold_assets.delta.plural import plural
from gold_assets.delta.types import type_name
from gold_assets.gold.open_table import declared_fields, fits, left_in_silver


@where_there
def schema(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    gold = inspection.moment.log(table).table
    declared = declared_fields(table, inspection.moment.silver.fields)
    expected = {field.name: type_name(field) for field in declared}
    own = {column.name for column in table.columns}
    exact = {column.name for column in table.columns if column.type != "key"}
    there = {field.name: field for field in gold.schema().fields}
    found = {name: type_name(field) for name, field in there.items()}
    left = left_in_silver(table, gold, declared)

    def is_wrong(field: Field) -> bool:
        if field.name not in there:
            return field.name in own  # what Silver has gained is added by the next refresh
        if field.name in exact:
            return found[field.name] != expected[field.name]
        return field.name not in left and not fits(there[field.name], field)  # what it has widened is widened

    wrong = [
        {"column": field.name, "expected": type_name(field), "found": found.get(field.name, "nothing")}
        for field in declared
        if is_wrong(field)
    ]
    if not table.keeps_source_columns:
        wrong += [
            {"column": name, "expected": "nothing", "found": found[name]} for name in found if name not in expected
        ]
    if wrong:
        first = wrong[0]
        summary = f"{plural(len(wrong), 'column')} not as declared, first {first['column']}: "
        summary += f"expected {first['expected']}, found {first['found']}."
    else:
        summary = f"{plural(len(found), 'column')} as declared."
    for name, why in left.items():
        summary += f" {name} is NULL in what is made from now on, for {why}: set {table.path_setting} to another path to have it."
    numbers = {"columns": len(found), "wrong_columns": len(wrong), "table_version": gold.version()}
    yield Finding(check, None, not wrong and not left, summary, numbers, wrong, milder=not wrong)


def silver_schema(inspection: Inspection, check: Check) -> Iterator[Finding]:
    try:
        silver = inspection.moment.silver
    except UserError as error:
        yield Finding(check, None, False, str(error))
        return
    columns = [
        {"column": column.name, "type": type_name(column.field), "in_silver": column.source}
        for column in silver.columns.mapped
    ]
    numbers: dict[str, Number | str] = {"columns": len(columns), "silver_version": silver.version}
    summary = f"Version {silver.version} has every column of the contract."
    summary += "".join(f" {name} stays in Silver: {why}." for name, why in silver.columns.left.items())
    yield Finding(check, None, True, summary, numbers, columns)
