"""``dagster dev`` on a week of Silver, and a browser in front of it."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from gold_assets.delta.dates import days
from gold_assets_tests.end_to_end.browser import chromium, page_of, turn_the_sensor_off
from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver

WEEK = days(MONDAY, MONDAY + dt.timedelta(days=6))


@pytest.fixture(scope="module")
def dagster_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    """``dagster dev`` on a Silver of seven dates, none of them materialized, and with the sensor off.

    A module's tests share it: each says what it finds.
    """
    folder = tmp_path_factory.mktemp("dagster_dev")
    dev = DagsterDev(folder, GOLD_PARTITIONS_START=str(WEEK[0]), GOLD_PARTITIONS_END=str(WEEK[-1]), GOLD_EXAMPLES="on")
    rows = [row(event_date=date, user_id=f"user {n}", amount=n + 0.25) for date in WEEK for n in range(20)]
    write_silver(dev.lake, rows + [high_risk_row(event_date=date) for date in WEEK])
    write_silver(dev.lake, [row(event_date=WEEK[1], user_id=None)])
    turn_the_sensor_off(dev)
    with dev:
        yield dev
    assert not dev.processes()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, dagster_dev: DagsterDev, tmp_path: Path) -> Iterator[Page]:
    """A page of its own. ``page.png`` in the test's folder shows its end, where a test fails."""
    with page_of(dagster_dev, browser) as page:
        yield page
        page.screenshot(path=tmp_path / "page.png")
