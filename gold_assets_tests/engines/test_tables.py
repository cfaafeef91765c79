"""What an engine leaves on disk: plain Delta that every other reader and writer knows."""

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from gold_assets.delta.commit_races import CommitConflict
from gold_assets.delta.dataset import dataset_of
from gold_assets.delta.dates import predicate
from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.engines.processes import engine_process
from gold_assets_tests.small_silver import (
    MONDAY,
    SCHEMA,
    TUESDAY,
    WEDNESDAY,
    high_risk_row,
    row,
    with_type,
    write_silver,
)
from gold_assets_tests.truth import assert_gold_is_true

WITH_TIME = with_type("event_ts", pa.timestamp("us", tz="UTC"))
NOON = dt.datetime(2024, 1, 1, 12, 0, 0, 1, tzinfo=dt.timezone.utc)


def spend_on(lake: Lake) -> DeltaTable:
    return DeltaTable(lake.places["user_spend_summary"])


def test_tables_keep_to_the_protocol_that_every_reader_knows(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row(event_ts=NOON), row(amount=None, event_ts=NOON)], schema=WITH_TIME)
    refresh(lake, engine, [MONDAY, TUESDAY])
    for uri in lake.places.values():
        protocol = DeltaTable(uri).protocol()
        assert protocol.min_reader_version == 1
        assert protocol.min_writer_version == 2
        assert not protocol.reader_features
        assert not protocol.writer_features


@pytest.mark.sail
def test_texts_and_binaries_of_a_batch_may_be_larger_than_two_gibibytes(lake: Lake, engine: Engine) -> None:
    # Arrow's 32 bits end there, with 8,192 rows of 262 kB. That many are too dear here: what tells is the type.
    write_silver(lake, [high_risk_row(photo=b"jpeg")], schema=with_type("photo", pa.binary()))
    refresh(lake, engine, [MONDAY])
    table = DeltaTable(lake.places["high_risk_txns"])
    [file] = map(pq.read_schema, Path(table.table_uri.removeprefix("file://")).rglob("*.parquet"))
    for schema in (file, dataset_of(table).schema):
        assert (schema.field("user_id").type, schema.field("photo").type) == (pa.large_string(), pa.large_binary())
    assert [str(field.type) for field in table.schema().fields if field.name in ("user_id", "photo")] == [
        'PrimitiveType("string")',
        'PrimitiveType("binary")',
    ]


def test_every_table_is_read_by_duckdb_and_by_delta_rs_with_the_same_rows(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row(event_ts=NOON), row(), row(amount=None, event_ts=NOON)], schema=WITH_TIME)
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)
    with duckdb.connect() as db:
        for name in ("high_risk_txns", "quarantined_txns"):
            # DuckDB's own reader of Delta is an extension that it downloads: the files of the log stand in for it.
            files = DeltaTable(lake.places[name]).file_uris()
            times = db.sql(f"SELECT epoch_us(event_ts) FROM read_parquet({files!r})").fetchall()
            assert times == [(int(NOON.timestamp()) * 1_000_000 + 1,)]


def test_times_are_stored_as_microseconds_with_statistics(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [high_risk_row(event_ts=NOON)], schema=WITH_TIME)
    refresh(lake, engine, [MONDAY])
    table = DeltaTable(lake.places["high_risk_txns"])
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    assert actions[0]["min.event_ts"] is not None
    with duckdb.connect() as db:
        column = "SELECT type FROM parquet_schema({files!r}) WHERE name = 'event_ts'"
        assert db.sql(column.format(files=table.file_uris())).fetchall() == [("INT64",)]


@pytest.mark.spark
def test_what_one_engine_wrote_the_other_writes_on(lake: Lake, engine: Engine, tmp_path: Path) -> None:
    other = "sail" if type(engine).__name__ == "SparkEngine" else "spark"
    write_silver(lake, [high_risk_row(), row(event_date=TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    write_silver(lake, [high_risk_row(user_id="bob"), row(amount=float("nan"), event_date=TUESDAY)])
    with engine_process(other) as process:
        assert process.refresh(tmp_path, [MONDAY, TUESDAY]) is None
    assert_gold_is_true(lake)
    write_silver(lake, [high_risk_row(user_id="eve"), row(event_date=WEDNESDAY)])
    refresh(lake, engine, [MONDAY, WEDNESDAY])
    assert_gold_is_true(lake)
    for uri in lake.places.values():
        assert DeltaTable(uri).protocol().min_writer_version == 2


def test_a_date_is_one_file(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(user_id=f"user {n}", event_date=date) for n in range(50) for date in (MONDAY, TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert len(spend_on(lake).file_uris()) == 2


def test_a_refresh_that_finds_and_leaves_nothing_is_in_the_log(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    done = refresh(lake, engine, [TUESDAY])
    written = done.dates["user_spend_summary"][TUESDAY]
    assert written.rows == 0
    assert GoldLog(spend_on(lake)).commit(written.table_version).said["dates"] == [[str(TUESDAY), str(TUESDAY)]]


def test_rows_of_other_keys_stay(tmp_path: Path, engine: Engine) -> None:
    """NULL is a key like any other; and as many tables are written at once as keep every thread of delta-rs busy."""
    name, users = "the `user`, once", ["ann", "bob", None]
    before = pa.table({name: users * 2, "event_date": [*[MONDAY] * 3, *[TUESDAY] * 3], "spend": range(6)})
    new = pa.table({name: ["ann", None], "event_date": [MONDAY] * 2, "spend": [10, 12]})
    keys = pa.table({name: pa.array(["ann", "new", None]), "event_date": [MONDAY] * 3})
    tables = [written(tmp_path / f"{number}", before) for number in range(3)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda table: engine.replace(table, engine.rows(new), predicate([MONDAY]), "{}", keys), tables))
    for table in tables:
        table.update_incremental()
        assert sorted(table.to_pyarrow_table()["spend"].to_pylist()) == [1, 3, 4, 5, 10, 12]


def written(folder: Path, rows: pa.Table) -> DeltaTable:
    write_deltalake(str(folder), rows, partition_by=["event_date"])
    return DeltaTable(str(folder))


def test_rows_outside_the_predicate_are_refused_and_nothing_is_written(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(), row(event_date=TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    table = spend_on(lake)
    rows = engine.read(table)
    with pytest.raises((OSError, DeltaError)):
        engine.replace(table, rows, predicate([MONDAY]), "{}")
    assert spend_on(lake).version() == table.version()


@pytest.mark.spark
def test_a_lost_race_is_a_conflict_and_nothing_is_written(lake: Lake, engine: Engine) -> None:
    from pyspark.sql import functions as F

    write_silver(lake, [row()])
    refresh(lake, engine, [MONDAY])
    table = spend_on(lake)
    nap = F.expr("reflect('java.lang.Thread', 'sleep', 2000L)")
    rows = engine.read(table).withColumn("user_id", F.coalesce(nap, F.col("user_id")))
    with ThreadPoolExecutor() as pool:
        loser = pool.submit(engine.replace, table, rows, predicate([MONDAY]), "the loser's")
        while not loser.done():
            newest = spend_on(lake)
            write_deltalake(newest, newest.to_pyarrow_table(), mode="overwrite", predicate=predicate([MONDAY]))
            time.sleep(0.2)
        with pytest.raises(CommitConflict):
            loser.result()
    assert "the loser's" not in [entry.get("userMetadata") for entry in spend_on(lake).history()]


def test_a_place_that_cannot_be_written_is_an_os_error_or_a_delta_error(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    refresh(lake, engine, [MONDAY])
    table = spend_on(lake)
    rows = engine.read(table)
    partition = Path(lake.places["user_spend_summary"]) / f"event_date={MONDAY}"
    for file in partition.iterdir():
        file.unlink()
    partition.rmdir()
    partition.write_text("a file where a folder must be")
    with pytest.raises((OSError, DeltaError)):
        engine.replace(table, rows, predicate([MONDAY]), "{}")


def test_a_path_with_blanks_and_signs_is_one_place_for_every_reader(tmp_path: Path, engine: Engine) -> None:
    lake = lake_in(tmp_path / "a 100% lake é+ü")
    write_silver(lake, [high_risk_row(), row(amount=None)])
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)
    assert [place.name for place in tmp_path.iterdir()] == ["a 100% lake é+ü"]


@pytest.mark.parametrize(
    "amount",
    [pa.decimal128(38, 0), pa.decimal128(38, 10), pa.decimal128(38, 18), pa.decimal128(10, 2)],
    ids=str,
)
def test_a_decimal_that_does_not_fit_is_quarantined_and_fails_nothing(
    lake: Lake, engine: Engine, amount: pa.DataType
) -> None:
    largest = "9" * (amount.precision - amount.scale)
    texts = [largest, "1", "99999999999999.99994999", "99999999999999.99995", "99999999999999.9999", "99999999999999"]
    fit = [text for text in texts if amount.precision > 30 and len(text.partition(".")[2]) <= amount.scale]
    amounts = [Decimal(sign + text) for text in [*fit, "1"] for sign in ("", "-")]
    schema = with_type("amount", amount, SCHEMA)
    write_silver(lake, [row(amount=value) for value in (*amounts, None)], schema=schema)
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)


def test_a_double_that_does_not_fit_is_quarantined_and_fails_nothing(lake: Lake, engine: Engine) -> None:
    doubles = [1e300, -1e300, 1e14, 99999999999999.9, float("inf"), float("nan"), 5e-324, -0.0, 0.00005, 2.00005]
    write_silver(lake, [row(amount=amount) for amount in doubles])
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)
