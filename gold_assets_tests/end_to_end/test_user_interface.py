"""What people do in the UI, clicked in a real browser: each ends with a look at what is in the lake.

The tests share a week of Silver, in which nothing is materialized at first; the last one turns the sensor on.
"""

import pytest
from deltalake import DeltaTable
from playwright.sync_api import Page, expect

from gold_assets_tests.end_to_end.browser import (
    button,
    launch,
    open_launchpad,
    runs,
    turn_on,
    wait_until_quiet,
)
from gold_assets_tests.end_to_end.conftest import WEEK
from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.small_silver import row, write_silver
from gold_assets_tests.truth import assert_gold_is_true, rows_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.browser, pytest.mark.sail]

SPEND, USAGE = "user_spend_summary", "product_usage_metrics"


def test_one_date_is_materialized_from_the_asset_page(page: Page, dagster_dev: DagsterDev) -> None:
    page.goto(f"/assets/{SPEND}?view=partitions")
    expect(page.get_by_text("Missing (7)")).to_be_visible()
    button(page, "Materialize").first.click()
    launch(page, str(WEEK[1]))
    expect(page.get_by_text("Materialized (1)")).to_be_visible()
    page.get_by_text(str(WEEK[1]), exact=True).first.click()
    expect(page.get_by_text("dagster/partition_row_count")).to_be_visible()
    expect(page.get_by_role("cell", name="user 11", exact=True)).to_be_visible()
    assert_gold_is_true(dagster_dev.lake, dates=[WEEK[1]], tables=[SPEND])
    assert set(rows_of(dagster_dev.lake.places[SPEND])["event_date"].to_pylist()) == {WEEK[1]}


def test_partitions_turn_green_in_a_backfill_of_a_range(page: Page, dagster_dev: DagsterDev) -> None:
    page.goto(f"/assets/{USAGE}?view=partitions")
    expect(page.get_by_text("Missing (7)")).to_be_visible()
    button(page, "Materialize").first.click()
    launch(page, f"[{WEEK[2]}...{WEEK[4]}]")
    expect(page.get_by_text("Materialized (3)")).to_be_visible()
    expect(page.get_by_text("Missing (4)")).to_be_visible()
    assert_gold_is_true(dagster_dev.lake, dates=WEEK[2:5], tables=[USAGE])
    with dagster_dev.instance() as instance:
        newest = instance.get_runs(limit=1)[0]
        assert newest.tags["dagster/asset_partition_range_start"] == str(WEEK[2])
        assert newest.tags["dagster/asset_partition_range_end"] == str(WEEK[4])


def test_a_failed_check_tells_the_date_the_key_and_both_sides_and_materializing_mends_it(
    page: Page, dagster_dev: DagsterDev
) -> None:
    before = runs(dagster_dev)
    page.goto("/asset-groups")
    button(page, "Materialize all").click()
    launch(page, f"[{WEEK[0]}...{WEEK[-1]}]")
    wait_until_quiet(dagster_dev, after=before)
    assert_gold_is_true(dagster_dev.lake)

    DeltaTable(dagster_dev.lake.places[SPEND]).update(
        {"total_spend": "total_spend + 0.0001"}, predicate=f"event_date = DATE '{WEEK[3]}' AND user_id = 'user 7'"
    )
    launch_run = open_launchpad(page, "run_checks")
    launch_run.click()
    page.wait_for_url("**/runs/*")
    expect(page.get_by_text("Failure", exact=True).first).to_be_visible()

    page.goto(f"/assets/{SPEND}?view=checks")
    page.get_by_text("no_failed_dates", exact=True).first.click()
    expect(page.get_by_text(f"Of 7 dates, 1 failed when last checked: {WEEK[3]}.")).to_be_visible()
    page.get_by_text("reconciles", exact=True).first.click()
    button(page, "Partitions").last.click()
    page.get_by_text(str(WEEK[3]), exact=True).first.click()
    expect(page.get_by_text("total_spend 197.5000 in Silver and 197.5001 in Gold")).to_be_visible()
    differing = page.get_by_role("row").filter(has_text="user 7").last
    expect(differing).to_contain_text("7.2500")
    expect(differing).to_contain_text("7.2501")

    before = runs(dagster_dev)
    button(page, "Materialize").first.click()
    launch(page, str(WEEK[3]))
    wait_until_quiet(dagster_dev, after=before)
    assert_gold_is_true(dagster_dev.lake)
    page.goto(f"/assets/{SPEND}?view=checks&checkDetail=no_failed_dates")
    expect(page.get_by_text("Of 7 dates none failed when last checked.")).to_be_visible()


def test_maintenance_is_run_from_its_launchpad(page: Page, dagster_dev: DagsterDev) -> None:
    before = runs(dagster_dev)
    launch_run = open_launchpad(page, "maintenance")
    expect(page.get_by_text("retention_hours").first).to_be_visible()
    launch_run.click()
    page.wait_for_url("**/runs/*")
    wait_until_quiet(dagster_dev, after=before)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    page.goto(f"/assets/{SPEND}?view=events")
    expect(page.get_by_text("Observed").first).to_be_visible()
    operations = [commit["operation"] for commit in DeltaTable(dagster_dev.lake.places[SPEND]).history()]
    assert "OPTIMIZE" in operations
    assert_gold_is_true(dagster_dev.lake)


def test_micro_batches_arrive_once_the_sensor_is_turned_on(page: Page, dagster_dev: DagsterDev) -> None:
    before = runs(dagster_dev)
    write_silver(dagster_dev.lake, [row(event_date=WEEK[5], user_id="late")])
    turn_on(page, "micro_batch_sensor")
    wait_until_quiet(dagster_dev, after=before)
    page.goto("/runs")
    expect(page.get_by_text("micro_batch_sensor").first).to_be_visible()
    with dagster_dev.instance() as instance:
        assert instance.get_runs(limit=1)[0].tags["dagster/partition"] == str(WEEK[5])
    assert_gold_is_true(dagster_dev.lake)
    assert "late" in rows_of(dagster_dev.lake.places[SPEND])["user_id"].to_pylist()
