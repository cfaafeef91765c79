"""Sealed dates and the fuse: Gold keeps what it has, says so at once, and goes on when a person decides or Silver is mended."""

import dataclasses
import datetime as dt
import json
import re
import threading
from pathlib import Path

import pytest
from deltalake import DeltaTable

from gold_assets.checks.catalogue import following_checks, gold_checks, run
from gold_assets.checks.findings import Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import publish
from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.engines import Engine
from gold_assets.explaining.explanation import explain
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.held import decide, held_dates
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import Refreshed, refresh
from gold_assets.gold.safeguards import Safeguards
from gold_assets.gold.streaming import Batches
from gold_assets.transactions.tables import TABLES, USER_SPEND_SUMMARY
from gold_assets_tests.gold.test_provenance import forget_silver_before
from gold_assets_tests.small_silver import (
    MONDAY,
    SILVER_WITH_DELETION_VECTORS,
    TUESDAY,
    WEDNESDAY,
    high_risk_row,
    row,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true

DATES = (MONDAY, TUESDAY, WEDNESDAY)
LIMITS = Limits(MONDAY, WEDNESDAY)
SPEND = USER_SPEND_SUMMARY.name


def shop(date: dt.date, rows: int = 100) -> list[dict[str, object]]:
    return [row(event_date=date, user_id=f"user {n % 7}") for n in range(rows - 1)] + [high_risk_row(event_date=date)]


@pytest.fixture
def gold(lake: Lake, engine: Engine) -> Lake:
    write_silver(lake, [change for date in DATES for change in shop(date)])
    refresh(lake, engine, DATES)
    publish(lake, LIMITS)
    return lake


def follow(lake: Lake, engine: Engine) -> Refreshed:
    return refresh(lake, engine, DATES, how="patch")


def held(lake: Lake) -> list[dt.date]:
    return [each.date for each in held_dates(Moment(lake), DATES)]


def rows_of(lake: Lake, date: dt.date) -> int:
    rows = DeltaTable(lake.places[SPEND]).to_pyarrow_table(filters=[("event_date", "=", date)])
    return sum(rows["transaction_count"].to_pylist())


def failures(lake: Lake) -> list[tuple[str, str, dt.date | None, str]]:
    checks = [*gold_checks(lake.tables), *following_checks(lake.project.source)]
    found: list[Finding] = list(run(checks, Inspection(lake, DATES, LIMITS)))
    return [
        (finding.check.table, finding.check.name, finding.date, finding.severity)
        for finding in found
        if not finding.passed and finding.check.name != "yesterday_is_there"
    ]


HELD_ON_TUESDAY = [("silver_transactions", "nothing_is_held", TUESDAY, "error")]


def test_a_date_that_loses_half_its_rows_is_held_and_the_other_dates_go_on(gold: Lake, engine: Engine) -> None:
    silver = DeltaTable(gold.silver)
    silver.delete("event_date = '2024-01-02'")
    write_silver(gold, [row(event_date=MONDAY)])
    refreshed = follow(gold, engine)
    assert set(refreshed.dates[SPEND]) == {MONDAY}
    assert {name: set(of) for name, of in refreshed.held.items()} == {table.name: {TUESDAY} for table in TABLES}
    assert (rows_of(gold, MONDAY), rows_of(gold, TUESDAY)) == (101, 100)
    assert failures(gold) == HELD_ON_TUESDAY
    [each] = held_dates(Moment(gold), DATES)
    assert (each.hold.rows_before, each.hold.rows_now, each.version) == (100, 0, 1)
    made = publish(gold, LIMITS).publication
    assert made is not None and (made.silver_version, made.dates_kept) == (2, (TUESDAY,))
    assert lake_plan(gold, TABLES, DATES).to_do[0].how == "held"
    assert Moment(gold).lag(after=-1, first=MONDAY, last=WEDNESDAY) is None


@pytest.mark.parametrize(("lost", "is_held"), [(49, False), (50, True)])
def test_the_fuse_blows_at_its_share_and_no_sooner(gold: Lake, engine: Engine, lost: int, is_held: bool) -> None:
    write_silver(gold, shop(TUESDAY, 100 - lost) + shop(MONDAY) + shop(WEDNESDAY), mode="overwrite")
    follow(gold, engine)
    assert held(gold) == ([TUESDAY] if is_held else [])
    assert rows_of(gold, TUESDAY) == (100 if is_held else 100 - lost)


def test_a_day_that_was_loaded_twice_is_held_and_followed_without_a_word_once_silver_is_mended(
    gold: Lake, engine: Engine
) -> None:
    write_silver(gold, shop(TUESDAY))
    follow(gold, engine)
    assert (rows_of(gold, TUESDAY), failures(gold)) == (100, HELD_ON_TUESDAY)
    said = explain(gold, SPEND, "2024-01-02", ["user_id=user 1"]).held_because
    assert said is not None and "since Silver's version 1" in said and "200" in said
    DeltaTable(gold.silver).restore(0)
    write_silver(gold, [row(event_date=TUESDAY, user_id="late")])
    follow(gold, engine)
    assert (rows_of(gold, TUESDAY), failures(gold)) == (101, [])
    assert_gold_is_true(gold)


def test_who_approves_lets_silver_through_as_it_was_then_and_what_comes_after_is_held_anew(
    gold: Lake, engine: Engine
) -> None:
    DeltaTable(gold.silver).delete("event_date = '2024-01-02' AND user_id <> 'user 1'")
    decide(gold, "approve", [TUESDAY], by="ann", reason="the shop has closed")
    write_silver(gold, [row(event_date=MONDAY)])  # which changes nothing on the date
    follow(gold, engine)
    assert held(gold) == []
    assert_gold_is_true(gold)
    made = GoldLog(DeltaTable(gold.places[SPEND])).made_from([TUESDAY])[TUESDAY]
    assert "approved by ann" in made.by and "the shop has closed" in made.by
    write_silver(gold, shop(TUESDAY, 300))
    follow(gold, engine)
    assert held(gold) == [], "a date of fewer rows than the fuse looks at is never held"
    DeltaTable(gold.silver).delete("event_date = '2024-01-02'")
    follow(gold, engine)
    assert held(gold) == [TUESDAY]


def test_nobody_decides_of_what_is_not_held_nor_without_a_reason(gold: Lake, engine: Engine) -> None:
    with pytest.raises(UserError, match="Nothing is held"):
        decide(gold, "approve", DATES, by="ann", reason="why not")
    DeltaTable(gold.silver).delete("event_date = '2024-01-02'")
    with pytest.raises(UserError, match="who decides and why"):
        decide(gold, "approve", DATES, by="ann", reason=" ")


def test_a_kept_date_outlives_silver_and_publications_go_on(gold: Lake, engine: Engine) -> None:
    DeltaTable(gold.silver).delete("event_date < '2024-01-03'")
    follow(gold, engine)
    assert held(gold) == [MONDAY, TUESDAY]
    decide(gold, "keep", [MONDAY, TUESDAY], by="ann", reason="Silver keeps a day")
    assert (held(gold), failures(gold)) == ([], [])
    for n in range(3):
        write_silver(gold, [row(event_date=WEDNESDAY, user_id=f"late {n}")])
    forget_silver_before(gold, DeltaTable(gold.silver).version())
    follow(gold, engine)
    maintain(gold, engine, retention_hours=0, allow_short_retention=True)
    outcome = publish(gold, LIMITS)
    assert not outcome.is_held and outcome.publication is not None
    assert (outcome.publication.silver_version, outcome.publication.dates_kept) == (4, (MONDAY, TUESDAY))
    assert failures(gold) == []
    assert [rows_of(gold, date) for date in DATES] == [100, 100, 103]
    refresh(gold, engine, DATES)
    assert [rows_of(gold, date) for date in DATES] == [100, 100, 103], "a person's backfill leaves it, too"
    write_silver(gold, [row(event_date=MONDAY)])
    follow(gold, engine)
    assert held(gold) == [MONDAY], "what Silver changes later is to be decided anew"


def test_what_somebody_does_to_a_kept_date_in_gold_is_found_though_silver_is_gone(gold: Lake, engine: Engine) -> None:
    DeltaTable(gold.silver).delete("event_date < '2024-01-03'")
    decide(gold, "keep", [MONDAY, TUESDAY], by="ann", reason="Silver keeps a day")
    write_silver(gold, [row(event_date=WEDNESDAY)])
    forget_silver_before(gold, DeltaTable(gold.silver).version())
    follow(gold, engine)
    publish(gold, LIMITS)
    assert failures(gold) == []
    DeltaTable(gold.places[SPEND]).delete("event_date = DATE '2024-01-01' AND user_id = 'user 1'")
    assert (SPEND, "reconciles", MONDAY, "error") in failures(gold)
    assert publish(gold, LIMITS).is_held


def test_a_sealed_date_is_left_as_it_is_by_whoever_asks_until_a_person_opens_it_by_name(
    gold: Lake, engine: Engine
) -> None:
    sealed = dataclasses.replace(gold, safeguards=Safeguards(sealed_before=TUESDAY))
    write_silver(sealed, [row(event_date=MONDAY, user_id="late"), row(event_date=WEDNESDAY)])
    for refreshed in (follow(sealed, engine), refresh(sealed, engine, DATES)):
        assert set(refreshed.held[SPEND]) == {MONDAY}
    assert failures(sealed) == [("silver_transactions", "nothing_is_held", MONDAY, "warning")]
    assert [todo.how for todo in lake_plan(sealed, [USER_SPEND_SUMMARY], DATES).to_do] == ["sealed"]
    refresh(sealed, engine, DATES, by="run 1; opened by ann: an audit", opened=[MONDAY])
    assert rows_of(sealed, MONDAY) == 101
    assert "opened by ann" in GoldLog(DeltaTable(sealed.places[SPEND])).made_from([MONDAY])[MONDAY].by
    assert failures(sealed) == []


def test_dates_are_sealed_by_their_age(gold: Lake) -> None:
    today = dt.date(2026, 1, 31)
    by_age = Safeguards(seal_after_days=30)
    assert [bool(by_age.seals(today - dt.timedelta(days=days), today)) for days in (29, 30, 31)] == [False, False, True]


def test_a_date_that_gold_never_had_is_made_sealed_or_not(lake: Lake, engine: Engine) -> None:
    sealed = dataclasses.replace(lake, safeguards=Safeguards(sealed_before=WEDNESDAY))
    write_silver(sealed, shop(MONDAY))
    assert refresh(sealed, engine, [MONDAY], how="patch").held[SPEND] == {}
    write_silver(sealed, shop(TUESDAY))
    assert refresh(sealed, engine, [MONDAY, TUESDAY], how="patch").held[SPEND] == {}
    assert_gold_is_true(sealed)


def test_today_and_yesterday_and_small_dates_are_followed_whatever_they_lose(lake: Lake, engine: Engine) -> None:
    today = dt.datetime.now(dt.timezone.utc).date()
    yesterday = today - dt.timedelta(days=1)
    write_silver(lake, [*shop(today), *shop(yesterday), *shop(MONDAY, 99)])
    dates = [MONDAY, yesterday, today]
    refresh(lake, engine, dates)
    DeltaTable(lake.silver).delete()
    assert refresh(lake, engine, dates, how="patch").held[SPEND] == {}
    assert_gold_is_true(lake)


def test_a_persons_backfill_is_held_unless_the_person_opens_the_date(gold: Lake, engine: Engine) -> None:
    DeltaTable(gold.silver).delete("event_date = '2024-01-02'")
    assert set(refresh(gold, engine, DATES).held[SPEND]) == {TUESDAY}
    assert rows_of(gold, TUESDAY) == 100
    assert refresh(gold, engine, DATES, opened=[TUESDAY]).held[SPEND] == {}
    assert rows_of(gold, TUESDAY) == 0


def test_a_silver_made_anew_with_fewer_dates_is_held(gold: Lake, engine: Engine, tmp_path: Path) -> None:
    Path(gold.silver).rename(tmp_path / "the_old_one")
    write_silver(gold, [*shop(MONDAY), *shop(WEDNESDAY, 101)])
    follow(gold, engine)
    assert held(gold) == [TUESDAY]
    assert [rows_of(gold, date) for date in DATES] == [100, 100, 101]
    assert failures(gold) == HELD_ON_TUESDAY
    outcome = publish(gold, LIMITS)
    assert not outcome.is_held and outcome.publication is not None and outcome.publication.dates_kept == (TUESDAY,)
    decide(gold, "approve", DATES, by="ann", reason="there was no Tuesday")
    follow(gold, engine)
    assert_gold_is_true(gold)


def test_rows_that_deletion_vectors_hide_are_not_counted() -> None:
    file_dates = FileDates(DeltaTable(SILVER_WITH_DELETION_VECTORS))
    assert file_dates.rows_told([MONDAY, TUESDAY]) == {MONDAY: 36, TUESDAY: 40, None: 0}


def test_a_stream_follows_what_is_approved_without_a_new_commit_of_silver(gold: Lake, engine: Engine) -> None:
    DeltaTable(gold.silver).delete("event_date = '2024-01-02'")
    batches = Batches(gold, engine, lambda batch: None, threading.Event())
    batches.do(0)
    assert (rows_of(gold, TUESDAY), batches.has_new_decisions()) == (100, False)
    decide(gold, "approve", [TUESDAY], by="ann", reason="the shop has closed")
    assert batches.has_new_decisions()
    batches.do(1)
    assert (rows_of(gold, TUESDAY), batches.has_new_decisions()) == (0, False)


def test_a_stream_follows_sealed_dates_that_a_person_opens(gold: Lake, engine: Engine) -> None:
    sealed = dataclasses.replace(gold, safeguards=Safeguards(sealed_before=WEDNESDAY))
    write_silver(sealed, [row(event_date=date, user_id="late") for date in DATES])
    Batches(sealed, engine, lambda batch: None, threading.Event(), [MONDAY], "opened by ann: an audit").do(0)
    assert [rows_of(sealed, date) for date in DATES] == [101, 100, 101]
    made = GoldLog(DeltaTable(sealed.places[SPEND])).made_from([MONDAY])[MONDAY]
    assert made.by == "batch 0 of the stream; opened by ann: an audit"


def test_a_date_is_held_by_what_an_earlier_release_wrote_too(gold: Lake, engine: Engine) -> None:
    for table in TABLES:
        for commit in Path(gold.places[table.name], "_delta_log").glob("*.json"):
            commit.write_text(re.sub(r'\\"silver_rows\\": \[[^]]*\]', r'\\"later\\": 1', commit.read_text()))
    made = GoldLog(DeltaTable(gold.places[SPEND])).made_from(DATES)
    assert {each.silver_rows for each in made.values()} == {None}
    DeltaTable(gold.silver).delete("event_date = '2024-01-02'")
    follow(gold, engine)
    assert held(gold) == [TUESDAY]


def test_what_the_fuse_cannot_see_is_said(gold: Lake, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    DeltaTable(gold.silver).delete("event_date = '2024-01-02'")
    write_silver(gold, [row(event_date=TUESDAY)])
    newest = sorted(Path(gold.silver, "_delta_log").glob("*.json"))[-1]
    actions = [json.loads(line) for line in newest.read_text().splitlines()]
    for action in actions:
        if "add" in action:
            action["add"]["stats"] = None
    newest.write_text("\n".join(map(json.dumps, actions)))
    follow(gold, engine)
    assert rows_of(gold, TUESDAY) == 1
    assert "The fuse cannot see 2024-01-02" in caplog.text


def test_who_has_kept_a_date_may_take_it_back(gold: Lake, engine: Engine) -> None:
    DeltaTable(gold.silver).delete("event_date = '2024-01-02'")
    decide(gold, "keep", [TUESDAY], by="ann", reason="Silver keeps a day")
    with pytest.raises(UserError, match="Nothing is held"):
        decide(gold, "keep", [TUESDAY], by="bob", reason="once more")
    decide(gold, "approve", [TUESDAY], by="ann", reason="I took it for another day")
    follow(gold, engine)
    assert_gold_is_true(gold)


def test_a_date_held_in_one_table_and_not_in_another_holds_no_publication_back(gold: Lake, engine: Engine) -> None:
    """The first table followed what was approved, then the run was killed, and Silver has changed since."""
    DeltaTable(gold.silver).delete("event_date = '2024-01-02' AND user_id <> 'user 1'")
    decide(gold, "approve", [TUESDAY], by="ann", reason="the shop has closed")
    refresh(gold, engine, DATES, tables=[USER_SPEND_SUMMARY], how="patch")
    write_silver(gold, [row(event_date=TUESDAY), row(event_date=MONDAY)])
    follow(gold, engine)
    [each] = held_dates(Moment(gold), DATES)
    assert each.date == TUESDAY and SPEND not in each.tables
    assert failures(gold) == HELD_ON_TUESDAY
    outcome = publish(gold, LIMITS)
    assert not outcome.is_held and outcome.publication is not None
    assert (outcome.publication.silver_version, outcome.publication.dates_kept) == (2, (TUESDAY,))


def test_the_fuse_sees_a_date_that_was_verified_once_nothing_told_what_it_was_made_from(
    gold: Lake, engine: Engine
) -> None:
    """As those of an installation are whose Silver's log is cut every month."""
    for _ in range(2):
        write_silver(gold, [row(event_date=MONDAY)])
        refresh(gold, engine, [MONDAY], how="patch")
    forget_silver_before(gold, 2)
    publish(gold, LIMITS)
    made = GoldLog(DeltaTable(gold.places[SPEND])).made_from([TUESDAY])[TUESDAY]
    assert (made.silver_version, made.silver_rows) == (2, 100)
    DeltaTable(gold.silver).delete("event_date = '2024-01-02'")
    write_silver(gold, [row(event_date=MONDAY)])
    forget_silver_before(gold, 4)
    follow(gold, engine)
    assert held(gold) == [TUESDAY]
    assert rows_of(gold, TUESDAY) == 100
