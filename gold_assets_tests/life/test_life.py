"""Some minutes of a lake's life; ``make life`` is the long one."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from gold_assets.engines import Engine
from gold_assets_tests.conftest import few_rows
from gold_assets_tests.life.life import LakeLife

pytestmark = pytest.mark.sail


def test_whatever_happens_to_a_lake_gold_is_true_once_all_is_quiet(engine: Engine) -> None:
    LakeLife.engine = engine
    with few_rows(engine, 1_000_000):
        run_state_machine_as_test(
            LakeLife,
            settings=settings(
                max_examples=2, stateful_step_count=30, derandomize=True, deadline=None, phases=[Phase.generate]
            ),
        )
