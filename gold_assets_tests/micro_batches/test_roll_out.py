"""A changed table is rolled out in the background; readers get one definition of it at a time."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets import Table
from gold_assets.checks.publishing import Outcome, publish
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.gold import next_place
from gold_assets.gold.held import decide
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.publishing_again import put_back, resume
from gold_assets.gold.refresh import refresh
from gold_assets.micro_batches import roll_out
from gold_assets.reading.published import Published, published
from gold_assets_tests.gold.test_maintenance import age_files
from gold_assets_tests.shop import AFTER, BEFORE, BY_DAY, DATES, LAST, ROLL_OUT, Deployed, click, project

pytestmark = pytest.mark.sail


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Deployed:
    """Five dates, made and published by the first version."""
    monkeypatch.setenv("SHOP_LAKE_ROOT", str(tmp_path))
    monkeypatch.setenv("SHOP_PARTITIONS_START", "2024-01-01")
    monkeypatch.setenv("SHOP_PARTITIONS_END", "2024-01-05")
    monkeypatch.setattr(roll_out, "_MOST_DATES", 2)
    shop = Deployed(project(BEFORE), dg.DagsterInstance.ephemeral())
    click(shop.settings, DATES, 7)
    refresh(shop.settings.lake, engine, DATES)
    publish(shop.settings.lake, shop.settings.limits)
    assert shop.roll_out() == []
    return shop


def test_a_column_more_is_rolled_out_newest_first_and_readers_keep_the_publication_before(shop: Deployed) -> None:
    before = shop.published().versions
    after = shop.deploy(project(AFTER))
    assert after.failures() in ([], ["schema"]), "dates of the version before are behind, not wrong"
    [request] = after.tick()
    assert after.run(request)
    assert after.longest() == [None, None, None, 7, 7]
    assert (after.published().versions, after.failures()) == (before, [])
    assert "2 of 5 dates are made by version" in publish(after.settings.lake, after.settings.limits).summary
    assert after.roll_out() == [("2024-01-02", "2024-01-03"), ("2024-01-01", "2024-01-01")]
    assert after.longest() == [7] * 5
    assert after.published().versions != before and after.failures() == []
    assert after.tick() == [] and "All dates" in after.said


def test_a_second_change_in_the_middle_starts_from_what_is_there(
    shop: Deployed,
) -> None:
    after = shop.deploy(project(AFTER))
    click(after.settings, [DATES[4]], 9)  # of which the two versions make different numbers
    [request] = after.tick()
    assert after.run(request)
    click(after.settings, [DATES[2]], 9)
    publish(after.settings.lake, after.settings.limits)
    last = after.deploy(project(LAST))
    assert last.failures() == [], "what the change before has made, and nobody has read, is behind, not wrong"
    assert last.roll_out() == [
        ("2024-01-04", "2024-01-05"),
        ("2024-01-02", "2024-01-03"),
        ("2024-01-01", "2024-01-01"),
    ]
    assert last.longest() == [7] * 5 and last.failures() == []
    assert not lake_plan(last.settings.lake, last.settings.tables, DATES).to_do


def test_another_key_is_made_at_the_next_place_and_takes_over_when_it_is_whole(shop: Deployed) -> None:
    shop.follow()
    before, place = shop.published(), shop.settings.lake.places["by_page"]
    after = shop.deploy(project(BY_DAY))
    assert after.failures() == [], "readers have the table before"
    click(after.settings, [DATES[2]], 9)
    assert after.follow() == ["2024-01-03"], "what the next place has not got is rolled out"
    assert after.failures() == [], "dates that the next place has not got yet are behind, not wrong"
    assert (
        "_layout2 has not got 4 dates yet that readers have"
        in publish(after.settings.lake, after.settings.limits).summary
    )
    assert after.published().versions == before.versions
    assert set(published(lake=after.settings.lake).arrow("by_page").column_names) == {"page", "event_date", "views"}
    assert after.roll_out() == [("2024-01-04", "2024-01-05"), ("2024-01-01", "2024-01-02")]
    now = published(lake=after.settings.lake)
    assert now.publication.tables["by_page"].uri == f"{place}_layout2"
    assert sorted(row["views"] for row in now.arrow("by_page").to_pylist()) == [1, 1, 1, 1, 2]
    assert after.failures() == [] and after.tick() == []
    earlier = published(before.at, lake=after.settings.lake)
    assert earlier.arrow("by_page").num_rows == 5, "what was published is read where it was"


def test_the_declaration_before_finds_its_table_again_and_what_it_missed_is_made(shop: Deployed) -> None:
    shop.follow()
    after = shop.deploy(project(BY_DAY))
    after.roll_out()
    click(after.settings, [DATES[4]], 9)
    assert after.follow() == ["2024-01-05"]
    again = after.deploy(project(BEFORE))
    assert again.follow() == ["2024-01-05"] and again.roll_out() == []
    now = published(lake=again.settings.lake)
    assert now.publication.tables["by_page"].uri == shop.settings.lake.places["by_page"]
    assert sorted(row["views"] for row in now.arrow("by_page").to_pylist()) == [1, 1, 1, 1, 2]


def test_a_next_place_does_not_take_over_while_readers_would_lose_what_silver_has_no_more(
    shop: Deployed, engine: Engine
) -> None:
    DeltaTable(shop.settings.lake.silver).delete("at < '2024-01-02'")
    before, after = shop.published(), shop.deploy(project(BY_DAY))
    after.roll_out()
    refresh(after.settings.lake, engine, DATES)  # somebody makes the date too, of no rows
    said = publish(after.settings.lake, after.settings.limits).summary
    assert "readers have 2024-01-01, of which Silver has no rows any more" in said
    assert after.published().versions == before.versions
    limits = replace(after.settings.limits, publish_while_rolling_out=True)
    publish(after.settings.lake, limits)
    assert published(lake=after.settings.lake).arrow("by_page").num_rows == 4


def test_a_next_place_does_not_take_over_while_readers_would_lose_dates_outside_the_window(
    shop: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PARTITIONS_START", "2024-01-03")
    before, after = shop.published(), shop.deploy(project(BY_DAY))
    assert after.roll_out() == [("2024-01-04", "2024-01-05"), ("2024-01-03", "2024-01-03")] and after.tick() == []
    said = publish(after.settings.lake, after.settings.limits).summary
    assert "readers have 2024-01-01 to 2024-01-02, outside the window of partitions, so that" in said
    assert after.published().versions == before.versions


def test_a_next_place_does_not_take_over_before_it_has_dates_on_which_the_table_before_has_no_rows(
    shop: Deployed,
) -> None:
    click(shop.settings, [DATES[4]], 9)
    few = shop.deploy(project(BEFORE.replace("GROUP", "WHERE seconds > 8 GROUP")))
    few.follow()
    assert published(lake=few.settings.lake).arrow("by_page").num_rows == 1
    after = few.deploy(project(BY_DAY))
    [request] = after.tick()
    assert after.run(request) and after.published().versions == few.published().versions
    assert "by_page_layout2" not in after.published().tables["by_page"].uri
    after.roll_out()
    assert published(lake=after.settings.lake).arrow("by_page").num_rows == 5


def test_what_the_fuse_holds_readers_keep_until_a_person_decides_though_the_key_has_changed(shop: Deployed) -> None:
    click(shop.settings, [DATES[4]] * 150, 9)
    assert shop.follow()
    DeltaTable(shop.settings.lake.silver).delete("seconds = 9")
    after = shop.deploy(project(BY_DAY))
    after.roll_out()
    said = publish(after.settings.lake, after.settings.limits).summary
    assert "readers have 2024-01-05, sealed or held, as Silver had them then, and" in said and after.tick() == []
    assert max(row["views"] for row in published(lake=after.settings.lake).arrow("by_page").to_pylist()) == 151
    decide(after.settings.lake, "approve", [DATES[4]], "ann", "they were robots")
    after.follow()
    assert published(lake=after.settings.lake).arrow("by_page")["views"].to_pylist() == [1] * 5


def test_a_table_that_somebody_else_changed_gets_no_next_place(
    shop: Deployed, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = shop.settings.tables[0]
    rows = DeltaTable(shop.settings.lake.place("by_page")).to_pyarrow_table()
    more = rows.append_column("mood", pa.array(["good"] * 5))
    write_deltalake(
        shop.settings.lake.place("by_page"), more, mode="overwrite", schema_mode="overwrite", partition_by="event_date"
    )
    monkeypatch.setattr(next_place, "_at_its_place", set())
    assert shop.settings.lake.place("by_page") == shop.settings.lake.places["by_page"]
    with pytest.raises(UserError, match="has the columns page, event_date, views, mood, by_page expects"):
        refresh(shop.settings.lake, engine, DATES, tables=[table])


def test_readers_put_back_after_a_roll_out_stay_so_until_another_version_passes(shop: Deployed) -> None:
    before = shop.published()
    after = shop.deploy(project(AFTER))
    after.roll_out()
    settings, undone = after.settings, after.published()
    assert undone.versions != before.versions
    put_back(settings.published_path, before, "ann", "longest counts robots")
    click(settings, [DATES[4]], 9)
    after.follow()
    assert (after.published().versions, after.published().silver_version) == (before.versions, before.silver_version)
    told = publish(settings.lake, settings.limits)
    assert told.is_held and "ann put readers back to the publication of" in told.summary
    assert "longest counts robots. It goes on once all dates are made by another version of by_page, or" in told.summary
    again = after.deploy(project(LAST))
    again.roll_out()
    assert again.published().put_back_to is None
    assert again.published().versions not in (before.versions, undone.versions)
    assert again.longest() == [7] * 5 and again.failures() == []


def test_readers_put_back_once_more_after_publishing_was_let_go_on_stay_so(shop: Deployed) -> None:
    before = shop.published()
    after = shop.deploy(project(AFTER))
    after.roll_out()
    settings = after.settings
    put_back(settings.published_path, before, "ann", "longest counts robots")
    resume(settings.published_path, "bob", "it does not")
    put_back(settings.published_path, before, "ann", "it does")
    assert publish(settings.lake, settings.limits).is_held and after.published().versions == before.versions


def test_the_version_before_is_published_only_once_it_has_made_all_dates_that_readers_were_put_back_from(
    shop: Deployed,
) -> None:
    before = shop.published()
    doubled = shop.deploy(project(BEFORE.replace("count(*)", "2 * count(*)")))
    doubled.roll_out()
    put_back(doubled.settings.published_path, before, "ann", "each is counted twice")
    again = doubled.deploy(project(BEFORE))
    assert publish(again.settings.lake, again.settings.limits).is_held and again.published().versions == before.versions
    again.roll_out()
    assert again.published().put_back_to is None
    assert published(lake=again.settings.lake).arrow("by_page")["views"].to_pylist() == [1] * 5


def test_while_a_mended_version_is_rolled_out_what_readers_were_put_back_from_is_behind_and_not_wrong(
    shop: Deployed,
) -> None:
    before = shop.published()
    after = shop.deploy(project(AFTER))
    after.roll_out()
    put_back(after.settings.published_path, before, "ann", "longest counts robots")
    mended = after.deploy(project(LAST.replace("min(seconds)", "min(seconds) + 1")))
    [request] = mended.tick()
    assert mended.run(request) and mended.longest() == [7, 7, 7, 8, 8]
    assert mended.failures() == []


def test_another_version_of_another_table_lets_nothing_go_on(shop: Deployed, engine: Engine) -> None:
    def made_by(sql: str, of_seconds: str) -> Outcome:
        made = shop.deploy(
            project(sql, Table("by_seconds", sql=f"{of_seconds} FROM clicks GROUP BY seconds, event_date"))
        )
        refresh(made.settings.lake, engine, DATES)
        return publish(made.settings.lake, made.settings.limits)

    counted, twice = (f"SELECT seconds, event_date, {count} AS clicks" for count in ("count(*)", "2 * count(*)"))
    before = made_by(BEFORE, counted).publication
    assert before is not None and not made_by(AFTER, counted).is_held
    put_back(shop.settings.published_path, before, "ann", "longest counts robots")
    held = made_by(AFTER, twice)
    assert held.is_held and "by another version of by_page, or with" in held.summary
    assert not made_by(LAST, twice).is_held


def test_a_person_lets_publishing_go_on_after_readers_were_put_back(shop: Deployed) -> None:
    settings, before = shop.settings, shop.published()
    click(settings, [DATES[4]], 9)
    shop.follow()
    newer = shop.published()
    put_back(settings.published_path, before, "ann", "Friday's prices are wrong")
    held = publish(settings.lake, settings.limits)
    assert held.is_held and held.summary.endswith("prices are wrong. It goes on with gold published --resume.")
    assert shop.published().versions == before.versions
    resume(settings.published_path, "bob", "they were right")
    assert publish(settings.lake, settings.limits).publication.versions == newer.versions  # type: ignore[union-attr]
    with pytest.raises(UserError, match="there is nothing to resume"):
        resume(settings.published_path, "bob", "once more")


def test_maintenance_keeps_what_readers_can_be_put_back_to_after_a_roll_out(shop: Deployed, engine: Engine) -> None:
    before = shop.published()
    after = shop.deploy(project(AFTER))
    after.roll_out()
    lake = after.settings.lake
    for _ in range(2):
        click(after.settings, DATES, 9)
        refresh(lake, engine, DATES)
        publish(lake, after.settings.limits)
    weeks_later(lake, weeks=2)
    age_files(lake, "by_page")
    files = len(list(Path(lake.places["by_page"]).rglob("*.parquet")))
    maintain(lake, engine)
    assert len(list(Path(lake.places["by_page"]).rglob("*.parquet"))) < files, "what is in no such publication goes"
    assert Published(before).arrow("by_page").num_rows == 5
    put_back(after.settings.published_path, before, "ann", "two weeks of robots")
    assert set(published(lake=lake).arrow("by_page").column_names) == {"page", "event_date", "views"}


def weeks_later(lake: Lake, weeks: int) -> None:
    """Let the publications be older."""
    table = DeltaTable(str(lake.published))
    table.update({"published_at": f"published_at - INTERVAL '{weeks * 7} days'"})


def test_a_refactoring_rolls_nothing_out(shop: Deployed) -> None:
    assert shop.deploy(project(BEFORE.replace("count(*) AS views", "count(*)  AS views"))).roll_out() == []


def test_what_failed_is_asked_for_again_after_a_pause(shop: Deployed) -> None:
    after = shop.deploy(project(AFTER))
    [request] = after.tick()
    place = Path(after.settings.lake.places["by_page"])
    place.rename(place.with_name("away"))
    place.write_text("no table")
    assert not after.run(request)
    place.unlink()
    place.with_name("away").rename(place)
    assert after.tick() == [] and "did not succeed" in after.said
    after.cursors[ROLL_OUT] = replace(roll_out.Progress.loads(after.cursors[ROLL_OUT]), again_at=1.0).dumps()
    assert after.roll_out()[0] == ("2024-01-04", "2024-01-05")
    assert after.longest() == [7] * 5


def test_a_table_that_nothing_of_ours_made_gets_no_column(shop: Deployed, tmp_path: Path, engine: Engine) -> None:
    place = shop.settings.lake.places["by_page"]
    Path(place).rename(tmp_path / "away")
    theirs = pa.table({"page": ["/"], "event_date": DATES[:1]})
    write_deltalake(place, theirs, partition_by=["event_date"])
    with pytest.raises(UserError, match="has the columns page, event_date"):
        refresh(shop.settings.lake, engine, DATES)
