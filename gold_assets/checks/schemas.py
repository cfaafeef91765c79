"""That Silver and the tables have the columns they must have."""

from collections.abc import Iterator

from gold_assets.checks.findings import Check, Finding
from gold_assets.checks.inspection import Inspection, not_there
from gold_assets.checks.second_opinion import Number
from gold_assets.delta.errors import UserError
from gold_assets.delta.types import type_name
from gold_assets.delta.words import count_of
from gold_assets.gold.declaration import Table
from gold_assets.gold.open_table import declared_fields


def schema(table: Table, inspection: Inspection, check: Check) -> Iterator[Finding]:
    gold = inspection.gold(table)
    if gold is None:
        yield not_there(table, inspection, check, None)
        return
    expected = {field.name: type_name(field) for field in declared_fields(table, inspection.silver.fields)}
    own = {column.name for column in table.columns}
    found = {field.name: type_name(field) for field in gold.schema().fields}
    wrong = [
        {"column": name, "expected": type, "found": found.get(name, "nothing")}
        for name, type in expected.items()
        # What Silver has gained since is added by the next refresh.
        if found.get(name) != type and (name in own or name in found)
    ]
    if not table.keeps_silver_columns:
        wrong += [
            {"column": name, "expected": "nothing", "found": found[name]} for name in found if name not in expected
        ]
    yield Finding(
        check,
        None,
        not wrong,
        f"{count_of(len(found), 'column')} as declared."
        if not wrong
        else f"{count_of(len(wrong), 'column')} not as declared, first {wrong[0]['column']}: expected {wrong[0]['expected']}, "
        f"found {wrong[0]['found']}.",
        {"columns": len(found), "wrong_columns": len(wrong), "table_version": gold.version()},
        wrong,
    )


def silver_schema(inspection: Inspection, check: Check) -> Iterator[Finding]:
    try:
        silver = inspection.silver
    except UserError as error:
        yield Finding(check, None, False, str(error))
        return
    columns = [
        {"column": lent.name, "type": type_name(lent.field), "in_silver": lent.source} for lent in silver.columns.lent
    ]
    numbers: dict[str, Number | str] = {"columns": len(columns), "silver_version": silver.version}
    summary = f"Version {silver.version} has every column of the contract."
    summary += "".join(f" {name} stays in Silver: {why}." for name, why in silver.columns.left.items())
    yield Finding(check, None, True, summary, numbers, columns)
