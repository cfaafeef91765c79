"""The project as Dagster has it, piece by piece, without settings of a user's own; and its resources on a test's lake."""

import pytest

from gold_assets import transactions
from gold_assets.assets.checks import gold_asset_checks, silver_asset_checks
from gold_assets.assets.gold import gold_assets
from gold_assets.assets.silver import silver_asset
from gold_assets.environment import load_settings
from gold_assets.gold.lake import Lake
from gold_assets.partitions import daily_partitions as partitions_of
from gold_assets.resources import Lakehouse, as_config

SETTINGS = load_settings(transactions.project).model_copy(update={"examples": True})
daily_partitions = partitions_of(SETTINGS)
silver_transactions = silver_asset(SETTINGS)
gold_tables = gold_assets(SETTINGS)
silver_checks = silver_asset_checks(SETTINGS)
gold_checks = gold_asset_checks(SETTINGS)


def lake_at(root: str) -> Lake:
    """The lake that the project sees with this GOLD_LAKE_ROOT."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOLD_LAKE_ROOT", root)
        return load_settings(transactions.project).lake


def resources_on(lake: Lake) -> dict[str, Lakehouse]:
    """What the assets run on, on this lake."""
    return {
        "lakehouse": Lakehouse(
            silver=lake.silver,
            places=dict(lake.places),
            published=str(lake.published),
            safeguards=as_config(lake.safeguards),
            engine="sail",
        )
    }
