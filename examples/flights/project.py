"""Gold tables of the flights that left New York in 2013, each declared by one SELECT.

``make example NAME=flights`` makes them of real rows; ``silver.py`` says where these come from.
"""

from gold_assets import Column, Project, Rule, Source, Table
from gold_assets.code_location import definitions

flights = Source(
    "flights",
    date="day",
    columns=[
        Column("carrier", "string", "Two letters of the airline."),
        Column("flight", "long", "Number of the flight."),
        Column("tailnum", "string", "Which aircraft; NULL of some that were cancelled."),
        Column("origin", "string", "EWR, JFK or LGA."),
        Column("dest", "string", "Airport of destination."),
        Column("dep_delay", "double", "Minutes late at departure, negative when early; NULL when cancelled."),
        Column("arr_delay", "double", "Minutes late at arrival; NULL when cancelled or diverted."),
        Column("air_time", "double", "Minutes in the air."),
        Column("distance", "long", "Miles."),
    ],
    rules=[
        Rule("nearer_than_any_destination", condition="distance > 50"),
        Rule("faster_than_600_miles_an_hour", condition="coalesce(distance <= 10 * air_time, true)"),
    ],
)

delays_by_carrier = Table(
    "delays_by_carrier",
    sql="""
        SELECT carrier, event_date, count(*) AS flights, avg(dep_delay) AS mean_dep_delay, count(dep_delay) AS departed,
            avg(arr_delay) AS mean_arr_delay, count(arr_delay) AS landed, count_if(arr_delay > 15) AS late
        FROM flights GROUP BY carrier, event_date""",
    numbers={"flights": "sum(flights)", "late_share": "sum(late) / CAST(sum(landed) AS DOUBLE)"},
)

aircraft_by_route = Table(
    "aircraft_by_route",
    sql="""
        SELECT origin, dest, event_date, count(DISTINCT tailnum) AS aircraft, sum(distance) AS miles
        FROM flights GROUP BY origin, dest, event_date""",
)

long_delays = Table(
    "long_delays",
    sql="""
        SELECT carrier, flight, origin, dest, dep_delay / 60 AS hours_late, event_date
        FROM flights WHERE dep_delay >= 120""",
    zorder_by=["carrier"],
)

project = Project(
    "flights", source=flights, tables=[delays_by_carrier, aircraft_by_route, long_delays], env_prefix="FLIGHTS_"
)
defs = definitions(project)
