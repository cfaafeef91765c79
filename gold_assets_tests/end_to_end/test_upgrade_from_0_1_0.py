"""An installation that 0.1.0 left: this version takes it over, by the steps of CHANGELOG.md. ``installation_0_1_0/make.py`` says how it was made.

Sensors are ticked and runs executed in this process, on the instance that 0.1.0 wrote.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner, Result
from dagster._core.definitions.selector import InstigatorSelector
from dagster._core.scheduler.instigation import SensorInstigatorData

from gold_assets import transactions
from gold_assets.commands.gold import gold
from gold_assets.engines import Engine
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.lake import Lake
from gold_assets.gold.maintenance import maintain
from gold_assets.reading.published import published
from gold_assets_tests.end_to_end.command_line import REPOSITORY, environment
from gold_assets_tests.end_to_end.installation_0_1_0.make import ASKED_LAST, DATES, LEFT, WINDOW
from gold_assets_tests.end_to_end.packing import unpack
from gold_assets_tests.shop import MICRO_BATCH, ROLL_OUT, Deployed
from gold_assets_tests.truth import assert_gold_is_true, differences

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail]

INSTALLATION = Path(__file__).parent / "installation_0_1_0" / "installation.tar.xz"
SPEND, USAGE = "user_spend_summary", "product_usage_metrics"
FIRST, LAST = str(DATES[0]), str(DATES[-1])


@dataclass
class Upgrade:
    """What was seen on the way.

    Attributes:
        left: the runs that 0.1.0 left, the newest first.
        plan: what ``gold plan`` said before anything was done.
        checks: what ``gold checks`` did.
        followed: the dates that the sensor asked for then.
        rolled_out: and what the roll-out did.
    """

    now: Deployed
    left: list[dg.DagsterRun]
    plan: dict[str, Any]
    checks: Result
    followed: list[str]
    rolled_out: list[tuple[str, str]]

    @property
    def lake(self) -> Lake:
        return self.now.settings.lake


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    folder = tmp_path_factory.mktemp("upgrade")
    unpack(INSTALLATION, folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder, **WINDOW).items():  # with this version's dagster.yaml
            patch.setenv(name, value)
        with dg.DagsterInstance.get() as instance:
            instance.upgrade()  # dagster instance migrate
            left = list(instance.get_runs())
            plan, checks = json.loads(command("plan", "--json", "-").stdout), command("checks")
            now = Deployed(transactions.project, instance, {MICRO_BATCH: cursor_in(instance)})
            yield Upgrade(now, left, plan, checks, now.follow(), now.roll_out())


def command(*arguments: str) -> Result:
    return CliRunner().invoke(gold, arguments)


def cursor_in(instance: dg.DagsterInstance) -> str | None:
    """The sensor's, where this version's daemon looks for it."""
    [location] = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"]
    name = location["python_module"]["location_name"]
    sensor = InstigatorSelector(location_name=name, repository_name="__repository__", name=MICRO_BATCH)
    [state] = [state for state in instance.all_instigator_state() if state.selector_id == sensor.get_id()]
    assert isinstance(state.instigator_data, SensorInstigatorData)
    return state.instigator_data.cursor


def test_the_plan_is_what_silver_has_changed_since_and_the_table_that_is_computed_otherwise(upgrade: Upgrade) -> None:
    to_do = [
        (each["table"], each["first"], each["last"], each["how"], each["reason"]) for each in upgrade.plan["to_do"]
    ]
    of_silver = [
        ("patch", "1 file added in version 3"),
        ("recompute", "rows removed in version 4, in too large a part of the date"),
    ]
    assert to_do == [
        *((SPEND, str(date), str(date), *step) for date, step in zip(LEFT, of_silver, strict=True)),
        (USAGE, FIRST, LAST, "recompute", "made by code version 1, which is 2 now"),
        *(
            (table, str(date), str(date), *step)
            for table in ("high_risk_txns", "quarantined_txns")
            for date, step in zip(LEFT, of_silver, strict=True)
        ),
    ]


def test_what_is_behind_when_it_is_upgraded_fails_no_check(upgrade: Upgrade) -> None:
    assert upgrade.checks.exit_code == 0, upgrade.checks.output
    assert ": 0 errors" in upgrade.checks.output


def test_the_sensor_goes_on_from_its_cursor_and_counts_the_run_that_ended_without_it(upgrade: Upgrade) -> None:
    assert json.loads(str(cursor_in(upgrade.now.instance)))["requested"]["ranges"] == [[str(ASKED_LAST)] * 2]
    assert upgrade.followed == [str(date) for date in LEFT]


def test_the_dates_that_silver_left_alone_are_rolled_out_once(upgrade: Upgrade) -> None:
    assert upgrade.rolled_out == [(FIRST, LAST)]


def test_gold_and_what_is_published_are_true(upgrade: Upgrade) -> None:
    assert_gold_is_true(upgrade.lake)
    checks = command("checks", "--publish")
    assert checks.exit_code == 0, checks.output
    newest = published(lake=upgrade.lake)
    assert newest.publication.silver_version == upgrade.plan["silver_version"]
    versions = {name: newest.delta(name).version() for name in newest.names}
    assert differences(upgrade.lake, versions=versions) == []


def test_of_what_0_1_0_made_it_is_told_from_which_commit_of_silver_once_that_is_verified(upgrade: Upgrade) -> None:
    assert command("checks", "--publish").exit_code == 0
    for table in upgrade.lake.tables:
        gold = upgrade.lake.open(table)
        assert gold is not None
        made = GoldLog(gold).made_from([*DATES, *([None] if table.is_quarantine else [])])
        assert len(made) == len(DATES) + table.is_quarantine
        assert all(each.silver_commit for each in made.values())


def test_runs_materializations_and_checks_of_0_1_0_are_still_told(upgrade: Upgrade) -> None:
    instance, left = upgrade.now.instance, {run.run_id for run in upgrade.left}
    assert len(left) == 5 and all(run.is_success for run in upgrade.left)
    assert left < {run.run_id for run in instance.get_runs()}
    for table in upgrade.now.settings.tables:
        asset = dg.AssetKey(table.name)
        assert instance.get_materialized_partitions(asset) == set(map(str, DATES))
        told = instance.fetch_materializations(dg.AssetRecordsFilter(asset, asset_partitions=[FIRST]), limit=10).records
        assert told[-1].run_id in left
        oldest = told[-1].asset_materialization
        assert oldest is not None and oldest.metadata["silver_version"].value == 0
        reconciles = dg.AssetCheckKey(asset, "reconciles")
        checked = instance.event_log_storage.get_asset_check_execution_history(reconciles, limit=100)
        assert left.intersection(record.run_id for record in checked)


def test_nothing_is_to_do_after_it(upgrade: Upgrade) -> None:
    assert "Nothing to do" in command("plan").stdout
    assert (upgrade.now.tick(MICRO_BATCH), upgrade.now.said) == ([], "Silver is at version 4, Gold has it.")
    assert (upgrade.now.tick(ROLL_OUT), upgrade.now.said) == (
        [],
        "All dates are made by the newest version of their tables.",
    )


def test_maintenance_orders_no_date_again_that_0_1_0_has_ordered(upgrade: Upgrade, engine: Engine) -> None:
    done = maintain(upgrade.lake, engine)
    assert done[SPEND].ordered == (ASKED_LAST, *LEFT), "those that were made since"
    assert_gold_is_true(upgrade.lake)
    assert "Nothing to do" in command("plan").stdout
