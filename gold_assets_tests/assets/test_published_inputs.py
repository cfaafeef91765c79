"""Published tables as inputs of a downstream asset, on a real instance: the published version, the asked dates, nothing written."""

import dataclasses
import datetime as dt
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster._core.execution.plan.objects import UserFailureData

from gold_assets.assets.published_inputs import PublishedIOManager
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import SPEND
from gold_assets_tests.project import daily_partitions, gold_tables, resources_on, silver_transactions
from gold_assets_tests.reading.lakes import add, publish_in, published_lake
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY

pytestmark = pytest.mark.sail

QUARANTINE = "quarantined_txns"


@pytest.fixture
def lake(copy_of: CopyOf) -> Lake:
    copied = copy_of(published_lake)
    publish_in(copied)
    return copied


class Downstream:
    """Assets downstream of the tables, and what they were given."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.given: dict[str, object] = {}
        self.instance = dg.DagsterInstance.ephemeral()

    def run(
        self, asset: dg.AssetsDefinition, first: dt.date | None = None, last: dt.date | None = None
    ) -> UserFailureData | None:
        """Materialize the asset alone; the failure, where it has one."""
        ends = {"start": first, "end": last}
        tags = {f"dagster/asset_partition_range_{end}": str(date) for end, date in ends.items() if date is not None}
        done = dg.materialize(
            [silver_transactions, gold_tables, asset],
            selection=dg.AssetSelection.assets(asset.key),
            tags=tags,
            resources={**resources_on(self.lake), "published": PublishedIOManager(root_uri=str(self.lake.published))},
            instance=self.instance,
            raise_on_error=False,
        )
        if done.success:
            return None
        [failed] = done.get_step_failure_events()
        return failed.step_failure_data.user_failure_data


def of(table: str, **more: Any) -> dict[str, dg.AssetIn]:
    return {table: dg.AssetIn(input_manager_key="published", **more)}


def test_an_asset_gets_its_dates_of_the_published_version(lake: Lake, engine: Engine) -> None:
    add(lake, engine, "new", TUESDAY)
    downstream = Downstream(lake)

    @dg.asset(ins=of(SPEND), partitions_def=daily_partitions, backfill_policy=dg.BackfillPolicy.single_run())
    def spenders(user_spend_summary: pa.Table) -> None:
        rows = user_spend_summary.to_pylist()
        downstream.given["rows"] = sorted((row["event_date"], row["user_id"], row["transaction_count"]) for row in rows)

    assert downstream.run(spenders, TUESDAY, TUESDAY) is None
    assert downstream.given["rows"] == [(TUESDAY, "ann", 2)]
    assert downstream.run(spenders, TUESDAY, WEDNESDAY) is None
    assert downstream.given["rows"] == [(TUESDAY, "ann", 2), (WEDNESDAY, "ann", 2)]


def test_an_asset_without_partitions_gets_all_dates_and_the_columns_it_asks_for(lake: Lake) -> None:
    downstream = Downstream(lake)

    @dg.asset(ins={**of(SPEND, metadata={"columns": ["event_date"]}), **of(QUARANTINE)})
    def total(user_spend_summary: pa.Table, quarantined_txns: ds.Dataset) -> None:
        downstream.given["spend"] = user_spend_summary.to_pydict()
        downstream.given["quarantined"] = quarantined_txns.count_rows()

    assert downstream.run(total) is None
    spend = downstream.given["spend"]
    assert isinstance(spend, dict)
    assert sorted(spend.pop("event_date")) == [MONDAY, TUESDAY, WEDNESDAY]
    assert spend == {}
    assert downstream.given["quarantined"] == 3


def test_the_inputs_of_a_run_are_of_one_publication(lake: Lake, engine: Engine) -> None:
    downstream = Downstream(lake)

    @dg.asset(ins=of(SPEND))
    def first(user_spend_summary: pa.Table) -> pa.Table:
        add(lake, engine, "new")
        publish_in(lake)
        return user_spend_summary

    @dg.asset(ins=of(SPEND), deps=[first])
    def second(user_spend_summary: pa.Table) -> None:
        downstream.given["users"] = set(user_spend_summary["user_id"].to_pylist())

    done = dg.materialize(
        [silver_transactions, gold_tables, first, second],
        selection=dg.AssetSelection.assets(first.key, second.key),
        resources={**resources_on(lake), "published": PublishedIOManager(root_uri=str(lake.published))},
        instance=downstream.instance,
    )
    assert done.success
    assert downstream.given["users"] == {"ann"}
    assert downstream.run(second) is None
    assert downstream.given["users"] == {"ann", "new"}


@pytest.mark.parametrize("output", ["text", pa.table({"user_id": ["eve"]})], ids=["text", "a table"])
def test_nothing_is_written(lake: Lake, output: object) -> None:
    @dg.asset(io_manager_key="published", key=SPEND + "_of_mine")
    def mine() -> object:
        return output

    failure = Downstream(lake).run(mine)
    assert failure is not None
    assert str(failure.description).startswith(f"{SPEND}_of_mine is given to PublishedIOManager, which reads")


def test_where_nothing_is_published_the_step_fails_with_one_sentence(lake: Lake) -> None:
    lake = dataclasses.replace(lake, published=f"{lake.published}_elsewhere")

    @dg.asset(ins=of(SPEND))
    def total(user_spend_summary: pa.Table) -> None: ...

    failure = Downstream(lake).run(total)
    assert failure is not None
    assert str(failure.description).startswith("Nothing is published at ")
