"""``python -m gold_assets_tests.chaos``: keep Gold true through random histories of Silver while what runs is killed."""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from gold_assets_tests.chaos.chaos import Chaos, Red
from gold_assets_tests.instance.postgres_server import PostgresServer, programs

RECORDS = ("sqlite", "postgresql")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 where all held, 1 where something did not."""
    parser = argparse.ArgumentParser(prog="python -m gold_assets_tests.chaos", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=10, help="how long in all, the quiet moments not counted (default 10)"
    )
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10_000), help="repeats what was done, in its order"
    )
    parser.add_argument(
        "--records", choices=RECORDS, help="where Dagster keeps its records (default: half the time each)"
    )
    asked = parser.parse_args(arguments)
    records = [asked.records] if asked.records else [each for each in RECORDS if each == "sqlite" or programs()]
    if "postgresql" in records and not programs():
        parser.error("PostgreSQL is not installed, expected for --records postgresql: install it or leave that out.")
    print(f"seed {asked.seed}, {asked.minutes:g} min, records in {' and '.join(records)}", flush=True)
    held = [one(each, asked.seed, asked.minutes * 60 / len(records)) for each in records]
    return 0 if all(held) else 1


def one(records: str, seed: int, seconds: float) -> bool:
    """A lake and an instance of their own, with the records there, for some seconds. Whether all held."""
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s, seed {seed}, {records}: {what}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="gold_assets-chaos-"))
    with server(records) as postgres:
        chaos = Chaos(folder, seed, postgres, say)
        try:
            chaos.run(seconds)
        except Exception as error:
            if not isinstance(error, Red):
                traceback.print_exc()
            say(f"RED: {error}\nThe lake, and the log of dagster dev, are in {folder}.")
            held = False
        else:
            held = True
            shutil.rmtree(folder)
    summarize(chaos, say)
    say("all held" if held else "RED")
    return held


def server(records: str) -> AbstractContextManager[PostgresServer | None]:
    return nullcontext() if records == "sqlite" else PostgresServer()


def summarize(chaos: Chaos, say: Callable[[str], None]) -> None:
    for name, times in chaos.done.most_common():
        say(f"{times:5d} x {name}")
    if chaos.waits:
        say(f"{len(chaos.waits)} quiet moments; Gold was true after {max(chaos.waits):.1f} s at the latest")
    if chaos.measures:
        say(f"at the start: {chaos.measures[0]}")
        say(f"at the end: {chaos.measures[-1]}")


if __name__ == "__main__":
    sys.exit(main())
