"""The plan job on a real instance: that Dagster shows what the command says, and that nothing is changed."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gold_assets.code_location import definitions
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.lake_plan import lake_plan
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.project import SETTINGS, resources_on
from gold_assets_tests.small_silver import MONDAY, TUESDAY, row, write_silver

pytestmark = pytest.mark.sail

PLAN = definitions(SETTINGS.project, SETTINGS).resolve_job_def("plan")


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


@pytest.fixture
def gold(lake: Lake, engine: Engine) -> Lake:
    """Two dates, whose tables are current but for two new rows on Tuesday."""
    write_silver(lake, [row(), row(user_id=None), row(event_date=TUESDAY)])
    refresh(lake, engine, [MONDAY, TUESDAY])
    write_silver(lake, [row(event_date=TUESDAY), row(event_date=TUESDAY, user_id=None)])
    return lake


def plan(lake: Lake, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    return PLAN.execute_in_process(
        run_config={"ops": {"plan_gold": {"config": config}}},
        resources=resources_on(lake),
        instance=instance,
        raise_on_error=False,
    )


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What Dagster shows of the plan."""
    assert result.success
    [output] = [event for event in result.events_for_node("plan_gold") if event.is_successful_output]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def rows_shown(result: dg.ExecuteInProcessResult) -> list[dict[str, Any]]:
    return [dict(record.data) for record in shown(result)["plan"].records]


def test_dagster_shows_the_plan_as_a_table_with_its_totals(gold: Lake, instance: dg.DagsterInstance) -> None:
    result = plan(gold, instance)
    found = shown(result)
    assert rows_shown(result) == [
        {
            "table": table.name,
            "dates": str(TUESDAY),
            "how": "patch",
            "rows": "2",
            "reason": "1 file added in version 1",
        }
        for table in TABLES
    ]
    totals = {name: found[name] for name in ("dates_to_patch", "dates_to_recompute", "dates_current", "rows_to_read")}
    assert totals == {"dates_to_patch": 4, "dates_to_recompute": 0, "dates_current": 4, "rows_to_read": 2}
    assert found["silver_version"] == 1


def test_the_log_and_the_summary_say_what_the_command_says(gold: Lake, instance: dg.DagsterInstance) -> None:
    said = lake_plan(gold, gold.tables, days(MONDAY, TUESDAY))
    result = plan(gold, instance)
    assert shown(result)["summary"] == said.summary
    logged = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert said.text() in logged


def test_a_plan_changes_nothing(gold: Lake, instance: dg.DagsterInstance) -> None:
    shutil.rmtree(gold.places["high_risk_txns"])

    def everything() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_size, path.stat().st_mtime_ns)
            for place in (gold.silver, *gold.places.values())
            for path in Path(place).rglob("*")
        }

    before = everything()
    assert shown(plan(gold, instance))["dates_to_recompute"] == 2
    assert everything() == before
    assert not Path(gold.places["high_risk_txns"]).exists()


def test_the_launchpad_may_ask_for_some_tables_and_dates(gold: Lake, instance: dg.DagsterInstance) -> None:
    result = plan(gold, instance, tables=["user_spend_summary"], dates=[str(TUESDAY)])
    assert [record["table"] for record in rows_shown(result)] == ["user_spend_summary"]
    assert shown(result)["dates_current"] == 0
    assert "plan" not in shown(plan(gold, instance, dates=[str(MONDAY)]))


def test_where_there_is_nothing_to_do_the_summary_says_so(
    gold: Lake, engine: Engine, instance: dg.DagsterInstance
) -> None:
    refresh(gold, engine, [TUESDAY], how="patch")
    assert shown(plan(gold, instance))["summary"].startswith("Nothing to do")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"tables": ["gold"]}, "There is no table gold, expected some of"),
        ({"dates": ["yesterday"]}, "dates holds no date"),
    ],
)
def test_a_request_that_makes_no_sense_fails_with_one_sentence(
    gold: Lake, instance: dg.DagsterInstance, config: dict[str, Any], sentence: str
) -> None:
    result = plan(gold, instance, **config)
    data = result.failure_data_for_node("plan_gold")
    assert data is not None and data.user_failure_data is not None
    assert sentence in str(data.user_failure_data.description)
    assert "\n" not in str(data.user_failure_data.description)


def test_it_waits_for_none_of_golds_writers() -> None:
    assert {pool for node in PLAN.all_node_defs for pool in node.pools} == set()
