"""What every sub-command of ``gold`` does alike."""

import dataclasses
import json
from pathlib import Path

import pytest

from gold_assets import transactions
from gold_assets.commands import plan
from gold_assets.commands.gold import gold
from gold_assets.gold.lake import Lake
from gold_assets_tests.small_silver import MONDAY, row, write_silver

pytestmark = pytest.mark.sail


@pytest.fixture(autouse=True)
def silver(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOLD_SOURCE_PATH", lake.silver)
    monkeypatch.setenv("GOLD_PARTITIONS_START", str(MONDAY))
    monkeypatch.setenv("GOLD_PARTITIONS_END", str(MONDAY))
    write_silver(lake, [row()])


@pytest.mark.parametrize("command", [("plan",), ("checks", "--select", "schema")])
def test_json_on_stdout_stands_there_alone(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gold([*command, "--json", "-"])
    assert json.loads(capsys.readouterr().out)


def test_a_command_that_crashes_ends_with_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("lost")

    monkeypatch.setattr(plan, "lake_plan", crash)
    with pytest.raises(SystemExit) as ended:
        gold(["plan"])
    assert ended.value.code == 2
    assert "RuntimeError: lost" in capsys.readouterr().err


def test_a_store_that_goes_away_while_a_command_works_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose_the_store(*_: object) -> None:
        raise OSError(
            "Generic S3 error\n\u21b3 Error performing GET http://store/log in 3 s\n\u21b3 Connection refused"
        )

    monkeypatch.setattr(plan, "lake_plan", lose_the_store)
    with pytest.raises(SystemExit) as ended:
        gold(["plan"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "What is kept in the store could not be read or written (the store does not answer at http://store/log: Connection "
        "refused): see that it can be reached from here, then run again; what was committed is whole.\n"
    )


def test_a_command_works_for_the_project_that_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    one = dataclasses.replace(transactions.project, tables=transactions.project.tables[:1])
    for project, tables in ((one, "1 table"), (None, "4 tables")):
        with pytest.raises(SystemExit):
            gold(["plan"], obj=project)
        assert f"{tables[0]} to recompute and 0 current in {tables};" in capsys.readouterr().out
