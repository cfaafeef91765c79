"""The example of flights: five days of real ones, the last of them in two commits, as DuckDB counts them in the rows that a package ships."""

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from examples.flights.project import project
from examples.flights.silver import read_flights
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.refresh import refresh
from gold_assets_tests.declaring.test_sql_tables import failing
from gold_assets_tests.truth import rows_of

pytestmark = pytest.mark.sail

FIRST, LAST = dt.date(2013, 3, 20), dt.date(2013, 3, 24)

IN_DUCKDB = {
    "delays_by_carrier": """
        SELECT carrier, day AS event_date, count(*) AS flights, avg(dep_delay) AS mean_dep_delay, count(dep_delay) AS departed,
            avg(arr_delay) AS mean_arr_delay, count(arr_delay) AS landed, count(*) FILTER (arr_delay > 15) AS late
        FROM valid GROUP BY ALL""",
    "aircraft_by_route": """
        SELECT origin, dest, day AS event_date, count(DISTINCT tailnum) AS aircraft, sum(distance)::BIGINT AS miles
        FROM valid GROUP BY ALL""",
    "long_delays": """
        SELECT carrier, flight, origin, dest, dep_delay / 60 AS hours_late, day AS event_date FROM valid WHERE dep_delay >= 120""",
}


def in_duckdb(flights: pa.Table, sql: str) -> pa.Table:
    with duckdb.connect() as db:
        db.register("flights", flights)
        db.execute("CREATE VIEW valid AS SELECT * FROM flights WHERE NOT coalesce(distance / air_time > 10, false)")
        return db.sql(sql).to_arrow_table()


def in_order(rows: pa.Table) -> list[dict[str, Any]]:
    """The rows, with averages to twelve digits, for a patch may change what comes after them."""
    plain = [
        {name: float(f"{of:.12g}") if isinstance(of, float) else of for name, of in row.items()}
        for row in rows.to_pylist()
    ]
    return sorted(plain, key=str)


def test_real_flights_are_made_patched_and_checked(tmp_path: Path, engine: Engine) -> None:
    lake, dates = project.lake(str(tmp_path)), days(FIRST, LAST)
    flights = read_flights(FIRST, LAST)
    assert flights.num_rows == 4599
    write_deltalake(lake.silver, read_flights(FIRST, dates[-2]), partition_by=["day"])
    refresh(lake, engine, dates)
    last = read_flights(LAST, LAST)
    write_deltalake(lake.silver, last.slice(0, 600), mode="append")
    refresh(lake, engine, dates, how="patch")
    write_deltalake(lake.silver, last.slice(600), mode="append")
    done = refresh(lake, engine, dates, how="patch")
    assert {name: written[LAST].step.how for name, written in done.dates.items() if LAST in written} == {
        "delays_by_carrier": "patched",
        "aircraft_by_route": "recomputed",
        "long_delays": "patched",
        "quarantined_flights": "patched",
    }
    for table, sql in IN_DUCKDB.items():
        expected = in_duckdb(flights, sql)
        assert in_order(rows_of(lake.places[table]).select(expected.column_names)) == in_order(expected)
    [broken] = rows_of(lake.places["quarantined_flights"]).to_pylist()
    assert (broken["distance"], broken["violations"]) == (748, ["faster_than_600_miles_an_hour"])
    assert failing(lake) == []
