"""A lake whose tables are all of the project's, on either engine."""

from pathlib import Path

import pytest

from gold_assets.gold.lake import Lake
from gold_assets_tests.conftest import lake_in


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_in(tmp_path)
