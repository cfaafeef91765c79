"""The job ``explain`` on a real instance: that its page tells what the command does, and that nothing is changed."""

from typing import Any

import dagster as dg
import pytest

from gold_assets.code_location import definitions
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets_tests.project import SETTINGS, resources_on
from gold_assets_tests.small_silver import MONDAY, row, write_silver

pytestmark = pytest.mark.sail

EXPLAIN = definitions(SETTINGS.project, SETTINGS).resolve_job_def("explain")


def explained(lake: Lake, **config: str) -> dg.ExecuteInProcessResult:
    return EXPLAIN.execute_in_process(
        run_config={"ops": {"explain_row": {"config": config}}}, resources=resources_on(lake), raise_on_error=False
    )


def test_the_page_has_the_tables_and_the_history(lake: Lake, engine: Engine) -> None:
    for amount in (1.0, 2.0):
        write_silver(lake, [row(user_id="a|b <c", amount=amount), row(user_id="a|b <c", amount=None)])
        refresh(lake, engine, [MONDAY])
    result = explained(lake, table="user_spend_summary", date=str(MONDAY), key="'user_id=a|b <c'")
    [output] = [event for event in result.events_for_node("explain_row") if event.is_successful_output]
    found: dict[str, Any] = {name: value.value for name, value in output.step_output_data.metadata.items()}
    page = found["explanation"]
    assert found["sql_agrees"] is True
    assert r"| a\|b &lt;c | 3.0000        | 2                   | 2024-01-01   |" in page
    assert "| ['amount_is_not_money'] |" in page or '| ["amount_is_not_money"] |' in page
    assert "  - total_spend 1.0000 -&gt; 3.0000" in page


def test_a_request_that_makes_no_sense_fails_with_one_sentence(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row()])
    refresh(lake, engine, [MONDAY])
    result = explained(lake, table="user_spend_summary", date=str(MONDAY), key="user_id=anna")
    data = result.failure_data_for_node("explain_row")
    assert data is not None and data.user_failure_data is not None
    assert "the nearest is ann" in str(data.user_failure_data.description)


def test_it_waits_for_none_of_golds_writers() -> None:
    assert {pool for node in EXPLAIN.all_node_defs for pool in node.pools} == set()
