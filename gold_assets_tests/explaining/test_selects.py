"""``gold explain`` and ``gold diff`` of tables that are one SELECT in Spark's SQL."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets import Column, Lake, Project, Rule, Source, Table
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.explaining.differences import TableDifferences, differences
from gold_assets.explaining.explanation import Explanation, explain
from gold_assets.gold.refresh import refresh
from gold_assets_tests.small_silver import MONDAY, TUESDAY
from gold_assets_tests.truth import rows_of

pytestmark = pytest.mark.sail

page_views = Source(
    "page_views",
    [
        Column("page", "string"),
        Column("visitor", "string"),
        Column("seconds", "double"),
        Column("paid", "decimal(9,2)"),
        Column("viewed_at", "timestamp"),
    ],
    [Rule("seconds_are_too_many", condition="seconds < 86400"), Rule("paid_is_no_money", reads="paid")],
    date="viewed_at",
)
BY_PAGE, BY_HOUR, PAGES = "views_by_page", "views_by_hour", "visitors_by_page"
LAST, OFTEN, LONG = "last_visitors", "often", "long_views"
project = Project(
    "web",
    page_views,
    [
        Table(
            BY_PAGE,
            sql="SELECT page, event_date, count(*) AS views, sum(seconds) AS seconds FROM page_views GROUP BY page, event_date",
        ),
        Table(
            BY_HOUR,
            sql="""SELECT hour(viewed_at) AS hour, paid, event_date, count(*) AS views FROM page_views
                WHERE NOT page LIKE '/private%' GROUP BY hour(viewed_at), paid, event_date""",
        ),
        Table(
            PAGES,
            sql="""SELECT page, event_date, count(DISTINCT visitor) AS visitors FROM page_views
                GROUP BY page, event_date""",
        ),
        Table(LAST, sql="SELECT page, event_date, max(visitor) AS last FROM page_views GROUP BY page, event_date"),
        Table(
            OFTEN,
            sql="SELECT page, event_date, count(*) AS n FROM page_views GROUP BY page, event_date HAVING count(*) > 1",
        ),
        Table(LONG, sql="SELECT viewed_at, seconds / 60 AS minutes, event_date FROM page_views WHERE seconds > 600"),
    ],
)
SCHEMA = pa.schema(
    [
        ("page", pa.string()),
        ("visitor", pa.string()),
        ("seconds", pa.float64()),
        ("paid", pa.float64()),
        ("viewed_at", pa.timestamp("us", "UTC")),
    ]
)


def view(page: str | None, seconds: float, visitor: str | None = "ann", paid: float = 1.25) -> dict[str, Any]:
    at = dt.datetime.combine(MONDAY, dt.time(9, 30), dt.timezone.utc)
    return {"page": page, "visitor": visitor, "seconds": seconds, "paid": paid, "viewed_at": at}


@pytest.fixture
def lake(tmp_path: Path, engine: Engine) -> Lake:
    """Three views of a page, of which one came later, and two of none, of which one breaks a rule."""
    lake = project.lake(str(tmp_path))
    views = [view("/", 0.1), view("/", 0.2, "bob"), view(None, 660.0, None), view(None, 1e6, paid=2.5)]
    append(lake, engine, views)
    append(lake, engine, [view("/", 0.3)])
    return lake


def append(lake: Lake, engine: Engine, views: list[dict[str, Any]]) -> None:
    write_deltalake(lake.silver, pa.Table.from_pylist(views, SCHEMA), mode="append")
    refresh(lake, engine, [MONDAY, TUESDAY], how="patch")


def of(lake: Lake, table: str, *conditions: str) -> Explanation:
    return explain(lake, table, str(MONDAY), conditions)


def changed(lake: Lake, name: str, before: int, after: int) -> TableDifferences:
    [table] = lake.named([name])
    old, new = (DeltaTable(lake.places[name], version=version) for version in (before, after))
    return differences(lake, table, old, new)


def test_the_rows_of_a_key_that_is_null_or_an_expression_are_explained(lake: Lake) -> None:
    none = of(lake, BY_PAGE, "page=NULL")
    assert (none.now.rows[0]["views"], none.silver.rows, none.silver.valid_rows) == (1, 2, 1)
    assert none.silver.numbers == {"views": 1, "seconds": 660.0}
    assert [row["violations"] for row in none.silver.quarantined] == [["seconds_are_too_many"]]
    assert none.second_opinion.exact
    page = of(lake, BY_PAGE, "page=/")
    assert page.silver.numbers == {"views": 3, "seconds": 0.6}
    assert page.second_opinion.agrees and not page.second_opinion.exact  # it was patched
    visitors = of(lake, PAGES, "page=/")
    assert (visitors.silver.numbers, visitors.second_opinion.exact) == ({"visitors": 2}, True)
    hour = of(lake, BY_HOUR, "hour=9", "paid=1.25")
    assert (hour.now.rows[0]["views"], hour.silver.rows, hour.silver.used_rows) == (3, 4, 3)
    assert hour.silver.valid_rows_that_miss == {"NOT page LIKE '/private%'": 1}
    assert hour.second_opinion.exact
    assert [
        [row["seconds"] for commit in change.silver_commits for row in commit.came or ()]
        for change in hour.history.changes
    ] == [[0.3], [0.1, 0.2, 660.0]]


def test_a_row_without_a_key_is_explained_by_what_its_columns_are_made_of(lake: Lake) -> None:
    long = of(lake, LONG, "minutes=11.0", "viewed_at=2024-01-01T09:30:00Z")
    assert (long.now.count, long.silver.rows, long.silver.used_rows) == (1, 1, 1)
    assert long.second_opinion.exact and len(long.second_opinion.pairs) == 1
    with pytest.raises(UserError, match=r"has minutes=12 on 2024-01-01; the nearest is 11\.0: ask for another\.$"):
        of(lake, LONG, "minutes=12")


def test_why_a_group_is_not_there_is_said_by_its_having(lake: Lake) -> None:
    found = of(lake, OFTEN, "page=NULL")
    assert found.second_opinion.agrees
    assert "what its 1 row in Silver's version 1 make does not meet the HAVING of its SELECT" in str(
        found.absent_because
    )


def test_keys_and_values_that_are_null_are_told_apart_from_rows_that_are_not_there(lake: Lake, engine: Engine) -> None:
    assert [change.key for change in changed(lake, BY_PAGE, 1, 2).largest()] == [{"page": "/"}]
    DeltaTable(lake.silver).delete("page IS NULL")
    refresh(lake, engine, [MONDAY])
    [gone] = changed(lake, LAST, 2, 3).largest()
    assert (gone.key, gone.before, gone.after) == ({"page": None}, {"rows": 1, "last": None}, {"rows": 0, "last": None})


def test_sums_of_doubles_that_a_recompute_rounds_otherwise_are_no_change(lake: Lake, engine: Engine) -> None:
    """To the size of the values that they add up, which is more than their own where these cancel out."""
    for seconds in (40_000.1, -40_000.1):
        append(lake, engine, [view("/", seconds)])
    refresh(lake, engine, [MONDAY])
    patched, recomputed = (
        {row["page"]: row["seconds"] for row in rows_of(lake.places[BY_PAGE], version).to_pylist()}["/"]
        for version in (4, 5)
    )
    assert abs(patched - recomputed) > 1e-12 * recomputed
    assert changed(lake, BY_PAGE, 4, 5).count == 0
    DeltaTable(lake.places[BY_PAGE]).update({"seconds": "seconds + 1e-4"})
    assert changed(lake, BY_PAGE, 5, 6).count == 2
