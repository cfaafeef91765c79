"""A long row of patches of one date; in a module of its own, for it takes as long as many a module."""

import pytest
from deltalake import DeltaTable

from gold_assets.engines import Engine
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.gold.test_refresh import refreshed_two_days
from gold_assets_tests.small_silver import MONDAY, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true


@pytest.mark.sail
def test_12_patches_in_a_row_equal_a_recompute(copy_of: CopyOf, engine: Engine) -> None:
    lake = copy_of(refreshed_two_days)
    usage = lake.named(["product_usage_metrics"])
    for number in range(12):
        changes = {"usage_cost_ratio": (number % 19) / 100, "amount": number / 3}
        write_silver(lake, [row(product_id=f"{number % 7}", **changes)])
        done = refresh(lake, engine, [MONDAY], how="patch", tables=usage)
        if number == 6:  # one is in the middle of the row
            DeltaTable(lake.silver).create_checkpoint()
            DeltaTable(lake.places["product_usage_metrics"]).create_checkpoint()
    step = done.dates["product_usage_metrics"][MONDAY].step
    assert str(step) == "patched: 1 file added in version 12"
    assert step.made is not None and step.made.patches == 11
    assert_gold_is_true(lake, tables=["product_usage_metrics"])
