"""When a date is left alone, patched or recomputed; and that patches, however many and whoever races, end with the truth."""

import dataclasses
import datetime as dt
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.errors import UserError
from gold_assets.delta.log import DeltaLog
from gold_assets.engines import Engine
from gold_assets.gold import commits, plan
from gold_assets.gold.combine import MOST_APPENDED, MOST_PATCHES, combined
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import Refreshed, refresh
from gold_assets.transactions.tables import PRODUCT_USAGE_METRICS
from gold_assets_tests.conftest import ENGINE, CopyOf, lake_in
from gold_assets_tests.gold.test_refresh import Wrapped, refreshed_two_days, rows_of_each_kind, versions_of
from gold_assets_tests.silver_changes import say_metadata_again, swap_two_columns
from gold_assets_tests.small_silver import (
    MONDAY,
    SILVER_WITH_DELETION_VECTORS,
    TUESDAY,
    commit,
    high_risk_row,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import QUARANTINE, assert_gold_is_true, differences, rows_of

BOTH = [MONDAY, TUESDAY]
SPEND = "user_spend_summary"
USAGE = "product_usage_metrics"
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


def files_on(lake: Lake, name: str, date: dt.date = MONDAY) -> set[str]:
    return {uri for uri in DeltaTable(lake.places[name]).file_uris() if f"/event_date={date}/" in uri}


def adds_of(table: str, version: int, date: dt.date = MONDAY) -> list[dict[str, Any]]:
    actions = DeltaLog(table).actions(version)
    adds = [action["add"] for action in actions if "add" in action]
    return [add for add in adds if add["partitionValues"]["event_date"] == str(date)]


class AlsoAppends(Wrapped):
    """Calls before and after each append, too."""

    def append(self, table: DeltaTable, rows: Any, predicate: str, user_metadata: str) -> None:
        self._before(table)
        self._engine.append(table, rows, predicate, user_metadata)
        self._after(table)


class WaitsToRead(Wrapped):
    """Calls before Silver is read."""

    def read(self, table: DeltaTable, *what: Any) -> Any:
        self._before(table)
        return self._engine.read(table, *what)


# What the logs say.


@pytest.mark.sail
def test_a_silver_without_partitions_is_patched_by_its_statistics(engine: Engine, tmp_path: Path) -> None:
    lake = lake_in(tmp_path)
    write_silver(lake, [row(), row(event_date=TUESDAY)], partition_by=[])
    refresh(lake, engine, BOTH)
    write_silver(lake, [row(user_id="new")])
    assert said(lake, engine) == "patched: 1 file added in version 1"


def test_a_date_that_silver_has_only_added_to_is_patched_in_all_tables(lake: Lake, engine: Engine) -> None:
    grow(lake)
    write_silver(lake, [row(event_date=None)])
    done = patch(lake, engine)
    for table in lake.tables:
        assert str(done.dates[table.name][MONDAY].step) == "patched: 1 file added in version 1"
        assert str(done.current[table.name][TUESDAY]) == "current: made from version 0, unchanged since"
        rows = rows_of(lake.places[table.name])["event_date"].to_pylist()
        assert done.dates[table.name][MONDAY].rows == rows.count(MONDAY)
    assert rows_of(lake.places[QUARANTINE])["event_date"].to_pylist().count(None) == 1


def test_new_rows_without_a_date_alone_are_patched_and_no_date_is_touched(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(event_date=None), row(event_date=None, user_id=None)])
    before = versions_of(lake)
    done = patch(lake, engine)
    assert done.dates == {name: {} for name in lake.places}
    assert versions_of(lake) == before | {QUARANTINE: before[QUARANTINE] + 1}
    assert rows_of(lake.places[QUARANTINE])["event_date"].to_pylist().count(None) == 2


@pytest.mark.sail
def test_rows_without_a_date_that_are_newer_than_a_patch_are_not_added_again(lake: Lake, engine: Engine) -> None:
    grow(lake)
    write_silver(lake, [row(event_date=None)])
    refresh(lake, engine, [], how="patch")
    done = refresh(lake, engine, [MONDAY], silver_version=1, how="patch")
    assert done.dates[QUARANTINE][MONDAY].step.how == "patched"
    patch(lake, engine)


@pytest.mark.sail
def test_a_crash_before_rows_without_a_date_are_recomputed_is_mended_by_the_next_patch(
    lake: Lake, engine: Engine
) -> None:
    write_silver(lake, [row(event_date=None)])
    patch(lake, engine)
    silver(lake).delete("event_date IS NULL")
    grow(lake)
    with pytest.raises(UserError, match="the disk is gone"):
        refresh(lake, Wrapped(engine, once(fail, QUARANTINE)), BOTH, how="patch")
    done = patch(lake, engine)
    assert done.current[QUARANTINE][MONDAY].how == "current"


@pytest.mark.sail
def test_new_rows_of_which_a_table_takes_none_are_patched(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    assert said(lake, engine, table=RISK) == "patched: 1 file added in version 1"
    assert said(lake, engine, table=RISK) == "current: made from version 1"


@pytest.mark.sail
def test_dates_that_silver_did_not_touch_keep_their_very_files(lake: Lake, engine: Engine) -> None:
    before = {name: files_on(lake, name, TUESDAY) for name in lake.places}
    assert all(before.values())
    grow(lake)
    patch(lake, engine)
    assert {name: files_on(lake, name, TUESDAY) for name in lake.places} == before


@pytest.mark.sail
def test_tables_of_rows_keep_the_files_of_the_date_too(lake: Lake, engine: Engine) -> None:
    before = {name: files_on(lake, name) for name in (RISK, QUARANTINE)}
    grow(lake)
    patch(lake, engine)
    for name, files in before.items():
        assert files < files_on(lake, name)


def assert_nothing_is_done(lake: Lake, engine: Engine, **how: Any) -> Refreshed:
    before = versions_of(lake)
    done = patch(lake, engine, **how)
    assert done.dates == {name: {} for name in lake.places}
    assert {name: set(dates) for name, dates in done.current.items()} == {
        name: {*BOTH, None} if name == QUARANTINE else set(BOTH) for name in lake.places
    }
    assert versions_of(lake) == before
    return done


@pytest.mark.sail
def test_a_current_date_is_left_alone(lake: Lake, engine: Engine) -> None:
    done = assert_nothing_is_done(lake, engine)
    assert str(done.current[SPEND][MONDAY]) == "current: made from version 0"


@pytest.mark.sail
def test_an_optimize_of_silver_is_nothing_to_do_and_stops_no_patch(lake: Lake, engine: Engine) -> None:
    grow(lake)
    patch(lake, engine)
    assert silver(lake).optimize.compact()["numFilesRemoved"] == 2
    done = assert_nothing_is_done(lake, engine)
    assert str(done.current[SPEND][MONDAY]) == "current: made from version 1, unchanged since"
    grow(lake)
    assert said(lake, engine) == "patched: 1 file added in version 3"


@pytest.mark.sail
def test_a_replay_adds_nothing(lake: Lake, engine: Engine) -> None:
    grow(lake)
    patch(lake, engine)
    done = assert_nothing_is_done(lake, engine)
    assert {str(dates[MONDAY]) for dates in done.current.values()} == {"current: made from version 1"}


@pytest.mark.sail
def test_an_older_silver_changes_nothing(lake: Lake, engine: Engine) -> None:
    grow(lake)
    patch(lake, engine)
    done = assert_nothing_is_done(lake, engine, silver_version=0)
    assert {str(dates[MONDAY]) for dates in done.current.values()} == {"current: made from version 1"}


@pytest.mark.sail
def test_removed_changed_and_moved_rows_are_recomputed(lake: Lake, engine: Engine) -> None:
    grow(lake)
    silver(lake).delete("event_date = '2024-01-01' AND user_id = 'ann'")
    assert said(lake, engine) == "recomputed: rows removed in version 2, in too large a part of the date"
    silver(lake).update({"amount": "9"}, predicate="event_date = '2024-01-01' AND user_id = 'new'")
    assert said(lake, engine) == "recomputed: rows removed in version 3, in too large a part of the date"
    silver(lake).update({"event_date": "DATE '2024-01-02'"}, predicate="user_id = 'new'")
    done = patch(lake, engine)
    assert (
        str(done.dates[SPEND][MONDAY].step) == "recomputed: rows removed in version 4, in too large a part of the date"
    )
    assert str(done.dates[SPEND][TUESDAY].step) == "patched: 1 file added in version 4"


@pytest.mark.sail
def test_files_with_a_deletion_vector_are_recomputed(tmp_path: Path, engine: Engine) -> None:
    lake = lake_in(tmp_path)
    shutil.copytree(SILVER_WITH_DELETION_VECTORS, lake.silver)
    with_vector = [add for version in range(5) for add in adds_of(lake.silver, version) if add.get("deletionVector")][
        -1
    ]
    identity = {name: with_vector[name] for name in ("path", "partitionValues", "deletionVector")}
    commit(Path(lake.silver), {"remove": {**identity, "deletionTimestamp": 0, "dataChange": True}})
    refresh(lake, engine, BOTH)
    commit(Path(lake.silver), {"add": with_vector})  # as a restore adds it
    assert (
        said(lake, engine)
        == "recomputed: rows hidden by a deletion vector in version 6, in too large a part of the date"
    )


@pytest.mark.sail
def test_a_file_that_was_there_is_not_added_twice(lake: Lake, engine: Engine) -> None:
    [add] = adds_of(lake.silver, 0)
    commit(Path(lake.silver), {"add": add})
    assert said(lake, engine) == "recomputed: files were added that were there, in too large a part of the date"
    commit(Path(lake.silver), {"add": add})
    commit(Path(lake.silver), {"add": add})
    assert said(lake, engine).startswith("recomputed: files added in versions 2 to 3 are not there any more")


@pytest.mark.sail
def test_a_file_of_the_name_of_another_is_recomputed(lake: Lake, engine: Engine) -> None:
    [add] = adds_of(lake.silver, 0)
    copied = f"copies/{add['path']}"
    (Path(lake.silver) / copied).parent.mkdir(parents=True)
    shutil.copy(Path(lake.silver) / add["path"], Path(lake.silver) / copied)
    commit(Path(lake.silver), {"add": add | {"path": copied}})
    assert said(lake, engine) == "recomputed: files of the same name were added, in too large a part of the date"


@pytest.mark.sail
def test_added_files_that_were_compacted_since_are_recomputed(lake: Lake, engine: Engine) -> None:
    grow(lake)
    silver(lake).optimize.compact()
    silver(lake).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert (
        said(lake, engine)
        == "recomputed: files added in version 1 are not there any more, in too large a part of the date"
    )


@pytest.mark.sail
def test_properties_and_metadata_that_change_no_row_are_patched_over(lake: Lake, engine: Engine) -> None:
    grow(lake)
    silver(lake).alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})
    assert said(lake, engine) == "patched: 1 file added in version 1"


@pytest.mark.sail
def test_a_new_column_of_silver_is_patched_over(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row(note="x"), row()], schema=with_type("note", pa.string()))
    assert said(lake, engine, table=RISK) == "patched: 1 file added in version 1"
    assert said(lake, engine, TUESDAY, RISK).startswith("current")


def test_a_column_of_silver_with_a_name_that_spark_has_for_files_is_patched_over(lake: Lake, engine: Engine) -> None:
    """As Databricks' Auto Loader leaves it in a table."""
    of_files = with_type("_metadata", pa.struct([("file_path", pa.string()), ("file_name", pa.string())]))
    write_silver(lake, [row(_metadata={"file_path": "landing/1.csv", "file_name": "1.csv"})], schema=of_files)
    assert said(lake, engine) == "patched: 1 file added in version 1"


def test_columns_of_silver_that_take_each_others_names_recompute_every_date(lake: Lake, engine: Engine) -> None:
    swap_two_columns([row(amount=1.0)])(lake)
    steps = patch(lake, engine).dates[SPEND]
    why = "recomputed: version 2 put another column in the place of amount"
    assert [str(steps[date].step) for date in BOTH] == [why, why]


@pytest.mark.sail
def test_a_silver_that_says_what_its_columns_are_with_each_commit_is_patched(lake: Lake, engine: Engine) -> None:
    """As one does that has an IDENTITY column."""
    for number in range(1, 4):
        grow(lake)
        say_metadata_again(lake, {"delta.identity.highWaterMark": number})
        assert said(lake, engine) == f"patched: 1 file added in version {2 * number - 1}"


@pytest.mark.sail
def test_a_log_of_silver_that_was_cut_recomputes(lake: Lake, engine: Engine) -> None:
    for _ in range(2):
        grow(lake)
    silver(lake).create_checkpoint()
    (Path(lake.silver) / "_delta_log" / f"{1:020}.json").unlink()
    assert "the log no longer has version 1" in said(lake, engine)


@pytest.mark.sail
def test_another_silver_in_the_same_place_recomputes(lake: Lake, engine: Engine) -> None:
    refresh(lake, engine, [MONDAY])
    shutil.rmtree(lake.silver)
    grow(lake)
    grow(lake)
    assert said(lake, engine) == "recomputed: made from another Silver table"


@pytest.mark.sail
def test_a_silver_that_was_put_back_and_written_anew_recomputes(lake: Lake, engine: Engine) -> None:
    grow(lake)
    patch(lake, engine)
    (Path(lake.silver) / "_delta_log" / f"{1:020}.json").unlink()
    grow(lake, product_id="another")
    assert said(lake, engine) == "recomputed: made from a version 1 of Silver that its log does not have"


@pytest.mark.sail
def test_a_log_that_is_put_back_and_written_on_during_a_refresh_is_not_taken_for_the_one_that_was_read(
    lake: Lake, engine: Engine, tmp_path: Path
) -> None:
    log, backup = Path(lake.silver) / "_delta_log", tmp_path / "backup"
    shutil.copytree(log, backup)
    grow(lake)

    def put_back(_table: object) -> None:
        if backup.exists():
            shutil.rmtree(log)
            backup.rename(log)
            grow(lake, product_id="another")

    refresh(lake, WaitsToRead(engine, before=put_back), BOTH)
    assert said(lake, engine) == "recomputed: made from a version 1 of Silver that its log does not have"


@pytest.mark.sail
def test_another_code_version_recomputes(lake: Lake, engine: Engine) -> None:
    grow(lake)
    newer = tuple(dataclasses.replace(table, version=f"{table.version}, mended") for table in lake.tables)
    assert (
        said(dataclasses.replace(lake, project=dataclasses.replace(lake.project, tables=newer)), engine)
        == "recomputed: made by code version 1, which is 1, mended now"
    )


@pytest.mark.sail
def test_a_table_that_does_not_say_how_it_adds_up_recomputes(lake: Lake, engine: Engine) -> None:
    grow(lake)
    [spend] = lake.named([SPEND])
    silent = dataclasses.replace(spend, reference=spend.reference.replace("count(*)", "count(*) + 0"))
    silent = dataclasses.replace(silent, stands_for=silent.digest)  # else its code has another version
    silent_lake = dataclasses.replace(lake, project=dataclasses.replace(lake.project, tables=(silent,)))
    assert (
        said(silent_lake, engine, table=SPEND)
        == f"recomputed: 1 file added in version 1, and {SPEND} does not say how its columns add up, in too large a part of the date"
    )


@pytest.mark.sail
def test_columns_by_other_names_recompute(tmp_path: Path, engine: Engine) -> None:
    lake = lake_in(tmp_path)
    write_silver(lake, [row(price=7.0)], schema=with_type("price", pa.float64()))
    spend = lake.named([SPEND])
    refresh(lake, engine, [MONDAY], tables=spend)
    by_price = dataclasses.replace(lake, silver_columns={"amount": "price"})
    done = refresh(by_price, engine, [MONDAY], tables=spend, how="patch")
    made = "recomputed: made when other columns of Silver had other names here"
    assert str(done.dates[SPEND][MONDAY].step) == made
    assert [float(each["total_spend"]) for each in rows_of(lake.places[SPEND]).to_pylist()] == [7.0]


@pytest.mark.sail
def test_rows_that_somebody_else_wrote_into_gold_are_recomputed(lake: Lake, engine: Engine) -> None:
    write_deltalake(lake.places[RISK], rows_of(lake.places[RISK]), mode="append")
    grow(lake)
    assert said(lake, engine, table=RISK) == "recomputed: somebody else changed its rows in version 2 of the table"
    DeltaTable(lake.places[SPEND]).delete("event_date = '2024-01-02'")
    assert said(lake, engine, TUESDAY).startswith("recomputed: somebody else changed its rows")


@pytest.mark.sail
def test_rows_that_somebody_else_writes_beside_a_patch_are_recomputed_by_the_next(lake: Lake, engine: Engine) -> None:
    grow(lake)
    beside: list[str] = []

    def write_beside(table: DeltaTable) -> None:
        if table.metadata().name == RISK and not beside:
            beside.append(RISK)
            write_deltalake(table.table_uri, rows_of(table.table_uri), mode="append")

    refresh(lake, AlsoAppends(engine, write_beside), BOTH, how="patch")
    assert beside
    patch(lake, engine)


@pytest.mark.sail
def test_a_restored_gold_is_patched_from_what_it_holds(lake: Lake, engine: Engine) -> None:
    grow(lake)
    patch(lake, engine)
    for uri in lake.places.values():
        DeltaTable(uri).restore(1)
    grow(lake)
    assert said(lake, engine) == "patched: 2 files added in versions 1 to 2"


@pytest.mark.sail
def test_an_optimize_of_gold_is_nothing_to_do_and_stops_no_patch(lake: Lake, engine: Engine) -> None:
    before = files_on(lake, RISK)
    engine.optimize(DeltaTable(lake.places[RISK]), [MONDAY], ["user_id"], "{}")
    assert not files_on(lake, RISK) & before
    assert_nothing_is_done(lake, engine)
    grow(lake)
    assert said(lake, engine, table=RISK) == "patched: 1 file added in version 1"


@pytest.mark.sail
def test_a_person_heals_what_looks_current(lake: Lake, engine: Engine) -> None:
    spend = DeltaTable(lake.places[SPEND])
    spend.update({"total_spend": "0"}, predicate="event_date = '2024-01-01'")
    log = Path(lake.places[SPEND]) / "_delta_log" / f"{spend.version():020}.json"
    log.write_text(log.read_text().replace('"dataChange":true', '"dataChange":false'))  # so that the log tells nothing
    done = refresh(lake, engine, BOTH, how="patch")
    assert done.current[SPEND][MONDAY].how == "current"
    assert differences(lake)
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
        found.append(len(files_on(lake, RISK)))
    assert found == [2, 3, 1, 2]


@pytest.mark.sail
def test_more_patches_of_a_table_of_rows_than_append_equal_a_recompute(lake: Lake, engine: Engine) -> None:
    risk = lake.named([RISK])
    appended = []
    for number in range(MOST_APPENDED + 2):
        write_silver(lake, [high_risk_row(user_id=f"{number % 7}", amount=number / 3)])
        done = refresh(lake, engine, [MONDAY], how="patch", tables=risk)
        assert done.dates[RISK][MONDAY].step.how == "patched"
        appended.append(len(files_on(lake, RISK)) - 1)
        if number % 10 == 0:
            silver(lake).create_checkpoint()
            DeltaTable(lake.places[RISK]).create_checkpoint()
    assert appended == [(number + 1) % (MOST_APPENDED + 1) for number in range(MOST_APPENDED + 2)]
    assert_gold_is_true(lake, tables=[RISK])


HOSTILE = {
    "all": [1e300, -1e300, 1e-300, 5e-324, -5e-324, 1e-310, 0.1, -0.1, 3e-320, 1 / 3],
    "subnormal": [5e-324, 1e-310, -3e-320],
    "only the least": [5e-324, 5e-324, -5e-324, 1e-323],
    "large beside small": [1e300, 1e-300],
    "of either sign": [1e300, -1e300, 1e-300],
    "thirds": [1 / 3, 2 / 3, -1 / 3, 0.1],
}


def assert_within_the_bound(gold: pa.Table, values: dict[str, list[float]]) -> None:
    found = {each["product_id"]: each for each in gold.to_pylist()}
    for product, averaged in values.items():
        exact = sum(map(Fraction, averaged), Fraction()) / len(averaged)
        size = sum((abs(Fraction(value)) for value in averaged), Fraction()) / len(averaged)
        error = abs(Fraction(found[product]["avg_usage_cost_ratio"]) - exact)
        assert error <= Fraction(1e-12) * size + Fraction(1e-320), product
        assert found[product]["rated_count"] == len(averaged)


@pytest.mark.sail
def test_a_patched_average_lies_between_the_two_that_it_is_made_of(lake: Lake, engine: Engine) -> None:
    lake = dataclasses.replace(lake, project=dataclasses.replace(lake.project, tables=(PRODUCT_USAGE_METRICS,)))
    write_silver(lake, [row(product_id="rye", usage_cost_ratio=0.1)])
    refresh(lake, engine, [MONDAY])
    write_silver(lake, [row(product_id="rye", usage_cost_ratio=0.1)] * 4)
    assert refresh(lake, engine, [MONDAY], how="patch").dates[USAGE][MONDAY].step.how == "patched"
    found = {each["product_id"]: each["avg_usage_cost_ratio"] for each in rows_of(lake.places[USAGE]).to_pylist()}
    assert found["rye"] == 0.1


@pytest.mark.sail
def test_patched_averages_of_hostile_numbers_stay_within_the_bound(lake: Lake, engine: Engine) -> None:
    lake = dataclasses.replace(lake, project=dataclasses.replace(lake.project, tables=(PRODUCT_USAGE_METRICS,)))
    values: dict[str, list[float]] = {product: [] for product in HOSTILE}
    for number in range(12):
        for product, ratios in HOSTILE.items():
            values[product].append(ratios[number % len(ratios)])
        new = [row(product_id=product, usage_cost_ratio=averaged[-1]) for product, averaged in values.items()]
        write_silver(lake, new)
        done = refresh(lake, engine, [MONDAY], how="patch")
        assert done.dates[USAGE][MONDAY].step.how == "patched"
    assert_within_the_bound(rows_of(lake.places[USAGE]).filter(pc.field("event_date") == MONDAY), values)


@pytest.mark.sail
def test_as_many_additions_as_may_be_in_a_row_stay_within_the_bound(lake: Lake, engine: Any) -> None:
    values: dict[str, list[float]] = {product: [] for product in HOSTILE}
    schema = pa.schema(DeltaTable(lake.places[USAGE]).schema().to_arrow())
    kept: pa.Table | None = None
    for number in range(MOST_PATCHES + 1):
        new = []
        for product, ratios in HOSTILE.items():
            many = 1 + number % 3
            values[product] += [ratios[number % len(ratios)]] * many
            new.append(
                {
                    "product_id": product,
                    "avg_usage_cost_ratio": values[product][-1],
                    "rated_count": many,
                    "transaction_count": many,
                    "event_date": MONDAY,
                }
            )
        rows = pa.Table.from_pylist(new, schema)
        if kept is None:
            kept = rows
            continue
        before, gained = map(engine.session.createDataFrame, (kept, rows))
        kept = combined(PRODUCT_USAGE_METRICS, before, gained).toArrow().cast(schema)
    assert_within_the_bound(kept, values)


# Crashes and races.


def once(call: Callable[[DeltaTable], Any], name: str) -> Callable[[DeltaTable], None]:
    """The call, the first time that the table of this name is written."""
    called: list[str] = []

    def call_once(table: DeltaTable) -> None:
        if table.metadata().name == name and not called:
            called.append(name)
            call(table)

    return call_once


def fail(table: DeltaTable) -> None:
    raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("failing", "when"),
    [
        (QUARANTINE, "before"),
        (QUARANTINE, "after"),
        pytest.param(RISK, "before", marks=pytest.mark.sail),
        pytest.param(USAGE, "after", marks=pytest.mark.sail),
    ],
)
def test_a_crash_between_two_tables_commits_is_completed_and_adds_nothing_twice(
    lake: Lake, engine: Engine, failing: str, when: str
) -> None:
    grow(lake)
    crashing = AlsoAppends(engine, **{when: once(fail, failing)})
    with pytest.raises(UserError, match="the disk is gone"):
        refresh(lake, crashing, BOTH, how="patch")
    done = patch(lake, engine)
    patched = {name for name, dates in done.dates.items() if MONDAY in dates}
    assert patched == ({failing} if when == "before" else set())
    assert str(done.current[SPEND][MONDAY]) == "current: made from version 1"


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
        assert_gold_is_true(lake)
        if both == ("patch", "patch"):
            for name in lake.places:
                assert sum(MONDAY in each.dates[name] for each in done) == 1


def test_a_patch_that_another_overtakes_adds_nothing_twice(lake: Lake, engine: Engine) -> None:
    grow(lake)
    overtaken: list[str] = []

    def overtake(table: DeltaTable) -> None:
        name = str(table.metadata().name)
        if name not in overtaken:
            overtaken.append(name)
            refresh(lake, engine, [MONDAY], tables=lake.named([name]), how="patch")

    refresh(lake, AlsoAppends(engine, overtake), [MONDAY], how="patch")
    assert set(overtaken) == set(lake.places)
    assert_gold_is_true(lake)


@pytest.mark.sail
def test_patches_while_silver_grows_end_true(lake: Lake, engine: Engine) -> None:
    def work(number: int) -> None:
        grow(lake, product_id=f"{number}")
        refresh(lake, engine, [MONDAY], how="patch")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    patch(lake, engine)
