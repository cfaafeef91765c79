"""Which Silver a date was made from, and what the checks make of it when that is old, unknown or gone."""

import dataclasses
import datetime as dt
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.checks.catalogue import all_checks, run
from gold_assets.checks.findings import Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import publish
from gold_assets.delta.errors import UserError
from gold_assets.delta.log import DeltaLog
from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldCommit, GoldLog, say
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.moment import Moment
from gold_assets.gold.open_table import LOG_CLEANUP
from gold_assets.gold.provenance import COMMITS_A_SUMMARY, MadeFrom
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import USER_SPEND_SUMMARY
from gold_assets_tests.micro_batches.daemon import Daemon
from gold_assets_tests.silver_changes import swap_two_columns
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, with_type, write_silver

DATES = (MONDAY, TUESDAY, WEDNESDAY)
SPEND = USER_SPEND_SUMMARY.name


@pytest.fixture
def gold(lake: Lake, engine: Engine) -> Lake:
    write_silver(lake, [change for date in DATES for change in (row(event_date=date), high_risk_row(event_date=date))])
    refresh(lake, engine, DATES)
    return lake


def versions(lake: Lake, dates: Sequence[dt.date] = DATES) -> dict[dt.date | None, int]:
    found = GoldLog(DeltaTable(lake.places[SPEND])).made_from(dates)
    return {date: source.silver_version for date, source in found.items()}


def findings(lake: Lake, name: str, table: str = SPEND, dates: Sequence[dt.date] = DATES) -> list[Finding]:
    checks = [check for check in all_checks(lake.project) if check.name == name and check.table == table]
    return list(run(checks, Inspection(lake, dates, Limits(MONDAY, WEDNESDAY))))


def passed(lake: Lake, name: str, table: str = SPEND) -> list[bool]:
    return [finding.passed for finding in findings(lake, name, table)]


def late_on_tuesday(lake: Lake) -> None:
    write_silver(lake, [row(event_date=TUESDAY, user_id="late")])


def forget_silver_before(lake: Lake, version: int) -> None:
    """What log clean-up and VACUUM leave: no commit and no file of the versions before."""
    table = DeltaTable(lake.silver)
    table.create_checkpoint()
    kept = {Path(uri).name for uri in table.file_uris()}
    for file in Path(lake.silver).rglob("*.parquet"):
        if file.name not in kept and "_delta_log" not in file.parts:
            file.unlink()
    for number in range(version):
        (Path(lake.silver) / "_delta_log" / f"{number:020}.json").unlink(missing_ok=True)


def test_each_date_tells_the_silver_of_its_last_refresh(gold: Lake, engine: Engine) -> None:
    assert versions(gold) == dict.fromkeys(DATES, 0)
    late_on_tuesday(gold)
    refresh(gold, engine, [TUESDAY])
    assert versions(gold) == {MONDAY: 0, TUESDAY: 1, WEDNESDAY: 0}
    assert versions(gold, [dt.date(2024, 1, 9)]) == {}


def test_a_restore_takes_back_what_came_after(gold: Lake, engine: Engine) -> None:
    made = DeltaTable(gold.places[SPEND]).version()
    late_on_tuesday(gold)
    refresh(gold, engine, [TUESDAY])
    DeltaTable(gold.places[SPEND]).restore(made)
    assert versions(gold) == dict.fromkeys(DATES, 0)
    assert passed(gold, "reconciles") == [True, True, True]
    assert passed(gold, "one_silver_version") == [True, False, True]


def test_compaction_hides_no_refresh(gold: Lake) -> None:
    DeltaTable(gold.places[SPEND]).optimize.z_order(["user_id"])
    assert versions(gold) == dict.fromkeys(DATES, 0)
    assert passed(gold, "reconciles") == [True, True, True]


def test_gold_behind_silver_is_true_to_the_version_it_was_made_from(gold: Lake) -> None:
    late_on_tuesday(gold)
    assert passed(gold, "reconciles") == [True, True, True]
    [follows] = findings(gold, "gold_follows", "silver_transactions")
    assert not follows.passed
    assert [found["event_date"] for found in follows.rows] == [TUESDAY]
    DeltaTable(gold.places[SPEND]).delete("event_date = DATE '2024-01-02'")
    assert passed(gold, "reconciles") == [True, False, True]


def test_gold_is_behind_a_silver_whose_columns_took_each_others_names(gold: Lake, engine: Engine) -> None:
    swap_two_columns([row()])(gold)
    refresh(gold, engine, [TUESDAY])
    [follows] = findings(gold, "gold_follows", "silver_transactions")
    assert [found["event_date"] for found in follows.rows] == [MONDAY, WEDNESDAY]
    assert passed(gold, "reconciles") == [True, True, True], "each is true to the version that it was made from"
    refresh(gold, engine, DATES, tables=[USER_SPEND_SUMMARY])
    assert passed(gold, "one_silver_version") == [False, True, False]


def test_gold_is_behind_a_silver_that_was_put_back_and_written_on_to_the_same_version(
    gold: Lake, engine: Engine
) -> None:
    late_on_tuesday(gold)
    refresh(gold, engine, DATES)
    (Path(gold.silver) / "_delta_log" / f"{1:020}.json").unlink()
    late_on_tuesday(gold)
    [follows] = findings(gold, "gold_follows", "silver_transactions")
    assert [found["event_date"] for found in follows.rows] == list(DATES)
    outcome = publish(gold, Limits(MONDAY, WEDNESDAY))
    assert outcome.attempt is not None and outcome.attempt.silver_version is None
    assert "was made from a version 1 of Silver that its log does not have" in outcome.attempt.reason
    refresh(gold, engine, [TUESDAY], tables=[USER_SPEND_SUMMARY])
    assert passed(gold, "one_silver_version") == [True, False, True]


def test_where_that_version_is_gone_only_equality_with_the_newest_passes(gold: Lake) -> None:
    late_on_tuesday(gold)
    DeltaTable(gold.silver).optimize.compact()
    forget_silver_before(gold, DeltaTable(gold.silver).version())
    found = findings(gold, "reconciles")
    assert [finding.passed for finding in found] == [True, False, True]
    assert "cannot be" in found[1].summary
    assert "newest" in found[1].summary


def test_a_date_whose_refresh_is_not_in_the_log_is_held_against_the_newest_silver(gold: Lake) -> None:
    log = Path(gold.places[SPEND]) / "_delta_log"
    DeltaTable(gold.places[SPEND]).create_checkpoint()
    for commit in log.glob("*.json"):
        commit.unlink()
    assert versions(gold) == {}
    found = findings(gold, "reconciles")
    assert [finding.passed for finding in found] == [True, True, True]
    assert "does not tell" in found[0].summary
    told = findings(gold, "one_silver_version")
    assert [finding.passed for finding in told] == [True, True, True]
    assert f"No refresh of {SPEND} is in the log: by reconciles they hold Silver's newest version, 0" in told[0].summary
    assert passed(gold, "gold_follows", "silver_transactions") == [True]
    late_on_tuesday(gold)
    assert passed(gold, "reconciles") == [True, False, True]
    assert passed(gold, "one_silver_version") == [True, False, True]


def test_tables_at_different_versions_agree_where_silver_did_not_change_between(gold: Lake, engine: Engine) -> None:
    late_on_tuesday(gold)
    refresh(gold, engine, DATES, tables=[USER_SPEND_SUMMARY])
    assert passed(gold, "one_silver_version") == [True, False, True]


@pytest.mark.sail
def test_true_dates_stay_true_when_silver_s_log_no_longer_reaches_back_to_what_they_were_made_from(
    gold: Lake, engine: Engine
) -> None:
    late_on_tuesday(gold)
    refresh(gold, engine, [MONDAY], tables=[USER_SPEND_SUMMARY])
    refresh(gold, engine, [TUESDAY])
    DeltaTable(gold.silver).optimize.compact()
    forget_silver_before(gold, DeltaTable(gold.silver).version())
    told = findings(gold, "one_silver_version")
    assert [finding.passed for finding in told] == [True, True, True]
    assert "The logs leave open which rows of Silver are in product_usage_metrics" in told[0].summary
    [follows] = findings(gold, "gold_follows", "silver_transactions")
    assert follows.passed
    assert "the logs do not tell" in follows.summary
    assert publish(gold, Limits(MONDAY, WEDNESDAY)).attempt is not None
    assert versions(gold) == {MONDAY: 1, TUESDAY: 1, WEDNESDAY: 2}, "what was compared is on record"
    [follows] = findings(gold, "gold_follows", "silver_transactions")
    assert "the logs do not tell" not in follows.summary
    late_on_tuesday(gold)
    assert passed(gold, "gold_follows", "silver_transactions") == [False]
    assert passed(gold, "one_silver_version") == [True, True, True]


def test_another_silver_in_the_same_place_is_not_the_one_that_gold_was_made_from(gold: Lake) -> None:
    shutil.rmtree(gold.silver)
    write_silver(gold, [row(event_date=date, amount=9.0) for date in DATES])
    found = findings(gold, "reconciles")
    assert not any(finding.passed for finding in found)
    assert "another Silver table" in found[0].summary
    assert passed(gold, "gold_follows", "silver_transactions") == [False]


@pytest.fixture
def elsewhere(gold: Lake, tmp_path: Path) -> Lake:
    """The same Gold, and a Silver of other rows in another place."""
    other = dataclasses.replace(gold, silver=str(tmp_path / "of_mine"))
    write_silver(
        other, [row(event_date=date, amount=9.0, note="mine") for date in DATES], schema=with_type("note", pa.string())
    )
    return other


ANOTHER = r"was made from Silver at .*/silver, and Silver is now another table, at .*/of_mine, .*: set GOLD_LAKE_ROOT to another"


def files_of(lake: Lake) -> list[Path]:
    return sorted(file for place in lake.places.values() for file in Path(place).rglob("*"))


def forget_places(lake: Lake) -> None:
    """What an earlier release wrote: stamps that do not say where Silver is."""
    for log in (file for file in files_of(lake) if file.match("_delta_log/*.json")):
        log.write_text(re.sub(r', \\"silver_uri\\": \\"[^"]*\\"', "", log.read_text()))
    assert not any("silver_uri" in file.read_text() for file in files_of(lake) if file.match("_delta_log/*.json"))


@pytest.mark.parametrize("how", ["recompute", "patch"])
def test_gold_that_was_made_from_another_silver_is_not_added_to(
    elsewhere: Lake, engine: Engine, how: Literal["recompute", "patch"]
) -> None:
    before = files_of(elsewhere)
    with pytest.raises(UserError, match=ANOTHER):
        refresh(elsewhere, engine, [TUESDAY], how=how)
    assert files_of(elsewhere) == before


@pytest.mark.sail
def test_the_plan_and_the_sensor_say_the_same_of_gold_that_was_made_from_another_silver(elsewhere: Lake) -> None:
    with pytest.raises(UserError, match=ANOTHER):
        lake_plan(elsewhere, elsewhere.tables, DATES)
    with pytest.raises(UserError, match=ANOTHER):
        Daemon(elsewhere, dg.DagsterInstance.ephemeral()).tick()


@pytest.mark.sail
def test_where_stamps_name_no_place_the_publication_tells_it(elsewhere: Lake, gold: Lake, engine: Engine) -> None:
    forget_places(gold)
    Moment(elsewhere).refuse_another_silver()  # nobody knows
    publish(gold, Limits(MONDAY, WEDNESDAY))
    with pytest.raises(UserError, match=ANOTHER):
        refresh(elsewhere, engine, [TUESDAY])


@pytest.mark.sail
def test_a_silver_that_was_made_anew_or_a_lake_that_was_moved_is_gone_on_with(
    elsewhere: Lake, gold: Lake, engine: Engine
) -> None:
    shutil.rmtree(elsewhere.silver)
    shutil.copytree(gold.silver, elsewhere.silver)
    refresh(elsewhere, engine, [TUESDAY])
    shutil.rmtree(elsewhere.silver)
    write_silver(elsewhere, [row(event_date=date, amount=9.0) for date in DATES])
    linked = dataclasses.replace(elsewhere, silver=f"{gold.silver}/../of_mine/")
    refresh(linked, engine, [TUESDAY])
    assert passed(linked, "reconciles") == [False, True, False]


def test_every_check_passes_on_gold_that_this_engine_made(gold: Lake, engine: Engine) -> None:
    late_on_tuesday(gold)
    write_silver(gold, [row(event_date=TUESDAY, amount=amount) for amount in (None, float("nan"), 1e14)])
    refresh(gold, engine, DATES)
    inspection = Inspection(gold, DATES, Limits(MONDAY, WEDNESDAY, quarantined_share=1.0))
    assert [finding for finding in run(all_checks(gold.project), inspection) if not finding.passed] == []


def all_made(lake: Lake, table: str = SPEND) -> Mapping[dt.date | None, MadeFrom]:
    return GoldLog(DeltaTable(lake.places[table])).made_from({*DATES, None})


def let_a_month_pass(lake: Lake) -> None:
    """Let all that the logs of the tables hold be older than they keep it."""
    long_ago = time.time() - 32 * 86_400
    for place in lake.places.values():
        for entry in (Path(place) / "_delta_log").iterdir():
            os.utime(entry, (long_ago, long_ago))


def commits_of(lake: Lake, table: str = SPEND) -> list[int]:
    return sorted(int(commit.name[:20]) for commit in (Path(lake.places[table]) / "_delta_log").glob("*.json"))


def many_refreshes_on_tuesday(lake: Lake, engine: Engine, times: int) -> None:
    for _ in range(times):
        late_on_tuesday(lake)
        refresh(lake, engine, [TUESDAY], tables=[USER_SPEND_SUMMARY])


def nothing_more(lake: Lake) -> None:
    """A commit of somebody else that changes no row."""
    table = DeltaTable(lake.places[SPEND])
    write_deltalake(table, pa.schema(table.schema().to_arrow()).empty_table(), mode="append")


def test_what_a_date_was_made_from_outlives_the_clean_up_of_its_log(gold: Lake, engine: Engine) -> None:
    before = all_made(gold)
    DeltaTable(gold.places[SPEND]).create_checkpoint()
    let_a_month_pass(gold)
    many_refreshes_on_tuesday(gold, engine, 1)
    newest = all_made(gold)[TUESDAY]
    DeltaTable(gold.places[SPEND]).create_checkpoint()
    maintain(gold, engine, zorder=False)
    assert commits_of(gold)[0] > 0
    assert all_made(gold) == {**before, TUESDAY: newest}
    assert passed(gold, "one_silver_version") == [True, False, True]


def test_no_writer_but_maintenance_cleans_the_log(gold: Lake, engine: Engine) -> None:
    """delta-rs and Spark clean it with each checkpoint otherwise."""
    table = DeltaTable(gold.places[SPEND])
    table.alter.set_table_properties({"delta.checkpointInterval": "2"})
    table.create_checkpoint()
    let_a_month_pass(gold)
    for _ in range(3):
        nothing_more(gold)
    refresh(gold, engine, [MONDAY], tables=[USER_SPEND_SUMMARY])
    refresh(gold, engine, [MONDAY], tables=[USER_SPEND_SUMMARY])
    assert DeltaLog(table).last_checkpoint() > table.version()
    assert commits_of(gold)[0] == 0
    maintain(gold, engine, zorder=False)
    assert commits_of(gold)[0] > 0


def test_a_table_of_the_version_before_is_cleaned_by_no_writer_once_it_is_opened(gold: Lake, engine: Engine) -> None:
    table = DeltaTable(gold.places[SPEND])
    table.alter.set_table_properties({LOG_CLEANUP: "true"})
    refresh(gold, engine, [MONDAY], tables=[USER_SPEND_SUMMARY])
    assert DeltaTable(gold.places[SPEND]).metadata().configuration[LOG_CLEANUP] == "false"
    assert len(commits_of(gold)) == table.version() + 3  # the property, and the refresh


@pytest.mark.sail
def test_the_log_is_read_back_to_the_newest_summary_and_no_further(
    gold: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Path(gold.places[SPEND]) / "_delta_log"
    for version in range(DeltaTable(gold.places[SPEND]).version() + 1, COMMITS_A_SUMMARY):
        (log / f"{version:020}.json").write_text('{"commitInfo": {}}')
    many_refreshes_on_tuesday(gold, engine, 2)
    read: list[int] = []
    commit = GoldLog.commit

    def counted(log: GoldLog, version: int) -> GoldCommit:
        read.append(version)
        return commit(log, version)

    monkeypatch.setattr(GoldLog, "commit", counted)
    made = all_made(gold)
    assert {date: source.silver_version for date, source in made.items()} == {MONDAY: 0, TUESDAY: 2, WEDNESDAY: 0}
    assert min(read) == COMMITS_A_SUMMARY


@pytest.mark.sail
def test_a_summary_says_up_to_which_version_it_is_true(gold: Lake, engine: Engine) -> None:
    table = DeltaTable(gold.places[SPEND])
    summary = GoldLog(table).sum_up()
    many_refreshes_on_tuesday(gold, engine, 1)  # between the reading and the commit
    DeltaTable(gold.places[SPEND]).delete(f"event_date = DATE '{WEDNESDAY}'")
    refreshed = all_made(gold)
    say(DeltaTable(gold.places[SPEND]), summary)
    assert all_made(gold) == refreshed
    assert refreshed[TUESDAY].silver_version == 1
    assert refreshed[WEDNESDAY].overwritten_in == table.version() + 2
    summary = GoldLog(DeltaTable(gold.places[SPEND])).sum_up()
    say(DeltaTable(gold.places[SPEND]), summary)
    assert all_made(gold) == refreshed


@pytest.mark.sail
def test_a_summary_of_what_was_restored_meanwhile_is_not_believed(gold: Lake, engine: Engine) -> None:
    first, version = all_made(gold), DeltaTable(gold.places[SPEND]).version()
    many_refreshes_on_tuesday(gold, engine, 1)
    summary = GoldLog(DeltaTable(gold.places[SPEND])).sum_up()
    DeltaTable(gold.places[SPEND]).restore(version)  # between the reading and the commit
    say(DeltaTable(gold.places[SPEND]), summary)
    assert all_made(gold) == first


@pytest.mark.sail
def test_a_restore_takes_back_the_summaries_after_its_version(gold: Lake, engine: Engine) -> None:
    first = all_made(gold)
    table = DeltaTable(gold.places[SPEND])
    many_refreshes_on_tuesday(gold, engine, 1)
    say(DeltaTable(gold.places[SPEND]), GoldLog(DeltaTable(gold.places[SPEND])).sum_up())
    second = all_made(gold)
    restored = DeltaTable(gold.places[SPEND])
    restored.restore(table.version())
    assert all_made(gold) == first
    say(DeltaTable(gold.places[SPEND]), GoldLog(DeltaTable(gold.places[SPEND])).sum_up())
    assert all_made(gold) == first
    restored = DeltaTable(gold.places[SPEND])
    restored.restore(table.version() + 2)
    assert all_made(gold) == second


@pytest.mark.sail
def test_a_summary_holds_rows_without_a_date_and_all_that_a_stamp_does(gold: Lake, engine: Engine) -> None:
    late_on_tuesday(gold)
    refresh(gold, engine, [TUESDAY], how="patch", by="a run")
    for table in gold.tables:
        delta_table = DeltaTable(gold.places[table.name])
        made = all_made(gold, table.name)
        assert made[TUESDAY].patches == 1 and made[TUESDAY].by == "a run" and (None in made) is table.is_quarantine
        say(delta_table, GoldLog(delta_table).sum_up())
        assert GoldLog(delta_table).commit(delta_table.version()).summary is not None
        assert all_made(gold, table.name) == made


@pytest.mark.sail
def test_a_stamp_that_cannot_be_read_is_somebody_else_s_commit(gold: Lake) -> None:
    table = DeltaTable(gold.places[SPEND])
    commit = Path(gold.places[SPEND]) / "_delta_log" / f"{table.version():020}.json"
    stamped = commit.read_text().replace(f'[[\\"{MONDAY}\\"', f'[[\\"{MONDAY}T00:00:00\\"')
    assert stamped != commit.read_text()
    commit.write_text(stamped)
    assert GoldLog(DeltaTable(gold.places[SPEND])).made_from(DATES) == {}
