"""What Gold must be, worked out from outside: DuckDB over the files of one Silver version.

Neither the engines nor our PySpark code take part: files are read by pyarrow (by delta-rs's DataFusion where the table has
deletion vectors), and the contract and the transformations are written here a second time, as SQL.
"""

import datetime as dt
import decimal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import TableNotFoundError

from gold_assets.gold.lake import Lake

GOLD = ("user_spend_summary", "product_usage_metrics", "high_risk_txns")
QUARANTINE = "quarantined_txns"

_BROKEN_RULES = {
    "user_id_is_missing": r"user_id IS NULL OR NOT regexp_matches(user_id::VARCHAR, '[^ \t\r\n]')",
    "product_id_is_missing": r"product_id IS NULL OR NOT regexp_matches(product_id::VARCHAR, '[^ \t\r\n]')",
    "amount_is_not_money": "units IS NULL",
    "usage_cost_ratio_is_not_finite": "usage_cost_ratio IS NOT NULL AND NOT isfinite(usage_cost_ratio::DOUBLE)",
    "risk_level_is_unknown": "risk_level IS NOT NULL AND risk_level NOT IN ('low', 'medium', 'high')",
    "event_date_is_missing": "event_date IS NULL",
}
"""By name, when a row breaks it. ``units`` is the amount in units of 0.0001, NULL where it is not money."""

_SPEND = """
    SELECT user_id, sum(units) AS units, count(*) AS transaction_count, event_date
    FROM valid GROUP BY user_id, event_date
"""
_USAGE = """
    SELECT product_id, avg(usage_cost_ratio::DOUBLE) AS average, avg(abs(usage_cost_ratio::DOUBLE)) AS size,
        count(usage_cost_ratio) AS rated_count, count(*) AS transaction_count, event_date
    FROM valid GROUP BY product_id, event_date
"""
_AVERAGES_AGREE_TO = 1e-12
"""Relative to the mean size of what is averaged, since the order of a floating-point sum is free."""


def rows_of(uri: str, version: int | None = None) -> pa.Table:
    """All rows of a Delta table at ``version``, by default its newest."""
    table = DeltaTable(uri, version=version)
    if table.protocol().min_reader_version > 1:  # deletion vectors, mapped columns
        return pa.table(QueryBuilder().register("t", table).execute("SELECT * FROM t"))
    return table.to_pyarrow_table()


def assert_gold_is_true(
    lake: Lake,
    dates: Iterable[dt.date] | None = None,
    silver_version: int | None = None,
    tables: Sequence[str] | None = None,
) -> None:
    """Fail where a table differs from its truth at ``silver_version``, on ``dates`` (by default all of both sides).

    Money, counts and rows exactly; averages to 1e-12. Rows without a date are compared whenever the quarantine is.
    """
    found = differences(lake, dates, silver_version, tables)
    assert not found, "Gold differs from Silver:\n" + "\n".join(found[:20])


def gold_is_true(lake: Lake) -> bool:
    """Whether Gold is there, and is what it must be: to wait for."""
    try:
        return not differences(lake)
    except TableNotFoundError:
        return False


def differences(
    lake: Lake,
    dates: Iterable[dt.date] | None = None,
    silver_version: int | None = None,
    tables: Sequence[str] | None = None,
    silver: pa.Table | None = None,
    versions: Mapping[str, int] | None = None,
) -> list[str]:
    """One line for each row that a table should have and has not, or has and should not have.

    ``tables`` are by default all of the lake's of which the truth is known here. ``versions`` are those of the tables at the lake's ``places``, by default the newest where they are. ``silver`` gives Silver's rows, with the names that the project has for its columns, where they are not simply the table's.
    """
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        silver_columns = _judge_silver(db, rows_of(lake.silver, silver_version) if silver is None else silver, dates)
        found = []
        known = [table.name for table in lake.tables if table.name in (*GOLD, QUARANTINE)]
        for name in known if tables is None else tables:
            gold = rows_of(lake.place(name)) if versions is None else rows_of(lake.places[name], versions[name])
            _register(db, "gold", gold, dates)
            found += [f"{name}: {line}" for line in _differences(db, name, silver_columns, gold.column_names)]
            db.execute("DROP TABLE gold")
        return found


def _judge_silver(db: duckdb.DuckDBPyConnection, silver: pa.Table, dates: Iterable[dt.date] | None) -> list[str]:
    """Make the views ``valid`` and ``quarantined``; give Silver's column names."""
    amount = silver.schema.field("amount").type
    if pa.types.is_decimal(amount) or pa.types.is_integer(amount):
        units = pa.array([_decimal_units(value) for value in silver["amount"].to_pylist()], pa.int64())
        silver = silver.append_column("units", units)
        db.register("silver_with_units", silver)
    else:
        db.register("silver_without_units", silver)
        db.execute("""
            CREATE VIEW silver_with_units AS SELECT *,
                CASE WHEN isfinite(amount) AND abs(amount::DOUBLE * 1e4) < 1e18
                    THEN round(amount::DOUBLE * 1e4)::BIGINT END AS units
            FROM silver_without_units
        """)
    names = ", ".join(f"CASE WHEN {broken} THEN '{name}' END" for name, broken in _BROKEN_RULES.items())
    db.execute(f"""
        CREATE TABLE judged AS
        SELECT *, list_filter([{names}], lambda name: name IS NOT NULL) AS violations
        FROM silver_with_units WHERE {_on_dates(dates)}
    """)
    db.execute("CREATE VIEW valid AS SELECT * FROM judged WHERE len(violations) = 0")
    db.execute("CREATE VIEW quarantined AS SELECT * FROM judged WHERE len(violations) > 0")
    return [name for name in silver.column_names if name != "units"]


def _register(db: duckdb.DuckDBPyConnection, name: str, table: pa.Table, dates: Iterable[dt.date] | None) -> None:
    db.register(f"{name}_of_all_dates", table)
    db.execute(f"CREATE TABLE {name} AS SELECT * FROM {name}_of_all_dates WHERE {_on_dates(dates)}")


def _on_dates(dates: Iterable[dt.date] | None) -> str:
    if dates is None:
        return "true"
    return " OR ".join(["event_date IS NULL", *(f"event_date = DATE '{date}'" for date in dates)])


def _differences(
    db: duckdb.DuckDBPyConnection, name: str, silver_columns: list[str], gold_columns: list[str]
) -> list[str]:
    if name == "user_spend_summary":
        gold = "SELECT user_id, (total_spend * 10000)::HUGEINT, transaction_count, event_date FROM gold"
        return _rows_that_differ(db, _SPEND, gold)
    if name == "product_usage_metrics":
        db.execute(f"CREATE OR REPLACE TABLE usage AS {_USAGE}")
        counts = "product_id, rated_count, transaction_count, event_date"
        different_counts = _rows_that_differ(db, f"SELECT {counts} FROM usage", f"SELECT {counts} FROM gold")
        return different_counts + _averages_that_differ(db)
    own = {"high_risk_txns": ["is_high_risk"], QUARANTINE: ["violations"]}[name]
    if missing := {*silver_columns, *own} - set(gold_columns):
        return [f"lacks the columns {sorted(missing)}"]
    # A column that Silver had once and has no longer must be NULL.
    lost = "".join(f", NULL AS {_quoted(name)}" for name in gold_columns if name not in {*silver_columns, *own})
    columns = ", ".join(map(_quoted, gold_columns))
    expected = {
        "high_risk_txns": f"SELECT *, true AS is_high_risk{lost} FROM valid "
        "WHERE risk_level = 'high' AND usage_cost_ratio < 0.2",
        QUARANTINE: f"SELECT *{lost} FROM quarantined",
    }[name]
    return _rows_that_differ(db, f"SELECT {columns} FROM ({expected})", f"SELECT {columns} FROM gold")


def _rows_that_differ(db: duckdb.DuckDBPyConnection, expected: str, gold: str) -> list[str]:
    # As multisets. Grouping takes NULL for equal to NULL and NaN to NaN, and -0.0 to 0.0.
    surplus = db.sql(f"""
        SELECT sum(side) AS surplus, * EXCLUDE side
        FROM (SELECT -1 AS side, * FROM ({expected}) UNION ALL SELECT 1, * FROM ({gold}))
        GROUP BY ALL HAVING sum(side) <> 0 ORDER BY ALL
    """).fetchall()
    return [f"{'lacks' if count < 0 else 'should not have'} {abs(count)} x {row}" for count, *row in surplus]


def _averages_that_differ(db: duckdb.DuckDBPyConnection) -> list[str]:
    pairs = db.sql(f"""
        SELECT product_id, event_date, average, avg_usage_cost_ratio
        FROM usage JOIN gold USING (product_id, event_date)
        WHERE (average IS NULL) <> (avg_usage_cost_ratio IS NULL)
            OR NOT abs(average - avg_usage_cost_ratio) <= {_AVERAGES_AGREE_TO} * size
    """).fetchall()
    return [
        f"has for {product!r} on {date} the average {found}, not {average}" for product, date, average, found in pairs
    ]


def _decimal_units(amount: decimal.Decimal | int | None) -> int | None:
    if amount is None:
        return None
    with decimal.localcontext() as context:
        context.prec = 80
        units = int((decimal.Decimal(amount) * 10_000).to_integral_value(decimal.ROUND_HALF_UP))
    return units if abs(units) < 10**18 else None


def _quoted(name: Any) -> str:
    return '"' + str(name).replace('"', '""') + '"'
