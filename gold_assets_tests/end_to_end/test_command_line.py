"""What a user sees who works from the shell: loading, materializing, and the sentence where something is wrong."""

import sys
from pathlib import Path

import pytest

from gold_assets.gold.lake import Lake
from gold_assets_tests.conftest import lake_in
from gold_assets_tests.end_to_end.command_line import MATERIALIZES, SELECT, environment, run
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import assert_gold_is_true

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def silver(tmp_path: Path) -> Lake:
    lake = lake_in(tmp_path)
    write_silver(lake, [row(), row(user_id=None), high_risk_row(event_date=TUESDAY), row(event_date=WEDNESDAY)])
    return lake


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(
        tmp_path,
        GOLD_SOURCE_PATH=str(tmp_path / "silver"),
        GOLD_WRITE_PATH_SPEND_SUMMARY=str(tmp_path / "user_spend_summary"),
        GOLD_WRITE_PATH_PRODUCT_USAGE_METRICS=str(tmp_path / "product_usage_metrics"),
        GOLD_WRITE_PATH_HIGH_RISK_TXNS=str(tmp_path / "high_risk_txns"),
        GOLD_BAD_RECORDS_PATH=str(tmp_path / "quarantined_txns"),
    )


def materialize(env: dict[str, str], *dates: str) -> tuple[int, str]:
    done = run(*MATERIALIZES, *SELECT, *dates, env=env)
    return done.returncode, done.stdout + done.stderr


def test_one_date_from_the_command_line_leaves_the_others(silver: Lake, env: dict[str, str]) -> None:
    code, output = materialize(env, "--partition", str(TUESDAY))
    assert code == 0, output[-3000:]
    assert_gold_is_true(silver, dates=[TUESDAY])


def test_a_missing_silver_fails_the_run_with_one_sentence(env: dict[str, str]) -> None:
    code, output = materialize(env, "--partition", str(MONDAY))
    assert code != 0
    assert (
        f"There is no Delta table at {env['GOLD_SOURCE_PATH']}, where Silver is expected: set GOLD_SOURCE_PATH"
        in output
    )


def test_a_date_outside_the_window_is_refused_and_named(silver: Lake, env: dict[str, str]) -> None:
    code, output = materialize(env, "--partition", "1999-01-01")
    assert code != 0
    assert "1999-01-01" in output
    assert not Path(silver.places["user_spend_summary"]).exists()


def test_a_setting_that_makes_no_sense_is_one_sentence_at_load_and_a_file_env_wins_over_the_environment(
    env: dict[str, str], tmp_path: Path
) -> None:
    Path(tmp_path, ".env").write_text("GOLD_ENGINE=flink\n")
    load = ("dagster", "definitions", "validate", "-m", "gold_assets.transactions.definitions")
    done = run(*load, env=env | {"GOLD_ENGINE": "sail"}, folder=tmp_path)
    assert done.returncode != 0
    assert "GOLD_ENGINE is 'flink', expected 'sail' or 'spark': correct it or unset it." in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [("dagster", "definitions", "validate", "-w", "workspace.yaml"), ("dg", "check", "defs")],
    ids=["dagster definitions validate", "dg check defs"],
)
def test_the_definitions_load_from_a_lake_that_is_not_there(command: tuple[str, ...], env: dict[str, str]) -> None:
    done = run(*command, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_loading_the_definitions_starts_no_engine_loads_no_pandas_and_touches_no_table(
    env: dict[str, str], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    loaded = "import sys, psutil, gold_assets.transactions.definitions; print({'pysail', 'pandas'} & {*sys.modules}, psutil.Process().children())"
    done = run(Path(sys.executable).name, "-c", loaded, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["set()", "[]"]
    assert sorted(tmp_path.rglob("*")) == before
