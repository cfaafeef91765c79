"""Publications: they name versions that were verified, go on where the last attempt stopped, and wait for what is wrong."""

import datetime as dt
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.checks.catalogue import all_checks, gold_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import Checked, Outcome, publish
from gold_assets.declaring.table import Table
from gold_assets.delta.commit_races import CommitConflict
from gold_assets.delta.errors import UserError
from gold_assets.delta.kept_dates import kept_dates
from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.publication import GAINED, SCHEMA, Publications
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import DATES, HIGH_RISK, ON_TUESDAY, QUARANTINE, SPEND, USAGE
from gold_assets_tests.silver_changes import swap_two_columns
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.small_silver import SCHEMA as SILVER_SCHEMA

pytestmark = pytest.mark.sail

LIMITS = Limits(MONDAY, WEDNESDAY)
DAY = dt.timedelta(days=1)


def published_lake(lake: Lake, engine: Engine) -> None:
    """Three dates, made and published."""
    for date in DATES:
        write_silver(lake, [row(event_date=date), high_risk_row(event_date=date), row(user_id=None, event_date=date)])
    refresh(lake, engine, DATES)
    publish(lake, LIMITS)


@pytest.fixture
def lake(copy_of: CopyOf) -> Lake:
    lake = copy_of(published_lake)
    publish(lake, LIMITS)  # in its own place
    return lake


def append(lake: Lake, *dates: dt.date | None) -> int:
    """One more row on each date. Silver's version."""
    return write_silver(lake, [row(event_date=date, user_id="new") for date in dates]).version()


def of_step(lake: Lake, dates: Collection[dt.date], *, patches: bool = True) -> Checked:
    """What the checks of a run find."""
    inspection = Inspection(lake, dates, LIMITS, patches=patches)
    return Checked(inspection, list(run(gold_checks(lake.tables), inspection)))


def newest_versions(lake: Lake) -> dict[str, int]:
    return {name: DeltaTable(uri).version() for name, uri in lake.places.items()}


def must_publish(outcome: Outcome) -> None:
    assert outcome.attempt is not None and outcome.attempt == outcome.publication, outcome.summary


def test_the_first_publication_names_the_newest_versions_all_verified_and_silver_s(lake: Lake) -> None:
    lake = replace(lake, published=f"{lake.published}_anew")
    publication = publish(lake, LIMITS).publication
    assert publication is not None and publication.dates_verified == 3
    assert publication.versions == newest_versions(lake)
    assert (publication.silver_version, publication.silver_uri) == (2, lake.silver)
    assert publication.failures == [] and publication.held_since is None


def test_nothing_is_written_where_nothing_has_changed(lake: Lake) -> None:
    before = publish(lake, LIMITS)
    assert before.attempt is None and before.publication is not None
    assert before.summary.startswith("Nothing has changed since the publication of ")


def test_what_is_wrong_with_silver_alone_publishes_nothing_anew(lake: Lake) -> None:
    append(lake, MONDAY.replace(year=2023))
    inspection = Inspection(lake, DATES, LIMITS)
    findings = list(run(all_checks(lake.project), inspection))
    assert [finding.check.name for finding in findings if not finding.passed and finding.severity == "error"] == [
        "dates_in_window"
    ]
    assert publish(lake, LIMITS, Checked(inspection, findings)).attempt is None


def test_a_publication_has_no_version_of_silver_whose_columns_took_each_others_names_before_every_date_has_it(
    lake: Lake, engine: Engine
) -> None:
    swap_two_columns([row()])(lake)
    refresh(lake, engine, [MONDAY])
    outcome = publish(lake, LIMITS)
    assert outcome.publication is not None and outcome.publication.silver_version is None
    assert "some dates lack Silver's version 4, others have a later one: 2024-01-01" in outcome.publication.reason
    refresh(lake, engine, DATES)
    outcome = publish(lake, LIMITS)
    assert outcome.publication is not None and outcome.publication.silver_version == 4


@pytest.mark.parametrize("how", ["patch", "recompute"])
def test_what_anybody_has_changed_is_verified_and_published_and_what_the_step_has_checked_is_not_compared_again(
    lake: Lake, engine: Engine, how: Literal["patch", "recompute"], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = append(lake, MONDAY, TUESDAY)
    refresh(lake, engine, [MONDAY, TUESDAY], how=how)
    checked = of_step(lake, [MONDAY])
    compared = compared_dates(monkeypatch)
    outcome = publish(lake, LIMITS, checked, run_id="a run")
    must_publish(outcome)
    assert compared == {TUESDAY}
    assert outcome.publication is not None
    assert (outcome.publication.dates_verified, outcome.publication.silver_version) == (2, version)
    assert outcome.publication.versions == newest_versions(lake)
    assert outcome.publication.run_id == "a run"


def compared_dates(monkeypatch: pytest.MonkeyPatch) -> set[dt.date | None]:
    """The dates that are compared from now on, as they are."""
    compared: set[dt.date | None] = set()
    reconcile = Inspection.reconcile

    def seen(inspection: Inspection, table: Table, dates: Sequence[dt.date | None]) -> Any:
        compared.update(dates)
        return reconcile(inspection, table, dates)

    monkeypatch.setattr(Inspection, "reconcile", seen)
    return compared


def test_a_wrong_date_holds_every_publication_back_until_it_is_right(lake: Lake, engine: Engine) -> None:
    assert lake.published is not None
    first = Publications(lake.published).newest()
    DeltaTable(lake.places[SPEND]).update({"total_spend": "total_spend + 1"}, predicate=ON_TUESDAY)
    held = publish(lake, LIMITS)
    assert held.publication == first and held.attempt is not None
    assert {(failure.date, failure.check) for failure in held.attempt.failures} == {(TUESDAY, f"{SPEND}:reconciles")}
    assert "2024-01-02 failed user_spend_summary:reconciles; the publication of" in held.summary
    append(lake, MONDAY)
    refresh(lake, engine, [MONDAY], how="patch")
    still = publish(lake, LIMITS, of_step(lake, [MONDAY]))
    assert still.publication == first and still.attempt is not None
    assert still.attempt.held_since == held.attempt.held_since
    assert still.attempt.dates_verified == 2  # Monday, and Tuesday once more
    refresh(lake, engine, [TUESDAY])
    outcome = publish(lake, LIMITS, of_step(lake, [TUESDAY], patches=False))
    must_publish(outcome)
    assert outcome.publication is not None and outcome.publication.versions == newest_versions(lake)


def test_a_date_that_was_patched_twice_unseen_is_compared_as_a_whole(lake: Lake, engine: Engine) -> None:
    append(lake, MONDAY)
    refresh(lake, engine, [MONDAY], how="patch")
    DeltaTable(lake.places[SPEND]).update({"total_spend": "total_spend + 1"}, predicate="event_date = '2024-01-01'")
    gold = DeltaTable(lake.places[SPEND])
    forge_as_no_change(gold)
    append(lake, MONDAY)
    refresh(lake, engine, [MONDAY], how="patch")
    checked = of_step(lake, [MONDAY])
    assert all(
        finding.passed for finding in checked.findings if finding.severity == "error"
    )  # each patch by itself is right
    held = publish(lake, LIMITS, checked)
    assert held.attempt is not None
    assert {(failure.date, failure.check) for failure in held.attempt.failures} == {(MONDAY, f"{SPEND}:reconciles")}


def test_what_a_step_finds_wrong_of_what_is_published_holds_the_next_one_back(lake: Lake, engine: Engine) -> None:
    gold = DeltaTable(lake.places[SPEND])
    gold.update({"total_spend": "total_spend + 1"}, predicate=ON_TUESDAY)
    forge_as_no_change(gold)
    held = publish(lake, LIMITS, of_step(lake, [TUESDAY], patches=False))
    assert held.attempt is not None and [failure.date for failure in held.attempt.failures] == [TUESDAY]


def test_dates_of_different_silver_versions_make_the_published_version_null_with_a_reason(
    lake: Lake, engine: Engine
) -> None:
    append(lake, MONDAY)
    newest = append(lake, TUESDAY)
    refresh(lake, engine, [TUESDAY])
    outcome = publish(lake, LIMITS)
    must_publish(outcome)
    assert outcome.publication is not None
    assert outcome.publication.silver_version is None
    assert outcome.publication.reason == (
        f"some dates lack Silver's version {newest - 1}, others have a later one: {TUESDAY}"
    )
    refresh(lake, engine, [MONDAY])
    outcome = publish(lake, LIMITS)
    assert outcome.publication is not None and outcome.publication.silver_version == newest


def test_the_published_silver_version_is_the_newest_that_every_date_holds(lake: Lake, engine: Engine) -> None:
    newest = append(lake, MONDAY)
    refresh(lake, engine, [MONDAY])
    append(lake, TUESDAY)
    outcome = publish(lake, LIMITS)
    assert outcome.publication is not None and outcome.publication.silver_version == newest


def test_a_date_that_silver_filled_and_emptied_again_holds_the_version_it_was_refreshed_from(
    lake: Lake, engine: Engine
) -> None:
    thursday = WEDNESDAY + DAY
    until_thursday = Limits(MONDAY, thursday)
    append(lake, thursday)
    DeltaTable(lake.silver).delete(f"event_date = '{thursday}'")
    newest = append(lake, MONDAY)
    refresh(lake, engine, [MONDAY, thursday])
    outcome = publish(lake, until_thursday)
    assert outcome.publication is not None and outcome.publication.silver_version == newest


def test_a_table_made_anew_is_verified_as_a_whole(lake: Lake, engine: Engine) -> None:
    elsewhere = replace(lake, places={**lake.places, USAGE: f"{lake.places[USAGE]}_anew"})
    refresh(elsewhere, engine, DATES)
    outcome = publish(elsewhere, LIMITS)
    must_publish(outcome)
    assert outcome.publication is not None and outcome.publication.dates_verified == 3


def test_rows_without_a_date_are_verified_too(lake: Lake, engine: Engine) -> None:
    append(lake, None)
    refresh(lake, engine, [MONDAY])
    must_publish(publish(lake, LIMITS))
    DeltaTable(lake.places[QUARANTINE]).delete("event_date IS NULL")
    held = publish(lake, LIMITS)
    assert held.attempt is not None
    assert [(each.date, each.check) for each in held.attempt.failures] == [
        (None, f"{QUARANTINE}:undated_rows_reconcile")
    ]


def test_of_two_that_publish_at_once_the_second_begins_anew_and_goes_back_to_nothing_older(
    lake: Lake, engine: Engine
) -> None:
    assert lake.published is not None
    append(lake, MONDAY)
    refresh(lake, engine, [MONDAY])
    early = of_step(lake, [MONDAY], patches=False)
    append(lake, TUESDAY)
    refresh(lake, engine, [TUESDAY])
    first, second = Publications(lake.published), Publications(lake.published)
    newest = publish(lake, LIMITS).publication
    assert newest is not None and newest.versions == newest_versions(lake)
    with pytest.raises(CommitConflict):
        second.append(newest)
    assert first.newest() != newest
    assert publish(lake, LIMITS, early).publication == newest


@pytest.mark.parametrize("ahead", [dt.timedelta(hours=1), -dt.timedelta(minutes=2)])
def test_the_tables_own_order_decides_which_publication_is_newest_and_no_clock(
    lake: Lake, engine: Engine, ahead: dt.timedelta
) -> None:
    uri = str(lake.published)
    first = Publications(uri).newest()
    assert first is not None
    Publications(uri).append(replace(first, at=first.at + ahead, run_id="skewed"))  # by a process with such a clock
    skewed = Publications(uri).newest()
    assert skewed is not None and skewed.run_id == "skewed"
    append(lake, MONDAY)
    refresh(lake, engine, [MONDAY])
    second = publish(lake, LIMITS).publication
    assert Publications(uri).newest() == Publications(uri).last_attempt() == second
    assert [each.versions for each in Publications(uri).last(1)] == [newest_versions(lake)]
    assert publish(lake, LIMITS).attempt is None


def test_what_was_read_at_a_moment_is_the_last_publication_that_was_made_by_then(lake: Lake) -> None:
    uri = str(lake.published)
    now = Publications(uri).newest()
    assert now is not None
    for number, minutes in enumerate((10, 75, 12), start=1):  # the second by a clock that is an hour ahead
        Publications(uri).append(replace(now, at=now.at + dt.timedelta(minutes=minutes), run_id=str(number)))
    for minutes, run_id in {11: "1", 13: "3", 80: "3"}.items():
        found = Publications(uri).newest(now.at + dt.timedelta(minutes=minutes))
        assert found is not None and found.run_id == run_id


def test_publications_of_the_version_before_come_first_by_their_time_and_are_read_as_they_are(
    lake: Lake, engine: Engine
) -> None:
    uri = f"{lake.published}_before"
    now = Publications(str(lake.published)).newest()
    assert now is not None
    for hours in (2, 1):  # written in no order
        old = replace(now, at=now.at + dt.timedelta(hours=hours), run_id=f"in {hours} hours")
        columns = [field for field in SCHEMA if field.name not in GAINED]
        rows = pa.Table.from_pylist([old.record()], schema=pa.schema(columns))
        write_deltalake(uri, rows, mode="append")
    found = Publications(uri).newest()
    assert found is not None and found.run_id == "in 2 hours"
    append(lake, MONDAY)
    refresh(lake, engine, [MONDAY])
    made = publish(replace(lake, published=uri), LIMITS).publication
    assert Publications(uri).newest() == made
    assert [each.run_id for each in Publications(uri).last(3)] == ["", "in 2 hours", "in 1 hours"]


def test_a_table_whose_log_was_put_back_and_written_on_is_verified_as_a_whole(lake: Lake, engine: Engine) -> None:
    place = Path(lake.places[SPEND])
    backup = place.with_name("backup")
    shutil.copytree(place, backup)
    append(lake, MONDAY)
    refresh(lake, engine, [MONDAY])
    published = publish(lake, LIMITS).publication
    assert published is not None
    shutil.rmtree(place)
    shutil.copytree(backup, place)
    gold = DeltaTable(place)
    gold.update({"total_spend": "total_spend + 1"}, predicate=ON_TUESDAY)
    assert gold.version() == published.versions[SPEND]
    with pytest.raises(
        UserError, match=f"of {SPEND} at .* is not the one that was published, for the table was put back"
    ):
        published.tables[SPEND].open()
    held = publish(lake, LIMITS).attempt
    assert held is not None and {failure.date for failure in held.failures} == {MONDAY, TUESDAY}
    refresh(lake, engine, DATES)
    must_publish(publish(lake, LIMITS))


def forget_refreshes(lake: Lake, *tables: str) -> None:
    """What log clean-up by the version before leaves: a checkpoint, and no commit that a refresh has stamped."""
    for name in tables:
        table = DeltaTable(lake.places[name])
        write_deltalake(table, pa.schema(table.schema().to_arrow()).empty_table(), mode="append")
        table = DeltaTable(lake.places[name])
        table.create_checkpoint()
        for version in range(table.version()):
            (Path(lake.places[name]) / "_delta_log" / f"{version:020}.json").unlink()


def test_dates_of_which_no_refresh_is_in_the_log_are_verified_once_and_the_log_tells_it_from_then_on(
    lake: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = append(lake, MONDAY)
    refresh(lake, engine, [MONDAY])
    forget_refreshes(lake, *lake.places)
    lake = replace(lake, published=f"{lake.published}_anew")
    first = publish(lake, LIMITS)
    must_publish(first)
    assert first.publication is not None
    assert (first.publication.silver_version, first.publication.dates_verified) == (newest, 3)
    for table in lake.tables:
        told = GoldLog(DeltaTable(lake.places[table.name])).made_from(DATES)
        assert {made.silver_version for made in told.values()} == {newest} and told.keys() == set(DATES)
    compared = compared_dates(monkeypatch)
    newest = append(lake, TUESDAY)
    written = refresh(lake, engine, [TUESDAY], how="patch")
    assert {str(date.step) for date in written.dates[SPEND].values()} == {
        "recomputed: the log tells of no refresh of it"
    }
    outcome = publish(lake, LIMITS)
    must_publish(outcome)
    assert outcome.publication is not None and outcome.publication.silver_version == newest
    assert compared == {TUESDAY}


def test_a_wrong_date_of_which_no_refresh_is_in_the_log_is_not_published(lake: Lake) -> None:
    DeltaTable(lake.places[SPEND]).update({"total_spend": "total_spend + 1"}, predicate=ON_TUESDAY)
    forget_refreshes(lake, *lake.places)
    lake = replace(lake, published=f"{lake.published}_anew")
    held = publish(lake, LIMITS).attempt
    assert held is not None and {failure.date for failure in held.failures} == {TUESDAY}
    assert GoldLog(DeltaTable(lake.places[SPEND])).made_from(DATES) == {}


def test_a_silver_put_back_is_seen_by_what_an_earlier_release_made_which_told_no_commit_once_that_was_published(
    lake: Lake, engine: Engine
) -> None:
    for place in lake.places.values():
        for commit in Path(place, "_delta_log").glob("*.json"):
            commit.write_text(commit.read_text().replace('\\"silver_commit\\"', '\\"later\\"'))
    append(lake, TUESDAY)
    lake = replace(lake, published=f"{lake.published}_anew")
    assert lake_plan(lake, lake.tables, DATES).dates("current") == 2 * len(lake.tables)
    must_publish(publish(lake, LIMITS))
    append(lake, MONDAY)
    written = refresh(lake, engine, [MONDAY, TUESDAY], how="patch").dates[SPEND]
    assert [made.step.how for made in written.values()] == ["patched", "patched"]
    for version in (3, 4):
        (Path(lake.silver) / "_delta_log" / f"{version:020}.json").unlink()
    append(lake, WEDNESDAY)
    assert {each.reason for each in lake_plan(lake, lake.tables, DATES).to_do} == {
        f"made from a version {version} of Silver that its log does not have" for version in (3, 4)
    }


def test_a_publication_names_the_dates_outside_the_window_that_lack_the_version_it_promises(
    lake: Lake, engine: Engine
) -> None:
    narrow = Limits(TUESDAY, WEDNESDAY)
    append(lake, MONDAY)
    newest = append(lake, TUESDAY)
    refresh(lake, engine, [TUESDAY])
    outcome = publish(lake, narrow)
    must_publish(outcome)
    assert outcome.publication is not None
    assert (outcome.publication.silver_version, outcome.publication.dates_behind) == (newest, (MONDAY,))
    assert f"as of Silver's version {newest}, but for {MONDAY} outside the window: " in outcome.summary
    newest = append(lake, WEDNESDAY)
    refresh(lake, engine, [WEDNESDAY])
    for published in (lake.published, f"{lake.published}_anew"):  # going on from there, and from the beginning
        still = publish(replace(lake, published=published), narrow).publication
        assert still is not None and (still.silver_version, still.dates_behind) == (newest, (MONDAY,))
    refresh(lake, engine, [MONDAY])  # by hand, or the window is moved back
    healed = publish(lake, narrow).publication
    assert healed is not None and (healed.silver_version, healed.dates_behind) == (newest, ())


def test_a_date_outside_the_window_that_is_not_true_is_named_and_holds_nothing_back(lake: Lake, engine: Engine) -> None:
    narrow = Limits(TUESDAY, WEDNESDAY)
    rows = DeltaTable(lake.places[SPEND]).to_pyarrow_table(filters=[("event_date", "=", MONDAY)])
    write_deltalake(lake.places[SPEND], rows, mode="append")  # by somebody else
    outcome = publish(lake, narrow)
    must_publish(outcome)
    assert outcome.publication is not None and outcome.publication.dates_behind == (MONDAY,)
    newest = append(lake, WEDNESDAY)
    refresh(lake, engine, [WEDNESDAY])
    still = publish(lake, narrow).publication
    assert still is not None and (still.silver_version, still.dates_behind) == (newest, (MONDAY,))
    assert publish(lake, LIMITS).is_held  # where it is a date of the window again


def test_a_date_outside_the_window_that_was_made_from_another_silver_is_named(lake: Lake, engine: Engine) -> None:
    narrow = Limits(TUESDAY, WEDNESDAY)
    refresh(lake, engine, [TUESDAY])  # from Silver in its own place
    shutil.rmtree(lake.silver)
    append(lake, TUESDAY)
    newest = append(lake, WEDNESDAY)
    refresh(lake, engine, [TUESDAY, WEDNESDAY])
    published = publish(lake, narrow).publication
    assert published is not None and (published.silver_version, published.dates_behind) == (newest, (MONDAY,))


def test_a_date_that_is_empty_in_one_table_as_in_the_silver_before_holds_nothing_back(
    lake: Lake, engine: Engine
) -> None:
    thursday = WEDNESDAY + dt.timedelta(days=1)
    limits = Limits(MONDAY, thursday)
    refresh(lake, engine, [*DATES, thursday])  # of which Silver has no row
    shutil.rmtree(lake.silver)
    newest = max(append(lake, date) for date in DATES)
    refresh(lake, engine, DATES)
    must_publish(publish(lake, limits))
    refresh(lake, engine, [thursday], tables=lake.named([SPEND, QUARANTINE]))
    inspection = Inspection(lake, [thursday], limits)
    outcome = publish(lake, limits, Checked(inspection, list(run(gold_checks(lake.tables), inspection))))
    must_publish(outcome)
    assert outcome.publication is not None and outcome.publication.silver_version == newest


def test_dates_of_which_nothing_tells_whether_silver_changed_them_are_held_against_its_newest_version(
    lake: Lake, engine: Engine, tmp_path: Path
) -> None:
    flat = replace(
        lake,
        silver=f"{tmp_path}/flat/silver",
        places={name: f"{tmp_path}/flat/{name}" for name in lake.places},
        published=f"{tmp_path}/flat/published",
    )
    no_statistics = {"delta.dataSkippingNumIndexedCols": "0"}
    rows = pa.Table.from_pylist([row(event_date=date) for date in (MONDAY, WEDNESDAY)], SILVER_SCHEMA)
    write_deltalake(flat.silver, rows, configuration=no_statistics)
    refresh(flat, engine, DATES)
    write_deltalake(flat.silver, rows, mode="append")
    refresh(flat, engine, [TUESDAY], tables=flat.named([SPEND]))
    silver = DeltaTable(flat.silver)
    silver.delete("event_date = DATE '2024-01-01'")
    silver.vacuum(0, dry_run=False, enforce_retention_duration=False)
    refresh(flat, engine, [MONDAY, WEDNESDAY])
    newest = DeltaTable(flat.silver).version()
    kept_dates.cache_clear()  # what was read of files that are gone
    outcome = publish(flat, LIMITS, of_step(flat, DATES, patches=False))
    must_publish(outcome)
    assert outcome.publication is not None and outcome.publication.silver_version == newest


def test_the_published_silver_version_is_found_again_where_silver_s_log_is_cut_meanwhile(
    lake: Lake, engine: Engine
) -> None:
    append(lake, MONDAY)
    append(lake, TUESDAY)
    refresh(lake, engine, [TUESDAY])
    lacking = publish(lake, LIMITS).publication
    assert lacking is not None and lacking.silver_version is None
    newest = append(lake, MONDAY)
    cut_silver_s_log(lake)
    refresh(lake, engine, [MONDAY])
    found = publish(lake, LIMITS).publication
    assert found is not None and found.silver_version == newest


def cut_silver_s_log(lake: Lake) -> None:
    table = DeltaTable(lake.silver)
    table.create_checkpoint()
    for version in range(table.version()):
        (Path(lake.silver) / "_delta_log" / f"{version:020}.json").unlink()


def test_nothing_is_published_before_all_tables_are_made(lake: Lake) -> None:
    early = replace(
        lake, places={**lake.places, HIGH_RISK: f"{lake.places[HIGH_RISK]}_not_yet"}, published=f"{lake.published}_2"
    )
    assert publish(early, LIMITS).summary == f"Nothing is published before all tables are made: {HIGH_RISK}."


def forge_as_no_change(gold: DeltaTable) -> None:
    """Let the newest commit say that it changed no rows, as a writer that lies would."""
    commit = Path(gold.table_uri.removeprefix("file://")) / "_delta_log" / f"{gold.version():020}.json"
    commit.write_text(commit.read_text().replace('"dataChange":true', '"dataChange":false'))
