"""Gold stays a function of Silver when Silver is followed as a stream, whatever happens to Silver or to the stream."""

import datetime as dt
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.engines.spark import SparkEngine
from gold_assets.gold.lake import Lake
from gold_assets.gold.streaming import Batch, follow
from gold_assets.gold.structured_streaming import newest_offset
from gold_assets_tests.conftest import ENGINE, TABLES_OF_A_TEST, CopyOf, lake_in
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    TUESDAY,
    WEDNESDAY,
    high_risk_row,
    rename_columns,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true, rows_of

WITH_NOTE = with_type("note", pa.string())


class Stream:
    """The stream from a lake's Silver, with its checkpoint in the same folder."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.lake = lake_in(folder, TABLES_OF_A_TEST)
        self.checkpoint = folder / "checkpoint"
        self.batches: list[Batch] = []
        self._engine = engine

    def drain(self, **options: Any) -> set[dt.date]:
        return follow(self.lake, self._engine, str(self.checkpoint), on_refreshed=self.batches.append, **options)

    def sentence(self) -> str:
        with pytest.raises(UserError) as failure:
            self.drain()
        assert "\n" not in str(failure.value)
        return str(failure.value)

    def start_over(self) -> None:
        """As a process does that knows nothing of the one before."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def versions(self) -> dict[str, int]:
        return {name: DeltaTable(uri).version() for name, uri in self.lake.places.items()}


@pytest.fixture
def stream(tmp_path: Path, engine: Engine) -> Stream:
    return Stream(tmp_path, engine)


def drained_of_first_rows(lake: Lake, engine: Engine) -> None:
    stream = Stream(Path(lake.silver).parent, engine)
    first_rows(lake)
    assert stream.drain() == set(days(MONDAY, WEDNESDAY))
    assert [batch.id for batch in stream.batches] == [0]


@pytest.fixture
def drained(copy_of: CopyOf, stream: Stream) -> Stream:
    """The stream of a lake with the first rows, once drained."""
    copy_of(drained_of_first_rows)
    return stream


def silver_of(lake: Lake) -> DeltaTable:
    return DeltaTable(lake.silver)


def append(lake: Lake) -> None:
    write_silver(lake, [row(user_id="new", event_date=date, amount=1.25) for date in (MONDAY, TUESDAY)])


def late_rows(lake: Lake) -> None:
    write_silver(lake, [high_risk_row(user_id="late", event_date=MONDAY.replace(year=2023))])


def bad_rows(lake: Lake) -> None:
    write_silver(lake, [row(amount=None, event_date=TUESDAY), row(event_date=None), row(risk_level="?")])


def update(lake: Lake) -> None:
    silver_of(lake).update(updates={"amount": "amount + 0.5"}, predicate="user_id = 'ann'")


def delete_rows(lake: Lake) -> None:
    silver_of(lake).delete("product_id = 'cup'")


def delete_a_day(lake: Lake) -> None:
    silver_of(lake).delete(f"event_date = '{TUESDAY}'")


def move_a_row(lake: Lake) -> None:
    silver_of(lake).update(updates={"event_date": f"CAST('{WEDNESDAY}' AS DATE)"}, predicate="user_id = 'bob'")


def optimize(lake: Lake) -> None:
    silver_of(lake).optimize.compact()


def vacuum(lake: Lake) -> None:
    silver_of(lake).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)


def add_a_column(lake: Lake) -> None:
    write_silver(
        lake, [high_risk_row(note="new", event_date=WEDNESDAY), row(user_id=None, note="bad")], schema=WITH_NOTE
    )


def mend_bad_rows(lake: Lake) -> None:
    silver_of(lake).update(updates={"amount": "1.0"}, predicate="amount IS NULL")


CHANGES: list[Callable[[Lake], None]] = [
    append,
    late_rows,
    bad_rows,
    update,
    delete_rows,
    delete_a_day,
    move_a_row,
    optimize,
    vacuum,
    add_a_column,
    mend_bad_rows,
]


def first_rows(lake: Lake) -> None:
    write_silver(
        lake,
        [
            row(user_id=user, product_id=product, event_date=date)
            for user in ("ann", "bob")
            for product in ("tea", "cup")
            for date in days(MONDAY, WEDNESDAY)
        ]
        + [high_risk_row(), row(user_id="")],
    )


def test_gold_is_true_after_every_drain_in_any_order_of_changes(drained: Stream) -> None:
    chance = random.Random(1)
    changes = chance.sample(CHANGES, len(CHANGES))
    assert_gold_is_true(drained.lake)
    while changes:
        for _ in range(chance.randint(1, 3)):
            if changes:
                changes.pop()(drained.lake)
        drained.drain()
        assert_gold_is_true(drained.lake)


def test_a_second_drain_with_nothing_new_makes_no_commit(drained: Stream) -> None:
    before = drained.versions()
    assert drained.drain() == set()
    assert drained.versions() == before


def test_an_optimize_and_a_vacuum_of_silver_make_no_commit(drained: Stream) -> None:
    append(drained.lake)
    assert drained.drain() == {MONDAY, TUESDAY}
    before = drained.versions()
    optimize(drained.lake)
    vacuum(drained.lake)
    assert drained.drain() == set()
    assert drained.versions() == before


def test_a_batch_writes_the_touched_dates_alone_and_tells_what_it_did(
    drained: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    delete_a_day(drained.lake)
    write_silver(drained.lake, [row(amount=None, event_date=WEDNESDAY)])
    assert drained.drain() == {TUESDAY, WEDNESDAY}
    last = drained.batches[-1]
    assert (last.id, last.after, last.refreshed.silver_version) == (1 if ENGINE == "spark" else 0, 0, 2)
    assert last.dates == [TUESDAY, WEDNESDAY]
    assert "Silver version 2, 2024-01-02 to 2024-01-03 written, 1 rows of it quarantined" in caplog.text


def test_a_silver_with_a_change_feed_is_followed_too(stream: Stream) -> None:
    first_rows(stream.lake)
    silver_of(stream.lake).alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    stream.drain()
    for change in (move_a_row, update, delete_a_day):
        change(stream.lake)
    assert (Path(stream.lake.silver) / "_change_data").exists()
    assert stream.drain() == set(days(MONDAY, WEDNESDAY))
    assert_gold_is_true(stream.lake)


@pytest.mark.spark
def test_deletion_vectors_in_silver_are_followed(drained: Stream, engine: SparkEngine) -> None:
    sql = engine.session.sql
    sql(f"ALTER TABLE delta.`{drained.lake.silver}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    sql(f"DELETE FROM delta.`{drained.lake.silver}` WHERE user_id = 'ann' AND event_date = DATE '{MONDAY}'")
    assert drained.drain() == {MONDAY}
    assert_gold_is_true(drained.lake)


def test_without_its_checkpoint_the_stream_looks_at_every_date_and_writes_what_is_behind(drained: Stream) -> None:
    delete_a_day(drained.lake)
    drained.start_over()
    assert drained.drain() == {TUESDAY}
    assert drained.batches[-1].refreshed.current["user_spend_summary"].keys() == {MONDAY, WEDNESDAY}
    assert_gold_is_true(drained.lake)


@pytest.mark.sail
def test_a_silver_made_anew_is_followed(drained: Stream) -> None:
    append(drained.lake)
    drained.drain()  # from Silver in its own place
    shutil.rmtree(drained.lake.silver)
    write_silver(drained.lake, [row(user_id="other", event_date=WEDNESDAY)])
    assert drained.drain() == set(days(MONDAY, WEDNESDAY))
    assert_gold_is_true(drained.lake)


@pytest.mark.spark
def test_a_silver_made_anew_is_one_sentence_and_a_new_checkpoint_loses_nothing(drained: Stream) -> None:
    append(drained.lake)
    drained.drain()  # from Silver in its own place
    shutil.rmtree(drained.lake.silver)
    write_silver(drained.lake, [row(user_id="other", event_date=WEDNESDAY)])
    before = drained.versions()
    assert drained.sentence() == (
        f"The checkpoint at {drained.checkpoint} follows another table than Silver at {drained.lake.silver}: where Silver "
        f"was made anew, delete the folder {drained.checkpoint} and start again, which looks at every date and loses "
        "nothing; otherwise correct GOLD_SOURCE_PATH or GOLD_CHECKPOINT_PATH."
    )
    assert drained.versions() == before
    drained.start_over()
    drained.drain()
    assert_gold_is_true(drained.lake)


def put_silver_back(stream: Stream, tmp_path: Path) -> None:
    """To the state before an append that the stream has followed, as from a backup."""
    first_rows(stream.lake)
    shutil.copytree(stream.lake.silver, tmp_path / "backup")
    append(stream.lake)
    stream.drain()
    shutil.rmtree(stream.lake.silver)
    shutil.move(tmp_path / "backup", stream.lake.silver)


@pytest.mark.sail
def test_a_silver_put_back_to_an_older_state_is_followed(stream: Stream, tmp_path: Path) -> None:
    put_silver_back(stream, tmp_path)
    assert stream.drain() == set(days(MONDAY, WEDNESDAY))
    assert_gold_is_true(stream.lake)


def test_a_silver_put_back_and_written_to_since_is_followed(stream: Stream, tmp_path: Path) -> None:
    put_silver_back(stream, tmp_path)
    late_rows(stream.lake)
    late_rows(stream.lake)
    stream.drain()
    assert_gold_is_true(stream.lake)


@pytest.mark.parametrize("drains", [pytest.param(1, marks=pytest.mark.sail), 2])
def test_a_silver_whose_log_was_cut_past_what_gold_has_is_followed(drained: Stream, drains: int) -> None:
    append(drained.lake)
    if drains == 2:  # the second one ends past the snapshot that a stream begins with
        drained.drain()
        append(drained.lake)
    delete_a_day(drained.lake)
    late_rows(drained.lake)
    table = silver_of(drained.lake)
    table.create_checkpoint()
    for version in range(table.version()):
        (Path(drained.lake.silver) / "_delta_log" / f"{version:020}.json").unlink()
    vacuum(drained.lake)
    drained.drain()
    assert_gold_is_true(drained.lake)


def lose_columns(lake: Lake, engine: Engine) -> None:
    for name in ("other", "another"):  # of which no stream passes the first
        write_silver(lake, [row(**{name: 1})], schema=with_type(name, pa.int64()), mode="overwrite")


def rename_a_column(lake: Lake, engine: Engine) -> None:
    add_a_column(lake)
    rename_columns(Path(lake.silver), {"note": "remark"})
    if not isinstance(engine, SparkEngine):
        return  # delta-rs adds no rows to such a table
    engine.session.sql(f"INSERT INTO delta.`{lake.silver}` SELECT * FROM delta.`{lake.silver}`")


@pytest.mark.parametrize("change", [lose_columns, rename_a_column])
def test_columns_that_silver_renames_or_loses_do_not_end_the_stream(
    drained: Stream, engine: Engine, change: Callable[[Lake, Engine], None]
) -> None:
    change(drained.lake, engine)
    drained.drain()
    assert_gold_is_true(drained.lake)


@pytest.mark.parametrize("content", [b"", b'v1\n{}\n{"reservoirId":"a', b"v1\n{}\n\xff\xfe"])
def test_a_checkpoint_that_is_not_whole_is_not_taken_for_another_streams(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "offsets").mkdir()
    (tmp_path / "offsets" / "0").write_text('v1\n{}\n{"reservoirId":"a","reservoirVersion":1}')
    assert newest_offset(str(tmp_path)) == ("a", 0)
    (tmp_path / "offsets" / "0").write_bytes(content)
    with pytest.raises(UserError) as error:
        newest_offset(str(tmp_path))
    assert str(error.value) == (
        f"The checkpoint at {tmp_path} holds the file offsets/0 that is no whole offset of a stream from a Delta table: where it "
        f"is this stream's, delete the folder {tmp_path} and start again, which looks at every date and loses nothing; otherwise "
        "set GOLD_CHECKPOINT_PATH to another path."
    )


@pytest.mark.spark
@pytest.mark.parametrize(("file", "content"), [("commits/0", b""), ("metadata", b"")])
def test_a_checkpoint_that_spark_cannot_read_is_one_sentence(drained: Stream, file: str, content: bytes) -> None:
    (drained.checkpoint / file).write_bytes(content)
    append(drained.lake)
    assert f"; where it ends so again, delete the folder {drained.checkpoint} and start again" in drained.sentence()
    drained.start_over()
    drained.drain()
    assert_gold_is_true(drained.lake)


def test_a_gold_table_that_is_gone_is_made_anew(drained: Stream) -> None:
    shutil.rmtree(drained.lake.places["user_spend_summary"])
    assert drained.drain() == set(days(MONDAY, WEDNESDAY))
    assert_gold_is_true(drained.lake)


@pytest.mark.spark
@pytest.mark.parametrize("what", ["a table", "another stream"])
def test_a_checkpoint_path_that_holds_something_else_is_one_sentence(stream: Stream, engine: Engine, what: str) -> None:
    first_rows(stream.lake)
    if what == "a table":
        write_deltalake(str(stream.checkpoint), pa.table({"a": [1]}))
        expected = "holds the "
    else:
        assert isinstance(engine, SparkEngine)
        rate = engine.session.readStream.format("rate").load()
        query = (
            rate.writeStream.format("noop")
            .option("checkpointLocation", str(stream.checkpoint))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        expected = "holds the file offsets/0"
    sentence = stream.sentence()
    assert sentence.startswith(f"The checkpoint at {stream.checkpoint} {expected}")
    assert "otherwise set GOLD_CHECKPOINT_PATH to another path" in sentence


def test_a_connect_server_cannot_run_the_stream_and_the_sentence_says_so(tmp_path: Path) -> None:
    stream = Stream(tmp_path, SparkEngine(remote="sc://127.0.0.1:1"))
    first_rows(stream.lake)
    assert stream.sentence().startswith(
        "The stream needs Sail, or Spark in this process or on a cluster, and GOLD_SPARK_REMOTE is"
    )


def test_silver_that_is_not_there_is_one_sentence(stream: Stream) -> None:
    assert stream.sentence().startswith(f"There is no Delta table at {stream.lake.silver}, where Silver is expected")


def test_a_write_that_fails_is_its_sentence_and_nothing_else_and_the_next_drain_makes_up_for_it(
    drained: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    append(drained.lake)
    place = Path(drained.lake.places["user_spend_summary"]) / f"event_date={MONDAY}"
    shutil.move(place, place.with_name("away"))
    place.write_text("a file where a folder must be")
    assert drained.sentence().startswith("user_spend_summary could not be written to")
    assert "py4j" not in {record.name.partition(".")[0] for record in caplog.records}
    place.unlink()
    shutil.move(place.with_name("away"), place)
    drained.drain()
    assert_gold_is_true(drained.lake)


def test_optimize_orders_the_refreshed_dates_when_the_stream_ends(drained: Stream) -> None:
    append(drained.lake)
    drained.drain(optimize=True)
    newest = DeltaTable(drained.lake.places["user_spend_summary"]).history(1)[0]
    assert newest["operation"] == "OPTIMIZE"
    assert_gold_is_true(drained.lake)


def test_a_stream_at_an_interval_follows_silver_until_it_is_stopped(stream: Stream) -> None:
    first_rows(stream.lake)
    stop = threading.Event()
    script = iter([append, add_a_column, delete_a_day])

    class Change(list[Batch]):
        """Changes Silver after each batch, and stops the stream when nothing is left to change."""

        def append(self, batch: Batch) -> None:
            super().append(batch)
            change = next(script, None)
            if change is None:
                stop.set()
            else:
                change(stream.lake)

    stream.batches = Change()
    stream.drain(interval="1 second" if ENGINE == "spark" else "10 milliseconds", stop=stop)
    assert [batch.after for batch in stream.batches] == [-1, 0, 1, 2]
    # Spark's stream starts over where a column is added.
    assert [batch.id for batch in stream.batches] == ([0, 1, 0, 1] if ENGINE == "spark" else [0, 1, 2, 3])
    assert_gold_is_true(stream.lake)
    before = stream.versions()
    assert stream.drain() == set()
    assert stream.versions() == before


def test_a_stream_that_is_asked_to_stop_begins_no_batch(stream: Stream) -> None:
    first_rows(stream.lake)
    stop = threading.Event()
    stop.set()
    assert stream.drain(stop=stop) == set()
    assert stream.batches == []
    stream.drain()
    assert_gold_is_true(stream.lake)


def test_rows_of_gold_are_those_of_one_batch_after_another(stream: Stream) -> None:
    write_silver(stream.lake, [row()], schema=SCHEMA)
    stream.drain()
    write_silver(stream.lake, [row()])
    stream.drain()
    (only,) = rows_of(stream.lake.places["user_spend_summary"]).to_pylist()
    assert (only["transaction_count"], str(only["total_spend"])) == (2, "5.0000")


def test_an_interval_that_makes_no_sense_is_one_sentence(stream: Stream) -> None:
    first_rows(stream.lake)
    with pytest.raises(UserError, match=r"The interval is soon, expected .*: correct"):
        stream.drain(interval="soon")
