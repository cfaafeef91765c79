"""What the UI tells of a table, in numbers, rows and columns: each of it true of the table."""

import datetime as dt
import inspect
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from gold_assets import transactions
from gold_assets.assets.metadata import KEYS, declared_metadata
from gold_assets.gold.lake import Lake
from gold_assets.transactions import transformations
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.project import gold_tables, resources_on, silver_transactions
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, with_type, write_silver

SILVER = dg.AssetKey("silver_transactions")

pytestmark = pytest.mark.sail

SPEND, USAGE, RISK, QUARANTINE = "user_spend_summary", "product_usage_metrics", "high_risk_txns", "quarantined_txns"
DATES = (MONDAY, TUESDAY, WEDNESDAY)

Materialized = dict[tuple[str, dt.date], dict[str, Any]]


@pytest.fixture(scope="module")
def materialized(tmp_path_factory: pytest.TempPathFactory) -> Materialized:
    """One run over three dates, of which Tuesday has no rows: what it told of each table and date."""
    folder = tmp_path_factory.mktemp("lake")
    names = (SPEND, USAGE, RISK, QUARANTINE)
    lake = Lake(
        transactions.project,
        str(folder / "silver"),
        {name: str(folder / name) for name in names},
        published=str(folder / "published"),
    )
    write_silver(
        lake,
        [
            row(amount=2.5),
            row(amount=0.25, usage_cost_ratio=0.25),
            row(user_id="bob", product_id="rye", amount=1.0, usage_cost_ratio=None),
            row(amount=float("nan")),
            high_risk_row(event_date=WEDNESDAY, amount=3.0),
            high_risk_row(event_date=WEDNESDAY, user_id="cat", amount=4.0, note="a"),
        ],
        schema=with_type("note", pa.string()),
    )
    instance = dg.DagsterInstance.ephemeral()
    done = dg.materialize(
        [gold_tables, silver_transactions],
        selection=dg.AssetSelection.assets(*names),
        tags={"dagster/asset_partition_range_start": str(MONDAY), "dagster/asset_partition_range_end": str(WEDNESDAY)},
        resources=resources_on(lake),
        instance=instance,
    )
    told = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
    return {
        (event.asset_key.to_user_string(), dt.date.fromisoformat(str(event.partition))): dict(event.metadata)
        for event in told
    }


def number(metadata: dict[str, dg.MetadataValue], name: str) -> object:
    return metadata[name].value if name in metadata else None


def test_each_date_tells_its_own_numbers(materialized: Materialized) -> None:
    def of(table: str, name: str) -> list[object]:
        return [number(materialized[table, date], name) for date in DATES]

    assert of(SPEND, "spend") == [3.75, None, 7.0]
    assert of(SPEND, "transactions") == [3, None, 2]
    assert of(USAGE, "avg_usage_cost_ratio") == [0.375, None, 0.1]
    assert of(USAGE, "rated_share") == [pytest.approx(2 / 3), None, 1.0]
    assert of(RISK, "amount") == [None, None, 7.0]
    assert of(RISK, "users") == [None, None, 2]
    assert of(QUARANTINE, "quarantined_share") == [0.25, 0.0, 0.0]


def test_every_key_is_described(materialized: Materialized) -> None:
    numbers = {name for table in TABLES for name in table.numbers}
    told = {name for metadata in materialized.values() for name in metadata}
    assert told - numbers <= KEYS["A materialization of a date"].keys()
    assert declared_metadata(TABLES[0], "").keys() == KEYS["A table"].keys()


def test_example_rows_are_of_the_newest_date_that_has_some_in_the_order_of_the_key(materialized: Materialized) -> None:
    def rows(table: str) -> list[dict[str, object]]:
        return [dict(record.data) for record in materialized[table, WEDNESDAY]["example_rows"].records]

    assert [(r["user_id"], r["total_spend"], r["event_date"]) for r in rows(SPEND)] == [
        ("ann", "3.0000", "2024-01-03"),
        ("cat", "4.0000", "2024-01-03"),
    ]
    [bad] = rows(QUARANTINE)
    assert (bad["event_date"], bad["amount"], bad["violations"]) == ("2024-01-01", "nan", "amount_is_not_money")
    json.dumps(rows(QUARANTINE), allow_nan=False)


def test_the_columns_are_the_tables_those_that_silver_lends_included(materialized: Materialized) -> None:
    schema = materialized[RISK, WEDNESDAY]["dagster/column_schema"].schema
    columns = {column.name: column.type for column in schema.columns}
    assert columns["note"] == "string"
    assert list(columns)[-2:] == ["is_high_risk", "event_date"]


def test_lineage_leads_each_column_to_silver(materialized: Materialized) -> None:
    def made_from(table: str) -> dict[str, list[str]]:
        lineage = materialized[table, WEDNESDAY]["dagster/column_lineage"].column_lineage
        assert {dep.asset_key for deps in lineage.deps_by_column.values() for dep in deps} == {SILVER}
        return {name: [dep.column_name for dep in deps] for name, deps in lineage.deps_by_column.items()}

    assert made_from(SPEND) == {
        "user_id": ["user_id"],
        "total_spend": ["amount"],
        "transaction_count": [],
        "event_date": ["event_date"],
    }
    risk = made_from(RISK)
    assert risk["note"] == ["note"]
    assert risk["is_high_risk"] == ["risk_level", "usage_cost_ratio"]


def test_links_lead_to_the_code_of_the_transformation() -> None:
    [spec] = [spec for spec in gold_tables.specs if spec.key == dg.AssetKey(SPEND)]
    reference = spec.metadata["dagster/code_references"].code_references[0]
    assert Path(reference.file_path) == Path(str(inspect.getsourcefile(transformations)))
    line = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1]
    assert line.startswith(f"def {SPEND}(")
