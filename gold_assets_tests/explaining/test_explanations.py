"""``gold explain``: what a row is made from, when it changed and by whose doing; and why a row is not there."""

import dataclasses
import datetime as dt
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from gold_assets.commands.gold import gold
from gold_assets.delta.commit_info import CommitInfo
from gold_assets.engines import Engine
from gold_assets.explaining import history, rows
from gold_assets.explaining.explanation import Explanation, explain
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests import silver_changes
from gold_assets_tests.conftest import CopyOf, lake_in
from gold_assets_tests.corruptions import HIGH_RISK, ON_TUESDAY, QUARANTINE, SPEND, USAGE
from gold_assets_tests.reading.lakes import add, publish_in, published_lake
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, with_type, write_silver

pytestmark = pytest.mark.sail


@pytest.fixture
def lake(copy_of: CopyOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lake:
    """Ann spends 2.50 twice on each of three dates, once with a high risk; there is a row without a user as well. All is published."""
    lake = copy_of(published_lake)
    publish_in(lake)
    monkeypatch.chdir(tmp_path)
    for setting, place in {
        "GOLD_SOURCE_PATH": lake.silver,
        "GOLD_WRITE_PATH_SPEND_SUMMARY": lake.places[SPEND],
        "GOLD_WRITE_PATH_PRODUCT_USAGE_METRICS": lake.places[USAGE],
        "GOLD_WRITE_PATH_HIGH_RISK_TXNS": lake.places[HIGH_RISK],
        "GOLD_BAD_RECORDS_PATH": lake.places[QUARANTINE],
        "GOLD_PUBLISHED_PATH": lake.published or "",
        "GOLD_PARTITIONS_START": str(MONDAY),
        "GOLD_PARTITIONS_END": "2024-01-03",
        "COLUMNS": "120",
    }.items():
        monkeypatch.setenv(setting, place)
    return lake


def of(lake: Lake, *conditions: str, table: str = SPEND, date: object = MONDAY) -> Explanation:
    return explain(lake, table, str(date), conditions)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        gold(list(arguments), prog_name="gold")
    assert (ended.value.code or 0) == exit_code
    printed = capsys.readouterr()
    return printed.err.strip() if exit_code == 2 else printed.out


def test_the_command_says_what_a_number_is_made_from_when_it_changed_and_who_changed_it(
    lake: Lake, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    write_silver(lake, [row(amount=1.25)])
    refresh(lake, engine, [MONDAY], how="patch", by="run 88b020ab")
    text = said(capsys, "explain", SPEND, "--date", str(MONDAY), "user_id=ann")
    now, published = text.index("6.2500"), text.index("5.0000")
    assert text.index("Now, in version 2") < now < text.index("As published at") < published
    assert "Made from Silver's version 3, patched, the 1 patch since it was recomputed, in version 2" in text
    assert "by run 88b020ab" in text
    assert "3 rows, 3 valid and 0 quarantined; made from 3, total_spend 6.2500, transaction_count 3" in text
    assert "finds the same in version 3, to the last digit" in text
    history = text[text.index("History") :]
    assert "total_spend 5.0000 -> 6.2500" in history
    assert re.search(r"Silver 3, .*Z, WRITE by delta-rs.*: 1 rows of the date added, 0\s+removed", history)
    assert "came: user_id ann, product_id tea, amount 1.25" in history
    assert "That is all since the table was made" in history


@pytest.mark.parametrize("width", [60, 200])
def test_it_fits_the_terminal(
    lake: Lake, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = said(capsys, "explain", HIGH_RISK, "--date", str(MONDAY), "user_id=ann")
    assert max(map(len, text.splitlines())) <= width


def test_json_tells_the_same(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(said(capsys, "explain", SPEND, "--date", str(MONDAY), "user_id=ann", "--json", "-"))
    assert told["now"]["rows"] == [
        {"user_id": "ann", "total_spend": "5.0000", "transaction_count": 2, "event_date": "2024-01-01"}
    ]
    assert told["silver"]["rows"] == 2
    assert told["second_opinion"]["agrees"]
    [change] = told["history"]["changes"]
    assert [len(commit["came"]) for commit in change["silver_commits"]] == [2]


def test_the_last_change_of_an_average_names_the_rows_that_moved_it(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(usage_cost_ratio=0.9)])
    refresh(lake, engine, [MONDAY], how="patch")
    found = of(lake, "product_id=tea", table=USAGE)
    assert found.now.rows[0]["avg_usage_cost_ratio"] == pytest.approx(0.5)
    [newest, *_] = found.history.changes
    assert [commit.came and commit.came[0]["usage_cost_ratio"] for commit in newest.silver_commits] == [0.9]


@pytest.mark.parametrize(
    ("rows", "table", "conditions", "why"),
    [
        ([row(user_id="bob")], HIGH_RISK, ["user_id=bob"], "risk_level = 'high' is not true of 1"),
        (
            [high_risk_row(user_id="bob", usage_cost_ratio=0.3)],
            HIGH_RISK,
            ["user_id=bob"],
            "usage_cost_ratio < 0.2 is not true of 1",
        ),
        (
            [row(user_id="bob", amount=None)],
            SPEND,
            ["user_id=bob"],
            "its 1 row in Silver's version 3 break a rule and is in the quarantine",
        ),
        ([], QUARANTINE, ["user_id=ann"], "its 2 rows in Silver's version 3 break no rule"),
    ],
)
def test_a_row_that_is_not_there_is_explained_by_what_silver_has(
    rows: list[dict[str, Any]], table: str, conditions: list[str], why: str, lake: Lake, engine: Engine
) -> None:
    write_silver(lake, rows or [row(user_id="cid")])
    refresh(lake, engine, [MONDAY])
    assert why in str(of(lake, *conditions, table=table).absent_because)


def test_rules_that_rows_of_the_key_break_are_named(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(amount=None, risk_level="odd")])
    refresh(lake, engine, [MONDAY])
    [quarantined] = of(lake, "user_id=ann").silver.quarantined
    assert sorted(quarantined["violations"]) == ["amount_is_not_money", "risk_level_is_unknown"]
    [found] = of(lake, "violations=amount_is_not_money", "user_id=ann", table=QUARANTINE).now.rows
    assert found["amount"] is None


def test_a_row_that_silver_has_and_gold_has_not_yet_is_said_to_wait(lake: Lake) -> None:
    write_silver(lake, [row(user_id="new")])
    found = of(lake, "user_id=new")
    assert "later commits of Silver that touched the date are not in the table yet: 3" in str(found.absent_because)
    [waiting] = found.history.not_in_the_table_yet
    assert waiting.came and waiting.came[0]["user_id"] == "new"


def test_a_commit_that_renamed_columns_is_among_those_that_changed_a_row(lake: Lake, engine: Engine) -> None:
    silver_changes.swap_two_columns([row(user_id="eve")])(lake)
    waiting = of(lake, "user_id=ann").history.not_in_the_table_yet
    assert [commit.version for commit in waiting] == [3, 4]
    assert waiting[-1].unknown == "version 4 put another column in the place of amount"


def test_a_row_that_went_has_its_history(lake: Lake, engine: Engine) -> None:
    silver_changes.delete(MONDAY, "user_id = 'ann'")(lake)
    refresh(lake, engine, [MONDAY])
    found = of(lake, "user_id=ann")
    assert "has no row of it" in str(found.absent_because)
    [went, _] = found.history.changes
    assert went.after == [] and went.before and went.before[0]["transaction_count"] == 2
    assert [(commit.operation, len(commit.went or [])) for commit in went.silver_commits] == [("DELETE", 2)]


def test_rows_without_a_date_and_without_a_user_can_be_asked_for(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(user_id=None, event_date=None)])
    refresh(lake, engine, [MONDAY])
    found = of(lake, "user_id=NULL", table=QUARANTINE, date="none")
    assert found.now.count == 1
    assert found.now.rows[0]["violations"] == ["user_id_is_missing", "event_date_is_missing"]


@pytest.mark.parametrize(
    ("table", "date", "conditions", "sentence"),
    [
        ("spend", MONDAY, ["user_id=ann"], "There is no table spend, expected some of user_spend_summary"),
        (SPEND, "2024-01-09", ["user_id=ann"], "the nearest date that either has is 2024-01-03"),
        (SPEND, "monday", ["user_id=ann"], "monday is no date, expected one such as 2026-01-31"),
        (SPEND, MONDAY, ["user=ann"], "has no column user, the nearest is user_id"),
        (SPEND, MONDAY, ["ann"], "ann is no condition, expected a column and its value, such as user_id=1609"),
        (SPEND, MONDAY, ["total_spend=5"], "was asked for by total_spend, expected a value of user_id"),
        (SPEND, MONDAY, [], "was asked for by no column"),
        (SPEND, MONDAY, ["user_id=anna"], "has user_id=anna on 2024-01-01; the nearest is ann"),
        (HIGH_RISK, MONDAY, ["user_id=ann", "amount=9"], "has amount=9 on 2024-01-01; the nearest is 2.5"),
        (HIGH_RISK, MONDAY, ["amount=much"], "amount=much is no double, which amount is"),
    ],
)
def test_what_is_not_there_is_one_sentence_with_the_nearest(
    table: str, date: object, conditions: list[str], sentence: str, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, "explain", table, "--date", str(date), *conditions, exit_code=2)
    assert sentence in told and "\n" not in told


def test_a_failing_checks_example_names_the_command_that_explains_it(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    DeltaTable(lake.places[SPEND]).update({"total_spend": "CAST(7 AS DECIMAL(28, 4))"}, predicate=ON_TUESDAY)
    told = said(capsys, "checks", "--select", "*:reconciles", exit_code=1)
    [command] = re.findall(r"For example: gold (.*)", told)
    text = said(capsys, *shlex.split(command), exit_code=1)
    assert "finds something else in version 2" in text
    assert "written by somebody else by delta-rs" in text
    assert "total_spend 5.0000 -> 7.0000" in text


def test_where_the_tables_log_is_cut_the_history_says_so(lake: Lake, engine: Engine) -> None:
    add(lake, engine, "bob")
    table = DeltaTable(lake.places[SPEND])
    table.create_checkpoint()
    for version in (0, 1):
        (Path(lake.places[SPEND]) / "_delta_log" / f"{version:020}.json").unlink()
    add(lake, engine, "ann")
    found = of(lake, "user_id=ann")
    assert found.history.ends_because == "the table's log no longer has version 1"
    assert [change.version for change in found.history.changes] == [3]


def test_where_files_are_gone_the_history_does_not_guess(lake: Lake, engine: Engine) -> None:
    add(lake, engine, "ann")
    DeltaTable(lake.places[SPEND]).vacuum(0, dry_run=False, enforce_retention_duration=False)
    silver_changes.delete(MONDAY, "user_id = 'ann'")(lake)
    silver_changes.vacuum(lake)
    found = of(lake, "user_id=ann")
    assert [(change.before, change.after) for change in found.history.changes] == [(None, None)] * 2
    assert {commit.came is None for change in found.history.changes for commit in change.silver_commits} == {True}
    assert "cannot be read any more" in str(found.silver.doubt)
    assert found.now.count == 1


def test_rows_too_many_to_list_are_counted(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 1)
    monkeypatch.setattr(history, "MOST_ROWS", 1)
    [change] = of(lake, "user_id=ann").history.changes
    assert [(commit.added, commit.came, commit.unknown) for commit in change.silver_commits] == [
        (3, None, "in all commits they are more than 1")
    ]
    found = of(lake, "user_id=ann", table=HIGH_RISK)
    assert found.now.count == 1 and len(found.history.changes) == 1


@pytest.mark.parametrize(
    ("info", "by"),
    [
        ({"userName": "ann@example.org", "userId": "7", "engineInfo": "Databricks-Runtime"}, "ann@example.org"),
        ({"job": {"jobId": "12", "runId": "34"}, "clientVersion": "x"}, "job jobId 12, runId 34"),
        ({"userId": "7", "notebook": {"notebookId": "5"}}, "7, notebook notebookId 5"),
        ({"engineInfo": "Apache-Spark/4.2.0 Delta-Lake/4.4.0"}, "Apache-Spark/4.2.0 Delta-Lake/4.4.0"),
        ({}, ""),
    ],
)
def test_who_committed_is_told_as_far_as_the_commit_says(info: dict[str, Any], by: str) -> None:
    assert CommitInfo.of(3, info).by == by


def test_a_silver_of_another_shape_is_explained_too(engine: Engine, tmp_path: Path) -> None:
    """Its columns have other names, its rows a timestamp, and its files many dates."""
    lake = dataclasses.replace(lake_in(tmp_path), silver_columns={"user_id": "customer", "event_date": "at"})
    noon = dt.datetime.combine(MONDAY, dt.time(12), dt.timezone.utc)
    rows = [
        {**row(), "customer": user, "at": noon + dt.timedelta(days=days)}
        for user in ("ann", "bob")
        for days in range(40)
    ]
    schema = with_type("at", pa.timestamp("us", "UTC"), with_type("customer", pa.string()))
    for name in ("user_id", "event_date"):
        schema = schema.remove(schema.get_field_index(name))
    write_silver(lake, rows, schema=schema, partition_by=[])
    refresh(lake, engine, [MONDAY, TUESDAY])
    write_silver(lake, rows[:1], schema=schema)
    refresh(lake, engine, [MONDAY], how="patch")
    found = of(lake, "user_id=ann")
    assert found.silver.rows == 2 and found.second_opinion.exact
    assert [[len(commit.came or []) for commit in change.silver_commits] for change in found.history.changes] == [
        [1],
        [1],
    ]
    assert [[commit.added for commit in change.silver_commits] for change in found.history.changes] == [[1], [2]]
