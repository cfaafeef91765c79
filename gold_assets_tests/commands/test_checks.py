"""``gold checks``: each check seen red by a corruption of the real tables, and the exit code that CI sees."""

import datetime as dt
import json
import math
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.commands.gold import gold
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import CORRUPTIONS, DATES, QUARANTINE, SILVER, SPEND, Corruption, good_lake
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, row, write_silver
from gold_assets_tests.truth import rows_of

ON_THE_DATES = ("--from", "2024-01-01", "--to", "2024-01-03")


@pytest.fixture
def lake(copy_of: CopyOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A good lake, in which the command looks; Wednesday is the last date of its window."""
    lake = copy_of(good_lake)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOLD_SOURCE_PATH", lake.silver)
    for table in TABLES:
        monkeypatch.setenv(table.path_setting, lake.places[table.name])
    monkeypatch.setenv("GOLD_PARTITIONS_START", str(MONDAY))
    monkeypatch.setenv("GOLD_PARTITIONS_END", str(WEDNESDAY))
    return lake


def gold_checks(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        gold(["checks", *arguments], prog_name="gold")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def failures(*arguments: str) -> tuple[int, set[tuple[str, str, dt.date | None]]]:
    """The exit code, and what the JSON says has failed."""
    code = gold_checks(*arguments, "--json", "found.json")
    findings = json.loads(Path("found.json").read_text())["findings"]
    return code, {
        (found["table"], found["check"], found["date"] and dt.date.fromisoformat(found["date"]))
        for found in findings
        if not found["passed"]
    }


def test_a_good_lake_passes_every_check_with_exit_code_0(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert failures() == (0, set())
    assert "25 checks on 2024-01-01 to 2024-01-03" in capsys.readouterr().out


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_each_corruption_is_told_by_its_checks_and_no_other(lake: Lake, engine: Engine, corruption: Corruption) -> None:
    corruption.corrupt(lake, engine)
    assert failures(*ON_THE_DATES) == (0 if corruption.warns_only else 1, set(corruption.failures))


def test_a_wrong_day_outside_the_range_is_not_asked(lake: Lake) -> None:
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    assert failures("--from", "2024-01-03")[0] == 0
    assert failures("--to", "2024-01-02")[0] == 1


def test_select_runs_what_it_names(lake: Lake) -> None:
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    assert failures("--select", "high_risk_txns", "--select", "schema")[0] == 0
    assert failures("--select", "user*:rec*") == (1, {(SPEND, "reconciles", TUESDAY)})


def test_a_date_that_was_never_made_does_not_pass(lake: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_PARTITIONS_END", "2024-01-05")
    code, failed = failures("--to", "2024-01-05", "--select", SPEND)
    fourth, fifth = dt.date(2024, 1, 4), dt.date(2024, 1, 5)
    assert code == 1
    assert failed == {
        (SPEND, "one_silver_version", fourth),
        (SPEND, "one_silver_version", fifth),
        (SPEND, "yesterday_is_there", None),
    }


def test_silver_without_a_column_fails_its_schema_and_the_rest_could_not_run(lake: Lake) -> None:
    rows = rows_of(lake.silver).drop_columns(["risk_level"])
    shutil.rmtree(lake.silver)
    write_deltalake(lake.silver, rows, partition_by=["event_date"])
    code, failed = failures(*ON_THE_DATES)
    assert code == 2
    assert (SILVER, "schema", None) in failed
    not_run = json.loads(Path("found.json").read_text())["not_run"]
    assert {found["check"] for found in not_run} >= {"reconciles", "sound_rows", "share"}
    assert "has no column risk_level" in not_run[0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--select", "sums"), "--select sums names no check"),
        (("--from", "2024-01-03", "--to", "2024-01-01"), "which holds none"),
        (
            ("--from", "2023-12-30", "--to", "2024-01-01"),
            "name 2023-12-30 to 2023-12-31, outside the window 2024-01-01 to",
        ),
        (
            ("--to", "2024-01-05"),
            "name 2024-01-04 to 2024-01-05, outside the window 2024-01-01 to 2024-01-03: give dates",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_exit_code_2(
    lake: Lake, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert gold_checks(*arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_tables_that_are_not_there_are_one_error_each(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    for place in lake.places.values():
        shutil.rmtree(place)
    code, failed = failures()
    assert code == 1
    assert {table for table, _, _ in failed if table != SILVER} == lake.places.keys()
    assert len([check for check in failed if check[0] != SILVER]) == len(lake.places)
    said = capsys.readouterr().out
    assert f"There is no Delta table at {lake.places[SPEND]}: materialize {SPEND}." in said
    assert " 4 errors, 1 warnings" in said


def test_no_silver_is_exit_code_2_whatever_gold_is(lake: Lake) -> None:
    shutil.rmtree(lake.silver)
    for arguments in ((), ON_THE_DATES, (*ON_THE_DATES, "--select", "reconciles")):
        assert gold_checks(*arguments) == 2
    shutil.rmtree(lake.places[SPEND])
    assert gold_checks(*ON_THE_DATES, "--select", f"{SPEND}:reconciles") == 2


def test_another_table_in_a_tables_place_is_one_sentence_and_exit_code_2(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(lake.places[SPEND])
    write_deltalake(lake.places[SPEND], pa.table({"n": [1]}))
    assert gold_checks() == 2
    said = capsys.readouterr().err
    assert "is partitioned by nothing, user_spend_summary expects event_date" in said
    assert said.count("\n") == 1


def test_a_lake_without_dates_is_exit_code_2_for_nothing_was_checked(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLD_PARTITIONS_START", "2023-01-01")
    monkeypatch.setenv("GOLD_PARTITIONS_END", "2023-01-02")
    assert gold_checks("--select", "reconciles") == 2


def test_a_lost_file_of_gold_is_exit_code_2(lake: Lake) -> None:
    for file in Path(lake.places[SPEND]).glob("event_date=2024-01-02/*.parquet"):
        file.unlink()
    assert gold_checks("--select", f"{SPEND}:reconciles") == 2


def test_junit_tells_failures_errors_and_warnings_apart(lake: Lake, engine: Engine) -> None:
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    write_silver(lake, [row(event_date=TUESDAY, user_id="late")])
    assert gold_checks(*ON_THE_DATES, "--junit", "found.xml") == 1
    suites = {suite.get("name"): suite for suite in ET.parse("found.xml").getroot()}
    assert {name: suite.get("failures") for name, suite in suites.items() if suite.get("failures") != "0"} == {
        SPEND: "1"
    }
    [case] = [case for case in suites[SPEND] if case.find("failure") is not None]
    assert case.get("name") == "reconciles[2024-01-02]"
    [warning] = [case for case in suites[SILVER] if case.find("system-out") is not None]
    assert warning.get("name") == "gold_follows"


def test_the_failure_names_the_keys_and_both_sides(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    DeltaTable(lake.places[SPEND]).update(
        {"total_spend": "total_spend + 0.0001"}, predicate="event_date = DATE '2024-01-02' AND user_id = 'ann'"
    )
    failures("--select", f"{SPEND}:reconciles")
    [found] = [found for found in json.loads(Path("found.json").read_text())["findings"] if not found["passed"]]
    [differing] = found["rows"]
    assert differing["user_id"] == "ann"
    assert (differing["silver_total_spend"], differing["gold_total_spend"]) == ("3.5001", "3.5002")
    assert "in 1 user" in capsys.readouterr().out


def test_quarantine_above_the_limit_names_the_rules_with_an_example_each(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(amount=None, product_id=f"p{n}", risk_level="?", event_date=TUESDAY) for n in range(5)])
    refresh(lake, engine, DATES)
    failures("--select", f"{QUARANTINE}:share")
    [found] = [found for found in json.loads(Path("found.json").read_text())["findings"] if not found["passed"]]
    assert {(example["rule"], example["rows"], example["risk_level"]) for example in found["rows"]} == {
        ("amount_is_not_money", 5, "?"),
        ("risk_level_is_unknown", 5, "?"),
        ("user_id_is_missing", 1, "low"),
    }
    assert found["numbers"]["quarantined_rows"] == 6


_WHAT_IS_LOADED = """
import atexit, sys
from gold_assets.commands.gold import gold

atexit.register(lambda: print(sorted(set(sys.modules) & {"pysail", "dagster"})))
gold(["checks"])
"""


def test_the_command_starts_no_engine(lake: Lake) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _WHAT_IS_LOADED]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("[]\n")


def test_the_installed_command_ends_with_the_exit_code(lake: Lake) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "gold_assets.commands.gold", "checks"]
    assert subprocess.run(command, check=False).returncode == 0
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    assert subprocess.run(command, check=False).returncode == 1
    assert subprocess.run([*command, "--from", "tomorrow"], check=False).returncode == 2


def test_numbers_that_json_has_not_are_text(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(event_date=TUESDAY, amount=amount) for amount in (math.nan, math.inf)])
    refresh(lake, engine, [TUESDAY])
    assert gold_checks(*ON_THE_DATES, "--select", f"{QUARANTINE}:share", "--json", "found.json") == 0

    def refuse(number: str) -> None:
        raise AssertionError(f"{number} is no JSON")

    report = json.loads(Path("found.json").read_text(), parse_constant=refuse)
    rows = [row for finding in report["findings"] for row in finding["rows"] if finding["date"] == str(TUESDAY)]
    assert {row["amount"] for row in rows if row["rule"] == "amount_is_not_money"} <= {"NaN", "Infinity"}
    assert any(row["rule"] == "amount_is_not_money" for row in rows)
