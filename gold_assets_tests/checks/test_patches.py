"""The checks of a patch: they compare what it added, find one that went wrong, and cost no more than it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.declaring.column import Column
from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.gold import commits
from gold_assets.gold.combine import combined
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import QUARANTINED_TXNS
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import rows_of

LIMITS = Limits(MONDAY, TUESDAY, quarantined_share=1.0)
NEW = [
    row(),
    row(user_id="new", product_id="new"),
    high_risk_row(user_id="new"),
    row(amount=None),
    row(event_date=None),
]
KEYED = ["user_spend_summary", "product_usage_metrics"]
ROWS = ["high_risk_txns", "quarantined_txns"]


@pytest.fixture
def gold(lake: Lake, engine: Engine) -> Lake:
    write_silver(lake, [kind(event_date=date) for date in (MONDAY, TUESDAY) for kind in (row, high_risk_row)])
    write_silver(lake, [row(amount=None), row(event_date=None)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    return lake


def patch(lake: Lake, engine: Engine) -> None:
    write_silver(lake, NEW)
    refresh(lake, engine, [MONDAY], how="patch")


def findings(lake: Lake, *, patches: bool = True) -> list[Finding]:
    inspection = Inspection(lake, [MONDAY], LIMITS, patches=patches)
    return [found for found in run(gold_checks(lake.tables), inspection) if found.check.name != "yesterday_is_there"]


def failed(lake: Lake, *, patches: bool = True) -> set[str]:
    return {f"{found.check.table}:{found.check.name}" for found in findings(lake, patches=patches) if not found.passed}


def compared(lake: Lake) -> dict[str, str]:
    return {
        found.check.table: str(found.numbers["compared"])
        for found in findings(lake)
        if found.check.name == "reconciles"
    }


class Careless:
    """An engine whose appended rows come out as ``change`` has it."""

    def __init__(self, engine: Engine, change: Any) -> None:
        self._engine = engine
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def append(self, table: DeltaTable, rows: DataFrame, predicate: str, user_metadata: str) -> None:
        self._engine.append(table, self._change(rows), predicate, user_metadata)


def test_a_right_patch_passes_every_check_by_what_it_added(gold: Lake, engine: Engine) -> None:
    patch(gold, engine)
    assert failed(gold) == set()
    assert compared(gold) == dict.fromkeys([*KEYED, *ROWS], "the newest patch")
    reconciled = [found for found in findings(gold) if found.check.name == "reconciles"]
    assert {found.numbers["new_silver_rows"] for found in reconciled} == {4}
    assert "the 4 rows that Silver gained after version 1, up to 2" in reconciled[0].summary


def test_a_patch_after_a_patch_is_compared_by_itself(gold: Lake, engine: Engine) -> None:
    for _ in range(3):
        patch(gold, engine)
        assert failed(gold) == set()
    assert failed(gold, patches=False) == set()


def test_a_key_that_is_added_twice_is_found(gold: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        commits, "combined", lambda table, before, new: combined(table, combined(table, before, new), new)
    )
    patch(gold, engine)
    assert {f"{name}:reconciles" for name in KEYED} <= failed(gold)


def test_new_keys_that_are_forgotten_are_found(gold: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "combined", lambda table, before, new: before)
    patch(gold, engine)
    assert {f"{name}:reconciles" for name in KEYED} <= failed(gold)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.unionByName(rows),
        lambda rows: rows.limit(0),
        lambda rows: rows.fillna({"risk_level": "x"}).replace("new", "old", ["user_id"]),
    ],
    ids=["twice", "not at all", "with another value"],
)
def test_rows_that_are_added_wrongly_are_found(gold: Lake, engine: Engine, change: Any) -> None:
    write_silver(gold, NEW)
    refresh(gold, Careless(engine, change), [MONDAY], how="patch")
    assert "high_risk_txns:reconciles" in failed(gold)


def test_a_patch_of_all_rows_is_compared_with_the_rows_before(
    gold: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "MOST_APPENDED", 0)
    patch(gold, engine)
    assert failed(gold) == set()
    monkeypatch.setattr(commits, "combined", lambda table, before, new: combined(table, before, new).unionByName(new))
    patch(gold, engine)
    assert {f"{name}:reconciles" for name in (*KEYED, *ROWS)} <= failed(gold)


def test_what_was_wrong_before_a_patch_is_found_by_the_comparison_in_full(gold: Lake, engine: Engine) -> None:
    patch(gold, engine)
    DeltaTable(gold.places["user_spend_summary"]).optimize.compact()
    path = gold.places["high_risk_txns"]
    DeltaTable(path).delete("user_id = 'ann'")
    assert compared(gold)["high_risk_txns"] == "in full"
    assert "high_risk_txns:reconciles" in failed(gold)


def test_a_patch_whose_files_are_gone_is_compared_in_full(gold: Lake, engine: Engine) -> None:
    patch(gold, engine)
    spend = DeltaTable(gold.places["user_spend_summary"])
    spend.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert compared(gold)["user_spend_summary"] == "in full"
    assert failed(gold) == set()


def test_rows_of_the_date_are_counted_by_the_log(gold: Lake, engine: Engine) -> None:
    patch(gold, engine)
    [share] = [found for found in findings(gold) if found.check.name == "share"]
    assert share.numbers == {"quarantined_rows": 2, "silver_rows": 7, "quarantined_share": 2 / 7}


# How the columns of a table add up.

EXTREMES = Table(
    "extremes",
    source,
    version="1",
    description="The largest amount and the least ratio of each user.",
    reference="""
        SELECT user_id, max(amount) AS largest, min(usage_cost_ratio) AS least, event_date
        FROM transactions GROUP BY user_id, event_date""",
    transformation=lambda rows: (
        rows.groupBy("user_id", "event_date")
        .agg(F.max("amount").alias("largest"), F.min("usage_cost_ratio").alias("least"))
        .select("user_id", "largest", "least", "event_date")
    ),
    columns=(
        Column("user_id", "string", "Who."),
        Column("largest", "double", "The largest amount."),
        Column("least", "double", "The least ratio; NULL where no row has one."),
        Column("event_date", "date", "When."),
    ),
    key=("user_id", "event_date"),
    zorder_by=("user_id",),
)
SILENT = dataclasses.replace(EXTREMES, reference=EXTREMES.reference.replace("max(amount)", "coalesce(max(amount), 0)"))
BEFORE = [
    row(amount=999.99, usage_cost_ratio=None),
    row(user_id="bob", amount=1.0, usage_cost_ratio=0.5),
    row(user_id="eve", usage_cost_ratio=None),
    row(user_id="gus", amount=-7.0),
]
SINCE = [
    row(amount=5.5, usage_cost_ratio=0.25),
    row(user_id="bob", amount=2.0, usage_cost_ratio=None),
    row(user_id="eve", usage_cost_ratio=None),
    row(user_id="new", amount=3.0),
]
TRUE = {
    "ann": (999.99, 0.25),
    "bob": (2.0, 0.5),
    "eve": (2.5, None),
    "gus": (-7.0, 0.5),
    "new": (3.0, 0.5),
}


def refreshed_extremes(folder: Path, engine: Engine, table: Table) -> tuple[Lake, str]:
    """The lake with the table after rows were appended to its date, and what was done with the date."""
    lake = lake_in(folder, (table, QUARANTINED_TXNS))
    write_silver(lake, BEFORE)
    refresh(lake, engine, [MONDAY])
    write_silver(lake, SINCE)
    return lake, refresh(lake, engine, [MONDAY], how="patch").dates["extremes"][MONDAY].step.how


def held_extremes(lake: Lake) -> dict[str, tuple[float, float | None]]:
    return {
        found["user_id"]: (found["largest"], found["least"]) for found in rows_of(lake.places["extremes"]).to_pylist()
    }


def test_of_the_largest_and_the_least_a_patch_keeps_one(tmp_path: Path, engine: Engine) -> None:
    lake, how = refreshed_extremes(tmp_path, engine, EXTREMES)
    assert (how, held_extremes(lake)) == ("patched", TRUE)
    assert compared(lake)["extremes"] == "the newest patch"
    assert failed(lake) == failed(lake, patches=False) == set()


@pytest.mark.sail
def test_a_table_with_a_column_that_does_not_say_how_it_adds_up_is_recomputed(tmp_path: Path, engine: Engine) -> None:
    lake, how = refreshed_extremes(tmp_path, engine, SILENT)
    assert (how, held_extremes(lake)) == ("recomputed", TRUE)
    assert failed(lake) == set()


@pytest.mark.sail
def test_a_patch_that_adds_up_otherwise_than_the_sql_is_found(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    summed = dataclasses.replace(EXTREMES, reference=EXTREMES.reference.replace("max(amount)", "sum(amount)"))
    monkeypatch.setattr(commits, "combined", lambda table, before, new: combined(summed, before, new))
    lake, how = refreshed_extremes(tmp_path, engine, EXTREMES)
    assert (how, held_extremes(lake)["ann"]) == ("patched", (1005.49, 0.25))
    assert failed(lake) == {"extremes:reconciles"}


@pytest.mark.sail
def test_a_reference_that_duckdb_cannot_answer_is_one_sentence(tmp_path: Path, engine: Engine) -> None:
    reference = EXTREMES.reference.replace("max(amount)", "highest_of(max(amount))")
    lake, _ = refreshed_extremes(tmp_path, engine, dataclasses.replace(EXTREMES, reference=reference))
    with pytest.raises(UserError, match=r"DuckDB cannot answer what extremes is compared with \(.*: correct SELECT"):
        failed(lake)
