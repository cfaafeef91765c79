"""``python -m gold_assets_tests.life``: lives of lakes, one after the other, until one shows a fault or the time is over."""

import argparse
import random
import sys
import time
import traceback

from hypothesis import Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from gold_assets_tests.conftest import new_engine
from gold_assets_tests.life.life import LakeLife, without

STEPS, LIVES = 40, 5


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 where all held, 1 where something did not."""
    parser = argparse.ArgumentParser(prog="python -m gold_assets_tests.life", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long in all (default 10)")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="repeats the lives that it gave")
    parser.add_argument("--without", nargs="*", default=[], metavar="RULE", help="what never happens, by its name")
    parser.add_argument("--as-it-is", action="store_true", help="do not look for a shorter life with the same fault")
    asked = parser.parse_args(arguments)
    LakeLife.engine = new_engine()
    LakeLife.engine.few_rows = 1_000_000  # type: ignore[attr-defined]
    until, number = time.monotonic() + asked.minutes * 60, asked.seed
    phases = [Phase.generate] if asked.as_it_is else [Phase.generate, Phase.shrink]
    held = True
    while held and time.monotonic() < until:
        held = _hold(number, without(asked.without), phases)
        print(f"seed {number}: {LakeLife.done.total()} steps by now", flush=True)
        number += 1
    for name, times in LakeLife.done.most_common():
        print(f"{times:6d} x {name}")
    print("all held" if held else f"RED: again with --seed {number - 1}, or by the steps above")
    LakeLife.engine.close()
    return 0 if held else 1


def _hold(number: int, life: type[LakeLife], phases: list[Phase]) -> bool:
    """Some lives that a seed gives."""
    of_few = settings(
        max_examples=LIVES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=phases,
        verbosity=Verbosity.normal,
    )
    try:
        run_state_machine_as_test(seed(number)(life), settings=of_few)
    except Exception as error:
        traceback.print_exception(error, limit=-8)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
