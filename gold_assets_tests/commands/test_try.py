"""``gold try``: what it says of a change is what ``gold diff`` says once it is made, and the lake stays as it is."""

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold_assets import transactions
from gold_assets.commands.gold import gold
from gold_assets.declaring.column import value
from gold_assets.declaring.project import Project
from gold_assets.declaring.table import Table
from gold_assets.engines import Engine
from gold_assets.explaining.differences import differences
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import refresh
from gold_assets.gold.safeguards import Safeguards
from gold_assets.reading.answers import plain
from gold_assets.transactions.source import RATIO, source
from gold_assets.transactions.tables import HIGH_RISK_TXNS, PRODUCT_USAGE_METRICS, USER_SPEND_SUMMARY
from gold_assets.trying.trial import sampled, try_out
from gold_assets_tests.changes_of_code import A_COLUMN_MORE, below, with_another_rule, with_tables
from gold_assets_tests.commands.test_plan import everything_in
from gold_assets_tests.corruptions import DATES, HIGH_RISK, QUARANTINE, SPEND, USAGE
from gold_assets_tests.explaining.test_explanations import lake
from gold_assets_tests.reading.lakes import add, publish_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, write_silver

__all__ = ["lake"]

pytestmark = pytest.mark.sail


def tried(
    capsys: pytest.CaptureFixture[str], *arguments: str, project: Project = transactions.project, exit_code: int
) -> str:
    """What ``gold try`` says in a working tree with this project."""
    with pytest.raises(SystemExit) as ended:
        gold(["try", *arguments], prog_name="gold", obj=project)
    assert (ended.value.code or 0) == exit_code
    printed = capsys.readouterr()
    return printed.err.strip() if exit_code == 2 else printed.out


@pytest.fixture
def varied(lake: Lake, engine: Engine) -> Lake:
    """The lake with rows beside each change: nothing spent, a ratio of 0.2 and one of 0.22, a product with two ratios."""
    rows = [row(user_id="bob", amount=0.0, usage_cost_ratio=0.7, event_date=date) for date in DATES]
    rows += [high_risk_row(user_id="cat", usage_cost_ratio=ratio, event_date=TUESDAY) for ratio in (0.2, 0.22)]
    write_silver(lake, rows)
    refresh(lake, engine, DATES)
    publish_in(lake)
    return lake


def by_table(told: Mapping[str, Any]) -> dict[str, Any]:
    """What both commands say of each table in which something changes."""
    both = ("dates", "changed", "totals", "changes")
    return {
        table["table"]: {name: sorted(table[name], key=str) if name == "changes" else table[name] for name in both}
        for table in told["tables"]
        if table["changed"]
    }


@pytest.mark.parametrize(
    ("project", "changed"),
    [
        (with_another_rule(), {SPEND: 3, USAGE: 3, QUARANTINE: 3}),
        (with_tables(below("0.25")), {HIGH_RISK: 2}),
    ],
    ids=["a rule more", "another threshold"],
)
def test_what_it_says_is_what_a_diff_says_once_the_change_is_made_and_published(
    project: Project, changed: Mapping[str, int], varied: Lake, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    beforehand = json.loads(tried(capsys, "--json", "-", project=project, exit_code=1))
    assert {table["table"]: table["changed"] for table in beforehand["tables"] if table["changed"]} == changed
    moment = dt.datetime.now(dt.timezone.utc).isoformat()
    time.sleep(0.01)
    changed_lake = dataclasses.replace(varied, project=project)
    refresh(changed_lake, engine, DATES)
    publish_in(changed_lake)
    with pytest.raises(SystemExit):
        gold(["diff", "--from", f"published@{moment}", "--to", "published", "--json", "-"], obj=project)
    assert by_table(json.loads(capsys.readouterr().out)) == by_table(beforehand)


def test_a_column_more_is_told_beside_the_values_of_the_others(
    varied: Lake, engine: Engine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    project = with_tables(A_COLUMN_MORE)
    told = tried(capsys, "--json", "try.json", project=project, exit_code=1)
    assert "user_spend_summary: nothing changes in the columns that were there\n" in told
    assert "largest_amount  came  decimal(18,4)" in told
    [beforehand] = json.loads(Path("try.json").read_text())["tables"]
    moved = Path(varied.places[SPEND]).rename(tmp_path / "moved")
    changed_lake = dataclasses.replace(varied, project=project)
    refresh(changed_lake, engine, DATES)
    made = differences(changed_lake, A_COLUMN_MORE, DeltaTable(moved), changed_lake.open(A_COLUMN_MORE))
    assert plain(made.as_json())["changes"] == beforehand["changes"] == []


def test_it_writes_nothing_in_the_lake(varied: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything_in(varied), sorted(Path(str(varied.published)).parent.rglob("*"))
    tried(capsys, project=with_another_rule(), exit_code=1)
    assert (everything_in(varied), sorted(Path(str(varied.published)).parent.rglob("*"))) == before


def test_it_says_how_much_values_changed_and_what_that_is_by_date(
    varied: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def doubled(rows: DataFrame) -> DataFrame:
        return USER_SPEND_SUMMARY.transformation(rows).withColumn(
            "total_spend", (F.col("total_spend") * 2).cast("decimal(28,4)")
        )

    project = with_tables(dataclasses.replace(USER_SPEND_SUMMARY, version="2", transformation=doubled))
    write_silver(varied, [row(user_id="dan", event_date=MONDAY, amount=100.0)])  # is not published
    told = tried(capsys, "--json", "try.json", "--markdown", "try.md", project=project, exit_code=1)
    assert "Made user_spend_summary on 3 dates, from Silver's version 3, " in told
    assert (
        "Not tried, for the code that made them has not changed: product_usage_metrics, high_risk_txns, quarantined_txns."
        in told
    )
    assert "user_spend_summary: 3 dates, 2 users, +20.00" in told
    assert "0 keys came, 0 keys went; on 2024-01-01 to 2024-01-03" in told
    [table] = json.loads(Path("try.json").read_text())["tables"]
    [column] = table["columns"]
    assert (column["name"], column["values"], column["median"], column["largest"]) == (
        "total_spend",
        4,
        "5.0000",
        "5.0000",
    )
    assert column["examples"][0] == {
        "date": "2024-01-01",
        "key": "user_id=ann",
        "before": "5.0000",
        "after": "10.0000",
        "change": "5.0000",
    }
    assert table["by_date"]["2024-01-02"]["total_spend"] == {
        "before": "10.0000",
        "after": "20.0000",
        "change": "10.0000",
    }
    assert "**user_spend_summary**: 3 dates, 2 users, +20.00" in Path("try.md").read_text()
    assert (
        "user_id=ann" not in Path("try.md").read_text()
    )  # a pull request is no place for rows unless somebody says so
    monkeypatch.setenv("GOLD_EXAMPLES", "on")
    told_with_rows = tried(capsys, "--markdown", "-", project=project, exit_code=1)
    assert "| total_spend | 2024-01-01   | user_id=ann | 5.0000" in told_with_rows
    assert "To make 1 table on all dates of the window, 3, from 14 rows, takes about " in told


def test_a_refactoring_that_changes_nothing_ends_with_0_and_one_sentence(
    varied: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    def refactored(rows: DataFrame) -> DataFrame:
        return rows.filter((value(RATIO, rows) < F.lit(0.2)) & F.expr("risk_level = 'high'")).selectExpr(
            "*", "true AS is_high_risk"
        )

    project = with_tables(dataclasses.replace(HIGH_RISK_TXNS, transformation=refactored))
    assert tried(capsys, project=project, exit_code=0).startswith(
        "Nothing was tried, for no table is new or was made by"
    )
    told = tried(capsys, "--assert-same", project=project, exit_code=0)
    assert told.startswith(
        f"Nothing differs: on 3 dates {SPEND}, {USAGE}, {HIGH_RISK}, {QUARANTINE} would be the same, "
    )
    assert told.count("\n") == 1


def test_at_most_in_place_of_below_is_no_refactoring_and_the_rows_show_it(
    varied: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    def at_most(rows: DataFrame) -> DataFrame:
        return rows.filter((value(RATIO, rows) <= F.lit(0.2)) & F.expr("risk_level = 'high'")).selectExpr(
            "*", "true AS is_high_risk"
        )

    project = with_tables(dataclasses.replace(HIGH_RISK_TXNS, transformation=at_most))
    told = tried(capsys, "--assert-same", project=project, exit_code=1)
    assert told.startswith(
        "This is no refactoring: high_risk_txns (1 date, 1 row, +2.5) would not be what it is now.\n"
    )
    assert "1 row came, 0 rows went; on 2024-01-02" in told
    [example] = [line.split() for line in told.splitlines() if "came  2024-01-02" in line]
    assert example == ["came", "2024-01-02", "cat", "tea", "2.5", "0.2", "high", "True"]


def test_each_date_is_made_from_the_silver_that_readers_have_of_it(
    lake: Lake, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """What Silver has gained since is no difference, where a date is behind and where one is ahead of the others."""
    write_silver(lake, [row(user_id="bob", event_date=MONDAY)])  # is not made
    add(lake, engine, "cat", TUESDAY)
    publish_in(lake)
    write_silver(lake, [row(user_id="dan", event_date=TUESDAY)])
    assert tried(capsys, "--assert-same", exit_code=0).startswith("Nothing differs: on 3 dates ")


def test_a_date_that_silver_has_changed_and_gold_keeps_is_left_out(
    lake: Lake, engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No roll-out would make it."""
    monkeypatch.setenv("GOLD_SEALED_BEFORE", str(TUESDAY))
    sealed = dataclasses.replace(lake, safeguards=Safeguards(sealed_before=TUESDAY))
    DeltaTable(lake.silver).delete("event_date = DATE '2024-01-01'")
    add(sealed, engine, "bob", TUESDAY)
    publish_in(sealed)
    told = tried(capsys, "--table", SPEND, exit_code=0)
    assert "Made user_spend_summary on 2 dates, " in told
    assert "Left out, for Gold keeps what it has of them: 2024-01-01." in told


def test_without_a_publication_the_tables_are_compared_as_they_are(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLD_PUBLISHED_PATH", f"{lake.published}_elsewhere")
    assert tried(capsys, "--assert-same", exit_code=0).endswith(
        "compared with the tables as they are, for nothing is published.\n"
    )


def test_two_run_beside_each_other(varied: Lake, engine: Engine, tmp_path: Path) -> None:
    changed = dataclasses.replace(varied, project=with_tables(below("0.25")))
    with ThreadPoolExecutor() as pool:
        trials = list(pool.map(lambda n: try_out(changed, lambda: engine, str(tmp_path / n), DATES, DATES), "ab"))
    assert [trial.tables[0].keys_moved for trial in trials] == [(2, 0), (2, 0)]


def test_a_table_with_another_key_is_not_compared_and_says_why(
    varied: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    def by(sql: str) -> Project:
        return with_tables(Table(SPEND, source, sql=sql, path_setting=USER_SPEND_SUMMARY.path_setting))

    by_day = by("SELECT event_date, sum(amount) AS total_spend FROM transactions GROUP BY event_date")
    told = tried(capsys, project=by_day, exit_code=1)
    why = "its key is event_date now, of which there were several rows each"
    assert f"its rows cannot be compared, for {why}; 3 rows" in told
    by_product = by(
        """SELECT user_id, product_id, event_date, sum(amount) AS total_spend, count(*) AS transaction_count
            FROM transactions GROUP BY user_id, product_id, event_date"""
    )
    told = tried(capsys, project=by_product, exit_code=1)
    assert "its rows cannot be compared, for its key has product_id now, which it had not; " in told


def test_a_new_table_is_tried(varied: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    new = Table(
        "spend_by_product",
        source,
        sql="SELECT product_id, event_date, sum(amount) AS spent FROM transactions GROUP BY product_id, event_date",
    )
    told = tried(capsys, "--keep", str(tmp_path / "kept"), project=with_tables(new), exit_code=1)
    assert "spend_by_product: it is new; 3 rows on these dates" in told
    assert DeltaTable(tmp_path / "kept" / new.default_path).version() == 1


def test_a_sample_has_the_dates_with_most_rows_and_with_quarantined_ones_and_is_spread_over_the_others(
    lake: Lake, engine: Engine
) -> None:
    dates = [MONDAY + dt.timedelta(days=n) for n in range(60)]
    write_silver(lake, [row(event_date=date) for date in dates])
    write_silver(lake, [row(event_date=dates[40])] * 9 + [row(event_date=dates[50], user_id=None)] * 5)
    refresh(lake, engine, dates, tables=lake.named([QUARANTINE]))
    chosen = sampled(Moment(lake), dates, 12)
    assert len(chosen) == 12 and {dates[40], dates[50]} <= set(chosen)
    gaps = [later - earlier for earlier, later in zip([dates[0], *chosen], [*chosen, dates[-1]], strict=True)]
    assert max(gaps) <= dt.timedelta(days=10)
    assert sampled(Moment(lake), dates[:3], 12) == dates[:3]
    assert len(sampled(Moment(lake), dates, 1)) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--table", "spend"), "There is no table spend, expected some of user_spend_summary, "),
        (
            ("--assert-same", "--from", "2023-01-01", "--to", "2023-01-02"),
            "Each of the dates to try is neither in Silver nor in a table",
        ),
        (
            ("--contract", "--sample", "2"),
            "--contract makes no table, and was given with an option for that: give it alone.",
        ),
    ],
)
def test_what_cannot_be_tried_ends_with_2_and_one_sentence(
    arguments: tuple[str, ...], sentence: str, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tried(capsys, *arguments, exit_code=2)
    assert told.startswith(sentence) and "\n" not in told


def test_averages_that_are_rounded_otherwise_are_the_same(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    table = DeltaTable(lake.places[USAGE])
    table.update({"avg_usage_cost_ratio": "avg_usage_cost_ratio * (1 + 4e-16)"})
    publish_in(lake)
    assert tried(capsys, "--table", PRODUCT_USAGE_METRICS.name, exit_code=0).count("nothing changes") == 1


def test_only_dates_of_the_range_are_tried(varied: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    told = tried(capsys, "--from", str(WEDNESDAY), "--table", SPEND, exit_code=0)
    assert "Made user_spend_summary on 1 date, " in told
    assert "on all dates of the window, 3, from" in told
