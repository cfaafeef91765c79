import datetime as dt
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.engines import Engine
from gold_assets.transactions.sample import complete_journey
from gold_assets.transactions.source import source


@pytest.fixture(scope="module")
def year() -> pa.Table:
    return complete_journey.transactions()


def test_the_transactions_are_the_known_ones(year: pa.Table) -> None:
    counted = duckdb.execute("""
        SELECT count(*), count(DISTINCT user_id), count(DISTINCT event_date), min(event_date), max(event_date),
            count(*) FILTER (risk_level = 'high' AND usage_cost_ratio < 0.2),
            count(DISTINCT event_date) FILTER (risk_level = 'high' AND usage_cost_ratio < 0.2)
        FROM year
    """).fetchall()
    first, last = dt.date(2017, 1, 1), dt.date(2018, 1, 1)
    assert counted == [(1_469_307, 2_469, 365, first, last, complete_journey.HIGH_RISK_ROWS, 365)]


def test_event_date_is_the_utc_date_of_event_ts(year: pa.Table) -> None:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'America/Los_Angeles'")
        wrong = db.sql("SELECT count(*) FROM year WHERE (event_ts AT TIME ZONE 'UTC')::DATE <> event_date").fetchall()
    assert wrong == [(0,)]


@pytest.mark.parametrize("until", [dt.date(2026, 11, 23) + dt.timedelta(days=n) for n in range(7)])
def test_moved_by_whole_weeks_the_year_ends_on_any_date_and_loses_no_row(year: pa.Table, until: dt.date) -> None:
    with duckdb.connect() as db:
        db.register("year", year)
        db.register("moved", complete_journey.transactions(until=until))
        by_weekday = "SELECT dayofweek(event_date), count(*) FROM {} GROUP BY 1 ORDER BY 1"
        assert db.sql(by_weekday.format("moved")).fetchall() == db.sql(by_weekday.format("year")).fetchall()
        dates = "SELECT max(event_date), count(DISTINCT event_date), max(event_date) - min(event_date) < 372 FROM moved"
        assert db.sql(dates).fetchall() == [(until, complete_journey.DATES, True)]


def test_a_copy_has_the_same_purchases_by_new_users(tmp_path: Path) -> None:
    once = complete_journey.write_silver(str(tmp_path / "once"))
    twice = complete_journey.write_silver(str(tmp_path / "twice"), copies=2)

    def facts(table: DeltaTable) -> list[tuple[int, ...]]:
        counts = "count(*), count(DISTINCT user_id), count(DISTINCT product_id), count(DISTINCT event_date)"
        return duckdb.read_parquet(table.file_uris(), hive_partitioning=True).aggregate(counts).fetchall()

    [(rows, users, products, dates)] = facts(once)
    assert facts(twice) == [(2 * rows, 2 * users, products, dates)]


def test_the_bad_rows_break_every_rule_and_none_is_valid(year: pa.Table, tmp_path: Path, engine: Engine) -> None:
    bad = complete_journey.bad_rows(year)
    write_deltalake(tmp_path / "silver", bad, partition_by=["event_date"])
    silver = engine.read(DeltaTable(tmp_path / "silver", version=0))
    quarantined = source.quarantined_rows(silver).collect()
    assert len(quarantined) == bad.num_rows == 42
    assert {rule for row in quarantined for rule in row["violations"]} == {rule.name for rule in source.rules}
    assert source.valid_rows(silver).count() == 0
