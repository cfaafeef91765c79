"""What refresh promises, on real tables, held against the truth from outside."""

import datetime as dt
import json
import logging
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from gold_assets import transactions
from gold_assets.delta import commit_races
from gold_assets.delta.commit_races import CommitConflict
from gold_assets.delta.dates import days, slices_of
from gold_assets.delta.errors import UserError
from gold_assets.delta.log import DeltaLog
from gold_assets.engines import Engine, SliceBounds
from gold_assets.gold.gold_log import GoldCommit, GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import CopyOf, few_rows, lake_in
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    SILVER_WITH_DELETION_VECTORS,
    TUESDAY,
    WEDNESDAY,
    commit,
    high_risk_row,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import QUARANTINE, assert_gold_is_true, differences, rows_of

BAD_ROW = row(amount=None)
WEEK = days(MONDAY, MONDAY + dt.timedelta(days=6))
copied_or_not = pytest.mark.parametrize(
    "few", [0, pytest.param(100, marks=pytest.mark.sail)], ids=["read by the engine", "copied"]
)


def rows_of_each_kind(date: dt.date) -> list[dict[str, Any]]:
    return [
        row(event_date=date),
        row(event_date=date, user_id="bob", usage_cost_ratio=None),
        high_risk_row(event_date=date),
        row(event_date=date, amount=None),
    ]


def content_of(lake: Lake) -> dict[str, Counter[str]]:
    return {name: Counter(map(repr, rows_of(uri).to_pylist())) for name, uri in lake.places.items()}


def versions_of(lake: Lake) -> dict[str, int]:
    return {name: DeltaTable(uri).version() for name, uri in lake.places.items()}


def commit_of(lake: Lake, name: str, version: int | None = None) -> GoldCommit:
    table = DeltaTable(lake.places[name])
    return GoldLog(table).commit(table.version() if version is None else version)


def _nothing(table: DeltaTable) -> None:
    pass


class Wrapped:
    """The engine under test, with calls before and after each replace; what they raise, the replace raises."""

    def __init__(self, engine: Engine, before: Any = _nothing, after: Any = _nothing) -> None:
        self._engine = engine
        self._before = before
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def replace(self, table: DeltaTable, rows: Any, predicate: str, user_metadata: str, keys: Any = None) -> None:
        self._before(table)
        self._engine.replace(table, rows, predicate, user_metadata, keys)
        self._after(table)


def refreshed_two_days(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [*rows_of_each_kind(MONDAY), *rows_of_each_kind(TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])


@pytest.fixture
def two_days(copy_of: CopyOf) -> Lake:
    """A lake with rows of each kind on Monday and on Tuesday, refreshed."""
    return copy_of(refreshed_two_days)


# Gold is a function of Silver.


def test_gold_is_true_after_appends_and_late_rows(two_days: Lake, engine: Engine) -> None:
    write_silver(two_days, [*rows_of_each_kind(WEDNESDAY), high_risk_row(user_id="late")])
    refresh(two_days, engine, [MONDAY, WEDNESDAY])
    assert_gold_is_true(two_days)


@pytest.mark.sail
def test_gold_is_true_after_updates(two_days: Lake, engine: Engine) -> None:
    silver = DeltaTable(two_days.silver)
    silver.update({"amount": "amount * 2"}, predicate="user_id = 'ann' AND risk_level = 'low'")
    silver.update({"risk_level": "'low'"}, predicate="risk_level = 'high'")
    refresh(two_days, engine, [MONDAY, TUESDAY])
    assert_gold_is_true(two_days)


@pytest.mark.sail
def test_gold_is_true_after_deletes(two_days: Lake, engine: Engine) -> None:
    DeltaTable(two_days.silver).delete("user_id = 'bob' AND event_date = DATE '2024-01-01'")
    refresh(two_days, engine, [MONDAY])
    assert_gold_is_true(two_days)


@pytest.mark.sail
def test_gold_is_true_after_a_merge(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(user_id=user, product_id=user) for user in ("ann", "bob", "eve")])
    refresh(lake, engine, [MONDAY])
    source = pa.Table.from_pylist(
        [row(product_id="ann", amount=9.0), row(product_id="bob"), row(product_id="new", event_date=TUESDAY)],
        schema=SCHEMA,
    )
    (
        DeltaTable(lake.silver)
        .merge(source, "t.product_id = s.product_id", source_alias="s", target_alias="t")
        .when_matched_delete("s.product_id = 'bob'")
        .when_matched_update({"amount": "s.amount"})
        .when_not_matched_insert_all()
        .execute()
    )
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert_gold_is_true(lake)
    assert rows_of(lake.places["product_usage_metrics"]).num_rows == 3


@pytest.mark.sail
def test_gold_is_true_after_rows_moved_to_another_date(two_days: Lake, engine: Engine) -> None:
    DeltaTable(two_days.silver).update({"event_date": "DATE '2024-01-03'"}, predicate="user_id = 'ann'")
    refresh(two_days, engine, [MONDAY, TUESDAY, WEDNESDAY])
    assert_gold_is_true(two_days)
    assert set(rows_of(two_days.places["high_risk_txns"])["event_date"].to_pylist()) == {WEDNESDAY}


def test_a_date_whose_rows_all_went_away_ends_empty(two_days: Lake, engine: Engine) -> None:
    DeltaTable(two_days.silver).delete("event_date = DATE '2024-01-01'")
    done = refresh(two_days, engine, [MONDAY])
    assert all(dates[MONDAY].rows == 0 for dates in done.dates.values())
    assert_gold_is_true(two_days)
    for uri in two_days.places.values():
        assert set(rows_of(uri)["event_date"].to_pylist()) == {TUESDAY}


@pytest.mark.sail
def test_decimal_ratios_are_high_risk_by_what_they_are_and_not_by_their_nearest_doubles(
    lake: Lake, engine: Engine
) -> None:
    ratios = [Decimal(f"0.1{'9' * 36}"), Decimal("0.2"), Decimal(f"0.2{'0' * 35}1"), None]
    rows = [high_risk_row(usage_cost_ratio=ratio) for ratio in ratios]
    write_silver(lake, rows, schema=with_type("usage_cost_ratio", pa.decimal128(38, 37)))
    refresh(lake, engine, [MONDAY])
    assert rows_of(lake.places["high_risk_txns"])["usage_cost_ratio"].to_pylist() == ratios[:1]
    assert_gold_is_true(lake)


@pytest.mark.sail
def test_a_duplicate_silver_row_counts_twice(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row(), high_risk_row(), BAD_ROW, BAD_ROW])
    done = refresh(lake, engine, [MONDAY])
    assert done.dates["high_risk_txns"][MONDAY].rows == 2
    assert done.dates[QUARANTINE][MONDAY].rows == 2
    assert_gold_is_true(lake)


@pytest.mark.sail
@pytest.mark.parametrize(
    ("amount", "files"),
    [
        (
            pa.float64(),
            [
                [row(amount=math.nan), row(), row()],
                [row(usage_cost_ratio=math.nan), row()],
                [row(usage_cost_ratio=math.nan, risk_level="high"), high_risk_row()],
                [high_risk_row(usage_cost_ratio=math.nextafter(0.2, 0))],
                [high_risk_row(amount=0.1 + 0.7)],
                [high_risk_row(user_id="é" * 50 + "x"), BAD_ROW | {"user_id": "é" * 50 + "y"}],
            ],
        ),
        (
            pa.decimal128(18, 4),
            [
                [high_risk_row(amount=Decimal("12345678901234.5678"))],
                [high_risk_row(amount=Decimal("99999999999999.9999"))],
            ],
        ),
    ],
    ids=["double", "decimal"],
)
@pytest.mark.parametrize("partition_by", [["event_date"], []])
@copied_or_not
def test_a_file_of_few_values_is_read_as_it_is_whatever_its_statistics_say(
    lake: Lake,
    engine: Engine,
    amount: pa.DataType,
    files: list[list[dict[str, Any]]],
    partition_by: list[str],
    few: int,
) -> None:
    for rows, date in zip(files, WEEK, strict=False):
        dated = [each | {"event_date": date} for each in rows]
        write_silver(lake, dated, schema=with_type("amount", amount), partition_by=partition_by)
    assert len(DeltaTable(lake.silver).file_uris()) == len(files)
    with few_rows(engine, few):
        refresh(lake, engine, WEEK)
    assert_gold_is_true(lake)


@pytest.mark.parametrize("partition_by", [["event_date"], []])
def test_a_date_is_read_from_the_files_alone_that_may_hold_it(
    lake: Lake, engine: Engine, partition_by: list[str]
) -> None:
    write_silver(lake, [row(), high_risk_row(), row(user_id=None)], partition_by=partition_by)
    with_monday = set(Path(lake.silver).rglob("*.parquet"))
    write_silver(lake, [row(event_date=TUESDAY), row(event_date=WEDNESDAY)])
    for file in set(Path(lake.silver).rglob("*.parquet")) - with_monday:
        file.unlink()
    done = refresh(lake, engine, [MONDAY])
    assert {done.dates[name][MONDAY].rows for name in lake.places} == {1}


@copied_or_not
def test_any_date_is_a_date(lake: Lake, engine: Engine, few: int) -> None:
    dates = [dt.date(1, 1, 1), dt.date(1582, 10, 10), dt.date(1969, 12, 31), MONDAY, dt.date(9999, 12, 31)]
    write_silver(lake, [each for date in dates for each in rows_of_each_kind(date)])
    with few_rows(engine, few):
        refresh(lake, engine, dates)
    assert_gold_is_true(lake)
    spent_on = rows_of(lake.places["user_spend_summary"])["event_date"].to_pylist()
    assert Counter(spent_on) == dict.fromkeys(dates, 2)


def delete_by_vectors(session: Any, path: str) -> None:
    """Delete and change single rows of a Silver so that its files stay, and deletion vectors hide the old rows."""
    session.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    session.sql(f"DELETE FROM delta.`{path}` WHERE user_id = 'user 3'")
    session.sql(f"UPDATE delta.`{path}` SET amount = 100 WHERE user_id = 'user 5'")
    session.sql(f"UPDATE delta.`{path}` SET event_date = DATE '2024-01-02' WHERE user_id = 'user 7'")


def rows_to_delete_from() -> list[dict[str, Any]]:
    return [
        kind(user_id=f"user {n}", product_id=f"product {n % 3}", event_date=date)
        for n in range(20)
        for date in (MONDAY, TUESDAY)
        for kind in (row, high_risk_row)
    ]


@pytest.mark.sail
@copied_or_not
def test_rows_hidden_by_deletion_vectors_do_not_count(lake: Lake, engine: Engine, few: int) -> None:
    silver = Lake(transactions.project, str(SILVER_WITH_DELETION_VECTORS), lake.places)
    assert pa.table(DeltaTable(silver.silver).deletion_vectors()).num_rows > 0
    with few_rows(engine, few):
        done = refresh(silver, engine, [MONDAY, TUESDAY])
    assert_gold_is_true(silver)
    rows = {date: written.rows for date, written in done.dates["high_risk_txns"].items()}
    assert rows == {MONDAY: 18, TUESDAY: 20}


@pytest.mark.spark
def test_rows_that_spark_deletes_by_vectors_do_not_count(lake: Lake, engine: Any) -> None:
    write_silver(lake, rows_to_delete_from())
    refresh(lake, engine, [MONDAY, TUESDAY])
    delete_by_vectors(engine.session, lake.silver)
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert_gold_is_true(lake)


# Idempotent; one date or many.


@pytest.mark.sail
def test_a_second_refresh_changes_no_content(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [*rows_of_each_kind(MONDAY), *rows_of_each_kind(TUESDAY), row(event_date=None)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    before = content_of(lake)
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert content_of(lake) == before
    assert_gold_is_true(lake)


@pytest.mark.sail
def test_a_range_equals_its_single_dates(tmp_path: Path, engine: Engine) -> None:
    whole, single = lake_in(tmp_path / "whole"), lake_in(tmp_path / "single")
    write_silver(whole, [each for date in WEEK[:3] for each in rows_of_each_kind(date)])
    refresh(whole, engine, WEEK[:3])
    single = Lake(transactions.project, whole.silver, single.places)
    for date in reversed(WEEK[:3]):
        refresh(single, engine, [date])
    assert content_of(single) == content_of(whole)
    assert_gold_is_true(whole)


def test_scattered_and_repeated_dates_are_refreshed_and_no_others(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [each for date in WEEK for each in rows_of_each_kind(date)])
    asked = [WEEK[5], WEEK[0], WEEK[1], WEEK[5]]
    done = refresh(lake, engine, asked)
    assert_gold_is_true(lake, asked)
    for name, uri in lake.places.items():
        assert set(rows_of(uri)["event_date"].to_pylist()) == set(asked) == set(done.dates[name])


@pytest.mark.sail
def test_a_moment_is_asked_for_as_its_utc_date_and_what_is_no_date_before_anything_is_written(
    lake: Lake, engine: Engine
) -> None:
    write_silver(lake, [row(), row(event_date=TUESDAY), row(event_date=WEDNESDAY)])
    for no_date in ("2024-01-01", pd.NaT, np.datetime64("2024-01-01")):
        with pytest.raises(UserError, match=r"is no date, expected a datetime\.date"):
            refresh(lake, engine, [MONDAY, no_date])  # type: ignore[list-item]
    assert not any(Path(place).exists() for place in lake.places.values())
    west = dt.timezone(-dt.timedelta(hours=5))
    asked = [pd.Timestamp("2024-01-01 12:00"), dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 2, 20, tzinfo=west)]
    done = refresh(lake, engine, asked)
    assert [set(dates) for dates in done.dates.values()] == [{MONDAY, TUESDAY, WEDNESDAY}] * len(lake.tables)
    patched = refresh(lake, engine, [MONDAY, TUESDAY, WEDNESDAY], how="patch")
    assert [set(steps) - {None} for steps in patched.current.values()] == [{MONDAY, TUESDAY, WEDNESDAY}] * 4


def test_dates_not_asked_for_keep_their_very_files(two_days: Lake, engine: Engine) -> None:
    def files_of(date: dt.date) -> set[str]:
        files = [file for uri in two_days.places.values() for file in DeltaTable(uri).file_uris()]
        return {file for file in files if f"/event_date={date}/" in file}

    monday, tuesday = files_of(MONDAY), files_of(TUESDAY)
    write_silver(two_days, [*rows_of_each_kind(MONDAY), *rows_of_each_kind(TUESDAY)])
    refresh(two_days, engine, [TUESDAY])
    assert len(monday) == len(two_days.tables)
    assert files_of(MONDAY) == monday
    assert not files_of(TUESDAY) & tuesday
    assert_gold_is_true(two_days, [TUESDAY])


@pytest.mark.sail
def test_only_the_chosen_tables_are_made_and_written(lake: Lake, engine: Engine) -> None:
    write_silver(lake, rows_of_each_kind(MONDAY))
    done = refresh(lake, engine, [MONDAY], tables=lake.named(["high_risk_txns"]))
    assert set(done.dates) == {"high_risk_txns"}
    assert [name for name, uri in lake.places.items() if Path(uri).exists()] == ["high_risk_txns"]
    assert_gold_is_true(lake, tables=["high_risk_txns"])


# Nothing lost.


def test_rows_without_a_date_are_quarantined_whatever_dates_are_asked_for(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(), row(event_date=None), row(event_date=None, user_id=None)])
    refresh(lake, engine, [TUESDAY])
    assert_gold_is_true(lake, [TUESDAY])
    assert rows_of(lake.places[QUARANTINE])["violations"].to_pylist() == [
        ["event_date_is_missing"],
        ["user_id_is_missing", "event_date_is_missing"],
    ]


def test_rows_without_a_date_are_quarantined_even_where_no_date_is_asked_for(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(event_date=None)])
    done = refresh(lake, engine, [])
    assert done.dates == {table.name: {} for table in lake.tables}
    assert rows_of(lake.places[QUARANTINE]).num_rows == 1


@pytest.mark.sail
def test_rows_that_got_a_date_leave_the_quarantine(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(event_date=None), BAD_ROW])
    refresh(lake, engine, [MONDAY])
    DeltaTable(lake.silver).update({"event_date": "DATE '2024-01-02'"}, predicate="event_date IS NULL")
    refresh(lake, engine, [TUESDAY])
    assert_gold_is_true(lake)
    assert rows_of(lake.places[QUARANTINE]).num_rows == 1


@pytest.mark.sail
def test_rows_that_were_mended_move_from_the_quarantine_to_gold(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [BAD_ROW, row(user_id=" "), row(usage_cost_ratio=math.inf)])
    refresh(lake, engine, [MONDAY])
    assert rows_of(lake.places["user_spend_summary"]).num_rows == 0
    silver = DeltaTable(lake.silver)
    silver.update({"amount": "1.0"}, predicate="amount IS NULL")
    silver.update({"user_id": "'bob'"}, predicate="user_id = ' '")
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)
    assert rows_of(lake.places[QUARANTINE]).num_rows == 1


@pytest.mark.sail
def test_each_date_has_as_many_silver_rows_as_valid_and_quarantined_ones(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [*rows_of_each_kind(MONDAY), *rows_of_each_kind(MONDAY), row(event_date=TUESDAY)])
    done = refresh(lake, engine, [MONDAY, TUESDAY])
    silver = Counter(rows_of(lake.silver)["event_date"].to_pylist())
    spend = rows_of(lake.places["user_spend_summary"]).to_pylist()
    for date in (MONDAY, TUESDAY):
        valid = sum(row["transaction_count"] for row in spend if row["event_date"] == date)
        assert silver[date] == valid + done.dates[QUARANTINE][date].rows


# Slices.


@pytest.mark.sail
def test_a_range_of_more_rows_than_a_slice_equals_one_slice(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many = lake_in(tmp_path / "one"), lake_in(tmp_path / "many")
    write_silver(one, [each for date in WEEK for each in rows_of_each_kind(date)])
    write_silver(one, [row(event_date=None), row(event_date=WEEK[3])])
    many = Lake(transactions.project, one.silver, many.places)
    in_one = refresh(one, engine, WEEK)
    monkeypatch.setattr(engine, "slice_bounds", SliceBounds(rows=9))
    in_many = refresh(many, engine, WEEK)
    assert versions_of(one) == dict.fromkeys(one.places, 1)
    assert versions_of(many) == dict.fromkeys(many.places, 4)
    assert content_of(many) == content_of(one)
    assert_gold_is_true(many)
    for name in one.places:
        assert {date: written.rows for date, written in in_many.dates[name].items()} == {
            date: written.rows for date, written in in_one.dates[name].items()
        }


def test_a_slice_holds_whole_dates_in_order_and_no_more_rows_than_the_bound() -> None:
    rows: dict[dt.date | None, int | None] = dict(zip(WEEK, [4, 6, 1, 30, 0, 5, 5], strict=True))
    assert slices_of(WEEK, rows, 10, 92) == [WEEK[:2], WEEK[2:3], WEEK[3:4], WEEK[4:]]


def test_a_slice_holds_no_more_dates_than_the_bound_and_unknown_rows_fill_it() -> None:
    assert slices_of(WEEK, {}, 10, 3) == [WEEK[:3], WEEK[3:6], WEEK[6:]]
    assert slices_of(WEEK[:3], {WEEK[0]: 1, WEEK[1]: None, WEEK[2]: 1}, 10, 3) == [[WEEK[0]], [WEEK[1]], [WEEK[2]]]
    assert slices_of([], {}, 10, 3) == []


# Commits and what is told of them.


def test_a_date_is_replaced_in_one_commit(two_days: Lake, engine: Engine) -> None:
    before = versions_of(two_days)
    write_silver(two_days, rows_of_each_kind(MONDAY))
    done = refresh(two_days, engine, [MONDAY])
    for name in two_days.places:
        assert done.dates[name][MONDAY].table_version == before[name] + 1 == versions_of(two_days)[name]
        commit = commit_of(two_days, name)
        assert {action.date for action in commit.removes} == {action.date for action in commit.adds} == {MONDAY}
        assert all(action.data_change for action in [*commit.adds, *commit.removes])


def test_each_commit_says_which_silver_it_is_made_from(lake: Lake, engine: Engine) -> None:
    write_silver(lake, rows_of_each_kind(MONDAY))
    write_silver(lake, rows_of_each_kind(WEDNESDAY))
    refresh(lake, engine, [MONDAY, TUESDAY, WEEK[5]], silver_version=0, by="a test")
    refresh_ids = set()
    for table in lake.tables:
        stamp = dict(commit_of(lake, table.name).said)
        refresh_ids.add(stamp.pop("refresh_id"))
        assert 0 <= commit_of(lake, table.name).info["timestamp"] - stamp.pop("began") < 600_000
        assert stamp == {
            "silver_version": 0,
            "silver_table_id": str(DeltaTable(lake.silver).metadata().id),
            "silver_uri": lake.silver,
            "silver_commit": DeltaLog(lake.silver).fingerprint(0),
            "renamed": {},
            "on_version": 0,
            "since": None,
            "keys": None,
            "patches": 0,
            "appended": 0,
            "by": "a test",
            "code_version": table.code_version,
            "dates": [["2024-01-01", "2024-01-02"], ["2024-01-06", "2024-01-06"]],
            "and_null": table.name == QUARANTINE,
            "silver_rows": [4, 0, 0],
        }
    assert len(refresh_ids) == len(lake.tables)


def test_rows_told_from_the_log_are_the_rows_there_are(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [each for date in WEEK for each in rows_of_each_kind(date) * (date.day % 3)])
    done = refresh(lake, engine, WEEK)
    for name, uri in lake.places.items():
        real = Counter(rows_of(uri)["event_date"].to_pylist())
        assert {date: written.rows for date, written in done.dates[name].items()} == {date: real[date] for date in WEEK}
        assert all(written.seconds > 0 for written in done.dates[name].values())


@pytest.mark.sail
def test_schema_plan_and_progress_are_logged(lake: Lake, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    write_silver(lake, rows_of_each_kind(MONDAY))
    with caplog.at_level(logging.INFO, "gold_assets"):
        refresh(lake, engine, [MONDAY, TUESDAY])
    told = "\n".join(caplog.messages)
    assert "amount double" in told
    assert (
        "user_spend_summary, product_usage_metrics, high_risk_txns, quarantined_txns on 2024-01-01 to 2024-01-02"
        in told
    )
    assert "version 0" in told
    assert "Slice 1 of 1, up to 2024-01-02, is written" in told


# Failure and races.


@pytest.mark.sail
def test_a_crash_between_two_tables_commits_is_healed_by_the_next_refresh(two_days: Lake, engine: Engine) -> None:
    for failing in two_days.places:
        version = write_silver(two_days, rows_of_each_kind(MONDAY)).version()

        def fail(table: DeltaTable, failing: str = failing) -> None:
            if table.metadata().name == failing:
                raise OSError("the disk is gone")

        with pytest.raises(UserError, match=f"{failing} could not be written .*the disk is gone"):
            refresh(two_days, Wrapped(engine, fail), [MONDAY])
        # The table that failed the time before is true again.
        assert {line.split(":")[0] for line in differences(two_days)} == {failing}
        assert_gold_is_true(two_days, silver_version=version - 1, tables=[failing])
    refresh(two_days, engine, [MONDAY])
    assert_gold_is_true(two_days)


@pytest.mark.sail
def test_a_lost_race_is_computed_again(lake: Lake, engine: Engine) -> None:
    write_silver(lake, rows_of_each_kind(MONDAY))
    lost = []

    def lose_once(table: DeltaTable) -> None:
        if table.metadata().name not in lost:
            lost.append(table.metadata().name)
            raise CommitConflict("another was first")

    refresh(lake, Wrapped(engine, lose_once), [MONDAY])
    assert set(lost) == set(lake.places)
    assert_gold_is_true(lake)


@pytest.mark.sail
def test_a_race_that_is_always_lost_ends_in_one_sentence_and_changes_nothing(
    two_days: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = versions_of(two_days)
    write_silver(two_days, rows_of_each_kind(MONDAY))
    tries: Counter[str] = Counter()

    def lose(table: DeltaTable) -> None:
        tries[str(table.metadata().name)] += 1
        raise CommitConflict("another was first")

    monkeypatch.setattr(commit_races, "ATTEMPTS", 3)
    with pytest.raises(UserError, match="lost 3 commit races in a row"):
        refresh(two_days, Wrapped(engine, lose), [MONDAY])
    assert tries == dict.fromkeys(two_days.places, 3)
    assert versions_of(two_days) == before


APPEND_ONLY = "the table's property delta.appendOnly is set, and a refresh replaces rows): set the property to false"
IN_COMMIT_TIMESTAMP = (
    "it asks for the table feature inCommitTimestamp, which delta-rs does not know): drop the feature from the table"
)


@pytest.mark.parametrize(
    "sentence", [APPEND_ONLY, pytest.param(IN_COMMIT_TIMESTAMP, marks=pytest.mark.sail)], ids=["property", "feature"]
)
def test_what_the_table_itself_does_not_allow_is_no_race_and_not_tried_again(
    two_days: Lake, engine: Engine, sentence: str
) -> None:
    place = two_days.places["user_spend_summary"]
    if sentence == APPEND_ONLY:
        DeltaTable(place).alter.set_table_properties({"delta.appendOnly": "true"})
    else:
        versions = {"minReaderVersion": 1, "minWriterVersion": 7}
        commit(Path(place), {"protocol": {**versions, "writerFeatures": ["inCommitTimestamp"]}})
    before = versions_of(two_days)["user_spend_summary"]
    tries: Counter[str] = Counter()
    with pytest.raises(UserError) as error:
        refresh(two_days, Wrapped(engine, lambda table: tries.update([str(table.metadata().name)])), [MONDAY])
    assert sentence in str(error.value) and "user_spend_summary could not be written" in str(error.value)
    assert tries == dict.fromkeys(two_days.places, 1)
    assert versions_of(two_days)["user_spend_summary"] == before


def test_a_refresh_that_another_overtakes_ends_true(two_days: Lake, engine: Engine) -> None:
    write_silver(two_days, [*rows_of_each_kind(MONDAY), high_risk_row(user_id="eve")])
    overtaken = []

    def overtake(table: DeltaTable) -> None:
        name = str(table.metadata().name)
        if name not in overtaken:
            overtaken.append(name)
            refresh(two_days, engine, [MONDAY], silver_version=0, tables=two_days.named([name]))

    refresh(two_days, Wrapped(engine, overtake), [MONDAY])
    assert_gold_is_true(two_days)


def test_a_first_refresh_that_another_overtakes_counts_no_row_twice(lake: Lake, engine: Engine) -> None:
    write_silver(lake, rows_of_each_kind(MONDAY))
    refresh(lake, engine, [TUESDAY])
    overtaken = []

    def overtake(table: DeltaTable) -> None:
        name = str(table.metadata().name)
        if name not in overtaken:
            overtaken.append(name)
            refresh(lake, engine, [MONDAY], tables=lake.named([name]))

    refresh(lake, Wrapped(engine, overtake), [MONDAY])
    assert_gold_is_true(lake)


def test_rows_and_version_are_those_of_the_own_commit_where_another_came_right_after(
    lake: Lake, engine: Engine
) -> None:
    write_silver(lake, [*rows_of_each_kind(MONDAY), *rows_of_each_kind(TUESDAY) * 2])

    def follow(table: DeltaTable) -> None:
        refresh(lake, engine, [TUESDAY], tables=lake.named([str(table.metadata().name)]))

    done = refresh(lake, Wrapped(engine, after=follow), [MONDAY])
    assert versions_of(lake) == dict.fromkeys(lake.places, 2)
    assert all(dates[MONDAY].table_version == 1 for dates in done.dates.values())
    rows = {"user_spend_summary": 2, "product_usage_metrics": 1, "high_risk_txns": 1, QUARANTINE: 1}
    assert {name: dates[MONDAY].rows for name, dates in done.dates.items()} == {
        name: rows[name] for name in lake.places
    }


def test_refreshes_that_race_on_the_same_tables_end_true(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [each for date in WEEK for each in rows_of_each_kind(date)])
    refresh(lake, engine, WEEK[:2])
    ranges = [WEEK[:4], WEEK[2:6], WEEK[3:], WEEK]
    with ThreadPoolExecutor(len(ranges)) as pool:
        for done in pool.map(lambda dates: refresh(lake, engine, dates), ranges):
            for name, dates in done.dates.items():
                for date, written in dates.items():
                    at_version = DeltaTable(lake.places[name], version=written.table_version)
                    rows = at_version.to_pyarrow_table(filters=[("event_date", "=", date)])
                    assert rows.num_rows == written.rows
    assert_gold_is_true(lake)


def test_user_metadata_of_other_writers_is_no_stamp(two_days: Lake) -> None:
    assert commit_of(two_days, "user_spend_summary", 0).said == {}
    for text in ("not json", "[]", json.dumps("text"), ""):
        assert GoldCommit(0, {"userMetadata": text}).said == {}
