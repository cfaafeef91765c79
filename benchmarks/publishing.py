"""What publishing adds to a micro-batch, and what thousands of publications leave.

``python -m benchmarks.publishing`` prints the seconds of a refresh that patches, of its checks, and of publishing what they have found, medians
of 50 on a date of a million rows; then how long the newest of 10,000 publications takes to find, and how large their table is. For that
the retention of its log and files is shortened as if a publication came every five seconds.
"""

import argparse
import dataclasses
import datetime as dt
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from deltalake import DeltaTable

from benchmarks.large_day import DAY, append_day, lake_in, seconds
from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import Checked, publish
from gold_assets.delta.query import as_table
from gold_assets.engines.sail import SailEngine
from gold_assets.gold.ledger import FILES_KEPT_HOURS, LOG_KEPT_HOURS
from gold_assets.gold.publication import Publication, Publications
from gold_assets.gold.refresh import refresh

_LIMITS = Limits(DAY, DAY)
_TIMED, _SECONDS_APART = 100, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--publications", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        after_patches(Path(folder), given.times)
        if given.publications:
            newest = Publications(f"{folder}/published").newest()
            assert newest is not None
            many(newest, f"{folder}/many", given.publications)


def after_patches(folder: Path, times: int) -> None:
    lake = dataclasses.replace(lake_in(folder), published=str(folder / "published"))
    with closing(SailEngine()) as engine:
        append_day(lake.silver, DAY, 1_000_000)
        refresh(lake, engine, [DAY])
        publish(lake, _LIMITS)
        taken: list[tuple[float, float, float]] = []
        for _ in range(times):
            append_day(lake.silver, DAY, 1_000)
            refreshed = seconds(lambda: refresh(lake, engine, [DAY], how="patch"))
            started = time.perf_counter()
            inspection = Inspection(lake, [DAY], _LIMITS, patches=True)
            checked = Checked(inspection, list(run(gold_checks(lake.tables), inspection)))
            between = time.perf_counter()
            outcome = publish(lake, _LIMITS, checked)
            taken.append((refreshed, between - started, time.perf_counter() - between))
            assert outcome.attempt is not None and not outcome.is_held, outcome.summary
    refreshed, checks, published = (statistics.median(each) for each in zip(*taken, strict=True))
    print(
        f"refresh {refreshed:.3f} s, checks {checks:.3f} s, publishing {published:.3f} s (worst {max(each[2] for each in taken):.3f})"
    )


def many(newest: Publication, uri: str, publications: int) -> None:
    started = time.perf_counter()
    for number in range(publications):
        if number == _TIMED:
            hour = (time.perf_counter() - started) / _TIMED / _SECONDS_APART * 3_600
            kept = {"logRetention": LOG_KEPT_HOURS, "deletedFileRetention": FILES_KEPT_HOURS}
            DeltaTable(uri).alter.set_table_properties(
                {f"delta.{name}Duration": f"interval {int(hour * hours)} seconds" for name, hours in kept.items()}
            )
        Publications(uri).append(dataclasses.replace(newest, at=dt.datetime.now(dt.timezone.utc)))
    appending = (time.perf_counter() - started) / publications
    found = seconds(lambda: Publications(uri).newest())
    table = DeltaTable(uri)
    live = as_table(table.get_add_actions())
    stored = sum(file.stat().st_size for file in Path(uri).rglob("*") if file.is_file())
    print(
        f"{publications:,} publications, {appending:.3f} s each; the newest is found in {found:.3f} s; {live.num_rows} files of "
        f"{sum(live['size_bytes'].to_pylist()) / 1e6:.2f} MB, {stored / 1e6:.0f} MB on disk before VACUUM"
    )
    Publications(uri).vacuum(hours=0)
    print(f"{sum(file.stat().st_size for file in Path(uri).rglob('*') if file.is_file()) / 1e6:.0f} MB after it")


if __name__ == "__main__":
    main()
