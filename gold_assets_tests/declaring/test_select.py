"""A SELECT as a table: it means on every engine what it means on Spark, and what cannot is refused."""

import json
import math
import random
from collections.abc import Mapping

import duckdb
import pyarrow as pa
import pytest

from gold_assets.declaring.column import Column
from gold_assets.declaring.select import Select
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets_tests.declaring import spark_answers
from gold_assets_tests.declaring.spark_answers import COLUMNS, all_selects, by_expression, rows
from gold_assets_tests.small_silver import MONDAY

PAGE_VIEWS = {"page": "string", "visitor": "string", "seconds": "double", "paid": "decimal(18,4)", "event_date": "date"}


def page_views(sql: str) -> Select:
    return select_of(sql, "page_views", PAGE_VIEWS)


def select_of(sql: str, source: str, types: Mapping[str, str]) -> Select:
    return Select("a_table", sql, source, {name: Column(name, type) for name, type in types.items()})


def on_duckdb(select: Select, table: pa.Table) -> pa.Table:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.register("silver", table)
        return db.sql(select.duckdb).to_arrow_table()


def differing(select: Select, expressions: list[str], found: pa.Table) -> dict[str, tuple[list[str], list[str]]]:
    """What Spark says otherwise."""
    answers = json.loads(spark_answers.ANSWERS.read_text())
    found_by = by_expression(expressions, found)
    return {of: (found_by[of], answers[of]) for of in expressions if found_by[of] != answers[of]}


@pytest.mark.parametrize("number", range(len(all_selects())))
def test_an_expression_means_what_it_means_on_spark(number: int, engine: Engine) -> None:
    expressions, sql = all_selects()[number]
    select = select_of(sql, "odd", COLUMNS)
    session = engine.session  # type: ignore[attr-defined]
    found = session.sql(select.spark, rows=session.createDataFrame(rows())).toArrow()
    assert differing(select, expressions, found) == {}
    assert differing(select, expressions, on_duckdb(select, rows())) == {}


@pytest.mark.spark
def test_the_answers_are_what_spark_says_today(engine: Engine) -> None:
    found = spark_answers.ask_spark(engine.session)  # type: ignore[attr-defined]
    assert found == json.loads(spark_answers.ANSWERS.read_text())


def test_sums_and_averages_of_doubles_do_not_depend_on_the_order(engine: Engine) -> None:
    generator = random.Random(7)
    seconds = [generator.choice((0.1, 0.6, -1.7, 1e-9, 3e9)) * generator.random() for _ in range(2000)]
    select = page_views(
        "SELECT event_date, sum(seconds) AS total, avg(seconds) AS mean FROM page_views GROUP BY event_date"
    )
    session, found = engine.session, set()  # type: ignore[attr-defined]
    for _ in range(3):
        generator.shuffle(seconds)
        table = pa.table({"event_date": [MONDAY] * len(seconds), "seconds": seconds})
        for answer in (
            session.sql(select.spark, rows=session.createDataFrame(table)).toArrow(),
            on_duckdb(select, table),
        ):
            found.add((answer["total"][0].as_py(), answer["mean"][0].as_py()))
    [(total, mean)] = found
    assert math.isclose(total, math.fsum(seconds), rel_tol=1e-15)
    assert math.isclose(mean, math.fsum(seconds) / len(seconds), rel_tol=1e-15)


def test_an_average_that_another_column_reads_has_the_same_bits_on_duckdb(engine: Engine) -> None:
    generator = random.Random(7)
    seconds = [3e9 * generator.random() for _ in range(2000)]
    seconds += [1e-9, *(-x for x in seconds)]
    generator.shuffle(seconds)
    select = page_views(
        "SELECT event_date, sum(seconds) AS total, avg(seconds) AS mean, avg(seconds) * 2 AS twice FROM page_views GROUP BY event_date"
    )
    table = pa.table({"event_date": [MONDAY] * len(seconds), "seconds": seconds})
    session = engine.session  # type: ignore[attr-defined]
    [by_engine] = session.sql(select.spark, rows=session.createDataFrame(table)).toArrow().to_pylist()
    [by_duckdb] = on_duckdb(select, table).to_pylist()
    assert by_duckdb["twice"] == by_engine["twice"] == 2e-9 / len(seconds)
    # Nothing reads the total but a comparison.
    assert by_duckdb["total"] != by_engine["total"] == 1e-9
    assert abs(by_duckdb["total"]) <= by_duckdb["size_of_total"] * 2.0**-51


def test_columns_key_and_how_it_is_combined_are_read_from_the_select() -> None:
    select = page_views("""
        SELECT page, event_date, count(*) AS views, count(DISTINCT visitor) AS visitors, sum(seconds) AS seconds,
            avg(seconds) AS mean, count(seconds) AS timed, sum(paid) AS paid, max(visitor) AS last, avg(seconds + 1) AS uncounted,
            count(*) / 2 AS half
        FROM page_views WHERE page <> '/' GROUP BY 2, page""")
    assert select.key == ("page", "event_date")
    assert select.types == {
        "page": "string", "event_date": "date", "views": "long", "visitors": "long", "seconds": "double", "mean": "double",
        "timed": "long", "paid": "decimal(28,4)", "last": "string", "uncounted": "double", "half": "double",
    }  # fmt: skip
    assert select.combined == {
        "views": "count",
        "seconds": "sum",
        "mean": "avg",
        "timed": "count",
        "paid": "sum",
        "last": "max",
    }
    assert select.counts == {"mean": "timed"}
    assert select.made_from("seconds") == ("seconds",)
    assert list(select.sums_of_doubles) == ["seconds", "mean", "uncounted"]
    filtered = page_views("SELECT event_date, count(*) AS n FROM page_views GROUP BY event_date HAVING count(*) > 1")
    assert filtered.combined == {}


def test_without_group_by_it_is_a_table_of_rows() -> None:
    select = page_views("SELECT *, seconds / 60 AS minutes FROM page_views WHERE seconds > 60")
    assert select.key == ()
    assert select.types == {**PAGE_VIEWS, "minutes": "double"}


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT page, count(*) AS n FROM page_views GROUP BY page", "no event_date"),
        ("SELECT event_date, page, count(*) AS n FROM page_views GROUP BY page", "neither grouped by nor aggregated"),
        ("SELECT event_date, count(*) AS n FROM page_views GROUP BY event_date, page", "select all that it is grouped by"),
        ("SELECT event_date + 1 AS event_date FROM page_views", "no event_date"),
        ("SELECT event_date, page FROM page_views UNION SELECT event_date, page FROM page_views", "not one SELECT"),
        ("SELECT event_date FROM page_views; SELECT 1", "not one SELECT"),
        ("SELECT event_date FROM page_views ORDER BY 1", "ORDER"),
        ("SELECT event_date FROM page_views LIMIT 5", "LIMIT"),
        ("SELECT DISTINCT event_date FROM page_views", "DISTINCT"),
        ("WITH a AS (SELECT 1) SELECT event_date FROM page_views", "WITH"),
        ("SELECT event_date FROM page_views JOIN other USING (page)", "JOINS"),
        ("SELECT event_date FROM other", "FROM other"),
        ("SELECT event_date FROM page_views WHERE page IN (SELECT page FROM other)", "a subquery"),
        ("SELECT event_date, sum(seconds) OVER (ORDER BY event_date) AS running FROM page_views", "a window function"),
        ("SELECT event_date, lag(page) OVER (PARTITION BY page ORDER BY event_date) AS before FROM page_views", "window"),
        ("SELECT event_date, count(*) AS n FROM page_views GROUP BY ROLLUP (event_date)", "not known to mean the same"),
        ("SELECT event_date, now() AS at FROM page_views", "another value each time"),
        ("SELECT event_date, current_date AS at FROM page_views", "another value each time"),
        ("SELECT event_date, current_timestamp() AS at FROM page_views", "another value each time"),
        ("SELECT event_date, rand() AS r FROM page_views", "another value each time"),
        ("SELECT event_date, uuid() AS r FROM page_views", "another value each time"),
        ("SELECT event_date, seconds, count(*) AS n FROM page_views GROUP BY event_date, seconds", "a double makes no key"),
        ("SELECT event_date, first(page) AS p FROM page_views GROUP BY event_date", "not known to mean the same"),
        ("SELECT event_date, collect_list(page) AS p FROM page_views GROUP BY event_date", "not known to mean the same"),
        ("SELECT event_date, stddev(seconds) AS s FROM page_views GROUP BY event_date", "not known to mean the same"),
        ("SELECT event_date, corr(seconds, seconds) AS s FROM page_views GROUP BY event_date", "not known to mean the same"),
        ("SELECT event_date, percentile_approx(seconds, 0.5) AS s FROM page_views GROUP BY event_date", "not known"),
        ("SELECT event_date, unix_timestamp(page) AS s FROM page_views", "not known to mean the same"),
        ("SELECT event_date, lower(page) AS s FROM page_views", "not known to mean the same"),
        ("SELECT event_date, round(seconds) AS s FROM page_views", "not known to mean the same"),
        ("SELECT event_date, CAST(page AS INT) AS s FROM page_views", "engines read such a CAST of a string otherwise"),
        ("SELECT event_date, CAST(seconds AS STRING) AS s FROM page_views", "engines read such a CAST"),
        ("SELECT event_date, paid / 3 AS s FROM page_views", "quotient of decimals"),
        ("SELECT event_date, avg(paid) AS s FROM page_views GROUP BY event_date", "average of decimals"),
        ("SELECT event_date, paid * paid * paid AS s FROM page_views", "digits"),
        ("SELECT event_date, sum(DISTINCT paid) AS s FROM page_views GROUP BY event_date", "DISTINCT"),
        ("SELECT event_date, sum(page) AS s FROM page_views GROUP BY event_date", "a string where a number is needed"),
        ("SELECT event_date, page = 1 AS s FROM page_views", "make them one type"),
        ("SELECT event_date, count(*) AS n FROM page_views", "GROUP BY event_date"),
        ("SELECT event_date, sum(count(*)) AS n FROM page_views GROUP BY event_date", "within another"),
        ("SELECT event_date, nothing FROM page_views", "page_views declares page"),
        ("SELECT event_date, seconds + 1 FROM page_views", "give it a plain name"),
        ("SELECT event_date, page, page FROM page_views", "two columns page"),
        ("SELECT event_date, count(*) AS rows FROM page_views GROUP BY event_date", "has one of that name"),
        ("SELECT event_date, NULL AS n FROM page_views", "give n a type"),
        ("SELECT event_date, substring(page, -1) AS s FROM page_views", "from 1 on"),
        ("SELECT event_date > '2024-13-01' AS p, event_date FROM page_views", "is no date"),
        ("SELECT event_date FROM page_views WHERE (", "no Spark SQL"),
    ],
)  # fmt: skip
def test_what_no_date_holds_or_engines_differ_in_is_refused_in_one_sentence(sql: str, says: str) -> None:
    with pytest.raises(UserError, match="The S") as refused:
        _ = page_views(sql).types
    assert says in str(refused.value)
