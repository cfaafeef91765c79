"""``gold diff``, and what a run says it restated: which keys changed, by how much, and that the totals add up."""

import csv
import datetime as dt
import io
import json
import shutil
import time
from decimal import Decimal

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests import silver_changes
from gold_assets_tests.corruptions import HIGH_RISK, QUARANTINE, SPEND, USAGE
from gold_assets_tests.explaining.test_explanations import lake, said
from gold_assets_tests.project import gold_tables, resources_on, silver_transactions
from gold_assets_tests.reading.lakes import add, publish_in
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, write_silver

__all__ = ["lake"]

pytestmark = pytest.mark.sail


def corrected(lake: Lake, engine: Engine) -> None:
    """Monday's amounts become 7, bob comes on Tuesday, high-risk."""
    silver_changes.update(MONDAY)(lake)
    write_silver(lake, [high_risk_row(user_id="bob", event_date=TUESDAY, usage_cost_ratio=0.0)])
    refresh(lake, engine, [MONDAY, TUESDAY])


def test_by_default_it_tells_what_the_next_publication_will_change(
    lake: Lake, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "diff").count("nothing changed") == 4
    corrected(lake, engine)
    text = said(capsys, "diff")
    assert f"{SPEND}, version 1 to 2: 2 dates, 2 users, +11.50" in text
    assert f"{HIGH_RISK}, version 1 to 2: 2 dates, 3 rows, +7" in text
    assert f"{QUARANTINE}, version 1 to 2: 1 date, 2 rows" in text
    publish_in(lake)
    assert said(capsys, "diff").count("nothing changed") == 4


def test_every_change_is_a_line_of_csv_the_largest_first_and_they_add_up(
    lake: Lake, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    corrected(lake, engine)
    lines = list(csv.DictReader(io.StringIO(said(capsys, "diff", "--table", SPEND, "--csv", "-"))))
    assert [(line["event_date"], line["key"], line["column"], line["before"], line["after"]) for line in lines] == [
        (str(MONDAY), "user_id=ann", "total_spend", "5.0000", "14.0000"),
        (str(TUESDAY), "user_id=bob", "total_spend", "", "2.5000"),
        (str(TUESDAY), "user_id=bob", "transaction_count", "", "1"),
    ]
    [told] = json.loads(said(capsys, "diff", "--table", SPEND, "--json", "-"))["tables"]
    spend = told["totals"]["total_spend"]
    assert spend == {"before": "10.0000", "after": "21.5000", "change": "11.5000"}
    changes = sum(
        Decimal(change["after"]["total_spend"] or 0) - Decimal(change["before"]["total_spend"] or 0)
        for change in told["changes"]
    )
    assert changes == Decimal(spend["change"])


def test_versions_go_by_number_by_moment_and_by_publication(
    lake: Lake, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    time.sleep(0.01)  # Delta's clock counts milliseconds
    moment = dt.datetime.now(dt.timezone.utc).isoformat()
    time.sleep(0.01)
    add(lake, engine, "bob")
    line = f"{SPEND}, version 1 to 2: 1 date, 1 user, +2.50"
    for arguments in (
        ("--from", moment),
        ("--from", f"published@{moment}"),
        ("--from", "1", "--to", "2", "--table", SPEND),
    ):
        assert line in said(capsys, "diff", *arguments)
    assert "version 2 to 1: 1 date, 1 user, -2.50" in said(capsys, "diff", "--from", "now", "--to", "published")
    before_all = said(capsys, "diff", "--from", "2001-01-01", "--table", SPEND)
    assert f"{SPEND}, version none to 2: 3 dates, 2 users, +17.50" in before_all  # ann on each of them


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from", "1"), "The version 1 is that of one table, and 4 are asked about: name one with --table"),
        (("--from", "9", "--table", SPEND), "user_spend_summary has no version 9, its newest is 1: "),
        (("--from", "9" * 20, "--table", SPEND), f"has no version {'9' * 20}, its newest is 1: "),
        (("--from", "9999-12-31T23:59:59-05:00"), "is before the year 1 or after 9999 in UTC"),
        (("--to", "yesterday"), "yesterday is no moment"),
        (("--from", "published@2001-01-01"), "Nothing was published by 2001-01-01"),
    ],
)
def test_a_version_that_is_none_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, "diff", *arguments, exit_code=2)
    assert sentence in told and "\n" not in told


def test_no_version_is_too_large_for_a_table_that_is_not_there(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(lake.places[SPEND])
    assert "nothing changed" in said(capsys, "diff", "--from", "9" * 20, "--table", SPEND)


def test_averages_that_a_recompute_rounds_otherwise_are_no_change(
    lake: Lake, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    table = DeltaTable(lake.places[USAGE])
    table.update({"avg_usage_cost_ratio": "avg_usage_cost_ratio * (1 + 4e-16)"})
    assert "nothing changed" in said(capsys, "diff", "--table", USAGE)
    table.update({"avg_usage_cost_ratio": "avg_usage_cost_ratio * (1 + 1e-9)"})
    assert "3 dates, 1 product" in said(capsys, "diff", "--table", USAGE)


@pytest.mark.parametrize(("average", "is_same"), [("1e-16", True), ("1e-9", False)])
def test_averages_near_zero_are_the_same_to_what_the_checks_say(
    average: str, is_same: bool, lake: Lake, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """What rounding makes of values that cancel out goes by their size, which Silver alone tells."""
    write_silver(lake, [row(product_id="nil", usage_cost_ratio=ratio) for ratio in (1.0, -1.0)])
    refresh(lake, engine, [MONDAY])
    DeltaTable(lake.places[USAGE]).update({"avg_usage_cost_ratio": average}, predicate="product_id = 'nil'")
    said(capsys, "checks", "--select", f"{USAGE}:reconciles", exit_code=0 if is_same else 1)
    told = said(capsys, "diff", "--from", "2", "--table", USAGE)
    assert ("nothing changed" if is_same else "1 date, 1 product") in told


def test_a_run_tells_on_each_date_what_it_restated(lake: Lake, engine: Engine) -> None:
    """The dates are long past. What a run leaves as it was, and what was not there before, is not restated."""
    instance = dg.DagsterInstance.ephemeral()

    def restated() -> dict[tuple[str, str | None], object]:
        done = dg.materialize(
            [gold_tables, silver_transactions],
            selection=dg.AssetSelection.assets(SPEND, USAGE, HIGH_RISK, QUARANTINE),
            tags={
                "dagster/asset_partition_range_start": "2024-01-01",
                "dagster/asset_partition_range_end": "2024-01-04",
            },
            resources=resources_on(lake),
            instance=instance,
        )
        events = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
        return {
            (event.asset_key.to_user_string(), event.partition): event.metadata["restated"].value
            for event in events
            if "restated" in event.metadata
        }

    write_silver(lake, [row(event_date=dt.date(2024, 1, 4))])
    assert restated() == {}
    corrected(lake, engine)
    silver_changes.delete(TUESDAY, "user_id = 'bob'")(lake)
    told = restated()
    assert told == {
        (SPEND, str(TUESDAY)): "1 user of this date; in all of the run 1 date, 1 user, -2.50",
        (HIGH_RISK, str(TUESDAY)): "1 row of this date; in all of the run 1 date, 1 row, -2.5",
        (USAGE, str(TUESDAY)): "1 product of this date; in all of the run 1 date, 1 product",
    }
