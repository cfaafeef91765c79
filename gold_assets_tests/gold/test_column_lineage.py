"""Each Gold column's declared ``made_from``, held against what the tables do when one column of Silver changes."""

from pathlib import Path
from typing import Any

import pytest

from gold_assets.declaring.table import Table
from gold_assets.engines import Engine
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import rows_of

ROWS = [row(), high_risk_row(), row(risk_level="?")]
CHANGES: dict[str, Any] = {
    "user_id": lambda r: "zoe",
    "product_id": lambda r: "zinc",
    "amount": lambda r: 9.0,
    # The high-risk row stays high-risk.
    "usage_cost_ratio": lambda r: r["usage_cost_ratio"] / 2,
    "event_date": lambda r: TUESDAY,
}
"""By column of Silver, another value that keeps the row in the tables that it is in."""


def values(folder: Path, engine: Engine, rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """By table and column, what is in it."""
    lake = lake_in(folder)
    write_silver(lake, rows)
    refresh(lake, engine, [MONDAY, TUESDAY])
    tables = {name: rows_of(uri) for name, uri in lake.places.items()}
    return {
        (name, column): sorted(map(str, table[column].to_pylist()))
        for name, table in tables.items()
        for column in table.column_names
    }


def made_from(table: Table, column: str) -> tuple[str, ...]:
    return table.made_from(column)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> dict[tuple[str, str], list[str]]:
    return values(tmp_path_factory.mktemp("before"), engine, ROWS)


@pytest.mark.parametrize("changed", CHANGES)
def test_a_column_of_silver_shows_in_the_columns_made_from_it_and_no_other(
    changed: str, before: dict[tuple[str, str], list[str]], tmp_path: Path, engine: Engine
) -> None:
    after = values(tmp_path, engine, [r | {changed: CHANGES[changed](r)} for r in ROWS])
    differ = {place for place in before if before[place] != after[place]}
    # A flag, a count and a name of a rule say of values only whether they are good: other good ones leave them as they are.
    steady = {"is_high_risk", "rated_count", "violations"}
    declared = {
        (table.name, column)
        for table in TABLES
        for name, column in before
        if name == table.name and changed in made_from(table, column) and column not in steady
    }
    assert differ == declared
