"""Keys of which Silver lost or gained rows are made anew by themselves, exactly, whatever tells which they are."""

import datetime as dt
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from gold_assets.checks import patches
from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.declaring.column import Column
from gold_assets.declaring.project import Project
from gold_assets.declaring.source import Source
from gold_assets.declaring.table import Table
from gold_assets.delta.query import View, rows_of_keys
from gold_assets.engines import Engine, having_keys
from gold_assets.gold import changed_keys, plan
from gold_assets.gold.changed_keys import ChangedKeys
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.moment import Moment
from gold_assets.gold.provenance import Stamp
from gold_assets.gold.refresh import refresh
from gold_assets.silver.changed_rows import ChangedRows
from gold_assets_tests import silver_changes, vectors
from gold_assets_tests.by_keys import however_many
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    TUESDAY,
    high_risk_row,
    rename_columns,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true, rows_of

USERS = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ida", "joe", "kim"]
SPEND = "user_spend_summary"
LIMITS = Limits(MONDAY, TUESDAY, quarantined_share=1.0)
ANN = silver_changes.merge(MONDAY, delete=False, feed=False)
NEW = [row(user_id="new"), high_risk_row(user_id=" ")]


def of_users(make: Callable[..., dict[str, Any]] = row, **changes: Any) -> list[dict[str, Any]]:
    return [make(user_id=user, product_id=f"{user}'s tea", **changes) for user in USERS]


@pytest.fixture
def however_much() -> Iterator[None]:
    with however_many():
        yield


@pytest.fixture
def gold(lake: Lake, engine: Engine, however_much: None) -> Lake:
    """Two dates, of which each user has a row, some of Monday's one of high risk besides; others have rows in a file of their own."""
    write_silver(lake, [*of_users(), *of_users(event_date=TUESDAY)])
    write_silver(
        lake,
        [
            row(user_id=f"other {n}", product_id=f"{n}", event_date=date)
            for n in range(60)
            for date in (MONDAY, TUESDAY)
        ],
    )
    write_silver(lake, [high_risk_row(user_id=user) for user in USERS[:3]])
    refresh(lake, engine, [MONDAY, TUESDAY])
    return lake


def steps(lake: Lake, engine: Engine, *dates: dt.date) -> dict[str, str]:
    """How a refresh of the dates, by default of Monday, came by each table's first one."""
    done = refresh(lake, engine, dates or [MONDAY], how="patch")
    assert_gold_is_true(lake, dates or [MONDAY])
    return {name: next(iter(of.values())).step.how for name, of in done.dates.items() if of}


def changed(lake: Lake, since: int, *dates: dt.date | None) -> set[tuple[Any, ...]]:
    """The users of which Silver lost or gained rows, and when."""
    moment = Moment(lake)
    found = ChangedRows(moment.silver, moment.changes, dates or [MONDAY, TUESDAY, None], since).values(["user_id"])
    return set(map(tuple, (each.values() for each in found.to_pylist())))


def failed(lake: Lake, *, patches: bool = True) -> set[str]:
    """The checks of Monday that fail."""
    inspection = Inspection(lake, [MONDAY], LIMITS, patches=patches)
    found = [each for each in run(gold_checks(lake.tables), inspection) if each.check.name != "yesterday_is_there"]
    return {f"{each.check.table}:{each.check.name}" for each in found if not each.passed}


def compared(lake: Lake) -> set[object]:
    found = run(gold_checks(lake.tables), Inspection(lake, [MONDAY], LIMITS, patches=True))
    return {each.numbers["compared"] for each in found if each.check.name == "reconciles"}


def stamps(lake: Lake, name: str) -> list[Stamp]:
    """What the refreshes of a table say, the newest first."""
    commits = GoldLog(DeltaTable(lake.places[name])).backwards()
    return [commit.stamp for commit in commits if commit.stamp is not None]


@pytest.mark.parametrize(
    "change",
    [
        silver_changes.merge(MONDAY, delete=False, feed=False, insert=NEW),
        silver_changes.merge(MONDAY, delete=True, feed=True),
        silver_changes.move(MONDAY, TUESDAY, "user_id = 'ann'"),
        *[
            pytest.param(change, marks=pytest.mark.sail)
            for change in (
                silver_changes.delete(MONDAY, "user_id = 'ann'"),
                silver_changes.move(MONDAY, None, "user_id = 'ann'"),
                silver_changes.merge(MONDAY, delete=False, feed=True, insert=NEW),
                silver_changes.merge(MONDAY, delete=True, feed=False),
            )
        ],
    ],
)
def test_what_was_changed_is_made_anew_and_nothing_else(
    gold: Lake, engine: Engine, change: silver_changes.Change
) -> None:
    change(gold)
    assert steps(gold, engine)[SPEND] == "keys"
    assert failed(gold) == failed(gold, patches=False) == set()
    assert compared(gold) == {"the newest patch"}
    assert refresh(gold, engine, [MONDAY], how="patch").current[SPEND]


@pytest.mark.sail
def test_a_row_that_breaks_a_rule_from_now_on_goes_to_the_quarantine_and_comes_back(gold: Lake, engine: Engine) -> None:
    for level in ("?", "high"):

        def update(rows: pa.Table, level: str = level) -> pa.Table:
            levels = pa.array([level] * rows.num_rows)
            return rows.set_column(rows.column_names.index("risk_level"), "risk_level", levels)

        vectors.merge(gold.silver, lambda rows: pc.equal(rows["user_id"], "bob"), update)
        assert set(steps(gold, engine).values()) == {"keys"}
        quarantined = rows_of(gold.places["quarantined_txns"])["user_id"].to_pylist()
        assert set(quarantined) == ({"bob"} if level == "?" else set())
        assert failed(gold) == set()


@pytest.mark.sail
def test_the_plan_names_the_way_and_what_it_takes(gold: Lake, engine: Engine) -> None:
    ANN(gold)
    planned = lake_plan(gold, gold.tables, [MONDAY, TUESDAY])
    assert {(todo.table, todo.dates, todo.how, todo.rows) for todo in planned.to_do} == {
        (name, "2024-01-01", "keys", 76) for name in gold.places
    }
    assert {todo.reason for todo in planned.to_do} == {"rows removed in version 4, about 0.4 of computing all rows"}
    assert planned.summary.startswith("0 dates to patch, 4 by keys, 0 to recompute and 4 current in 4 tables")
    done = refresh(gold, engine, [MONDAY], how="patch").dates[SPEND][MONDAY].step
    assert str(done) == "keys: rows removed in version 4, about 0.4 of computing all rows"
    assert [stamp.how for stamp in stamps(gold, SPEND)] == ["changed keys made anew", "recomputed"]


@pytest.mark.sail
def test_a_moved_row_counts_once_on_each_of_its_dates(gold: Lake, engine: Engine) -> None:
    silver_changes.move(MONDAY, TUESDAY, "user_id = 'bob'")(gold)
    assert changed(gold, 2) == {("bob", MONDAY), ("bob", TUESDAY)}
    assert steps(gold, engine, MONDAY, TUESDAY)[SPEND] == "keys"


@pytest.mark.sail
def test_a_key_that_lost_its_last_row_goes(gold: Lake, engine: Engine) -> None:
    silver_changes.delete(MONDAY, "user_id = 'gus'")(gold)
    assert steps(gold, engine)[SPEND] == "keys"
    left = rows_of(gold.places[SPEND]).filter(pc.field("event_date") == MONDAY)["user_id"].to_pylist()
    assert len(left) == len(USERS) - 1 + 60 and "gus" not in left


@pytest.mark.sail
def test_rows_that_a_rewritten_file_still_has_did_not_change(gold: Lake) -> None:
    DeltaTable(gold.silver).update({"amount": "9.0"}, predicate="event_date = '2024-01-01' AND user_id = 'bob'")
    assert changed(gold, 2) == {("bob", MONDAY)}


@pytest.mark.sail
def test_one_of_two_equal_rows_that_goes_is_a_change(lake: Lake) -> None:
    write_silver(lake, [row(), row(), row(user_id="bob")])
    vectors.merge(lake.silver, lambda rows: pa.array([True, *[False] * (rows.num_rows - 1)]))
    vectors.compact(lake.silver)
    assert changed(lake, 0) == {("ann", MONDAY)}
    assert changed(lake, 2) == set()


@pytest.mark.sail
def test_a_zero_that_loses_its_sign_is_a_change(lake: Lake) -> None:
    write_silver(lake, [row(usage_cost_ratio=-0.0), row(user_id="bob")])
    DeltaTable(lake.silver).update({"usage_cost_ratio": "0.0"}, predicate="user_id = 'ann'")
    assert changed(lake, 0) == {("ann", MONDAY)}


@pytest.mark.sail
def test_a_deletion_vector_that_grows_tells_of_the_rows_that_it_hides_besides(gold: Lake) -> None:
    for user in ("ann", "bob"):
        vectors.merge(gold.silver, lambda rows, user=user: pc.equal(rows["user_id"], user))  # type: ignore[misc]
    assert changed(gold, 4) == {("bob", MONDAY), ("bob", TUESDAY)}
    assert changed(gold, 2) == {(user, date) for user in ("ann", "bob") for date in (MONDAY, TUESDAY)}


@pytest.mark.sail
def test_what_was_put_back_did_not_change(gold: Lake) -> None:
    ANN(gold)
    DeltaTable(gold.silver).restore(2)
    assert changed(gold, 2) == set()
    assert changed(gold, 4) == {("ann", MONDAY)}


@pytest.mark.sail
def test_what_was_put_back_has_changed_for_a_date_that_followed_it(gold: Lake, engine: Engine) -> None:
    """The other date, made before, has nothing to follow; what counts for the one must not hide what counts for the other."""
    vectors.merge(gold.silver, lambda rows: pc.equal(rows["user_id"], "bob"))
    assert steps(gold, engine, MONDAY)[SPEND] == "keys"
    DeltaTable(gold.silver).restore(3)
    steps(gold, engine, MONDAY, TUESDAY)
    assert_gold_is_true(gold)


@pytest.mark.sail
def test_columns_of_a_silver_may_have_names_and_types_of_any_kind(gold: Lake, engine: Engine) -> None:
    """Names that the queries have for themselves, and columns that are mapped to others in the files."""
    of_trade = {"side": "buy", "sign_0": "+", "changed_user_id": "x", "c0": "y"}
    schema = SCHEMA
    for name in of_trade:
        schema = with_type(name, pa.string(), schema)
    write_silver(gold, [row(user_id=user, **of_trade) for user in ("ann", "lea")], schema=schema)
    rename_columns(Path(gold.silver), {"c0": "a name, with dots. and blanks"})
    refresh(gold, engine, [MONDAY, TUESDAY])
    silver_changes.merge(MONDAY, delete=False, feed=False)(gold)
    assert steps(gold, engine)[SPEND] == "keys"
    assert failed(gold) == failed(gold, patches=False) == set()


@pytest.mark.sail
def test_a_key_that_is_a_char_is_found_with_and_without_its_blanks(gold: Lake, engine: Engine) -> None:
    silver_changes.say_metadata_again(gold, {"__CHAR_VARCHAR_TYPE_STRING": "char(5)"})
    refresh(gold, engine, [MONDAY])
    vectors.merge(gold.silver, lambda rows: pc.equal(rows["user_id"], "bob"))
    assert steps(gold, engine)[SPEND] == "keys"
    assert failed(gold) == set()


@pytest.mark.sail
def test_compaction_in_between_hides_no_change_and_adds_none(gold: Lake, engine: Engine) -> None:
    ANN(gold)
    vectors.compact(gold.silver)
    silver_changes.merge(MONDAY, delete=True, feed=False, insert=[row(user_id="new")])(gold)
    silver_changes.compact(gold)
    assert changed(gold, 2) == {("ann", MONDAY), ("new", MONDAY)}
    assert steps(gold, engine)[SPEND] == "keys"


def data_files(lake: Lake) -> set[Path]:
    return {path for path in Path(lake.silver).rglob("*.parquet") if "_change_data" not in path.parts}


@pytest.mark.sail
def test_of_a_commit_with_a_change_data_feed_only_that_is_read(gold: Lake) -> None:
    before = data_files(gold)
    silver_changes.merge(MONDAY, delete=False, feed=True)(gold)
    for path in data_files(gold) - before:
        path.unlink()
    assert changed(gold, 2) == {("ann", MONDAY)}


@pytest.mark.sail
def test_a_commit_with_a_feed_may_lie_between_two_without_one(gold: Lake) -> None:
    for user, feed in (("ann", False), ("bob", True), ("cid", False)):
        vectors.merge(gold.silver, lambda rows, user=user: pc.equal(rows["user_id"], user), feed=feed)  # type: ignore[misc]
    assert {user for user, date in changed(gold, 2) if date == MONDAY} == {"ann", "bob", "cid"}
    assert {user for user, date in changed(gold, 3) if date == MONDAY} == {"ann", "bob", "cid"}
    assert {user for user, date in changed(gold, 4) if date == MONDAY} == {"bob", "cid"}


@pytest.mark.sail
def test_a_feed_that_is_switched_on_in_between_does_not_hide_what_came_before(gold: Lake, engine: Engine) -> None:
    vectors.merge(gold.silver, lambda rows: pc.equal(rows["user_id"], "bob"))
    silver_changes.merge(MONDAY, delete=False, feed=True)(gold)
    write_silver(gold, [row(user_id="new")])
    vectors.merge(gold.silver, lambda rows: pc.equal(rows["user_id"], "cid"), feed=True)
    assert {user for user, date in changed(gold, 2) if date == MONDAY} == {"ann", "bob", "cid", "new"}
    assert steps(gold, engine, MONDAY, TUESDAY)[SPEND] == "keys"


@pytest.mark.sail
def test_a_table_of_which_no_row_changed_is_not_rewritten(gold: Lake, engine: Engine) -> None:
    silver_changes.delete(MONDAY, "user_id = 'gus'")(gold)
    assert steps(gold, engine) == dict.fromkeys(gold.places, "keys")
    [risk, spend] = [next(GoldLog(DeltaTable(gold.places[name])).backwards()) for name in ("high_risk_txns", SPEND)]
    assert (bool(risk.removes), bool(spend.removes)) == (False, True)
    assert risk.stamp is not None and risk.stamp.keys == 1


@pytest.mark.sail
def test_a_date_that_was_rewritten_in_too_large_a_part_is_recomputed(gold: Lake, engine: Engine) -> None:
    silver_changes.update(MONDAY)(gold)
    done = refresh(gold, engine, [MONDAY], how="patch").dates[SPEND][MONDAY].step
    assert (done.how, done.reason) == (
        "recomputed",
        "rows removed in version 3, in too large a part of the date",
    )
    assert_gold_is_true(gold)


@pytest.mark.sail
def test_what_cannot_be_read_any_more_is_computed_anew(gold: Lake, engine: Engine) -> None:
    silver_changes.delete(MONDAY, "user_id = 'ann'")(gold)
    silver_changes.vacuum(gold)
    done = refresh(gold, engine, [MONDAY], how="patch").dates[SPEND][MONDAY].step
    assert done.how == "recomputed"
    assert done.reason.endswith(", but the files that tell which keys changed cannot be read")
    assert_gold_is_true(gold, [MONDAY])


@pytest.mark.sail
def test_a_log_that_tells_no_partitions_of_removed_files_is_not_trusted(gold: Lake, engine: Engine) -> None:
    silver_changes.delete(MONDAY, "user_id = 'ann'")(gold)
    newest = max(Path(gold.silver, "_delta_log").glob("*.json"))
    actions = [json.loads(line) for line in newest.read_text().splitlines()]
    for action in actions:
        if "remove" in action:
            del action["remove"]["partitionValues"]
    newest.write_text("\n".join(map(json.dumps, actions)))
    assert steps(gold, engine)[SPEND] == "recomputed"


def forgetful(monkeypatch: pytest.MonkeyPatch, change: Callable[[pa.Table], pa.Table]) -> None:
    of = ChangedKeys.of
    monkeypatch.setattr(ChangedKeys, "of", lambda *args: change(of(*args)))


@pytest.mark.sail
def test_a_key_that_is_forgotten_is_found(gold: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    ANN(gold)
    forgetful(monkeypatch, lambda keys: keys.slice(1))
    refresh(gold, engine, [MONDAY], how="patch")
    assert f"{SPEND}:reconciles" in failed(gold)
    assert f"{SPEND}:reconciles" in failed(gold, patches=False)


class Careless:
    """An engine of which the rows that replace others come out as ``change`` has it."""

    def __init__(self, engine: Engine, change: Any) -> None:
        self._engine, self._change = engine, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def replace(self, table: DeltaTable, rows: Any, predicate: str, user_metadata: str, keys: Any = None) -> None:
        if keys is not None:
            before = self._engine.read(table).filter(predicate)
            rows = having_keys(before, self._engine.rows(keys), "left_anti").unionByName(rows)
        self._engine.replace(table, self._change(rows), predicate, user_metadata)

    def append(self, table: DeltaTable, rows: Any, predicate: str, user_metadata: str) -> None:
        self._engine.append(table, self._change(rows), predicate, user_metadata)


@pytest.mark.sail
@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.filter("user_id IS NULL OR user_id <> 'bob'") if "user_id" in rows.columns else rows,
        lambda rows: rows.unionByName(rows.filter("event_date IS NOT NULL").limit(1)),
    ],
    ids=["one is lost", "one is there twice"],
)
def test_rows_of_other_keys_that_change_are_found(gold: Lake, engine: Engine, change: Any) -> None:
    ANN(gold)
    refresh(gold, Careless(engine, change), [MONDAY], how="patch")
    assert {f"{SPEND}:reconciles", "high_risk_txns:reconciles"} <= failed(gold)


@pytest.mark.sail
def test_a_row_of_another_key_that_is_appended_is_found(gold: Lake, engine: Engine) -> None:
    silver_changes.delete(MONDAY, "user_id = 'gus'")(gold)

    def one_more(rows: Any) -> Any:
        another = engine.rows(pa.table({"user_id": ["bob"], "event_date": [MONDAY]}))
        return rows.unionByName(another, allowMissingColumns=True) if "is_high_risk" in rows.columns else rows

    refresh(gold, Careless(engine, one_more), [MONDAY], how="patch")
    assert "high_risk_txns:reconciles" in failed(gold)


@pytest.mark.sail
@pytest.mark.parametrize(
    ("name", "bound", "dates", "how"),
    [
        ("AS_MANY_ROWS", 60, [MONDAY], "recomputed"),
        ("AS_MANY_ROWS", 60, [MONDAY, TUESDAY], "keys"),
        ("AS_MANY_ROWS", 30, [MONDAY], "keys"),
        ("MOST_CHANGED", 0.001, [MONDAY], "recomputed"),
        ("MOST_CHANGED", 0.5, [MONDAY], "keys"),
    ],
)
def test_a_commit_goes_by_keys_where_it_spares_more_than_it_takes(
    gold: Lake, name: str, bound: float, dates: list[dt.date], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each date has some 75 rows, of which about 0.6 would be spared."""
    vectors.merge(gold.silver, lambda rows: pc.equal(rows["user_id"], "bob"))
    monkeypatch.setattr(plan, name, bound)
    moment = Moment(gold)
    planned = plan.Planner(moment).steps(gold.tables[0], dates)
    assert {step.how for step in planned.values()} == {how}


@pytest.mark.sail
@pytest.mark.parametrize(("fixed", "spend"), [(60, "recomputed"), (40, "keys")])
def test_where_another_table_is_computed_anew_keys_must_spare_four_times_as_much(
    lake: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch, fixed: int, spend: str
) -> None:
    """Of 300 users ten change, and with them all three products; of 300 rows some 0.6 would be spared."""
    write_silver(lake, [row(user_id=f"user {n}", product_id=f"{n % 3}") for n in range(300)])
    refresh(lake, engine, [MONDAY])
    vectors.merge(lake.silver, lambda rows: pc.less(pc.utf8_length(rows["user_id"]), 7))
    monkeypatch.setattr(plan, "AS_MANY_ROWS", fixed)
    done = {name: of[MONDAY].step for name, of in refresh(lake, engine, [MONDAY], how="patch").dates.items()}
    assert done["product_usage_metrics"].reason.endswith("but 3 keys may have changed, where there were 3 keys")
    assert done[SPEND].how == done["high_risk_txns"].how == spend
    assert spend == "keys" or "product_usage_metrics must be computed anew" in done[SPEND].reason
    assert_gold_is_true(lake)


def test_many_small_dates_spare_nothing_where_another_table_is_computed_anew() -> None:
    small = plan.Step("keys", "", estimate=plan.Estimate(300_000, 0.4))
    assert plan.spares_enough([small] * 10)
    assert not plan.spares_enough([small] * 10, beside_others=True)
    assert plan.spares_enough([plan.Step("keys", "", estimate=plan.Estimate(3_000_000, 0.4))], beside_others=True)


@pytest.mark.sail
def test_rows_of_gold_that_cannot_be_read_are_computed_anew(gold: Lake, engine: Engine) -> None:
    """A file of each table has gone."""
    ANN(gold)
    for place in gold.places.values():
        for file in Path(place).glob(f"event_date={MONDAY}/*.parquet"):
            file.unlink()
    done = refresh(gold, engine, [MONDAY], how="patch").dates
    assert done[SPEND][MONDAY].step.reason.endswith("but the rows that are there cannot be read")
    assert_gold_is_true(gold, [MONDAY])


@pytest.mark.sail
def test_what_another_writes_before_the_rows_that_stay_are_written_again_is_not_lost(
    gold: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, read = "gold_assets.engines.sail.rows_of_keys", rows_of_keys

    def be_overtaken_and_read(*given: Any, **how: Any) -> View:
        monkeypatch.setattr(name, read)
        silver_changes.delete(MONDAY, "user_id = 'bob'")(gold)
        refresh(gold, engine, [MONDAY], how="patch")
        return read(*given, **how)

    ANN(gold)
    monkeypatch.setattr(name, be_overtaken_and_read)
    refresh(gold, engine, [MONDAY], how="patch")
    assert_gold_is_true(gold, [MONDAY])


@pytest.mark.sail
@pytest.mark.parametrize(("bound", "value"), [("_FEW_KEYS", 0.0), ("_FEW_ROWS", 1_000)])
def test_many_keys_are_computed_and_compared_as_a_whole(
    gold: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch, bound: str, value: float
) -> None:
    ANN(gold)
    with monkeypatch.context() as none:
        none.setattr(changed_keys, "MOST_KEYS", 0.0)
        done = refresh(gold, engine, [MONDAY], how="patch").dates
    assert {of[MONDAY].step.how for of in done.values()} == {"recomputed"}
    assert all("keys may have changed" in of[MONDAY].step.reason for of in done.values())
    assert_gold_is_true(gold, [MONDAY])
    silver_changes.merge(MONDAY, delete=False, feed=False, user="bob")(gold)
    assert steps(gold, engine)[SPEND] == "keys"
    monkeypatch.setattr(patches, bound, value)
    assert compared(gold) == {"in full"}
    assert failed(gold) == set()


VISITS = Source(
    "visits",
    [
        Column("visitor", "string"),
        Column("country", "string"),
        Column("seconds", "double"),
        Column("until", "date", nullable=True),
        Column("tags", "array<string>"),
    ],
    date="day",
)
OF_VISITS = pa.schema(
    [
        ("visitor", pa.string()),
        ("country", pa.string()),
        ("seconds", pa.float64()),
        ("until", pa.timestamp("us", "UTC")),
        ("tags", pa.list_(pa.string())),
        ("day", pa.timestamp("us", "UTC")),
    ]
)
BY_VISITOR = "SELECT visitor, event_date, count(*) AS visits FROM visits GROUP BY visitor, event_date"
BY_COUNTRY = """
    SELECT country, event_date, count(DISTINCT visitor) AS visitors, max(seconds) AS longest, avg(seconds) AS mean
    FROM visits GROUP BY country, event_date
"""
LONG = "SELECT visitor, visitor AS who, seconds, event_date FROM visits WHERE seconds > 5"


def visit(visitor: str, country: str | None, seconds: float, day: dt.date = MONDAY) -> dict[str, Any]:
    at = dt.datetime.combine(day, dt.time(18, 30), dt.timezone.utc)
    values = {"visitor": visitor, "country": country, "seconds": seconds, "tags": [visitor]}
    return {**values, "day": at, "until": at}


@pytest.fixture
def visits(tmp_path: Path) -> Iterator[Lake]:
    tables = [Table("visits_by_country", VISITS, sql=BY_COUNTRY), Table("long_visits", VISITS, sql=LONG)]
    yield Project("visits", VISITS, tables).lake(str(tmp_path / "visits"))


@pytest.mark.sail
def test_a_table_that_is_patched_is_not_computed_anew_besides(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three countries change, of which visits are added up; of visitors ten, whose countries are not."""
    tables = [
        Table("by_country", VISITS, sql=BY_VISITOR.replace("visitor", "country")),
        Table("by_visitor", VISITS, sql=BY_VISITOR.replace("*", "DISTINCT country")),
    ]
    lake = Project("visits", VISITS, tables).lake(str(tmp_path / "visits"))
    visits = [visit(f"{n}", f"{n % 3}", 1.0) for n in range(300)]
    for new in (visits, visits[:10]):
        write_silver(lake, new, schema=OF_VISITS, partition_by=[])
        monkeypatch.setattr(plan, "AS_MANY_ROWS", 100)
        done = refresh(lake, engine, [MONDAY], how="patch").dates
    ways = {name: of[MONDAY].step.how for name, of in done.items()}
    assert (ways["by_country"], ways["by_visitor"]) == ("patched", "keys")


def test_what_does_not_add_up_goes_by_keys_after_an_append(visits: Lake, engine: Engine, however_much: None) -> None:
    first = [
        visit("a", "at", 1.0),
        visit("z", "at", 2.0),
        visit("b", "ch", 9.0),
        visit("b", None, 6.0),
        visit("a", "at", 1.0, TUESDAY),
    ]
    write_silver(visits, first, schema=OF_VISITS, partition_by=[])
    refresh(visits, engine, [MONDAY, TUESDAY])
    of_two_dates = [visit("a", "at", 0.3), visit("c", "at", 7.0), visit("c", "at", 7.0, TUESDAY)]
    for new in (of_two_dates, [visit("d", None, 8.0)], [visit("e", "de", math.nan)]):
        write_silver(visits, new, schema=OF_VISITS, partition_by=[])
        done = refresh(visits, engine, [MONDAY, TUESDAY], how="patch").dates
        assert {name: of[MONDAY].step.how for name, of in done.items()} == {
            "visits_by_country": "keys",
            "long_visits": "patched",
            "quarantined_visits": "patched",
        }
        patched = {name: rows_of(visits.places[name]) for name in visits.places}
        limits = Limits(MONDAY, TUESDAY, quarantined_share=1.0)
        found = list(run(gold_checks(visits.tables), Inspection(visits, [MONDAY, TUESDAY], limits, patches=True)))
        assert all(each.passed for each in found if each.check.name != "yesterday_is_there")
        refresh(visits, engine, [MONDAY, TUESDAY])
        for name, rows in patched.items():
            assert sorted(map(str, rows.to_pylist())) == sorted(map(str, rows_of(visits.places[name]).to_pylist()))
