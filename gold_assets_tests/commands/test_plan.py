"""``gold plan``: that it says what a patch then does, and does nothing itself."""

import dataclasses
import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.commands.gold import gold
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import DATES, HIGH_RISK, QUARANTINE, SPEND, USAGE
from gold_assets_tests.small_silver import MONDAY, SCHEMA, TUESDAY, WEDNESDAY, commit, row, with_type, write_silver

THURSDAY = dt.date(2024, 1, 4)


def made_lake(lake: Lake, engine: Engine) -> None:
    """Three dates of Silver with two rows each, one of them broken, and the tables made from them."""
    write_silver(lake, [row(user_id=user, event_date=date) for date in DATES for user in ("ann", None)])
    refresh(lake, engine, DATES)


def remove(lake: Lake) -> None:
    for place in (lake.silver, *lake.places.values()):
        shutil.rmtree(place)


@pytest.fixture
def lake(copy_of: CopyOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake in which every date is current, in which the command looks; Thursday is the last date of its window."""
    lake = copy_of(made_lake)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOLD_SOURCE_PATH", lake.silver)
    for table in TABLES:
        monkeypatch.setenv(table.path_setting, lake.places[table.name])
    monkeypatch.setenv("GOLD_PARTITIONS_START", str(MONDAY))
    monkeypatch.setenv("GOLD_PARTITIONS_END", str(THURSDAY))
    return lake


def gold_plan(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        gold(["plan", *arguments], prog_name="gold")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def planned(*arguments: str) -> dict[str, Any]:
    """The plan as JSON."""
    assert gold_plan(*arguments, "--json", "plan.json") == 0
    plan: dict[str, Any] = json.loads(Path("plan.json").read_text())
    return plan


def to_do(*arguments: str) -> list[tuple[Any, ...]]:
    """What the plan says there is to do: table, first and last date, how, rows."""
    return [
        (todo["table"], todo["first"], todo["last"], todo["how"], todo["rows"]) for todo in planned(*arguments)["to_do"]
    ]


@pytest.mark.sail
def test_how_long_recomputing_takes_is_told_at_the_rate_of_the_largest_refresh_that_the_logs_tell_of(
    lake: Lake, engine: Engine
) -> None:
    assert "takes about" not in lake_plan(lake, TABLES, DATES).summary, "nothing is to do"
    rows = [row(event_date=date, user_id=f"user {n}") for date in DATES for n in range(30)]
    write_silver(lake, rows, mode="overwrite")
    plan = lake_plan(lake, TABLES, DATES)
    assert plan.seconds is not None
    log = GoldLog(DeltaTable(lake.places[SPEND]))
    [commit] = [commit for commit in log.backwards() if commit.stamp]
    assert commit.stamp is not None and commit.stamp.began is not None
    read, seconds = commit.made or (0, 0.0)
    assert (read, seconds) == (6, (commit.info["timestamp"] - commit.stamp.began) / 1000)
    assert log.seconds_for(90) == pytest.approx(15 * seconds) and plan.seconds >= 15 * seconds
    assert "takes about" not in plan.summary, "a moment is not worth a word"
    longer = dataclasses.replace(plan, seconds=90.0).summary
    assert longer.endswith("to read, once for all tables: 90; recomputing takes about 90 s, as earlier refreshes did")
    assert log.seconds_for(601) is None, "six rows do not tell how long so many take"
    assert GoldLog(DeltaTable(lake.places[SPEND])).seconds_for(0) is None, "of no refresh nothing is known"


def everything_in(lake: Lake) -> Mapping[str, Any]:
    """By place its files, of a log those of its versions, with what tells that one was written anew."""
    return {
        place: {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(Path(place).rglob("*"))}
        for place in (lake.silver, *lake.places.values())
    }


def go_wrong_in_every_way(lake: Lake) -> None:
    """Monday gains a file, Tuesday loses a row, a table's Wednesday is changed by hand, Thursday is new, and so is a row without a date."""
    write_silver(lake, [row(user_id="bob"), row(user_id=None)])
    DeltaTable(lake.silver).delete("event_date = DATE '2024-01-02' AND user_id = 'ann'")
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-03'")
    write_silver(lake, [row(event_date=THURSDAY)])
    write_silver(lake, [row(event_date=None)])


def test_where_every_date_is_current_the_plan_is_one_sentence(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert gold_plan() == 0
    assert capsys.readouterr().out == "Nothing to do: with Silver at version 0, all 12 dates of 4 tables are current.\n"


def test_a_plan_changes_nothing(lake: Lake) -> None:
    go_wrong_in_every_way(lake)
    write_silver(lake, [row(colour="red")], schema=with_type("colour", pa.string()))  # which two tables are to gain
    shutil.rmtree(lake.places[USAGE])
    before = everything_in(lake)
    assert len(planned()["to_do"]) > 4
    assert everything_in(lake) == before
    assert not Path(lake.places[USAGE]).exists()


def test_what_the_plan_says_is_what_a_patch_then_does(lake: Lake, engine: Engine) -> None:
    go_wrong_in_every_way(lake)
    refresh(lake, engine, [MONDAY], tables=lake.named([USAGE]), how="patch")
    plan = lake_plan(lake, lake.tables, days(MONDAY, THURSDAY))
    said = {name: {date: str(step) for date, step in steps.items()} for name, steps in plan.steps.items()}
    done = refresh(lake, engine, [*DATES, THURSDAY], how="patch")
    did = {
        name: {
            **{date: str(written.step) for date, written in done.dates[name].items()},
            **{date: str(step) for date, step in done.current[name].items()},
        }
        for name in said
    }
    assert said[QUARANTINE].pop(None) == "patched: 1 file added in version 4"
    assert said == did
    assert {step.split(":")[0] for steps in said.values() for step in steps.values()} == {
        "current",
        "patched",
        "recomputed",
    }
    assert planned()["to_do"] == []


def test_a_patch_reads_the_rows_of_the_added_files_and_a_recomputed_date_all_of_silvers(lake: Lake) -> None:
    write_silver(lake, [row(user_id=f"user {n}") for n in range(5)])
    write_silver(lake, [row(event_date=TUESDAY, user_id="bob")])
    DeltaTable(lake.silver).delete("event_date = DATE '2024-01-02' AND user_id = 'ann'")
    plan = planned()
    monday, tuesday = str(MONDAY), str(TUESDAY)
    for table in (SPEND, USAGE, HIGH_RISK, QUARANTINE):
        assert [(todo["first"], todo["how"], todo["rows"]) for todo in plan["to_do"] if todo["table"] == table] == [
            (monday, "patch", 5),
            (tuesday, "recompute", 2),
        ]
    assert plan["rows"] == 5 + 2  # once for all tables
    assert (plan["dates_to_patch"], plan["dates_to_recompute"], plan["dates_current"]) == (4, 4, 4)


def test_a_file_of_several_dates_is_read_once(lake: Lake, engine: Engine) -> None:
    remove(lake)
    write_silver(lake, [row(event_date=date) for date in DATES], partition_by=())
    refresh(lake, engine, DATES)
    write_silver(lake, [row(event_date=date, user_id="bob") for date in (MONDAY, TUESDAY, TUESDAY)])
    assert to_do("--table", SPEND) == [(SPEND, str(MONDAY), str(TUESDAY), "patch", 3)]


def test_rows_that_the_log_does_not_count_are_a_question_mark(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"event_date={MONDAY}/without-statistics.parquet"
    rows = pa.Table.from_pylist([row(user_id="bob")], schema=SCHEMA).drop_columns(["event_date"])
    pq.write_table(rows, Path(lake.silver) / name)
    size = (Path(lake.silver) / name).stat().st_size
    partition = {"path": name, "partitionValues": {"event_date": str(MONDAY)}}
    commit(Path(lake.silver), {"add": {**partition, "size": size, "modificationTime": 0, "dataChange": True}})
    assert to_do("--table", SPEND) == [(SPEND, str(MONDAY), str(MONDAY), "patch", None)]
    shutil.rmtree(lake.places[SPEND])
    capsys.readouterr()
    assert gold_plan("--table", SPEND, "--to", str(MONDAY)) == 0
    said = capsys.readouterr().out
    assert f"{MONDAY}                recompute             ?  the table is not there yet" in said
    assert said.endswith("to read, once for all tables: ?\n")


def test_of_a_table_that_is_not_there_yet_every_date_is_recomputed(lake: Lake) -> None:
    shutil.rmtree(lake.places[USAGE])
    shutil.rmtree(lake.places[QUARANTINE])
    plan = planned()
    assert {todo["reason"] for todo in plan["to_do"]} == {"the table is not there yet"}
    assert to_do() == [
        (USAGE, str(MONDAY), str(WEDNESDAY), "recompute", 6),
        (QUARANTINE, str(MONDAY), str(WEDNESDAY), "recompute", 6),
        (QUARANTINE, None, None, "recompute", 0),
    ]


def test_rows_without_a_date_are_planned_with_the_quarantine(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    write_silver(lake, [row(event_date=None), row(event_date=None, user_id="bob")])
    assert to_do() == [(QUARANTINE, None, None, "patch", 2)]
    assert "rows without a date" in capsys.readouterr().out


def test_rows_without_a_date_are_counted_in_files_of_dates_that_are_not_planned(lake: Lake) -> None:
    remove(lake)
    for rows in ([row(), row(event_date=None)], [row(event_date=THURSDAY)]):
        write_silver(lake, rows, partition_by=())
    assert to_do("--from", str(THURSDAY), "--table", QUARANTINE) == [
        (QUARANTINE, str(THURSDAY), str(THURSDAY), "recompute", 1),
        (QUARANTINE, None, None, "recompute", 1),
    ]


def test_dates_that_a_table_alone_still_has_are_planned(lake: Lake) -> None:
    DeltaTable(lake.silver).delete("event_date = DATE '2024-01-02'")
    assert to_do("--table", SPEND) == [(SPEND, str(TUESDAY), str(TUESDAY), "recompute", 0)]


def test_a_date_that_nobody_has_is_not_planned(lake: Lake) -> None:
    assert planned("--from", str(MONDAY), "--to", "2024-12-31")["dates_current"] == 12


def test_a_run_ends_where_a_date_is_current_or_the_reason_another(lake: Lake) -> None:
    write_silver(lake, [row(event_date=date) for date in (MONDAY, WEDNESDAY, THURSDAY)])
    write_silver(lake, [row(event_date=THURSDAY)])
    runs = [(todo["first"], todo["last"], todo["reason"]) for todo in planned("--table", SPEND)["to_do"]]
    assert runs == [
        (str(MONDAY), str(MONDAY), "1 file added in version 1"),
        (str(WEDNESDAY), str(WEDNESDAY), "1 file added in version 1"),
        (str(THURSDAY), str(THURSDAY), "the log tells of no refresh of it"),
    ]


def test_a_range_and_tables_limit_the_plan(lake: Lake) -> None:
    write_silver(lake, [row(event_date=date) for date in DATES])
    assert {(todo[0], todo[1], todo[2]) for todo in to_do("--from", str(TUESDAY))} == {
        (table.name, str(TUESDAY), str(WEDNESDAY)) for table in TABLES
    }
    assert to_do("--to", str(TUESDAY), "--table", HIGH_RISK, "--table", SPEND) == [
        (SPEND, str(MONDAY), str(TUESDAY), "patch", 2),
        (HIGH_RISK, str(MONDAY), str(TUESDAY), "patch", 2),
    ]


def test_dates_outside_the_window_are_not_planned(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    write_silver(lake, [row(event_date=date) for date in (MONDAY, TUESDAY)])
    monkeypatch.setenv("GOLD_PARTITIONS_START", str(TUESDAY))
    assert {todo[1] for todo in to_do()} == {str(TUESDAY)}


def test_a_window_without_dates_is_not_taken_for_current(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOLD_PARTITIONS_START", "2023-01-01")
    monkeypatch.setenv("GOLD_PARTITIONS_END", "2023-01-02")
    assert gold_plan() == 0
    assert "neither Silver, at version 0, nor a table has one of the dates" in capsys.readouterr().out


def test_the_columns_stand_below_each_other(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    write_silver(lake, [row(event_date=date) for date in DATES])
    DeltaTable(lake.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    assert gold_plan("--table", SPEND) == 0
    assert capsys.readouterr().out.splitlines() == [
        "table                   dates                     how                rows  reason",
        "user_spend_summary      2024-01-01                patch                 1  1 file added in version 1",
        "user_spend_summary      2024-01-02                recompute             3  somebody else changed its rows in version 2 of the table",
        "user_spend_summary      2024-01-03                patch                 1  1 file added in version 1",
        "",
        "2 dates to patch, 1 to recompute and 0 current in 1 table; rows of Silver's version 1 to read, once for all tables: 5",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--table", "gold"), "There is no table gold, expected some of"),
        (("--from", "2024-01-03", "--to", "2024-01-01"), "which holds none"),
        (("--json", "no/such/folder/plan.json"), "cannot be written"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_exit_code_2(
    lake: Lake, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert gold_plan(*arguments) == 2
    assert_one_sentence(capsys, sentence)


def test_no_silver_is_one_sentence_and_exit_code_2(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(lake.silver)
    assert gold_plan() == 2
    assert_one_sentence(capsys, "There is no Delta table at")


def test_a_table_of_another_kind_is_one_sentence_and_exit_code_2(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(lake.places[SPEND])
    write_deltalake(lake.places[SPEND], pa.table({"n": [1]}))
    assert gold_plan() == 2
    assert_one_sentence(capsys, "is partitioned by nothing, ")


def test_a_log_that_cannot_be_read_is_one_sentence_and_exit_code_2(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in Path(lake.places[SPEND], "_delta_log").glob("*.json"):
        entry.write_text("no log")
    assert gold_plan() == 2
    assert_one_sentence(capsys, f"{SPEND} at ")


def assert_one_sentence(capsys: pytest.CaptureFixture[str], sentence: str) -> None:
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


_WHAT_IS_LOADED = """
import atexit, sys
from gold_assets.commands.gold import gold

atexit.register(lambda: print(sorted(set(sys.modules) & {"pysail", "dagster"})))
gold(["plan"])
"""


def test_the_command_starts_no_engine(lake: Lake) -> None:
    write_silver(lake, [row()])
    command = [sys.executable, "-W", "ignore", "-c", _WHAT_IS_LOADED]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "4 dates to patch" in ran.stdout
    assert ran.stdout.endswith("[]\n")
