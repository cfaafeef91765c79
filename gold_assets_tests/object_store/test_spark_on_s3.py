"""Spark on S3, through the command that a user runs: stream and maintenance, the checkpoint in the bucket too."""

import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from gold_assets.gold.structured_streaming import newest_offset
from gold_assets_tests.conftest import SMALL_TABLES
from gold_assets_tests.engines.processes import clean_environment
from gold_assets_tests.object_store.conftest import ODD_KEY
from gold_assets_tests.object_store.s3_server import SECRET_KEY, S3Server
from gold_assets_tests.project import lake_at
from gold_assets_tests.small_silver import MONDAY, TUESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = [pytest.mark.spark, pytest.mark.s3]


def test_write_to_gold_and_maintenance_keep_gold_true_on_s3(s3: S3Server, tmp_path: Path) -> None:
    root = f"{s3.make_bucket('spark')}/{ODD_KEY}"
    lake = lake_at(root)
    inherited = {name: value for name, value in clean_environment().items() if not name.startswith("DAGSTER_")}

    write_silver(lake, [row(event_date=date) for date in (MONDAY, TUESDAY)] + [high_risk_row(), row(user_id=None)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "gold_assets.commands.gold", "stream", "--optimize"],
        capture_output=True,
        text=True,
        env=inherited | {"GOLD_ENGINE": "spark", "GOLD_LAKE_ROOT": root, "GOLD_SPARK_CONF": SMALL_TABLES},
        cwd=tmp_path,
        timeout=500,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert SECRET_KEY not in said
    assert_gold_is_true(lake)
    assert "checkpoints/write_to_gold/commits/0" in s3.objects(root)
    silver = DeltaTable(lake.silver)
    assert newest_offset(f"{root}/checkpoints/write_to_gold") == (str(silver.metadata().id), silver.version())
    operations = [commit["operation"] for commit in DeltaTable(lake.places["user_spend_summary"]).history()]
    assert "OPTIMIZE" in operations
    assert {path.name for path in tmp_path.iterdir()} <= {"spark-warehouse"}, "something was written beside the bucket"
