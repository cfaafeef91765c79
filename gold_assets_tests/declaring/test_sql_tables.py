"""Tables that are one SELECT: patched, recomputed and as DuckDB answers the same SELECT they are equal, whatever becomes of Silver."""

import dataclasses
import datetime as dt
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import hypothesis
import pyarrow as pa
import pytest
import sqlglot
from deltalake import DeltaTable, write_deltalake
from hypothesis import strategies as st

from gold_assets import Column, Lake, Project, Rule, Source, Table
from gold_assets.checks.catalogue import RECONCILES, all_checks, run
from gold_assets.checks.findings import Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.declaring.select import Select
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.explaining.explanation import explain
from gold_assets.gold.refresh import refresh
from gold_assets_tests.small_silver import MONDAY, TUESDAY
from gold_assets_tests.truth import rows_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "page_views" / "project.py"
DATES = [MONDAY, TUESDAY]

page_views = Source(
    "page_views",
    [
        Column("page", "string"),
        Column("visitor", "string"),
        Column("seconds", "double"),
        Column("clicks", "integer"),
        Column("paid", "decimal(9,2)"),
        Column("viewed_at", "timestamp"),
    ],
    [
        Rule("clicks_are_negative", condition="coalesce(clicks, 0) >= 0"),
        Rule("paid_is_no_money", reads="paid"),
    ],
    date="viewed_at",
)
SCHEMA = pa.schema(
    [
        ("page", pa.string()),
        ("visitor", pa.string()),
        ("seconds", pa.float64()),
        ("clicks", pa.int32()),
        ("paid", pa.float64()),
        ("viewed_at", pa.timestamp("us", "UTC")),
    ]
)


def at(date: dt.date, hour: int) -> dt.datetime:
    return dt.datetime.combine(date, dt.time(hour), dt.timezone.utc)


row_of_silver = st.fixed_dictionaries(
    {
        "page": st.sampled_from(["/", "/tea", None]),
        "visitor": st.sampled_from(["ann", "bob", "", None]),
        # Sums of these are exact in any order, so that DuckDB's own sum can be held against ours.
        "seconds": st.sampled_from([0.25, 1.5, -2.0, 4096.125, 0.0, -0.0, None, float("nan"), float("inf")]),
        "clicks": st.sampled_from([0, 1, 2, 7, -1, None]),
        "paid": st.sampled_from([0.0, 1.25, 19.99, -3.5, None]),
        "viewed_at": st.builds(at, st.sampled_from(DATES), st.integers(0, 23)),
    }
)
rows_of_silver = st.lists(row_of_silver, min_size=1, max_size=8)
condition = st.sampled_from(["page = '/'", "clicks > 1", "visitor IS NULL", "seconds < 1", "true"])
change = st.one_of(
    st.tuples(st.just("append"), rows_of_silver),
    st.tuples(st.just("append"), rows_of_silver),
    st.tuples(st.just("delete"), condition),
    st.tuples(st.just("update"), condition),
    st.tuples(st.just("move"), condition),
    st.tuples(st.just("compact"), st.none()),
)

keys = st.lists(
    st.sampled_from(
        [
            "page",
            "visitor",
            "hour(viewed_at) AS hour",
            "coalesce(page, 'none') AS named",
            "clicks > 1 AS eager",
            "CASE WHEN seconds > 1 THEN 'long' ELSE 'short' END AS how_long",
        ]
    ),
    unique=True,
    max_size=2,
)
combined = [
    "count(*) AS views",
    "count(visitor) AS known",
    "sum(seconds) AS seconds",
    "sum(clicks) AS clicks",
    "sum(paid) AS paid",
    "min(visitor) AS first_name",
    "max(clicks) AS most",
    "max(viewed_at) AS last_view",
    "avg(seconds) AS mean, count(seconds) AS timed",
    "count_if(seconds > 1) AS long_views",
    "sum(CASE WHEN visitor = 'ann' THEN clicks ELSE 0 END) AS of_ann",
    "sum(seconds) FILTER (WHERE clicks > 0) AS clicked_seconds",
    "sum(paid * 2 + 0.5) AS double_paid",
]
not_combined = [
    "count(DISTINCT visitor) AS visitors",
    "min(seconds) AS shortest",
    "max(seconds) AS longest",
    "sum(clicks) / count(*) AS clicks_a_view",
    "CASE WHEN count(*) > 2 THEN 'many' ELSE 'few' END AS how_many",
    "bool_or(clicks > 1) AS any_eager",
    "avg(clicks) AS mean_clicks",
]
where = st.sampled_from(
    ["", "WHERE page <> '/'", "WHERE seconds BETWEEN 0 AND 2", "WHERE NOT clicks IN (1, 2) OR visitor IS NULL"]
)
SELECTS_OF_ROWS = st.builds(
    "SELECT page, seconds * 2 AS doubled, coalesce(clicks, 0) AS clicks, paid, event_date FROM page_views {}".format,
    where,
)


def grouped(keys: Sequence[str], aggregates: Sequence[str], where: str, having: str) -> str:
    numbers = ", ".join(str(number + 1) for number in range(len(keys) + 1))
    selected = ", ".join(["event_date", *keys, *aggregates])
    return f"SELECT {selected} FROM page_views {where} GROUP BY {numbers} {having}"


def some_of(among: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(among), min_size=1, max_size=4, unique=True)


PATCHED = st.builds(grouped, keys, some_of(combined), where, st.just(""))
selects = st.one_of(
    PATCHED,
    PATCHED,
    st.builds(grouped, keys, some_of(combined + not_combined), where, st.sampled_from(["", "HAVING count(*) > 1"])),
    SELECTS_OF_ROWS,
)


def change_silver(silver: str, kind: str, what: Any) -> None:
    if kind == "append":
        write_deltalake(silver, pa.Table.from_pylist(what, SCHEMA), mode="append")
    elif kind == "delete":
        DeltaTable(silver).delete(what)
    elif kind == "update":
        DeltaTable(silver).update({"clicks": "coalesce(clicks, 0) + 1", "seconds": "0.5"}, predicate=what)
    elif kind == "move":
        DeltaTable(silver).update(
            {"viewed_at": f"arrow_cast('{TUESDAY}T05:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"}, predicate=what
        )
    else:
        DeltaTable(silver).optimize.compact()


def differing(lake: Lake, other: Lake, table: Table) -> list[Any]:
    """Rows that are not the same in both lakes, and as DuckDB answers the SELECT over Silver's valid rows."""
    [own] = sqlglot.transpile(table.sql, read="spark", write="duckdb")
    own = own.replace("COUNT_IF(seconds > 1)", "count(*) FILTER (WHERE seconds > 1)")  # else NULL where Spark says 0
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.register("silver", rows_of(lake.silver))
        db.execute("""CREATE VIEW page_views AS SELECT page, visitor, seconds, clicks,
            round(paid, 2)::DECIMAL(9, 2) AS paid, viewed_at, viewed_at::DATE AS event_date
            FROM silver WHERE coalesce(clicks, 0) >= 0 AND paid IS NOT NULL""")
        patched, recomputed = (rows_of(of.places[table.name]) for of in (lake, other))
        db.register("patched", patched)
        db.register("recomputed", recomputed)
        names = ", ".join(patched.column_names)
        return [
            (said, row)
            for said in (f"SELECT {names} FROM ({own})", f"SELECT {names} FROM recomputed")
            for row in db.sql(f"""
                SELECT sum(side) AS surplus, * EXCLUDE side
                FROM (SELECT -1 AS side, * FROM ({said}) UNION ALL SELECT 1, {names} FROM patched)
                GROUP BY ALL HAVING sum(side) <> 0""").fetchall()
        ]


def failing(lake: Lake, *, patches: bool = False) -> list[Finding]:
    inspection = Inspection(lake, DATES, Limits(MONDAY, TUESDAY, quarantined_share=1.0), patches=patches)
    checks = [check for check in all_checks(lake.project) if check.name in (RECONCILES, "sound_rows", "schema")]
    return [finding for finding in run(checks, inspection) if not finding.passed]


@hypothesis.settings(max_examples=8, phases=[hypothesis.Phase.generate])  # shrinking takes minutes
@hypothesis.given(
    sql=st.lists(selects, min_size=3, max_size=3), first=rows_of_silver, changes=st.lists(change, max_size=4)
)
def test_patched_recomputed_and_duckdb_agree(
    sql: list[str], first: list[dict[str, Any]], changes: list[tuple[str, Any]], engine: Engine
) -> None:
    tables = [Table(f"table_{number}", sql=each) for number, each in enumerate(sql)]
    project = Project("web", page_views, tables)
    with tempfile.TemporaryDirectory() as root:
        lake, other = project.lake(f"{root}/patched"), project.lake(f"{root}/recomputed")
        other = dataclasses.replace(other, silver=lake.silver)
        write_deltalake(lake.silver, pa.Table.from_pylist(first, SCHEMA))
        refresh(lake, engine, DATES)
        for kind, what in changes:
            change_silver(lake.silver, kind, what)
            refresh(lake, engine, DATES, how="patch")
        refresh(other, engine, DATES)
        for table in lake.tables:
            if table.sql:
                assert differing(lake, other, table) == [], table.sql
        assert failing(lake) == []
        assert failing(lake, patches=True) == []


@pytest.fixture
def lake_of_the_example(tmp_path: Path, engine: Engine) -> Lake:
    """Made of two commits of Silver, the second patched in."""
    spec = importlib.util.spec_from_file_location("page_views_project", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lake: Lake = module.project.lake(str(tmp_path))
    row = {"page": "/", "visitor": "ann", "seconds": 0.1, "viewed_at": at(MONDAY, 9)}
    schema = pa.schema([SCHEMA.field(name) for name in row])
    rows = [row, row | {"seconds": 0.2}, row | {"page": "/tea", "seconds": 700.7}, row | {"seconds": -1.0}]
    write_deltalake(lake.silver, pa.Table.from_pylist(rows, schema))
    refresh(lake, engine, DATES)
    write_deltalake(lake.silver, pa.Table.from_pylist([row | {"seconds": 0.3, "visitor": None}], schema), mode="append")
    done = refresh(lake, engine, DATES, how="patch")
    assert done.dates["views_by_page"][MONDAY].step.how == "patched"
    return lake


def test_the_example_is_made_patched_checked_and_explained(lake_of_the_example: Lake) -> None:
    lake = lake_of_the_example
    found = {row["page"]: row for row in rows_of(lake.places["views_by_page"]).to_pylist()}
    assert found["/"] == {
        "page": "/",
        "event_date": MONDAY,
        "views": 3,
        "seconds": 0.6000000000000001,
        "last_visitor": "ann",
    }
    assert found["/tea"]["seconds"] == 700.7
    assert rows_of(lake.places["long_views"]).num_rows == 1
    assert rows_of(lake.places["quarantined_page_views"])["violations"].to_pylist() == [["seconds_are_negative"]]
    assert failing(lake) == []
    assert failing(lake, patches=True) == []
    told = explain(lake, "views_by_page", str(MONDAY), ["page=/"])
    assert told.second_opinion is not None and told.second_opinion.agrees


def test_what_is_not_what_the_select_says_is_found(lake_of_the_example: Lake) -> None:
    places = lake_of_the_example.places
    DeltaTable(places["views_by_page"]).update({"views": "views + 1"}, predicate="page = '/'")
    DeltaTable(places["visitors_by_page"]).delete("page = '/tea'")
    DeltaTable(places["long_views"]).update({"minutes": "minutes + 1"})
    found = {finding.check.table for finding in failing(lake_of_the_example)}
    assert found == {"views_by_page", "visitors_by_page", "long_views"}


def test_what_derives_from_the_select_is_declared_nowhere_else() -> None:
    sql = "SELECT page, event_date, count(*) AS views FROM page_views GROUP BY page, event_date"
    project = Project("web", page_views, [Table("views", sql=sql, key=["page"])])
    table, quarantine = project.tables
    assert isinstance(table.select, Select)
    assert (table.key, table.combines) == (("page", "event_date"), True)
    assert [(column.name, column.type) for column in table.columns] == [
        ("page", "string"),
        ("event_date", "date"),
        ("views", "long"),
    ]
    assert quarantine.is_quarantine
    with pytest.raises(UserError, match="make the two say the same"):
        Project("web", page_views, [Table("views", sql=sql, key=["visitor"])])
