"""Tables that are one SELECT: made, patched, checked and explained."""

import datetime as dt
import importlib.util
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import functions as F

from gold_assets import Column, Lake, Project, Rule, Source, Table
from gold_assets.checks.catalogue import RECONCILES, all_checks, run
from gold_assets.checks.findings import Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.declaring.select import Select
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.explaining.differences import differences
from gold_assets.explaining.explanation import explain
from gold_assets.gold.refresh import refresh
from gold_assets_tests.declaring.random_tables import page_views
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY
from gold_assets_tests.truth import rows_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "page_views" / "project.py"
DATES = [MONDAY, TUESDAY]
CHECKS = (RECONCILES, "undated_rows_reconcile", "sound_rows", "schema")


def failing(lake: Lake, *, patches: bool = False) -> list[Finding]:
    inspection = Inspection(lake, None, Limits(dt.date.min, WEDNESDAY, quarantined_share=1.0), patches=patches)
    checks = [check for check in all_checks(lake.project) if check.name in CHECKS]
    return [finding for finding in run(checks, inspection) if not finding.passed]


@pytest.fixture
def lake_of_the_example(tmp_path: Path, engine: Engine) -> Lake:
    """Made of two commits of Silver, the second patched in."""
    spec = importlib.util.spec_from_file_location("page_views_project", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lake: Lake = module.project.lake(str(tmp_path))
    at = dt.datetime.combine(MONDAY, dt.time(9), dt.timezone.utc)
    row = {"page": "/", "visitor": "ann", "seconds": 0.1, "viewed_at": at}
    schema = pa.Table.from_pylist([row]).schema
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


WORDS = Source(
    "sales",
    [
        Column("order", "key"),
        Column("group", "string"),
        Column("Select", "decimal(9,2)"),
        Column("interval", "number"),
        Column("where", "date", nullable=True),
    ],
    [
        Rule("order_is_missing", reads="order"),
        Rule("select_is_no_money", reads="Select"),
        Rule("interval_is_not_finite", reads="interval"),
    ],
    date="end",
)
"""Of columns that are called as words of SQL are."""


def test_columns_may_be_called_as_words_of_sql_are(tmp_path: Path, engine: Engine) -> None:
    by_group = """SELECT `group`, event_date, sum(`Select`) AS `sum`, max(`interval`) AS `limit`, count(DISTINCT `order`) AS `table`
        FROM sales GROUP BY `group`, event_date"""
    each = "SELECT `order`, `Select`, `where` AS `having`, event_date FROM sales WHERE `interval` < 5"
    low = Table(
        "low",
        WORDS,
        reference='SELECT *, "interval" < 1 AS "distinct" FROM sales WHERE "interval" < 0.8 AND "Select" >= 0',
        transformation=lambda rows: rows.filter("`interval` < 0.8 AND `Select` >= 0").withColumn(
            "distinct", F.lit(True)
        ),
        columns=[Column("event_date", "date"), Column("distinct", "boolean")],
    )
    tables = [Table("by_group", sql=by_group), Table("each_order", sql=each), low]
    lake = Project("sales", WORDS, tables).lake(str(tmp_path))
    at = dt.datetime.combine(MONDAY, dt.time(9), dt.timezone.utc)
    row = {"order": "a", "group": "x", "Select": 1.25, "interval": Decimal("0.500"), "where": at, "end": at}
    schema = pa.Table.from_pylist([row]).schema
    rows = [row, row | {"order": "b"}, row | {"order": " "}, row | {"Select": None}]
    write_deltalake(lake.silver, pa.Table.from_pylist(rows, schema))
    refresh(lake, engine, DATES)
    [found] = rows_of(lake.places["by_group"]).to_pylist()
    assert (found["sum"], found["limit"], found["table"]) == (Decimal("2.50"), 0.5, 2)
    assert failing(lake) == []
    write_deltalake(lake.silver, pa.Table.from_pylist([row | {"Select": 2.0}], schema), mode="append")
    DeltaTable(lake.silver).delete("\"order\" = 'b'")
    refresh(lake, engine, DATES, how="patch")
    assert rows_of(lake.places["by_group"])["sum"].to_pylist() == [Decimal("3.25")]
    assert failing(lake) == failing(lake, patches=True) == []
    told = explain(lake, "by_group", str(MONDAY), ["group=x"])
    assert told.second_opinion is not None and told.second_opinion.agrees
    assert explain(lake, "each_order", str(MONDAY), ["order=a"]).second_opinion is not None


def test_columns_may_be_called_as_a_patch_or_a_comparison_calls_its_own(tmp_path: Path, engine: Engine) -> None:
    rules = [Rule("x_is_not_finite", reads="x")]
    flags = Source("flags", [Column("is_new", "boolean"), Column("x", "number")], rules, date="at")
    by_new = """SELECT is_new, event_date, avg(x) AS m, count(x) AS n, max(x) AS before_m, min(x) AS new_m, count(x) AS is_there
        FROM flags GROUP BY is_new, event_date"""
    lake = Project("flags", flags, [Table("by_new", sql=by_new)]).lake(str(tmp_path))
    at = dt.datetime.combine(MONDAY, dt.time(9), dt.timezone.utc)
    rows = [{"is_new": True, "x": 1.0, "at": at}, {"is_new": False, "x": 5.0, "at": at}]
    write_deltalake(lake.silver, pa.Table.from_pylist(rows))
    refresh(lake, engine, DATES)
    write_deltalake(lake.silver, pa.Table.from_pylist([{"is_new": True, "x": 2.0, "at": at}]), mode="append")
    done = refresh(lake, engine, DATES, how="patch")
    assert str(done.dates["by_new"][MONDAY].step) == "patched: 1 file added in version 1"
    found = {
        row["is_new"]: (row["m"], row["n"], row["before_m"], row["new_m"])
        for row in rows_of(lake.places["by_new"]).to_pylist()
    }
    assert found == {True: (1.5, 2, 2.0, 1.0), False: (5.0, 1, 5.0, 5.0)}
    assert failing(lake, patches=True) == []
    before, after = (DeltaTable(lake.places["by_new"], version) for version in (1, 2))
    assert differences(lake, lake.tables[0], before, after).dates == {MONDAY: 1}


def test_names_that_stand_for_something_else_in_a_comparison_are_refused() -> None:
    sql = "SELECT page AS {}, event_date, count(*) AS views FROM page_views GROUP BY page, event_date"
    with pytest.raises(UserError, match="The key of views has gold_views, as a comparison calls"):
        Table("views", page_views, sql=sql.format("gold_views"))
    with pytest.raises(UserError, match="views selects violations, a column of the quarantine"):
        Table("views", page_views, sql=sql.format("violations"))
