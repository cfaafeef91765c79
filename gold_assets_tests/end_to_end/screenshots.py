"""Makes the pictures of ``docs/`` afresh: real purchases of two months, a real ``dagster dev``, a real browser."""

import datetime as dt
import re
import tempfile
from pathlib import Path

import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from PIL import Image
from playwright.sync_api import Page, expect

from gold_assets.transactions.sample.complete_journey import bad_rows, transactions
from gold_assets_tests.end_to_end.browser import (
    button,
    choose,
    chromium,
    open_launchpad,
    page_of,
    runs,
    turn_on,
    turn_the_sensor_off,
    wait_until_quiet,
)
from gold_assets_tests.end_to_end.command_line import REPOSITORY
from gold_assets_tests.instance.dagster_dev import DagsterDev

PICTURES = REPOSITORY / "docs" / "pictures"
# Up to now: Dagster 1.13 plots the newest partitions as if a window had no end.
LAST = dt.datetime.now(dt.timezone.utc).date() - dt.timedelta(days=1)
FIRST = LAST - dt.timedelta(days=59)
WRONG = LAST - dt.timedelta(days=12)
SPEND = "user_spend_summary"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        dev = DagsterDev(Path(folder), GOLD_PARTITIONS_START=str(FIRST), GOLD_EXAMPLES="on")
        _write_silver(dev)
        turn_the_sensor_off(dev)
        with dev, chromium() as browser, page_of(dev, browser) as page:
            _backfill(page, dev)
            _asset(page)
            _failed_check(page, dev)
            _sensor(page, dev)
            _maintenance(page, dev)


def _write_silver(dev: DagsterDev) -> None:
    year = transactions(until=LAST)
    recent = year.filter(pc.greater_equal(year["event_date"], FIRST))
    write_deltalake(dev.lake.silver, recent, partition_by=["event_date"])
    write_deltalake(dev.lake.silver, bad_rows(recent), mode="append")


def _backfill(page: Page, dev: DagsterDev) -> None:
    before = runs(dev)
    page.goto("/asset-groups")
    button(page, "Materialize all").click()
    button_to_launch = choose(page, f"[{FIRST}...{LAST}]")
    expect(button_to_launch).to_be_enabled()
    _take(page, "backfill")
    button_to_launch.click()
    wait_until_quiet(dev, after=before)


def _asset(page: Page) -> None:
    page.goto(f"/assets/{SPEND}?view=partitions&partition={LAST}")
    expect(page.get_by_text("Materialized (60)")).to_be_visible()
    page.get_by_text("example_rows").wait_for()
    _take(page, "partitions")
    page.goto(f"/assets/{SPEND}")
    expect(page.get_by_text("example_rows")).to_be_visible()
    button(page, "Plots").click()
    expect(page.get_by_text("spend", exact=True)).to_be_visible()
    expect(page.locator("canvas")).to_have_count(6)
    _take(page, "plots", height=1450)


def _failed_check(page: Page, dev: DagsterDev) -> None:
    spend = DeltaTable(dev.lake.places[SPEND])
    spend.update({"total_spend": "total_spend + 0.01"}, predicate=f"event_date = DATE '{WRONG}' AND user_id < '11'")
    before = runs(dev)
    open_launchpad(page, "run_checks").click()
    wait_until_quiet(dev, after=before)
    page.goto(f"/assets/{SPEND}?view=checks&checkDetail=no_failed_dates")
    expect(page.get_by_text("1 failed when last checked")).to_be_visible()
    _take(page, "failed-dates")
    page.get_by_text("reconciles", exact=True).first.click()
    button(page, "Partitions").last.click()
    page.get_by_text(str(WRONG), exact=True).first.click()
    expect(page.get_by_text("in Gold").first).to_be_visible()
    _take(page, "failed-check", width=1900)


def _sensor(page: Page, dev: DagsterDev) -> None:
    before = runs(dev)
    year = transactions(until=LAST)
    late = year.filter(pc.equal(year["event_date"], WRONG)).slice(0, 100)
    write_deltalake(dev.lake.silver, late, mode="append")
    turn_on(page, "micro_batch_sensor")
    wait_until_quiet(dev, after=before)
    page.reload()
    expect(page.get_by_text(re.compile(r"^[1-9]\d* runs? requested")).first).to_be_visible()
    _take(page, "sensor")


def _maintenance(page: Page, dev: DagsterDev) -> None:
    before = runs(dev)
    launch_run = open_launchpad(page, "maintenance")
    expect(page.get_by_text("retention_hours").first).to_be_visible()
    expect(launch_run).to_be_enabled()
    _take(page, "maintenance")
    launch_run.click()
    wait_until_quiet(dev, after=before)
    page.goto(f"/assets/{SPEND}?view=events")
    expect(page.get_by_text("files_before").or_(page.get_by_text("Observed")).first).to_be_visible()
    _take(page, "maintained")


def _take(page: Page, name: str, *, width: int = 1440, height: int = 900) -> None:
    PICTURES.mkdir(exist_ok=True)
    picture = PICTURES / f"{name}.png"
    page.set_viewport_size({"width": width, "height": height})
    page.mouse.move(0, 0)
    page.screenshot(path=picture, animations="disabled")
    # Few colours are enough for an interface, and keep the repository small.
    Image.open(picture).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(picture, optimize=True)
    print(picture)


if __name__ == "__main__":
    main()
