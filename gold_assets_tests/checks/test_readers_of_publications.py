"""Whoever reads what is published sees one checked state, whatever goes on meanwhile: seen by a reader that never rests."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.gold.lake import Lake
from gold_assets.gold.publication import Publications
from gold_assets_tests.small_silver import MONDAY, row, write_silver
from gold_assets_tests.truth import differences

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail]

SECONDS = float(os.environ.get("READERS_SECONDS", 30))

_WRITER = """
import datetime as dt, pathlib, random, sys, time

from deltalake import DeltaTable

from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.publishing import Checked, publish
from gold_assets.delta.dates import days
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import lake_in, new_engine
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver

lake, chance = lake_in(pathlib.Path(sys.argv[1])), random.Random(int(sys.argv[2]))
engine, week = new_engine(), days(MONDAY, MONDAY + dt.timedelta(days=6))
limits = Limits(week[0], week[-1], quarantined_share=1.0)
refresh(lake, engine, week, how="patch")  # what a killed writer has left
publish(lake, limits)
while True:
    dates = chance.sample(week, 2)
    kinds = chance.choices([row, high_risk_row, lambda **changes: row(user_id=None, **changes)], k=20)
    rows = [kind(event_date=chance.choice(dates), amount=n / 4) for n, kind in enumerate(kinds)]
    what = chance.choice(["append", "append", "append", "delete", "backfill", "corrupt", "maintain"])
    print(what, flush=True)
    write_silver(lake, rows)
    how = "patch"
    if what == "delete":
        DeltaTable(lake.silver).delete(f"event_date = '{dates[0]}' AND amount > {chance.random() * 5}")
    if what == "backfill":
        dates, how = week, "recompute"
    if what == "corrupt":
        wrong = DeltaTable(lake.places["user_spend_summary"])
        where = f"event_date = '{chance.choice(week)}'"
        changed = wrong.update({"total_spend": "total_spend + 1"}, predicate=where)["num_updated_rows"]
        assert publish(lake, limits).is_held is (changed > 0)
        time.sleep(0.3)
        how, dates = "recompute", week  # as a person heals it
    refresh(lake, engine, dates, how=how)
    inspection = Inspection(lake, dates, limits, patches=how == "patch")
    publish(lake, limits, Checked(inspection, list(run(gold_checks(lake.tables), inspection))))
    if what == "maintain":
        maintain(lake, engine, retention_hours=0, allow_short_retention=True)
"""


def start_writer(folder: Path, seed: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _WRITER, str(folder), str(seed)], stdout=subprocess.PIPE, text=True
    )


def test_a_reader_of_publications_never_sees_a_mixture_or_a_wrong_date_and_a_reader_of_the_newest_versions_does(
    lake: Lake, tmp_path: Path
) -> None:
    write_silver(lake, [row(event_date=MONDAY)])
    assert lake.published is not None
    chance, seen, seed = random.Random(7), Counter[str](), 0
    writer = start_writer(tmp_path, seed)
    end, killed_at = time.monotonic() + SECONDS, time.monotonic() + 15
    try:
        while time.monotonic() < end:
            if time.monotonic() > killed_at and seen["publications"]:
                writer.send_signal(signal.SIGKILL)
                writer.wait()
                seed += 1
                seen["kills"] += 1
                writer = start_writer(tmp_path, seed)
                killed_at = time.monotonic() + chance.uniform(6, 12)
            assert writer.poll() is None, "the writer has ended by itself"
            seen[read_published(lake)] += 1
            if seen["publications"]:
                seen[read_newest(lake)] += 1
            else:
                time.sleep(0.2)
    finally:
        writer.kill()
        writer.wait()
    print(dict(seen))
    assert seen["publications"] and seen["kills"] and seen["newest: wrong"], dict(seen)


def read_published(lake: Lake) -> str:
    assert lake.published is not None
    publication = Publications(lake.published).newest()
    if publication is None:
        return "nothing published yet"
    if publication.silver_version is None:
        return "of no one version"
    found = differences(lake, silver_version=publication.silver_version, versions=publication.versions)
    assert found == [], (publication, found[:5])
    return "publications"


def read_newest(lake: Lake) -> str:
    """What a reader of the tables as they are sees: of which Silver version, if any, that is the truth."""
    try:
        versions = {name: DeltaTable(uri).version() for name, uri in lake.places.items()}
        newest = DeltaTable(lake.silver).version()
        for silver_version in range(newest, max(newest - 6, -1), -1):
            if not differences(lake, silver_version=silver_version, versions=versions):
                return "newest: right"
    except (DeltaError, OSError):
        return "newest: not readable"
    return "newest: wrong"
