"""A pool of one slot, as the project's storages have them, asked by several processes in the same moment."""

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import dagster as dg
import pytest
from dagster._core.storage.event_log import EventLogStorage

from gold_assets_tests.end_to_end.command_line import environment
from gold_assets_tests.instance.postgres_server import PostgresServer, programs

pytestmark = [pytest.mark.end_to_end, pytest.mark.sail]

_POOL = "a_pool"
_ROUNDS = 40

_Work = Callable[[EventLogStorage, Barrier, int], list[bool]]


@pytest.fixture(params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The instance of this process and of those it starts, on either storage."""
    home = environment(tmp_path)["DAGSTER_HOME"]
    monkeypatch.setenv("DAGSTER_HOME", home)
    with ExitStack() as stack:
        if request.param == "postgres":
            if programs() is None:
                pytest.skip("PostgreSQL is not installed.")
            stack.enter_context(PostgresServer()).keep_records_of(Path(home))
        with dg.DagsterInstance.get() as instance:
            instance.event_log_storage.initialize_concurrency_limit_to_default(_POOL)
        yield


@pytest.mark.usefixtures("home")
def test_of_processes_that_ask_at_once_one_holds_the_slot() -> None:
    answers = in_processes(ask_at_once, count=3)
    assert [sum(held) for held in zip(*answers, strict=True)] == [1] * _ROUNDS


def ask_at_once(storage: EventLogStorage, barrier: Barrier, number: int) -> list[bool]:
    """Whether this process held the slot, per round."""
    held = []
    for step in map(str, range(_ROUNDS)):
        barrier.wait()
        held.append(claims(storage, f"run {number}", step))
        barrier.wait()
        storage.free_concurrency_slot_for_step(f"run {number}", step)
    return held


@pytest.mark.usefixtures("home")
def test_a_step_that_begins_to_wait_while_another_ends_is_not_overlooked() -> None:
    _, had_their_turn = in_processes(end_or_begin_to_wait, count=2)
    assert had_their_turn == [True] * _ROUNDS


def end_or_begin_to_wait(storage: EventLogStorage, barrier: Barrier, number: int) -> list[bool]:
    """Process 0 holds the slot and ends while process 1 asks; whether process 1 had the slot then or later, per round."""
    had_their_turn = []
    randomly = random.Random(number)
    for step in map(str, range(_ROUNDS)):
        if number == 0:
            assert claims(storage, "ends", step)
        barrier.wait()
        time.sleep(randomly.uniform(0, 0.02))
        if number == 0:
            storage.free_concurrency_slot_for_step("ends", step)
        else:
            claims(storage, "waits", step)
        barrier.wait()
        if number == 1:
            had_their_turn.append(claims(storage, "waits", step))
            storage.free_concurrency_slot_for_step("waits", step)
        barrier.wait()
    return had_their_turn


def claims(storage: EventLogStorage, run_id: str, step: str) -> bool:
    return bool(storage.claim_concurrency_slot(_POOL, run_id, step).is_claimed)


def in_processes(work: _Work, count: int) -> list[list[bool]]:
    """What ``work`` returns in each of ``count`` processes, which meet at one barrier."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(count, context) as pool:
        barrier = manager.Barrier(count, timeout=60)
        return list(pool.map(_on_the_instance, [work] * count, [barrier] * count, range(count)))


def _on_the_instance(work: _Work, barrier: Barrier, number: int) -> list[bool]:
    with dg.DagsterInstance.get() as instance:
        return work(instance.event_log_storage, barrier, number)
