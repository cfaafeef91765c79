"""Silver as others lay it out: made by Spark's SQL, refreshed by both engines, followed by the sensor, checked."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.delta.dates import days
from gold_assets.engines.spark import SparkEngine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.silver.changes import SilverChanges
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.engines.processes import OtherProcess, engine_process
from gold_assets_tests.micro_batches.daemon import Daemon
from gold_assets_tests.small_silver import MONDAY, TUESDAY
from gold_assets_tests.truth import differences

pytestmark = pytest.mark.spark

THURSDAY = dt.date(2024, 1, 4)
LIMITS = Limits(MONDAY, THURSDAY, quarantined_share=1.0)

_TIMESTAMPS = "user_id, product_id, amount, usage_cost_ratio, risk_level, CAST(event_date AS DATE) AS event_date, "


@dataclass(frozen=True)
class Case:
    """A Silver table as its owner made it.

    Attributes:
        columns: its columns, in the order of the contract, and ``more`` after them.
        layout: what follows ``USING delta`` when it is made.
        key, amount, day: how a key, an amount and a date are written into it.
        more: the values of further columns.
        then: what its owner does to it after the first day.
        ours: its rows as the project has them, in SQL.
        names: ``GOLD_SILVER_COLUMNS``.
    """

    columns: str = (
        "user_id STRING, product_id STRING, amount DOUBLE, usage_cost_ratio DOUBLE, risk_level STRING, event_date DATE"
    )
    layout: str = ""
    key: str = "'{}'"
    amount: str = "2.5"
    day: str = "DATE '{}'"
    more: str = ""
    then: tuple[str, ...] = ()
    ours: str = "*"
    names: Mapping[str, str] = field(default_factory=dict)
    is_clone: bool = False

    def with_columns(self, **types: str) -> "Case":
        """The case with other types of these columns."""
        columns = [column.split(" ", 1) for column in self.columns.split(", ")]
        return replace(self, columns=", ".join(f"{name} {types.get(name, type)}" for name, type in columns))

    def row(self, user: int | None, product: int, ratio: str, level: str | None, date: dt.date | None) -> str:
        values = [
            "NULL" if user is None else self.key.format(user),
            self.key.format(product),
            self.amount,
            ratio,
            "NULL" if level is None else f"'{level}'",
            "NULL" if date is None else self.day.format(date),
        ]
        return f"({', '.join(values)}{self.more})"


PLAIN = Case()
MAPPED = "TBLPROPERTIES ('delta.columnMapping.mode' = '{}')"

CASES = {
    "clustered, with row tracking, a change data feed, deletion vectors and vacuumProtocolCheck": replace(
        PLAIN,
        layout="CLUSTER BY (event_date) TBLPROPERTIES ('delta.enableRowTracking' = 'true', "
        "'delta.enableChangeDataFeed' = 'true', 'delta.enableDeletionVectors' = 'true', "
        "'delta.feature.vacuumProtocolCheck' = 'supported')",
    ),
    "partitioned by event_date and another": replace(PLAIN, layout="PARTITIONED BY (product_id, event_date)"),
    "mapped by id, clustered": replace(PLAIN, layout="CLUSTER BY (event_date) " + MAPPED.format("id")),
    "mapped by name, with spaces, for Iceberg too": replace(
        PLAIN,
        layout="PARTITIONED BY (event_date) TBLPROPERTIES ('delta.columnMapping.mode' = 'name', "
        "'delta.enableIcebergCompatV2' = 'true')",
        more=", 'north'",
    ).with_columns(event_date="DATE, `store name` STRING"),
    "a shallow clone": replace(PLAIN, layout="PARTITIONED BY (event_date)", is_clone=True),
    "widened, with deletion vectors and checkpoints": Case(
        layout="PARTITIONED BY (event_date) TBLPROPERTIES ('delta.enableTypeWidening' = 'true', "
        "'delta.enableDeletionVectors' = 'true', 'delta.checkpointInterval' = '3', 'delta.checkpointPolicy' = 'v2')",
        then=("ALTER TABLE {} ALTER COLUMN amount TYPE DECIMAL(18,4)", "ALTER TABLE {} ALTER COLUMN store TYPE BIGINT"),
        more=", 7",
    ).with_columns(amount="DECIMAL(10,2)", event_date="DATE, store INT"),
    "without statistics": replace(PLAIN, layout="TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '0')"),
    "whole numbers, floats, partitioned by another": replace(
        PLAIN, layout="PARTITIONED BY (product_id)", key="{}", amount="3"
    ).with_columns(user_id="BIGINT", product_id="SMALLINT", amount="BIGINT", usage_cost_ratio="FLOAT"),
    "floats, decimals, names that the tables need": replace(
        PLAIN,
        more=", false, 'none'",
        ours="user_id, product_id, amount, usage_cost_ratio, risk_level, event_date, "
        "is_high_risk AS silver_is_high_risk, Violations AS silver_Violations",
    ).with_columns(
        amount="FLOAT", usage_cost_ratio="DECIMAL(9,3)", event_date="DATE, is_high_risk BOOLEAN, Violations STRING"
    ),
    "timestamps, capitals": replace(
        PLAIN,
        columns="User_ID STRING, Product_Id STRING, AMOUNT DOUBLE, usage_cost_ratio DOUBLE, risk_level STRING, event_date TIMESTAMP",
        day="TIMESTAMP '{} 23:59:59.999999'",
        ours=_TIMESTAMPS + "event_date AS silver_event_date",
    ),
    "timestamps as partitions": replace(
        PLAIN,
        layout="PARTITIONED BY (event_date)",
        day="TIMESTAMP '{} 00:00:00'",
        ours=_TIMESTAMPS + "event_date AS silver_event_date",
    ).with_columns(event_date="TIMESTAMP"),
    "other names, a time without a zone": replace(
        PLAIN,
        columns="customer STRING, `the product` STRING, gross DECIMAL(12,4), ratio DOUBLE, risk_level STRING, "
        "happened TIMESTAMP_NTZ, user_id INT, event_date STRING",
        layout=MAPPED.format("name"),
        day="TIMESTAMP_NTZ '{} 12:00:00'",
        more=", 7, 'first'",
        ours="customer AS user_id, `the product` AS product_id, gross AS amount, ratio AS usage_cost_ratio, risk_level, "
        "CAST(happened AS DATE) AS event_date, happened, user_id AS silver_user_id, event_date AS silver_event_date",
        names={
            "user_id": "Customer",
            "product_id": "the product",
            "amount": "gross",
            "usage_cost_ratio": "ratio",
            "event_date": "happened",
        },
    ),
}

OF_LAYOUT = ("partitioned by event_date and another", "without statistics")
"""Those that differ in what their log tells, which no engine reads."""


@pytest.fixture(scope="module")
def sail() -> Iterator[OtherProcess]:
    with engine_process("sail") as process:
        yield process


class Owner:
    """Whoever writes Silver. Remembers which dates each commit truly touched."""

    def __init__(self, case: Case, place: str, engine: SparkEngine) -> None:
        self.case = case
        self.place = place
        self.touched: dict[int, set[dt.date | None]] = {}
        self._sql = engine.session.sql
        user, _, _, ratio, *_ = (
            column.split("` " if column[0] == "`" else " ")[0] for column in case.columns.split(", ")
        )
        self._user, self._ratio = user, ratio

    def make(self) -> None:
        table = f"delta.`{self.place}`"
        if self.case.is_clone:
            table = f"delta.`{self.place} of another`"
        self._sql(f"CREATE TABLE {table} ({self.case.columns}) USING delta {self.case.layout}")
        row = self.case.row
        monday = (
            row(1, 10, "0.1", "high", MONDAY),
            row(2, 11, "0.5", "low", MONDAY),
            row(None, 10, "0.5", "odd", MONDAY),
        )
        self._sql(f"INSERT INTO {table} VALUES {', '.join(monday)}")
        for statement in self.case.then:
            self._sql(statement.format(table))
        tuesday = row(1, 10, "0.1", "high", TUESDAY), row(3, 10, "NULL", None, TUESDAY)
        self._sql(f"INSERT INTO {table} VALUES {', '.join(tuesday)}")
        if self.case.is_clone:
            self._sql(f"CREATE TABLE delta.`{self.place}` SHALLOW CLONE {table}")

    def change(self) -> None:
        table = f"delta.`{self.place}`"
        user = self.case.key.format
        row = self.case.row
        appended = f"{row(5, 12, '0.15', 'high', THURSDAY)}, {row(4, 10, '0.5', 'low', None)}"
        self._commit(f"INSERT INTO {table} VALUES {appended}", {THURSDAY, None})
        self._commit(f"UPDATE {table} SET {self._ratio} = 0.05 WHERE {self._user} = {user(2)}", {MONDAY})
        self._commit(f"DELETE FROM {table} WHERE {self._user} = {user(3)}", {TUESDAY})

    def optimize(self) -> None:
        self._commit(f"OPTIMIZE delta.`{self.place}`", set())

    def _commit(self, statement: str, touches: set[dt.date | None]) -> None:
        self._sql(statement)
        self.touched[DeltaTable(self.place).version()] = touches

    def differences(self, lake: Lake) -> list[str]:
        rows = self._sql(f"SELECT {self.case.ours} FROM delta.`{self.place}`").toArrow()
        return differences(lake, silver=rows)


def red_checks(lake: Lake) -> list[str]:
    """What a check of the lake finds, but for the rows without a date and the date of yesterday."""
    found = run(all_checks(lake.project), Inspection(lake, None, LIMITS))
    return [
        f"{each.check.table}:{each.check.name} {each.date} {each.summary}"
        for each in found
        if not each.passed and each.check.name not in ("dates_in_window", "yesterday_is_there")
    ]


@pytest.mark.parametrize("name", CASES)
def test_any_silver_is_refreshed_followed_and_checked(
    name: str, engine: SparkEngine, sail: OtherProcess, tmp_path: Path
) -> None:
    case = CASES[name]
    here = replace(lake_in(tmp_path), silver_columns=case.names)
    there = replace(here, places=lake_in(tmp_path / "sail").places)
    owner = Owner(case, here.silver, engine)
    daemon = Daemon(here, dg.DagsterInstance.ephemeral())

    def follow() -> list[dt.date]:
        daemon.tick()
        asked = [(dt.date.fromisoformat(first), dt.date.fromisoformat(last)) for first, last in daemon.asked_for()]
        dates = [date for first, last in asked for date in days(first, last)]
        assert sail.refresh(tmp_path / "sail", list(dates), here.silver, case.names) is None
        daemon.end_all()
        assert red_checks(there) == []
        daemon.tick()
        assert not daemon.asked_for()
        return dates

    owner.make()
    follow()
    owner.change()
    assert follow() == [MONDAY, TUESDAY, THURSDAY]
    assert owner.differences(there) == []
    owner.optimize()
    daemon.tick()
    assert not daemon.asked_for()
    for version, touched in owner.touched.items():
        changes = SilverChanges(here.pin(version))
        found = changes.dates_after(version - 1), changes.every_date_after(version - 1)
        assert found == (touched, ""), f"version {version}"
    if name not in OF_LAYOUT:
        refresh(here, engine, days(MONDAY, THURSDAY))
        assert owner.differences(here) == []
        assert red_checks(here) == []
