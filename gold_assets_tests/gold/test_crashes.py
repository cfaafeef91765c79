"""Kills, interrupts, full disks, places without permission: what was committed is whole, and the next refresh mends it."""

import datetime as dt
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from gold_assets import transactions
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.engines.sail import SailEngine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import ENGINE, lake_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, with_type, write_silver
from gold_assets_tests.truth import assert_gold_is_true, differences, rows_of

MONTH = days(MONDAY, MONDAY + dt.timedelta(days=30))
NOBODY = 65534

_PROGRAM = """
import datetime as dt, json, os, pathlib, resource, signal, sys, threading, time

from deltalake import DeltaTable

from gold_assets.engines import SliceBounds
from gold_assets.gold import refresh as refresh_module
from gold_assets.delta.errors import UserError
from gold_assets_tests.conftest import lake_in, new_engine

asked = json.loads(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # else a shell's background jobs ignore it
lake = lake_in(pathlib.Path(asked["lake"]))
engine = new_engine()
if "rows_a_slice" in asked:
    engine.slice_bounds = SliceBounds(rows=asked["rows_a_slice"])
if asked.get("signals_go_to_another_thread"):
    threading.Thread(target=time.sleep, args=[600], daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
if "file_bytes" in asked:
    resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_bytes"], asked["file_bytes"]))
if "user" in asked:
    engine.session  # what the engine loads is not for everyone to read
    engine.read(DeltaTable(asked["warm_up"], version=0)).count()
    os.setgroups([])
    os.setgid(asked["user"])
    os.setuid(asked["user"])
try:
    refresh_module.refresh(lake, engine, map(dt.date.fromisoformat, asked["dates"]))
    print("done")
except UserError as error:
    print(f"error: {error}")
except KeyboardInterrupt:
    print("interrupted")
sys.stdout.flush()
os._exit(0)
"""


def start_refresh(lake: Path, dates: list[dt.date], **asked: Any) -> "subprocess.Popen[str]":
    """A refresh of the lake in a folder, in a process of its own. It prints one line: how it ended."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    asked |= {"lake": str(lake), "dates": [str(date) for date in dates]}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM, json.dumps(asked)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def rows_of_a_month() -> list[dict[str, Any]]:
    return [make(event_date=date, **changes) for date in MONTH for make, changes in _KINDS]


_KINDS: list[tuple[Callable[..., dict[str, Any]], dict[str, Any]]] = [
    (row, {}),
    (row, {"user_id": "bob"}),
    (high_risk_row, {}),
    (row, {"amount": None}),
]


def versions_of(lake: Lake) -> dict[str, int]:
    return {name: DeltaTable(uri).version() for name, uri in lake.places.items() if DeltaTable.is_deltatable(uri)}


def wait_for_version(lake: Lake, version: int, process: "subprocess.Popen[str]") -> None:
    """Until the slowest table has made ``version``."""
    while min([versions_of(lake).get(name, -1) for name in lake.places]) < version:
        assert process.poll() is None, "the refresh ended first"
        time.sleep(0.01)


def assert_each_date_is_whole_or_missing(lake: Lake) -> None:
    for name, uri in lake.places.items():
        there = {date for date in rows_of(uri)["event_date"].to_pylist() if date is not None}
        assert_gold_is_true(lake, there, tables=[name])


@pytest.mark.parametrize("version", [0, 1, 7])
def test_a_killed_refresh_leaves_whole_dates_and_the_next_one_makes_gold_true(
    lake: Lake, tmp_path: Path, engine: Engine, version: int
) -> None:
    write_silver(lake, rows_of_a_month())
    process = start_refresh(tmp_path, MONTH, rows_a_slice=1)
    wait_for_version(lake, version, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert differences(lake), "the refresh was through before it was killed"
    assert_each_date_is_whole_or_missing(lake)
    refresh(lake, engine, MONTH)
    assert_gold_is_true(lake)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in_its_main_thread", "in_another_thread"])
def test_an_interrupted_refresh_stops_after_the_slices_at_hand(
    lake: Lake, tmp_path: Path, engine: Engine, elsewhere: bool
) -> None:
    write_silver(lake, rows_of_a_month())
    process = start_refresh(tmp_path, MONTH, rows_a_slice=1, signals_go_to_another_thread=elsewhere)
    wait_for_version(lake, 2, process)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == "interrupted\n"
    assert max(versions_of(lake).values()) < len(MONTH)
    assert_each_date_is_whole_or_missing(lake)
    refresh(lake, engine, MONTH)
    assert_gold_is_true(lake)


def test_the_time_zone_of_the_process_moves_no_row_to_another_date(lake: Lake, tmp_path: Path) -> None:
    midnight = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    write_silver(
        lake,
        [
            make(event_date=moment.date(), event_ts=moment)
            for moment in (midnight, midnight + dt.timedelta(hours=23, minutes=59), midnight + dt.timedelta(days=1))
            for make in (high_risk_row, row)
        ],
        schema=with_type("event_ts", pa.timestamp("us", tz="UTC")),
    )
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Pacific/Auckland"
    try:
        process = start_refresh(tmp_path, [MONDAY, TUESDAY])
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
    assert process.communicate()[0] == "done\n"
    assert_gold_is_true(lake)


# No permission.


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user may enter; pytest's are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="gold_assets_tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def error_without_permission(folder: Path, engine: Engine, locked: list[Path], open_to_all: list[Path]) -> str:
    """The sentence of a refresh by a process that may not write ``locked`` (nor read what has no bits)."""
    lake = lake_in(folder)
    if os.getuid() != 0:
        before = {place: place.stat().st_mode for place in locked}
        for place in locked:
            place.chmod(place.stat().st_mode & 0o555)
        try:
            with pytest.raises(UserError) as error:
                refresh(lake, engine, [MONDAY])
            return str(error.value)
        finally:
            for place, mode in before.items():
                place.chmod(mode)
    for place in open_to_all:
        for path in [place, *place.rglob("*")]:
            path.chmod(0o777)
    warm_up = lake_in(folder / "warm-up")
    write_silver(warm_up, [row()])
    answer = start_refresh(folder, [MONDAY], user=NOBODY, warm_up=warm_up.silver).communicate()[0]
    assert answer.startswith("error: "), answer
    return answer.removeprefix("error: ").rstrip("\n")


needs_setuid = pytest.mark.skipif(
    ENGINE == "spark" and os.getuid() == 0,
    reason="root may write everywhere, and Spark's JVM takes no other user later",
)


@needs_setuid
def test_a_place_where_no_table_may_be_made_is_one_sentence(open_folder: Path, engine: Engine) -> None:
    lake = lake_in(open_folder)
    write_silver(lake, [row()])
    sentence = error_without_permission(open_folder, engine, locked=[open_folder], open_to_all=[])
    assert "cannot be created at" in sentence
    assert "ermission denied" in sentence
    assert "GOLD_WRITE_PATH_SPEND_SUMMARY" in sentence
    assert not any(Path(uri).exists() for uri in lake.places.values())


@needs_setuid
@pytest.mark.parametrize("name", ["user_spend_summary", "quarantined_txns"])
def test_a_table_that_may_not_be_written_is_one_sentence_and_keeps_its_content(
    open_folder: Path, engine: Engine, name: str
) -> None:
    lake = lake_in(open_folder)
    write_silver(lake, [row(), row(amount=None)])
    refresh(lake, engine, [MONDAY])
    before = rows_of(lake.places[name])
    write_silver(lake, [row(user_id="bob"), row(user_id=None)])
    place = Path(lake.places[name])
    locked = [path for path in [place, *place.rglob("*")] if path.is_dir()]
    others = [Path(uri) for uri in lake.places.values() if uri != str(place)]
    sentence = error_without_permission(open_folder, engine, locked, open_to_all=others)
    assert f"{name} could not be written to" in sentence
    assert "ermission denied" in sentence
    assert rows_of(lake.places[name]) == before
    refresh(lake, engine, [MONDAY])
    assert_gold_is_true(lake)


@needs_setuid
def test_a_silver_that_may_not_be_read_is_one_sentence(open_folder: Path, engine: Engine) -> None:
    lake = lake_in(open_folder)
    write_silver(lake, [row()])
    silver = Path(lake.silver)
    silver.chmod(0)
    try:
        sentence = error_without_permission(open_folder, engine, locked=[], open_to_all=[])
    finally:
        silver.chmod(0o755)
    assert f"Silver at {silver}" in sentence or f"no Delta table at {silver}" in sentence
    assert "permission denied" in sentence and "let this process read there" in sentence


# No disk space.


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of that size at ``folder``. Skips where it cannot be mounted, and fails there in CI."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        why = f"a small disk cannot be mounted here ({mounted.stderr.strip()})"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_larger(folder: Path, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(folder)], check=True)


def rows_that_need_space(date: dt.date) -> list[dict[str, Any]]:
    rng = random.Random(7)
    return [high_risk_row(event_date=date, user_id=rng.randbytes(128).hex()) for _ in range(40_000)]


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, engine: Engine) -> None:
    disk = tmp_path / "disk"
    silver = lake_in(tmp_path).silver
    lake = Lake(transactions.project, silver, lake_in(disk).places)
    write_silver(lake, [row(), high_risk_row(), row(amount=None)])
    with small_disk(disk, 4):
        refresh(lake, engine, [MONDAY])
        write_silver(lake, rows_that_need_space(TUESDAY))
        with pytest.raises(UserError, match=r"could not be written to .*the disk is full"):
            refresh(lake, engine, [MONDAY, TUESDAY])
        assert_gold_is_true(lake, [MONDAY], silver_version=0)
        assert_each_date_is_whole_or_missing(lake)
        make_larger(disk, 100)
        refresh(lake, engine, [MONDAY, TUESDAY])
        assert_gold_is_true(lake)


@pytest.mark.sail
def test_a_full_scratch_disk_is_one_sentence_and_loses_nothing(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    write_silver(lake, [row(), *rows_that_need_space(TUESDAY)])
    with small_disk(scratch, 2):
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        engine = SailEngine()  # which copies Silver's few rows
        with pytest.raises(UserError, match=r"cannot be read .*copying .*the disk is full.* temporary files"):
            refresh(lake, engine, [TUESDAY])
        make_larger(scratch, 16)
        with pytest.raises(UserError, match=r"could not be written to .*the disk is full"):
            refresh(lake, engine, [TUESDAY])
        assert_each_date_is_whole_or_missing(lake)
        make_larger(scratch, 100)
        refresh(lake, engine, [MONDAY, TUESDAY])
        engine.close()
        assert not list(scratch.iterdir())
    assert_gold_is_true(lake)


@pytest.mark.sail
def test_a_file_that_may_not_grow_is_one_sentence_and_loses_nothing(lake: Lake, tmp_path: Path, engine: Engine) -> None:
    write_silver(lake, [row(), *rows_that_need_space(TUESDAY)])
    answer = start_refresh(tmp_path, [MONDAY, TUESDAY], file_bytes=200_000).communicate()[0]
    assert answer.startswith("error: ")
    assert "could not be written to" in answer
    assert answer.count("\n") == 1
    assert_each_date_is_whole_or_missing(lake)
    refresh(lake, engine, [MONDAY, TUESDAY])
    assert_gold_is_true(lake)
