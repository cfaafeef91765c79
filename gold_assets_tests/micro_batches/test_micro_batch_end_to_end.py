"""A real daemon, real run processes, and a Silver that others change from outside."""

from collections.abc import Iterator

import pytest
from deltalake import DeltaTable

from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.small_silver import TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import gold_is_true

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail]

SPEND = "user_spend_summary"


@pytest.fixture(scope="module")
def dagster_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    settings = {"GOLD_PARTITIONS_START": "2024-01-01", "GOLD_PARTITIONS_END": "2024-01-31"}
    dagster_dev = DagsterDev(tmp_path_factory.mktemp("micro_batch"), **settings)
    write_silver(dagster_dev.lake, [row(), high_risk_row(event_date=TUESDAY), row(user_id=None)])
    with dagster_dev:
        yield dagster_dev
    assert not dagster_dev.processes()


def wait_until_true(dagster_dev: DagsterDev, seconds: float = 240) -> None:
    dagster_dev.wait_for("Gold is true", seconds, lambda: gold_is_true(dagster_dev.lake))


def test_gold_follows_what_others_do_to_silver(dagster_dev: DagsterDev) -> None:
    wait_until_true(dagster_dev)
    write_silver(dagster_dev.lake, [row(user_id="late"), row(event_date=WEDNESDAY), row(event_date=None)])
    wait_until_true(dagster_dev)
    DeltaTable(dagster_dev.lake.silver).delete("event_date = '2024-01-02'")
    DeltaTable(dagster_dev.lake.silver).update(
        predicate="user_id = 'late'", updates={"event_date": "DATE '2024-01-09'"}
    )
    wait_until_true(dagster_dev)
