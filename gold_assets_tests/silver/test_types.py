"""Silver's values mean the same in Gold, whatever types its writer gave them in the table and in its files."""

import datetime as dt
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pytest

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import few_rows
from gold_assets_tests.small_silver import as_int96, row, with_type, write_silver
from gold_assets_tests.truth import rows_of

copied_or_not = pytest.mark.parametrize(
    "few", [0, pytest.param(100, marks=pytest.mark.sail)], ids=["read by the engine", "copied"]
)


def red(lake: Lake, dates: Collection[dt.date]) -> list[str]:
    """What checks of the tables' columns and rows find."""
    inspection = Inspection(lake, dates, Limits(min(dates), max(dates), quarantined_share=1.0))
    found = run(all_checks(lake.tables), inspection)
    return [each.summary for each in found if not each.passed and each.check.name in ("reconciles", "schema")]


@copied_or_not
def test_a_timestamp_is_the_same_moment_whatever_type_its_file_gives_it(lake: Lake, engine: Engine, few: int) -> None:
    moments = [
        dt.datetime(1, 1, 1, tzinfo=dt.timezone.utc),
        dt.datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=dt.timezone.utc),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.timezone.utc),
    ]
    schema = with_type("event_date", pa.timestamp("us", "UTC"), with_type("valid_to", pa.timestamp("us", "UTC")))
    rows = [row(amount=amount, event_date=moment, valid_to=moment) for moment in moments for amount in (1.0, None)]
    write_silver(lake, rows, schema=schema, partition_by=())
    as_int96(Path(lake.silver))
    dates = [moment.date() for moment in moments]
    with few_rows(engine, few):
        refresh(lake, engine, dates)
    quarantined = rows_of(lake.places["quarantined_txns"])
    assert sorted(quarantined["valid_to"].to_pylist()) == moments
    assert sorted(quarantined["event_date"].to_pylist()) == dates
    assert sorted(rows_of(lake.places["user_spend_summary"])["event_date"].to_pylist()) == dates
    assert red(lake, dates) == []
