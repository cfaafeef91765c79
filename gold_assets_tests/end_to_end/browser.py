"""Headless Chromium in front of ``dagster dev``, and the few clicks that several journeys share."""

import re
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from gold_assets_tests.end_to_end.command_line import run
from gold_assets_tests.instance.dagster_dev import DagsterDev

SECONDS = 120
"""For whatever a page waits for: the machine may be busy."""

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LAUNCH = re.compile(r"^launch (\d+ runs?|backfill)", re.IGNORECASE)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    found = shutil.which("chromium")
    assert found is not None, "there is no chromium: install it, or leave these tests out with -m 'not browser'"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        yield browser
        browser.close()


@contextmanager
def page_of(dev: DagsterDev, browser: Browser) -> Iterator[Page]:
    """A page of its own, once the user interface answers; paths are those of ``dev``."""
    dev.wait_for("the user interface answers", 180, lambda: _answers(dev.url))
    context = browser.new_context(base_url=dev.url, viewport={"width": 1440, "height": 900}, timezone_id="UTC")
    context.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    yield context.new_page()
    context.close()


def turn_the_sensor_off(dev: DagsterDev) -> None:
    """Before ``dev`` starts: the sensor would materialize every date at once."""
    stopped = run("dagster", "sensor", "stop", "micro_batch_sensor", "-w", "workspace.yaml", env=dev.env)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


def wait_until_quiet(dev: DagsterDev, *, after: int) -> None:
    """Until there are more than ``after`` runs, and none is left running."""
    with dev.instance() as instance:
        dev.wait_for(
            f"more than {after} runs, all finished",
            300,
            lambda: len(instance.get_runs()) > after and all(run.is_finished for run in instance.get_runs()),
        )


def runs(dev: DagsterDev) -> int:
    """How many there were."""
    with dev.instance() as instance:
        return instance.get_runs_count()


def button(page: Page, text: str) -> Locator:
    """Buttons that say ``text``. Their accessible names begin with that of the icon."""
    return page.locator("button", has_text=text)


def choose(page: Page, dates: str) -> Locator:
    """Fill in the dialog that materializes partitions; the button that launches it."""
    dialog = page.get_by_role("dialog")
    chosen = dialog.get_by_role("textbox").first
    chosen.fill(dates)
    chosen.press("Enter")
    return dialog.locator("button", has_text=_LAUNCH)


def launch(page: Page, dates: str) -> None:
    """Fill in the dialog that materializes partitions, and launch it."""
    choose(page, dates).click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def open_launchpad(page: Page, job: str) -> Locator:
    """Find the job and open its launchpad; the button that launches it."""
    page.goto("/jobs")
    page.get_by_text(job, exact=True).first.click()
    page.get_by_text("Launchpad", exact=True).first.click()
    return button(page, "Launch Run")


def turn_on(page: Page, sensor: str) -> None:
    """Find the sensor, turn its switch on, and stay on its page."""
    page.goto("/automation")
    page.get_by_text(sensor, exact=True).first.click()
    page.wait_for_url(f"**/sensors/{sensor}")
    switch = page.locator("label:has(input[type=checkbox])")
    switch.click()
    expect(switch.locator("input")).to_be_checked()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except OSError:
        return False
