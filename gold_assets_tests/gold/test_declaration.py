"""A declaration that contradicts itself is one sentence, when it is made; what it says of patches and versions is derived from it."""

import dataclasses
from typing import Any

import pytest

from gold_assets.declaring.column import Column
from gold_assets.declaring.source import Rule, Source
from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import HIGH_RISK_TXNS, PRODUCT_USAGE_METRICS, TABLES, USER_SPEND_SUMMARY

pytestmark = pytest.mark.sail


def with_value(sql: str, type: str = "double") -> Table:
    """The table of users with one value more, ``found``."""
    reference = USER_SPEND_SUMMARY.reference.replace("event_date\n", f"event_date, {sql} AS found\n")
    columns = (*USER_SPEND_SUMMARY.columns, Column("found", type, "What was found."))
    return dataclasses.replace(USER_SPEND_SUMMARY, reference=reference, columns=columns)


@pytest.mark.parametrize(
    ("sql", "combined"),
    [
        ("max(amount)", "max"),
        ("MIN (usage_cost_ratio)", "min"),
        ("sum((amount))", "sum"),
        ("count(*) FILTER (WHERE risk_level = ')')", "count"),
        ("sum(amount) FILTER (WHERE risk_level = 'high')", "sum"),
        ("max(DISTINCT amount)", "max"),
        ("count(DISTINCT product_id)", None),
        ("sum(DISTINCT amount)", None),
        ("stddev(amount) FILTER (WHERE lower(risk_level) = 'high')", None),
        ("sum(usage_cost_ratio)", "sum"),
        ("max(usage_cost_ratio / amount)", None),  # may be NaN
        ("max(amount) - min(amount)", None),
        ("sum(amount) / 2", None),
        ("coalesce(sum(amount), 0)", None),
        ("median(amount)", None),
    ],
)
def test_a_patch_combines_what_is_one_aggregate_of_two_values(sql: str, combined: str | None) -> None:
    table = with_value(sql)
    assert (table.select.combined.get("found"), table.combines) == (combined, combined is not None)


def test_an_average_is_combined_by_the_column_that_counts_its_values() -> None:
    assert PRODUCT_USAGE_METRICS.select.combined["avg_usage_cost_ratio"] == "avg"
    assert PRODUCT_USAGE_METRICS.select.counts == {"avg_usage_cost_ratio": "rated_count"}
    with pytest.raises(UserError, match=r"found is an average whose values no column counts.*add count\(amount\) to"):
        with_value("avg(amount)")


@pytest.mark.parametrize(
    ("table", "changes", "sentence"),
    [
        (
            USER_SPEND_SUMMARY,
            {"key": ("user", "event_date")},
            "The key of user_spend_summary has user, expected some of",
        ),
        (
            USER_SPEND_SUMMARY,
            {"columns": (*USER_SPEND_SUMMARY.columns, *USER_SPEND_SUMMARY.columns)},
            "has the column user_id twice",
        ),
        (USER_SPEND_SUMMARY, {"columns": USER_SPEND_SUMMARY.columns[::-1]}, "expected those declared, event_date, tr"),
        (USER_SPEND_SUMMARY, {"key": ("user_id",)}, "groups by user_id, event_date, expected a GROUP BY of the key"),
        (USER_SPEND_SUMMARY, {"key": ()}, "groups by user_id, event_date, expected a GROUP BY of the key"),
        (
            HIGH_RISK_TXNS,
            {"key": ("is_high_risk", "event_date")},
            "does not group its rows, expected a GROUP BY of the k",
        ),
        (
            HIGH_RISK_TXNS,
            {"reference": "SELECT *, true AS is_high_risk FROM sales"},
            "reads sales, expected transactions",
        ),
        (
            HIGH_RISK_TXNS,
            {"reference": "SELECT *, risk = 1 AS is_high_risk FROM transactions"},
            "reads the column risk, ",
        ),
        (
            USER_SPEND_SUMMARY,
            {"reference": USER_SPEND_SUMMARY.reference.replace("user_id", "who AS user_id", 1)},
            "has who: transactions declares user_id, ",
        ),
        (HIGH_RISK_TXNS, {"reference": "SELECT *, (true FROM transactions"}, r"is no SQL \(Expecting \)"),
        (
            USER_SPEND_SUMMARY,
            {"invariants": {"transaction_count": "true"}},
            "The invariant transaction_count of user_spend_summary is called as a value that is compared",
        ),
        (
            HIGH_RISK_TXNS,
            {"reference": "SELECT * FROM transactions LIMIT 1"},
            "is not of the form expected, SELECT \\*, … FROM",
        ),
    ],
)
def test_a_table_that_contradicts_itself_is_one_sentence(table: Table, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as refused:
        dataclasses.replace(table, **changes)
    assert "\n" not in str(refused.value)


DATE, KEY = Column("event_date", "date", "When."), Column("shop", "key", "Where.")
HAS_DATE, HAS_SHOP = Rule("no_date", "no date", reads="event_date"), Rule("no_shop", "no shop", reads="shop")


@pytest.mark.parametrize(
    ("columns", "rules", "sentence"),
    [
        ((DATE, DATE), (HAS_DATE,), "The source sales has the column event_date twice"),
        ((DATE,), (HAS_DATE, HAS_DATE), "The source sales has the rule no_date twice"),
        ((KEY,), (HAS_SHOP,), "has no column event_date of type date: declare it"),
        (
            (dataclasses.replace(DATE, nullable=True),),
            (),
            "The column event_date of the source sales is nullable, and by it dates are told",
        ),
        ((DATE, dataclasses.replace(KEY, name="the shop")), (HAS_DATE,), "a column named 'the shop', expected letters"),
        ((DATE, dataclasses.replace(KEY, nullable=True)), (HAS_DATE,), "shop .* is nullable, and a key tells rows"),
        ((DATE, Column("at", "long", nullable=False)), (HAS_DATE,), 'add Rule\\("at_is_missing"'),
        ((DATE,), (HAS_DATE, HAS_SHOP), "The rule no_shop is on shop, expected one of the columns event_date"),
        ((DATE,), (HAS_DATE, Rule("odd", "odd", "price > 0")), "The rule odd is on price, expected one of the columns"),
        ((DATE,), (HAS_DATE, Rule("odd", "odd", "(event_date > ")), "The rule odd is no SQL"),
        ((DATE, Column("k", "long"), Column("K", "long")), (HAS_DATE,), "has the column k twice, as k and K"),
        ((DATE, Column("Violations", "string")), (HAS_DATE,), "Violations, as the quarantine has one of its own"),
        ((DATE,), (HAS_DATE, Rule("odd", "odd", "null > 0")), "The rule odd is on no column, expected columns"),
        ((DATE,), (HAS_DATE, Rule("odd", "odd", "sales.event_date > 0")), "The rule odd is on sales.event_date, exp"),
        (
            (DATE,),
            (HAS_DATE, Rule("odd", "odd", '"order" > 1')),
            "has \"order\" in double quotes, .* with source='order'",
        ),
        (
            (DATE, KEY),
            (HAS_DATE,),
            'No rule says .* whose shop is not .* reads it as, key: add Rule\\("shop_is_missing"',
        ),
    ],
)
def test_a_source_that_contradicts_itself_is_one_sentence(columns: Any, rules: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Source("sales", columns, rules)


def test_a_rule_has_a_condition_or_reads_a_column() -> None:
    for given in ({}, {"condition": "shop > 1", "reads": "shop"}):
        with pytest.raises(UserError, match="The rule odd has a condition and reads a column, or neither"):
            Rule("odd", "odd", **given)


def test_the_version_that_is_stamped_follows_the_declaration() -> None:
    # Dates that were stamped so before there were digests stay current.
    assert [table.code_version for table in TABLES] == ["1", "2", "1", "1"]
    changed = [
        dataclasses.replace(USER_SPEND_SUMMARY, source=dataclasses.replace(source, **parts))
        for parts in (
            {"rules": (*source.rules, Rule("too_much", "too much", "amount < 100"))},
            {"columns": (*source.columns, Column("shop", "string", "Where."))},
        )
    ]
    changed.append(
        dataclasses.replace(USER_SPEND_SUMMARY, reference=USER_SPEND_SUMMARY.reference.replace("(*)", "(1)"))
    )
    assert {table.code_version.split("-")[0] for table in changed} == {"1"}
    assert len({table.code_version for table in (*changed, USER_SPEND_SUMMARY)}) == 4
    described = dataclasses.replace(
        USER_SPEND_SUMMARY, description="Other words.", reference=USER_SPEND_SUMMARY.reference.replace("\n", "  ")
    )
    assert described.code_version == "1"
