"""``published()``: every way of reading answers from the publication, whatever the tables have become since."""

import datetime as dt
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets import published
from gold_assets.delta.dataset import dataset_of
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.publication import Publication
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import DATES, HIGH_RISK, QUARANTINE, SPEND
from gold_assets_tests.reading.lakes import add, publish_in, published_lake, users
from gold_assets_tests.small_silver import (
    MONDAY,
    SILVER_WITH_DELETION_VECTORS,
    TUESDAY,
    WEDNESDAY,
    ask_readers_for,
    rename_columns,
    rewrite_files,
)
from gold_assets_tests.truth import rows_of

pytestmark = pytest.mark.sail


@pytest.fixture
def lake(copy_of: CopyOf) -> Lake:
    return copy_of(published_lake)


@pytest.fixture
def publication(lake: Lake) -> Publication:
    return publish_in(lake)


def test_all_ways_of_reading_answer_from_the_publication_and_not_from_newer_versions(
    lake: Lake, publication: Publication, engine: Engine
) -> None:
    add(lake, engine, "new")
    reader = published(lake=lake)
    assert reader.publication == publication and reader.names == list(lake.places)
    assert reader.delta(SPEND).version() == publication.versions[SPEND] < DeltaTable(lake.places[SPEND]).version()
    assert reader.arrow(SPEND)["user_id"].unique().to_pylist() == ["ann"]
    assert users(reader.duckdb()) == ["ann"]
    publish_in(lake)
    assert users(published(lake=lake).duckdb()) == users(published("9999-12-31", lake=lake).duckdb()) == ["ann", "new"]
    for at in (
        publication.at,
        publication.at.isoformat(),
        publication.at.replace(tzinfo=None).isoformat(),
    ):
        assert users(published(at, lake=lake.published).duckdb()) == ["ann"]


@pytest.mark.parametrize("is_old_there", [True, False])
def test_a_copied_lake_is_read_where_its_publications_are(
    lake: Lake, publication: Publication, engine: Engine, tmp_path: Path, is_old_there: bool
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path, copy)
    places = {name: str(copy / name) for name in lake.places}
    of_copy = replace(lake, silver=str(copy / "silver"), places=places, published=str(copy / "published"))
    if not is_old_there:
        for place in lake.places.values():
            shutil.rmtree(place)
    for by in (of_copy, of_copy.published):
        reader = published(lake=by)
        assert {name: table.uri for name, table in reader.publication.tables.items()} == places
        assert f"/copy/{SPEND}" in reader.delta(SPEND).table_uri and users(reader.duckdb()) == ["ann"]


def test_another_table_in_a_published_one_s_place_is_one_sentence(lake: Lake, publication: Publication) -> None:
    swapped = replace(lake, places={**lake.places, SPEND: lake.places[HIGH_RISK], HIGH_RISK: lake.places[SPEND]})
    with pytest.raises(UserError, match=f"is not the {SPEND} that was published"):
        published(lake=swapped).delta(SPEND)


def test_a_range_of_dates_has_both_its_ends(lake: Lake, publication: Publication) -> None:
    reader = published(lake=lake)
    assert set(reader.arrow(HIGH_RISK, first=TUESDAY)["event_date"].to_pylist()) == {TUESDAY, WEDNESDAY}
    assert set(reader.arrow(HIGH_RISK, first=MONDAY, last=TUESDAY)["event_date"].to_pylist()) == {MONDAY, TUESDAY}
    assert reader.arrow(QUARANTINE).schema == pa.schema(DeltaTable(lake.places[QUARANTINE]).schema().to_arrow())


def test_a_filter_on_the_date_opens_no_file_of_another(lake: Lake, publication: Publication) -> None:
    reader = published(lake=lake)
    connection = reader.duckdb()
    for uri in reader.delta(SPEND).file_uris():
        if f"event_date={TUESDAY}" not in uri:
            Path(unquote(uri.removeprefix("file://"))).unlink()
    assert reader.arrow(SPEND, TUESDAY, TUESDAY).num_rows == 1
    of_tuesday = f"SELECT count(*) FROM {SPEND} WHERE event_date BETWEEN DATE '{TUESDAY}' AND DATE '{TUESDAY}'"
    assert connection.execute(of_tuesday).fetchall() == [(1,)]
    with pytest.raises(Exception, match=r"No such file|not found"):
        connection.execute(f"SELECT sum(total_spend) FROM {SPEND}").fetchall()


def test_money_that_the_logs_statistics_round_is_found(tmp_path: Path) -> None:
    exact = Decimal("12345678901234567.8901")
    rows = {"money": pa.array([exact], pa.decimal128(28, 4)), "event_date": [MONDAY]}
    write_deltalake(tmp_path, pa.table(rows), partition_by=["event_date"])
    undated = {"money": pa.array([exact], pa.decimal128(28, 4)), "event_date": pa.array([None], pa.date32())}
    write_deltalake(tmp_path, pa.table(undated), mode="append")
    connection = duckdb.connect()
    connection.register("t", dataset_of(DeltaTable(tmp_path)))
    found = connection.execute(f"SELECT event_date FROM t WHERE money = {exact} ORDER BY 1").fetchall()
    assert found == [(MONDAY,), (None,)]


def test_a_table_is_read_by_what_is_in_its_files_and_not_by_its_properties(tmp_path: Path) -> None:
    def rows_and_kind() -> tuple[list[tuple[object, ...]], type]:
        dataset = dataset_of(DeltaTable(tmp_path))
        connection = duckdb.connect()
        connection.register("t", dataset)
        return connection.execute("SELECT * FROM t ORDER BY 1").fetchall(), type(dataset)

    dates = pa.array([MONDAY, TUESDAY], pa.date32())
    write_deltalake(tmp_path, pa.table({"n": [1, 2], "event_date": dates}), partition_by=["event_date"])
    for names in ({}, {"n": "m"}):  # mapped to themselves, and to another
        rename_columns(tmp_path, names)
        ask_readers_for(tmp_path, "columnMapping", "deletionVectors")
        rows, kind = rows_and_kind()
        assert rows == [(1, MONDAY), (2, TUESDAY)]
        assert (kind is ds.FileSystemDataset) == (not names)
    assert DeltaTable(tmp_path).schema().to_arrow().field(0).name == "m"


def test_a_moment_far_from_now_is_the_same_whatever_type_its_file_gives_it(tmp_path: Path) -> None:
    moments = [dt.datetime(year, 12, 31, 23, 59, 59, 999_999, dt.timezone.utc) for year in (1, 2026, 9999)]
    rows = {"at": pa.array(moments, pa.timestamp("us", "UTC")), "event_date": [MONDAY] * 3}
    write_deltalake(tmp_path, pa.table(rows), partition_by=["event_date"])
    rewrite_files(tmp_path, lambda rows: rows, use_deprecated_int96_timestamps=True, store_schema=False)
    dataset = dataset_of(DeltaTable(tmp_path))
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("t", dataset)
    assert dataset.to_table()["at"].to_pylist() == moments
    assert connection.execute("""SELECT "at"::VARCHAR FROM t WHERE "at" > '9999-01-01'""").fetchall() == [
        ("9999-12-31 23:59:59.999999+00",)
    ]


def test_rows_that_deletion_vectors_hide_are_not_read() -> None:
    table = DeltaTable(SILVER_WITH_DELETION_VECTORS)
    read = dataset_of(table).to_table().to_pylist()
    assert Counter(map(repr, read)) == Counter(map(repr, rows_of(str(SILVER_WITH_DELETION_VECTORS)).to_pylist()))


def test_what_cannot_be_read_is_one_sentence(lake: Lake, publication: Publication, engine: Engine) -> None:
    asked: dict[str, Callable[[], object]] = {
        "There is no published table nothing, expected one of user_spend_summary, ": lambda: published(lake=lake).delta(
            "nothing"
        ),
        "Nothing is published at .*_anew yet: materialize all tables, then ": lambda: published(
            lake=f"{lake.published}_anew"
        ),
        "Nothing was published by 2020-01-01T00:00:00.000000Z; the first publication was at ": lambda: published(
            "2020-01-01", lake=lake
        ),
        "yesterday is no moment, expected one such as ": lambda: published("yesterday", lake=lake),
        "0001-01-01T00:00:00.05:00 is before the year 1 or after 9999 in UTC": lambda: published(
            "0001-01-01T00:00:00+05:00", lake=lake
        ),
        "has no time zone, expected an aware datetime": lambda: published(dt.datetime(2030, 1, 1), lake=lake),
        "The lake has no place for publications": lambda: published(lake=replace(lake, published=None)),
    }
    for sentence, ask in asked.items():
        with pytest.raises(UserError, match=sentence):
            ask()


def test_files_that_vacuum_took_are_one_sentence_and_the_newest_publication_is_whole(
    lake: Lake, publication: Publication, engine: Engine
) -> None:
    add(lake, engine, "new")
    DeltaTable(lake.places[SPEND]).vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(UserError, match=r"of user_spend_summary, published at .*, has lost 1 of its files to VACUUM: "):
        published(lake=lake).delta(SPEND)
    publish_in(lake)
    assert published(lake=lake).arrow(SPEND).num_rows == len(DATES) + 1


_WITHOUT = """
import sys
for name in ("dagster", "dagster_pyspark", "delta", "duckdb", "filelock", "psutil", "pyspark", "pysail", "requests"):
    sys.modules[name] = None
"""


def without_extras(script: str) -> subprocess.CompletedProcess[str]:
    """What Python does where nothing is installed but what reading needs."""
    return subprocess.run([sys.executable, "-c", _WITHOUT + script], capture_output=True, text=True)


def test_reading_needs_none_of_what_makes_the_tables(
    lake: Lake, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLD_PUBLISHED_PATH", str(lake.published))
    script = f"from gold_assets import published\nprint(published().arrow({SPEND!r}).num_rows)"
    done = without_extras(f"{script}\nfrom gold_assets.commands.gold import gold\ngold(['published'])")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3\nPublished at ")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "from gold_assets import published; published().duckdb()",
            "DuckDB is not installed, .*gold-assets\\[read\\]'\\.$",
        ),
        ("from gold_assets import SailEngine", "PySpark is not installed, .*gold-assets\\[sail\\]'\\.$"),
        (
            "from gold_assets.commands.gold import gold; gold(['checks', '--from', '2026-01-01'])",
            "^PySpark is not installed, .*gold-assets\\[sail\\]'\\.$",
        ),
    ],
    ids=["read", "sail", "a command"],
)
def test_a_missing_extra_is_one_sentence(
    lake: Lake, publication: Publication, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    monkeypatch.setenv("GOLD_PUBLISHED_PATH", str(lake.published))
    done = without_extras(script)
    assert done.returncode in (1, 2)
    assert re.search(said, done.stderr.strip().splitlines()[-1].removeprefix("gold_assets.delta.errors.UserError: "))
