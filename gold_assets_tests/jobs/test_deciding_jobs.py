"""The jobs ``approve`` and ``keep``: what the launchpad asks for becomes a decision, and what it cannot become is one sentence."""

import datetime as dt

import dagster as dg
import pytest
from deltalake import DeltaTable

from gold_assets.code_location import definitions
from gold_assets.engines import Engine
from gold_assets.gold.held import held_dates
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import refresh
from gold_assets_tests.project import SETTINGS, resources_on
from gold_assets_tests.small_silver import MONDAY, TUESDAY, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = pytest.mark.sail

DEFS = definitions(SETTINGS.project, SETTINGS)
DATES = (MONDAY, TUESDAY)


@pytest.fixture
def lake(lake: Lake, engine: Engine) -> Lake:
    """A lake of which Silver has lost both dates."""
    write_silver(lake, [row(event_date=date, user_id=f"user {n}") for date in DATES for n in range(100)])
    refresh(lake, engine, DATES)
    DeltaTable(lake.silver).delete()
    return lake


def decide(lake: Lake, verdict: str, dates: str, reason: str = "the shop has closed") -> dg.ExecuteInProcessResult:
    config = {"dates": dates, "by": "ann", "reason": reason}
    return DEFS.resolve_job_def(verdict).execute_in_process(
        {"ops": {f"{verdict}_held_dates": {"config": config}}},
        resources=resources_on(lake),
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )


def held(lake: Lake) -> list[dt.date]:
    return [each.date for each in held_dates(Moment(lake), DATES)]


def test_what_is_approved_in_the_ui_is_followed_and_what_is_kept_is_not(lake: Lake, engine: Engine) -> None:
    assert held(lake) == [MONDAY, TUESDAY]
    assert decide(lake, "approve", "2024-01-01").success
    assert decide(lake, "keep", "2024-01-02 to 2024-01-03").success
    assert held(lake) == []
    refreshed = refresh(lake, engine, DATES, how="patch")
    assert {name: set(of) for name, of in refreshed.held.items()} == {name: {TUESDAY} for name in refreshed.held}
    assert_gold_is_true(lake, [MONDAY])
    assert {(each.verdict, each.by, each.reason) for each in lake.decisions()} == {
        ("approve", "ann", "the shop has closed"),
        ("keep", "ann", "the shop has closed"),
    }


@pytest.mark.parametrize(
    ("dates", "reason", "said"),
    [
        ("January", "why", "dates is 'January', expected dates such as"),
        ("2023-01-01", "why", "Nothing is held"),
        ("2024-01-01", " ", "who decides and why"),
    ],
)
def test_what_decides_nothing_is_one_sentence(lake: Lake, dates: str, reason: str, said: str) -> None:
    result = decide(lake, "keep", dates, reason)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data is not None
    assert said in (failure.step_failure_data.user_failure_data.description or "")
    assert held(lake) == [MONDAY, TUESDAY]
