"""The log, read through delta-rs's storage layer."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets_tests.small_silver import MONDAY, SILVER_WITH_DELETION_VECTORS, TUESDAY, row, write_silver
from gold_assets_tests.truth import rows_of


def log_of(lake: Lake) -> GoldLog:
    return GoldLog(DeltaTable(lake.silver))


def test_a_commit_tells_its_files_dates_rows_and_writer(lake: Lake) -> None:
    write_silver(lake, [row(), row(), row(event_date=TUESDAY), row(event_date=None)])
    write_deltalake(
        lake.silver,
        rows_of(lake.silver).slice(0, 1),
        mode="append",
        commit_properties=CommitProperties(custom_metadata={"userMetadata": json.dumps({"who": "ann"})}),
    )
    commits = list(log_of(lake).backwards(1))
    assert [commit.version for commit in commits] == [1, 0]
    assert json.loads(commits[0].info["userMetadata"]) == {"who": "ann"}
    assert {action.date: action.rows for action in commits[1].adds} == {MONDAY: 2, TUESDAY: 1, None: 1}
    assert all(action.data_change and action.action["size"] > 0 for action in commits[1].adds)
    assert not commits[1].removes


def test_a_compaction_changes_no_data(lake: Lake) -> None:
    write_silver(lake, [row()])
    write_silver(lake, [row()])
    DeltaTable(lake.silver).optimize.compact()
    commit = log_of(lake).commit(2)
    assert len(commit.adds) == 1
    assert len(commit.removes) == 2
    assert not any(action.data_change for action in [*commit.adds, *commit.removes])


def test_the_way_back_ends_where_log_clean_up_has_cut_it(lake: Lake) -> None:
    for _ in range(4):
        write_silver(lake, [row()])
    DeltaTable(lake.silver).create_checkpoint()
    for version in (0, 1):
        (Path(lake.silver) / "_delta_log" / f"{version:020}.json").unlink()
    log = log_of(lake)
    assert [commit.version for commit in log.backwards(3)] == [3, 2]
    with pytest.raises(FileNotFoundError):
        log.commit(0)


def test_rows_hidden_by_a_deletion_vector_are_not_counted() -> None:
    log = GoldLog(DeltaTable(str(SILVER_WITH_DELETION_VECTORS)))
    delete = log.commit(2)
    assert {action.date: action.rows for action in delete.adds} == {MONDAY: 38, TUESDAY: 38}


def _rewrite(lake: Lake, change: Callable[[str], str]) -> None:
    path = Path(lake.silver) / "_delta_log" / f"{0:020}.json"
    path.write_text(change(path.read_text()))


def test_a_file_without_statistics_has_no_known_rows(lake: Lake) -> None:
    write_silver(lake, [row()])
    _rewrite(lake, lambda text: "\n".join(json.dumps(_without_stats(json.loads(line))) for line in text.splitlines()))
    (added,) = log_of(lake).commit(0).adds
    assert added.rows is None
    assert added.date == MONDAY


def _without_stats(action: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    action.get("add", {}).pop("stats", None)
    return action


def test_lines_longer_than_a_read_are_read_whole(lake: Lake) -> None:
    write_silver(lake, [row()])
    long_text = "x" * 3_000_000
    info = {"commitInfo": {"userMetadata": json.dumps({"t": long_text})}}
    _rewrite(lake, lambda text: f"{text.strip()}\n{json.dumps(info)}")
    assert json.loads(log_of(lake).commit(0).info["userMetadata"]) == {"t": long_text}
