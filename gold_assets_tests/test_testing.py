"""The tests that users write: what they find, and how they say it."""

import datetime as dt
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets import Column, Project, Rule, Source, Table
from gold_assets.delta.errors import UserError
from gold_assets.testing import project_lake

pytestmark = pytest.mark.sail

MONDAY, TUESDAY = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
orders = Source(
    "orders",
    [Column("shop", "key"), Column("price", "decimal(9,2)")],
    [Rule("shop_is_missing", reads="shop"), Rule("price_is_no_money", reads="price")],
    date="day",
)
SUMS = "SELECT shop, count(*) AS orders, event_date FROM orders GROUP BY shop, event_date"


def of_larger_orders(rows: DataFrame) -> DataFrame:
    """Not what the reference says: it leaves orders below 2 out."""
    return (
        rows.filter("price >= 2")
        .groupBy("shop", "event_date")
        .agg(F.count("*").alias("orders"))
        .select("shop", "orders", "event_date")
    )


IN_SQL = Project("orders", orders, [Table("by_shop", sql=SUMS)])
WRONG = Table(
    "by_shop",
    orders,
    reference=SUMS,
    transformation=of_larger_orders,
    columns=[Column("shop", "key"), Column("orders", "long"), Column("event_date", "date")],
    key=["shop", "event_date"],
)


def order(shop: Any = 1, price: float = 2.5, day: dt.date = MONDAY) -> dict[str, Any]:
    return {"shop": shop, "price": price, "day": day}


def test_a_wrong_expectation_is_shown_beside_the_rows_found() -> None:
    with project_lake(IN_SQL) as case:
        case.append([order(), order(), order(shop=2)])
        case.expect("by_shop", [{"orders": 1}, {"orders": 2}])
        with pytest.raises(AssertionError) as failure:
            case.expect("by_shop", [{"shop": 1, "orders": 3}, {"shop": 2, "orders": 1}])
        said, *table = str(failure.value).splitlines()
        assert said == "by_shop does not hold the rows expected:"
        assert [line.split() for line in table if "--" not in line] == [
            ["shop", "orders"],
            ["expected", "1", "3"],
            *sorted([["found", "1", "2"], ["both", "2", "1"]], key=[line.split() for line in table].index),
        ]
        case.move("shop = 2", TUESDAY)
        case.expect("by_shop", [{"shop": 1, "event_date": MONDAY}, {"shop": 2, "event_date": TUESDAY}])
        with pytest.raises(AssertionError, match="changes no row of the source: shop = 3"):
            case.delete("shop = 3")
        with pytest.raises(AssertionError, match="no column name, but day, shop, price"):
            case.append([{"name": "x"}])


def test_a_transformation_that_is_not_what_its_reference_says_fails_though_nothing_was_expected() -> None:
    project = Project("orders", orders, [WRONG])
    unequal = pytest.raises(AssertionError, match=r"by_shop, computed anew, fails the check reconciles\. Unequal")
    with unequal, project_lake(project) as case:
        case.append([order(), order(price=1.0)])


def test_a_null_is_a_value_or_quarantined_as_the_column_says() -> None:
    columns = [Column("shop", "string", nullable=False), Column("price", "decimal(9,2)", nullable=True)]
    source = Source("orders", columns, orders.rules[:2], date="day")
    sql = "SELECT shop, count(*) AS orders, sum(price) AS price, event_date FROM orders GROUP BY shop, event_date"
    with project_lake(Project("orders", source, [Table("by_shop", sql=sql)])) as case:
        case.append([order("a"), {**order("a"), "price": None}, order(None), {**order("b"), "price": None}])
        case.expect("by_shop", [{"shop": "a", "orders": 2, "price": 2.5}, {"shop": "b", "orders": 1, "price": None}])
        case.expect("quarantined_orders", [{"shop": None, "violations": ["shop_is_missing"]}])
        case.append([{**order("b"), "price": None}, order("b", price=1.0)])
        case.expect("by_shop", [{"shop": "a", "price": 2.5}, {"shop": "b", "price": 1.0}])


def test_a_select_is_compared_with_the_reference_that_is_given() -> None:
    of_prices = SUMS.replace("count(*)", "count(price)")  # which the SELECT itself does not read
    with project_lake(Project("orders", orders, [Table("by_shop", sql=SUMS, reference=of_prices)])) as case:
        case.append([order(), order(price=1.0)])
        case.append([order()])
    wrong = SUMS.replace("count(*)", "count(DISTINCT price)")
    unequal = pytest.raises(AssertionError, match=r"by_shop, computed anew, fails the check reconciles\. Unequal")
    with unequal, project_lake(Project("orders", orders, [Table("by_shop", sql=SUMS, reference=wrong)])) as case:
        case.append([order(), order()])
    with pytest.raises(
        UserError, match="The reference of by_shop makes shop, event_date, expected what its SELECT makes"
    ):
        Table("by_shop", orders, sql=SUMS, reference=SUMS.replace("count(*) AS orders,", ""))
