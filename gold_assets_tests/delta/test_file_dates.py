"""Which dates the files of real tables hold, whether their partition, their statistics or the files themselves tell."""

import datetime as dt
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, convert_to_deltalake, write_deltalake

from gold_assets.delta.dates import FIRST_DAY, LAST_DAY
from gold_assets.delta.file_dates import FileDates, UnknownDate, has_files_elsewhere
from gold_assets.delta.kept_dates import kept_dates
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, rename_columns

THURSDAY = dt.date(2024, 1, 4)
DATE = pa.date32()


def table_of(folder: Path, *files: list[Any], type: pa.DataType = DATE, statistics: bool = True) -> DeltaTable:
    """A table in ``folder`` whose files hold these event_dates each, and nothing else."""
    for dates in files:
        configuration = None if statistics else {"delta.dataSkippingNumIndexedCols": "0"}
        rows = pa.table({"event_date": pa.array(dates, type)})
        write_deltalake(folder, rows, mode="append", configuration=configuration)
    return DeltaTable(folder)


def data_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts]


def lose_the_files(folder: Path) -> None:
    """So that whoever looks into one fails."""
    for path in data_files(folder):
        path.unlink()


def actions(folder: Path, kind: str, version: int = 0) -> list[dict[str, Any]]:
    lines = (folder / "_delta_log" / f"{version:020}.json").read_text().splitlines()
    return [action[kind] for line in lines if kind in (action := json.loads(line))]


def test_statistics_tell_the_dates_of_a_file_of_one_day_or_of_two_that_follow(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, MONDAY], [TUESDAY, WEDNESDAY], [None], [WEDNESDAY, None], [])
    lose_the_files(tmp_path)
    assert FileDates(table).dates() == {MONDAY, TUESDAY, WEDNESDAY, None}


def test_rows_of_several_dates_are_told_together_where_the_log_tells_of_each(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, MONDAY], [None])
    assert FileDates(table).count_told([MONDAY, TUESDAY, None]) == 3
    assert FileDates(table).count_told([TUESDAY]) == 0
    assert FileDates(table_of(tmp_path, [MONDAY, TUESDAY])).count_told([WEDNESDAY, TUESDAY]) is None


def test_a_file_of_days_apart_is_looked_into_once(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, WEDNESDAY, WEDNESDAY, None])
    assert FileDates(table).dates() == {MONDAY, WEDNESDAY, None}
    lose_the_files(tmp_path)
    assert FileDates(DeltaTable(tmp_path)).dates() == {MONDAY, WEDNESDAY, None}
    assert FileDates(table).rows() == {MONDAY: 1, WEDNESDAY: 2, None: 1}


def test_without_statistics_the_files_tell(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, TUESDAY], [TUESDAY, None], statistics=False)
    assert FileDates(table).dates() == {MONDAY, TUESDAY, None}
    assert FileDates(table).rows() == {MONDAY: 1, TUESDAY: 2, None: 1}


def test_rows_of_a_file_of_two_days_are_counted_in_the_file(tmp_path: Path) -> None:
    table = table_of(tmp_path, [TUESDAY, WEDNESDAY, WEDNESDAY], [WEDNESDAY, None])
    assert FileDates(table).rows() == {TUESDAY: 1, WEDNESDAY: 3, None: 1}


def test_a_file_that_is_gone_and_not_told_of_is_named(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, WEDNESDAY])
    [file] = data_files(tmp_path)
    lose_the_files(tmp_path)
    with pytest.raises(UnknownDate, match=file.name):
        FileDates(table).dates()


def test_files_without_any_of_the_dates_are_not_looked_into(tmp_path: Path) -> None:
    table_of(tmp_path, [MONDAY, WEDNESDAY])
    lose_the_files(tmp_path)
    table = table_of(tmp_path, [WEDNESDAY, THURSDAY])
    assert FileDates(table).rows([THURSDAY]) == {WEDNESDAY: 1, THURSDAY: 1}
    assert FileDates(table).rows([THURSDAY, dt.date(1999, 1, 1)]) == {WEDNESDAY: 1, THURSDAY: 1}


@pytest.mark.parametrize("unit", ["us", "ms"])
@pytest.mark.parametrize("zone", ["UTC", None])
def test_of_a_timestamp_its_date_counts_and_before_1970_too(tmp_path: Path, unit: str, zone: str | None) -> None:
    tz = dt.timezone.utc if zone else None
    moments = [
        dt.datetime(2024, 1, 1, 0, 0, tzinfo=tz),
        dt.datetime(2024, 1, 1, 23, 59, 59, 999000, tzinfo=tz),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=tz),
        None,
    ]
    table = table_of(tmp_path, moments, moments[:2], type=pa.timestamp(unit, zone))
    assert FileDates(table).rows() == {MONDAY: 4, dt.date(1969, 12, 31): 1, None: 1}


def test_row_groups_of_one_day_are_told_by_their_statistics_and_the_others_are_read(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, WEDNESDAY])
    [file] = data_files(tmp_path)
    dates = [[MONDAY, MONDAY], [TUESDAY, None], [None, None], [MONDAY, WEDNESDAY]]
    with pq.ParquetWriter(file, pa.schema([("event_date", pa.date32())])) as writer:
        for group in dates:
            writer.write_table(pa.table({"event_date": pa.array(group, pa.date32())}))
    assert FileDates(table).rows() == {MONDAY: 3, TUESDAY: 1, WEDNESDAY: 1, None: 3}


def test_the_rows_of_files_from_before_the_column_was_there_have_no_date(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"user_id": ["ann", "bob"]}))
    dated = pa.table({"user_id": ["eve"], "event_date": pa.array([MONDAY], pa.date32())})
    write_deltalake(tmp_path, dated, mode="append", schema_mode="merge")
    assert FileDates(DeltaTable(tmp_path)).rows() == {None: 2, MONDAY: 1}


def test_a_removed_file_is_asked_as_long_as_it_is_there(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, WEDNESDAY])
    table.delete()
    [removed] = actions(tmp_path, "remove", version=1)
    told = {name: value for name, value in removed.items() if name in ("path", "dataChange", "deletionTimestamp")}
    assert set(FileDates(table).of_action(told)) == {MONDAY, WEDNESDAY}


def test_a_removed_file_that_is_gone_is_not_known(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, WEDNESDAY])
    with pytest.raises(UnknownDate, match=r"gone\.parquet"):
        FileDates(table).of_action({"path": "gone.parquet", "dataChange": True})


def test_a_partition_is_told_by_the_physical_name_of_a_mapped_column(tmp_path: Path) -> None:
    rows = pa.table({"user_id": ["ann"], "event_date": pa.array([MONDAY], pa.date32())})
    write_deltalake(tmp_path, rows, partition_by=["event_date"])
    table = rename_columns(tmp_path, {"event_date": "day"})
    assert FileDates(table, "day").rows() == {MONDAY: 1}
    [added] = actions(tmp_path, "add")
    assert added["partitionValues"] == {"event_date": "2024-01-01"}
    assert set(FileDates(table, "day").of_action(added)) == {MONDAY}


def test_statistics_are_told_by_the_physical_name_of_a_mapped_column(tmp_path: Path) -> None:
    table_of(tmp_path, [MONDAY, None])
    table = rename_columns(tmp_path, {"event_date": "day"})
    lose_the_files(tmp_path)
    assert FileDates(table, "day").rows() == {MONDAY: 1, None: 1}
    assert set(FileDates(table, "day").of_action(actions(tmp_path, "add")[0])) == {MONDAY, None}


def test_files_that_the_log_names_by_absolute_paths_are_looked_into(tmp_path: Path) -> None:
    table_of(tmp_path / "far away", [MONDAY, WEDNESDAY])
    clone = tmp_path / "clone"
    shutil.copytree(tmp_path / "far away", clone)
    lose_the_files(clone)
    [added] = actions(clone, "add")
    [file] = data_files(tmp_path / "far away")
    log = clone / "_delta_log" / f"{0:020}.json"
    log.write_text(log.read_text().replace(added["path"], file.as_uri()))
    assert has_files_elsewhere(DeltaTable(clone))
    assert not has_files_elsewhere(DeltaTable(tmp_path / "far away"))
    assert FileDates(DeltaTable(clone)).rows() == {MONDAY: 1, WEDNESDAY: 1}


# A table that is laid out anew


@pytest.mark.parametrize("partition_by", [[], ["user_id"]])
def test_a_removed_file_is_told_by_the_partition_that_it_was_in_whatever_the_layout_is_now(
    tmp_path: Path, partition_by: list[str]
) -> None:
    rows = pa.table({"user_id": ["ann"], "event_date": pa.array([MONDAY], DATE)})
    write_deltalake(tmp_path, rows, partition_by=["event_date"])
    later = pa.table({"user_id": ["ann"], "event_date": pa.array([TUESDAY], DATE)})
    write_deltalake(tmp_path, later, mode="overwrite", schema_mode="overwrite", partition_by=partition_by)
    [removed] = actions(tmp_path, "remove", version=1)
    table = FileDates(DeltaTable(tmp_path))
    assert set(table.of_action(removed)) == {MONDAY}
    told = {name: value for name, value in removed.items() if name != "partitionValues"}
    assert set(table.of_action(told)) == {MONDAY}, "by its path"
    (tmp_path / removed["path"]).rename(tmp_path / "elsewhere.parquet")
    with pytest.raises(UnknownDate, match=r"elsewhere\.parquet"):  # its rows have a date, which is not in it
        table.of_action(told | {"path": "elsewhere.parquet"})


# Other files of the same name


def test_a_table_made_anew_over_a_file_of_the_same_name_is_looked_into_anew(tmp_path: Path) -> None:
    for dates in ([MONDAY, WEDNESDAY], [TUESDAY, THURSDAY]):
        shutil.rmtree(tmp_path / "table", ignore_errors=True)
        (tmp_path / "table").mkdir()
        pq.write_table(pa.table({"event_date": pa.array(dates, DATE)}), tmp_path / "table" / "x.parquet")
        table = convert_to_deltalake_without_statistics(tmp_path / "table")
        assert FileDates(table).dates() == set(dates)


def convert_to_deltalake_without_statistics(folder: Path) -> DeltaTable:
    convert_to_deltalake(folder)
    log = folder / "_delta_log" / f"{0:020}.json"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        line.get("add", {}).pop("stats", None)
    log.write_text("\n".join(map(json.dumps, lines)))
    return DeltaTable(folder)


def test_a_file_of_another_size_or_time_is_looked_into_anew(tmp_path: Path) -> None:
    table = table_of(tmp_path, [MONDAY, WEDNESDAY])
    [added] = actions(tmp_path, "add")
    assert FileDates(table).dates() == {MONDAY, WEDNESDAY}
    lose_the_files(tmp_path)
    assert set(FileDates(table).of_action(added)) == {MONDAY, WEDNESDAY}
    for name in ("size", "modificationTime"):
        with pytest.raises(UnknownDate):
            FileDates(table).of_action(added | {name: added[name] + 1})


# Days that Python does not know


FAR, LONG_AGO = 6_668_000, -800_000
"""Days since 1970: in the year 20226, and before the year 1."""


def days_since_1970(*days: int | None) -> pa.Array:
    return pa.array(days, pa.int32()).cast(DATE)


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("partition_by", [["event_date"], []])
def test_days_before_the_year_1_and_after_9999_count_as_the_first_and_the_last(
    tmp_path: Path, partition_by: list[str], statistics: bool
) -> None:
    configuration = None if statistics else {"delta.dataSkippingNumIndexedCols": "0"}
    for days in ([FAR], [LONG_AGO], [19723, FAR, FAR, None]):
        rows = pa.table({"user_id": ["ann"] * len(days), "event_date": days_since_1970(*days)})
        write_deltalake(tmp_path, rows, mode="append", partition_by=partition_by or None, configuration=configuration)
    found = FileDates(DeltaTable(tmp_path))
    assert found.rows() == {LAST_DAY: 3, FIRST_DAY: 1, MONDAY: 1, None: 1}
    assert found.dates() == {LAST_DAY, FIRST_DAY, MONDAY, None}
    told = {date for version in range(3) for add in actions(tmp_path, "add", version) for date in found.of_action(add)}
    assert told == found.dates()


@pytest.mark.parametrize("zone", ["UTC", None])
def test_timestamps_of_such_days_count_as_them_too(tmp_path: Path, zone: str | None) -> None:
    moments = pa.array([2**60, -(2**60), 0, None], pa.int64()).cast(pa.timestamp("us", zone))
    write_deltalake(tmp_path, pa.table({"event_date": moments}))
    assert FileDates(DeltaTable(tmp_path)).rows() == {LAST_DAY: 1, FIRST_DAY: 1, dt.date(1970, 1, 1): 1, None: 1}


# What is kept


def forget() -> None:
    """As a new process would."""
    kept_dates.cache_clear()


@pytest.fixture
def untold(tmp_path: Path) -> Path:
    """A folder with a table of 200 files that its log tells nothing of."""
    rows = [pa.table({"event_date": pa.array([MONDAY, WEDNESDAY], DATE)}) for _ in range(200)]
    folder = tmp_path / "untold"
    folder.mkdir()
    for number, file in enumerate(rows):
        pq.write_table(file, folder / f"{number}.parquet")
    convert_to_deltalake_without_statistics(folder)
    return folder


def test_what_was_learned_in_time_is_gone_on_with_and_outlasts_the_process(untold: Path) -> None:
    place = f"{untold}_kept"
    left = []
    for _ in range(4):
        left.append(FileDates(DeltaTable(untold), kept_at=place).learn(until=0))
        forget()
    assert left == [136, 72, 8, 0]
    lose_the_files(untold)
    assert FileDates(DeltaTable(untold), kept_at=place).rows() == {MONDAY: 200, WEDNESDAY: 200}


def test_what_is_kept_may_be_deleted_and_spoiled(untold: Path) -> None:
    place = Path(f"{untold}_kept")
    for spoil in (shutil.rmtree, lambda place: [file.write_bytes(b"x") for file in place.iterdir()]):
        FileDates(DeltaTable(untold), kept_at=str(place)).learn(until=time.monotonic() + 60)
        spoil(place)
        forget()
        assert FileDates(DeltaTable(untold), kept_at=str(place)).dates() == {MONDAY, WEDNESDAY}
        forget()


def test_where_nothing_can_be_kept_it_is_learned_all_the_same(
    untold: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_text("")
    table = FileDates(DeltaTable(untold), kept_at=str(tmp_path / "a file" / "below"))
    assert table.learn(until=time.monotonic() + 60) == 0
    assert table.dates() == {MONDAY, WEDNESDAY}
    assert "cannot be kept" in caplog.text


def test_what_is_kept_is_put_together_again_and_again(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    for day in range(30):
        table = table_of(tmp_path / "table", [MONDAY, MONDAY + dt.timedelta(days=2 + day)], statistics=False)
        assert FileDates(table, kept_at=str(place)).learn(until=0) == 0
    assert len(list(place.iterdir())) <= 9
    forget()
    lose_the_files(tmp_path / "table")
    assert len(FileDates(table, kept_at=str(place)).dates()) == 31


@pytest.mark.parametrize("of_another_release", [True, False])
def test_a_part_that_cannot_be_read_keeps_no_other_from_being_kept(tmp_path: Path, of_another_release: bool) -> None:
    place = tmp_path / "kept"
    for day in range(30):
        table = table_of(tmp_path / "table", [MONDAY, MONDAY + dt.timedelta(days=2 + day)], statistics=False)
        assert FileDates(table, kept_at=str(place)).learn(until=0) == 0
        if day == 3:
            spoiled = next(place.iterdir())
            if of_another_release:
                pq.write_table(pa.table({"path": ["elsewhere"]}), spoiled)
            else:
                spoiled.write_bytes(b"PAR1" + bytes(20) + (12).to_bytes(4, "little") + b"PAR1")
            forget()
    forget()
    lose_the_files(tmp_path / "table")
    assert len(FileDates(table, kept_at=str(place)).dates()) == 31
