"""When a date is left alone, patched or recomputed; and that patches, however many and whoever races, end with the truth."""

import dataclasses
import datetime as dt
import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.errors import UserError
from gold_assets.delta.log import DeltaLog
from gold_assets.engines import Engine
from gold_assets.gold import commits, plan
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import Refreshed, refresh
from gold_assets.gold.tables import PRODUCT_USAGE_METRICS, TABLES
from gold_assets_tests.conftest import ENGINE, CopyOf
from gold_assets_tests.gold.test_refresh import Wrapped, refreshed_two_days, rows_of_each_kind
from gold_assets_tests.small_silver import MONDAY, TUESDAY, commit, high_risk_row, row, write_silver
from gold_assets_tests.truth import QUARANTINE, assert_gold_is_true, rows_of

BOTH = [MONDAY, TUESDAY]
SPEND = "user_spend_summary"
RISK = "high_risk_txns"


@pytest.fixture
def lake(copy_of: CopyOf) -> Lake:
    """Rows of each kind on Monday and on Tuesday, refreshed from version 0."""
    return copy_of(refreshed_two_days)


def patch(lake: Lake, engine: Any, **how: Any) -> Refreshed:
    done = refresh(lake, engine, BOTH, how="patch", **how)
    assert_gold_is_true(lake)
    return done


def said(lake: Lake, engine: Engine, date: dt.date = MONDAY, table: str = SPEND) -> str:
    """What a refresh that patches did with the date of the table, and why."""
    done = patch(lake, engine)
    return str(done.dates[table][date].step if date in done.dates[table] else done.current[table][date])


def grow(lake: Lake, **changes: Any) -> None:
    write_silver(lake, [*rows_of_each_kind(MONDAY), high_risk_row(user_id="new", **changes)])


def silver(lake: Lake) -> DeltaTable:
    return DeltaTable(lake.silver)


def files_on(lake: Lake, name: str, date: dt.date = MONDAY) -> int:
    return sum(f"event_date={date}" in uri for uri in DeltaTable(lake.places[name]).file_uris())


# What the logs say.


def test_a_date_that_silver_has_only_added_to_is_patched_in_all_tables(lake: Lake, engine: Engine) -> None:
    grow(lake)
    write_silver(lake, [row(event_date=None)])
    done = patch(lake, engine)
    for table in TABLES:
        assert str(done.dates[table.name][MONDAY].step) == "patched: 1 file added in version 1"
        assert str(done.current[table.name][TUESDAY]) == "current: made from version 0, unchanged since"
        rows = rows_of(lake.places[table.name])["event_date"].to_pylist()
        assert done.dates[table.name][MONDAY].rows == rows.count(MONDAY)
    assert None in rows_of(lake.places[QUARANTINE])["event_date"].to_pylist()


def test_where_nothing_is_to_be_done_nothing_is_committed(lake: Lake, engine: Engine) -> None:
    silver(lake).optimize.compact()
    before = {name: DeltaTable(uri).version() for name, uri in lake.places.items()}
    done = patch(lake, engine)
    assert done.dates == {name: {} for name in before}
    assert before == {name: DeltaTable(uri).version() for name, uri in lake.places.items()}


def test_a_replay_adds_nothing(lake: Lake, engine: Engine) -> None:
    grow(lake)
    patch(lake, engine)
    assert said(lake, engine) == "current: made from version 1"


def test_an_older_silver_changes_nothing(lake: Lake, engine: Engine) -> None:
    grow(lake)
    patch(lake, engine)
    done = patch(lake, engine, silver_version=0)
    assert str(done.current[SPEND][MONDAY]) == "current: made from version 1"


def test_removed_changed_and_moved_rows_are_recomputed(lake: Lake, engine: Engine) -> None:
    grow(lake)
    silver(lake).delete("event_date = '2024-01-01' AND user_id = 'ann'")
    assert said(lake, engine) == "recomputed: rows removed in version 2"
    silver(lake).update({"amount": "9"}, predicate="event_date = '2024-01-01' AND user_id = 'new'")
    assert said(lake, engine) == "recomputed: rows removed in version 3"
    silver(lake).update({"event_date": "DATE '2024-01-02'"}, predicate="user_id = 'new'")
    assert said(lake, engine) == "recomputed: rows removed in version 4"


def test_files_with_a_deletion_vector_are_recomputed(lake: Lake, engine: Engine) -> None:
    grow(lake)
    log = Path(lake.silver) / "_delta_log" / f"{1:020}.json"
    vector = {"storageType": "i", "pathOrInlineDv": "x", "sizeInBytes": 1, "cardinality": 0}
    log.write_text(log.read_text().replace('"deletionVector":null', f'"deletionVector":{vector}'.replace("'", '"')))
    if '"cardinality"' not in log.read_text():
        log.write_text(
            log.read_text().replace('"add":{', '"add":{"deletionVector":' + str(vector).replace("'", '"') + ",")
        )
    changes = plan.file_changes(lake.pin(0), -1, most_commits=9)
    assert not any(file.has_vector for files in changes.files.values() for file in files)
    later = dataclasses.replace(lake.pin(0), version=1)
    steps = plan.Planner(later).steps(lake.tables[0], DeltaTable(lake.places[SPEND]), [MONDAY])
    assert str(steps[MONDAY]) == "recomputed: rows hidden by a deletion vector in version 1"


def test_a_file_that_was_there_is_not_added_twice(lake: Lake, engine: Engine) -> None:
    [add] = [
        action["add"]
        for action in DeltaLog(lake.silver).actions(0)
        if "add" in action and action["add"]["partitionValues"]["event_date"] == str(MONDAY)
    ]
    commit(Path(lake.silver), {"add": add})
    assert said(lake, engine) == "recomputed: files were added that were there"
    commit(Path(lake.silver), {"add": add})
    commit(Path(lake.silver), {"add": add})
    assert said(lake, engine).startswith("recomputed: files added in versions 2 to 3 are not there any more")


def test_added_files_that_were_compacted_since_are_recomputed(lake: Lake, engine: Engine) -> None:
    grow(lake)
    silver(lake).optimize.compact()
    silver(lake).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert said(lake, engine) == "recomputed: files added in version 1 are not there any more"


def test_changed_properties_of_silver_recompute(lake: Lake, engine: Engine) -> None:
    grow(lake)
    silver(lake).alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})
    assert said(lake, engine) == "recomputed: columns or properties changed in version 2"


def test_a_log_of_silver_that_was_cut_recomputes(lake: Lake, engine: Engine) -> None:
    for _ in range(2):
        grow(lake)
    silver(lake).create_checkpoint()
    (Path(lake.silver) / "_delta_log" / f"{1:020}.json").unlink()
    assert "the log no longer has version 1" in said(lake, engine)


def test_another_silver_in_the_same_place_recomputes(lake: Lake, engine: Engine) -> None:
    shutil.rmtree(lake.silver)
    grow(lake)
    grow(lake)
    assert said(lake, engine) == "recomputed: made from another Silver table"


def test_another_code_version_recomputes(lake: Lake, engine: Engine) -> None:
    grow(lake)
    newer = tuple(dataclasses.replace(table, code_version="2") for table in lake.tables)
    assert said(dataclasses.replace(lake, tables=newer), engine) == "recomputed: made by code version 1, which is 2 now"


def test_a_table_without_addition_recomputes(lake: Lake, engine: Engine) -> None:
    grow(lake)
    without = tuple(dataclasses.replace(table, addition=None) for table in lake.tables)
    assert said(dataclasses.replace(lake, tables=without), engine) == f"recomputed: {SPEND} declares no addition"


def test_columns_by_other_names_recompute(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    other = dataclasses.replace(lake, silver_columns={"amount": "usage_cost_ratio"})
    steps = plan.Planner(other.pin()).steps(lake.tables[0], DeltaTable(lake.places[SPEND]), [MONDAY])
    assert str(steps[MONDAY]) == "recomputed: made when other columns of Silver had other names here"


def test_rows_that_somebody_else_wrote_into_gold_are_recomputed(lake: Lake, engine: Engine) -> None:
    write_deltalake(lake.places[RISK], rows_of(lake.places[RISK]), mode="append")
    grow(lake)
    assert said(lake, engine, table=RISK) == "recomputed: somebody else changed its rows in version 2 of the table"
    DeltaTable(lake.places[SPEND]).delete("event_date = '2024-01-02'")
    assert said(lake, engine, TUESDAY).startswith("recomputed: somebody else changed its rows")


def test_a_restored_gold_is_patched_from_what_it_holds(lake: Lake, engine: Engine) -> None:
    grow(lake)
    patch(lake, engine)
    for uri in lake.places.values():
        DeltaTable(uri).restore(1)
    grow(lake)
    assert said(lake, engine) == "patched: 2 files added in versions 1 to 2"


def test_an_ordered_gold_is_patched(lake: Lake, engine: Engine) -> None:
    engine.optimize(DeltaTable(lake.places[RISK]), [MONDAY], ["user_id"], "{}")
    grow(lake)
    assert said(lake, engine, table=RISK).startswith("patched")


def test_a_person_heals_what_looks_current(lake: Lake, engine: Engine) -> None:
    [add] = [
        action["add"]
        for action in DeltaLog(lake.places[SPEND]).actions(1)
        if "add" in action and str(MONDAY) in action["add"]["path"]
    ]
    path = Path(lake.places[SPEND]) / add["path"]
    other = next(path.parent.parent.glob(f"event_date={TUESDAY}/*.parquet"))
    shutil.copy(other, path)
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)


# In a row.


@pytest.mark.sail
def test_after_some_patches_in_a_row_a_date_is_recomputed(
    lake: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MOST_PATCHES", 2)
    found = []
    for _ in range(4):
        grow(lake)
        found.append(said(lake, engine).split(":")[0])
    assert found == ["patched", "patched", "recomputed", "patched"]


@pytest.mark.sail
def test_appended_files_become_one_after_some_patches(
    lake: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "MOST_APPENDED", 2)
    found = []
    for _ in range(4):
        grow(lake)
        patch(lake, engine)
        found.append(files_on(lake, RISK))
    assert found == [2, 3, 1, 2]


@pytest.mark.sail
def test_500_patches_in_a_row_equal_a_recompute(lake: Lake, engine: Engine) -> None:
    usage = lake.named(["product_usage_metrics"])
    for number in range(500):
        changes = {"usage_cost_ratio": (number % 19) / 100, "amount": number / 3}
        write_silver(lake, [row(product_id=f"{number % 7}", **changes)])
        done = refresh(lake, engine, [MONDAY], how="patch", tables=usage)
        if number % 20 == 0:  # else the time goes into reading logs
            silver(lake).create_checkpoint()
            DeltaTable(lake.places["product_usage_metrics"]).create_checkpoint()
    step = done.dates["product_usage_metrics"][MONDAY].step
    assert str(step) == "patched: 1 file added in version 500"
    assert step.made is not None and step.made.patches == 499
    assert_gold_is_true(lake, tables=["product_usage_metrics"])


HOSTILE = [1e300, -1e300, 1e-300, 5e-324, -5e-324, 1e-310, 0.1, -0.1, 3e-320, 1 / 3]


@pytest.mark.sail
@pytest.mark.parametrize("ratios", [HOSTILE, [5e-324, 1e-310, -3e-320], [1e300, -1e300, 1e-300]], ids=str)
def test_patched_averages_of_hostile_numbers_stay_within_the_bound(
    lake: Lake, engine: Engine, ratios: list[float]
) -> None:
    lake = dataclasses.replace(lake, tables=(PRODUCT_USAGE_METRICS,))
    values: list[float] = []
    for value in itertools.islice(itertools.cycle(ratios), 30):
        values.append(value)
        write_silver(lake, [row(product_id="hostile", usage_cost_ratio=value)])
        refresh(lake, engine, [MONDAY], how="patch")
    [found] = [
        each["avg_usage_cost_ratio"]
        for each in rows_of(lake.places["product_usage_metrics"]).to_pylist()
        if each["product_id"] == "hostile"
    ]
    exact = sum(map(Fraction, values)) / len(values)
    size = sum(abs(Fraction(value)) for value in values) / len(values)
    assert abs(Fraction(found) - exact) <= Fraction(1e-12) * size + Fraction(1e-320)


# Crashes and races.


def test_a_crash_between_two_tables_commits_is_completed_and_adds_nothing_twice(lake: Lake, engine: Engine) -> None:
    grow(lake)

    def fail(table: DeltaTable) -> None:
        if table.metadata().name == "product_usage_metrics":
            raise OSError("the disk is gone")

    with pytest.raises(UserError, match="the disk is gone"):
        refresh(lake, Wrapped(engine, fail), BOTH, how="patch")
    done = patch(lake, engine)
    assert str(done.current[SPEND][MONDAY]) == "current: made from version 1"
    assert done.dates["product_usage_metrics"][MONDAY].step.how == "patched"


@pytest.mark.parametrize(
    "both",
    [
        pytest.param(("patch", "patch"), marks=pytest.mark.sail, id="patches"),
        pytest.param(("patch", "recompute"), id="both kinds"),
    ],
)
def test_eight_writers_of_one_date_end_true(lake: Lake, engine: Engine, both: tuple[Any, Any]) -> None:
    for _ in range(2 if ENGINE == "sail" else 1):
        grow(lake)
        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda how: refresh(lake, engine, [MONDAY], how=how), both * 4))
        assert len(done) == 8
        assert_gold_is_true(lake)


def test_a_patch_that_another_overtakes_adds_nothing_twice(lake: Lake, engine: Engine) -> None:
    grow(lake)
    overtaken: list[str] = []

    def overtake(table: DeltaTable) -> None:
        name = str(table.metadata().name)
        if name not in overtaken:
            overtaken.append(name)
            refresh(lake, engine, [MONDAY], tables=lake.named([name]), how="patch")

    refresh(lake, _Overtaken(engine, overtake), [MONDAY], how="patch")
    assert set(overtaken) == set(lake.places)
    assert_gold_is_true(lake)


class _Overtaken(Wrapped):
    def append(self, table: DeltaTable, rows: Any, predicate: str, user_metadata: str) -> None:
        self._before(table)
        self._engine.append(table, rows, predicate, user_metadata)


@pytest.mark.sail
def test_patches_while_silver_grows_end_true(lake: Lake, engine: Engine) -> None:
    def work(number: int) -> None:
        grow(lake, product_id=f"{number}")
        refresh(lake, engine, [MONDAY], how="patch")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    patch(lake, engine)
