"""Waiting for other threads so that a signal is still heard."""

from collections.abc import Collection
from concurrent.futures import Future, wait
from typing import Any

_WAKE_SECONDS = 0.1


def wait_and_hear_signals(futures: Collection[Future[Any]]) -> None:
    """Wait until all are done. A signal's handler runs meanwhile, whichever thread the system gives the signal to.

    Python runs handlers in the main thread, once it is awake, and a signal taken by another thread does not wake it
    (https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers).
    """
    while wait(futures, timeout=_WAKE_SECONDS).not_done:
        pass
