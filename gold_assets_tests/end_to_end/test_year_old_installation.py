"""An installation that the version before made, and that lay for a year: this version takes it over. ``make.py`` says how it was made."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.publication import Publications
from gold_assets.partitions import range_of
from gold_assets.reading.published import publications_of, published
from gold_assets_tests.end_to_end.command_line import run
from gold_assets_tests.end_to_end.packing import unpack
from gold_assets_tests.end_to_end.year_old_installation.make import DATES, WINDOW
from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.small_silver import row, write_silver
from gold_assets_tests.truth import assert_gold_is_true, differences

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail]

INSTALLATION = Path(__file__).parent / "year_old_installation" / "installation.tar.xz"
TOUCHED = DATES[4]
"""A date whose stamp has long left Gold's log."""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> DagsterDev:
    """The installation, with this version's ``dagster dev``, which does not run yet."""
    folder = tmp_path_factory.mktemp("year_old")
    unpack(INSTALLATION, folder)
    return DagsterDev(folder, **WINDOW)


@pytest.fixture(scope="module")
def checked(dev: DagsterDev) -> "subprocess.CompletedProcess[str]":
    """The first that this version does: all dates are checked once, and published."""
    return run("gold", "checks", "--publish", env=dev.env)


@pytest.fixture(scope="module")
def followed(dev: DagsterDev, checked: object) -> Iterator[list[dg.DagsterRun]]:
    """The runs of this version's sensor, once it has followed a commit to one of the old dates."""
    with dev.instance() as instance:
        before = {each.run_id for each in instance.get_runs()}
    write_silver(dev.lake, [row(user_id="late", event_date=TOUCHED)])
    with dev:
        dev.wait_for("Gold is published", 240, lambda: published_version(dev.lake) == silver_version(dev.lake))
        with dev.instance() as instance:
            ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
            dev.wait_for("the run has ended", 60, lambda: before < {each.run_id for each in instance.get_runs(ended)})
            ticked = dg.RunsFilter(tags={"dagster/sensor_name": "micro_batch_sensor"})  # not at this hour's schedules
            yield [each for each in instance.get_runs(ticked) if each.run_id not in before]


def silver_version(lake: Lake) -> int:
    return DeltaTable(lake.silver).version()


def published_version(lake: Lake) -> int | None:
    newest = Publications(str(lake.published), lake.places).newest()
    return None if newest is None else newest.silver_version


def test_no_date_is_doubtful_though_the_log_tells_no_more_what_it_was_made_from(
    checked: "subprocess.CompletedProcess[str]",
) -> None:
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert ": 0 errors" in checked.stdout


def test_the_sensor_understands_the_cursor_that_the_version_before_left(followed: list[dg.DagsterRun]) -> None:
    """Silver's log no longer reaches back to it: each date is asked for, once."""
    assert [range_of(each) for each in followed] == [(DATES[0], DATES[-1])]


def test_gold_and_what_is_published_are_true(dev: DagsterDev, followed: object) -> None:
    assert_gold_is_true(dev.lake)
    newest = published(lake=dev.lake)
    assert newest.publication.silver_version == silver_version(dev.lake)
    versions = {name: newest.delta(name).version() for name in newest.names}
    assert differences(dev.lake, versions=versions) == []


def test_publications_of_the_version_before_are_still_told(dev: DagsterDev, followed: object) -> None:
    told = publications_of(dev.lake).last(1_000)
    assert [each.silver_version for each in told] == sorted((each.silver_version or 0 for each in told), reverse=True)
    assert {table.uri for each in told for table in each.tables.values()} == set(dev.lake.places.values())


def test_after_a_night_of_maintenance_each_date_is_known_and_nothing_is_to_do(
    dev: DagsterDev, followed: object, engine: Engine
) -> None:
    maintain(dev.lake, engine)
    for table in dev.lake.tables:
        gold = dev.lake.open(table)
        assert gold is not None
        published(lake=dev.lake).delta(table.name)
        known = GoldLog(gold).made_from([TOUCHED])
        assert known[TOUCHED].silver_version == silver_version(dev.lake)
    assert_gold_is_true(dev.lake)
    assert "Nothing to do" in run("gold", "plan", env=dev.env).stdout
