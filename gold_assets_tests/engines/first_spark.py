"""The first start of a local Spark, which fetches its JARs, before the tests that start it often."""

import tempfile
from pathlib import Path

from gold_assets.engines.spark import SparkEngine
from gold_assets.gold.maintenance import maintain
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import SMALL_TABLES, lake_in
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_in(Path(folder))
        write_silver(lake, [row(), high_risk_row(), row(amount=None)])
        engine = SparkEngine(conf_file=SMALL_TABLES)
        refresh(lake, engine, [MONDAY])
        maintain(lake, engine)
        engine.close()
