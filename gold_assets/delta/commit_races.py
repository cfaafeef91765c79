"""A commit race lost to another writer, tried again a bounded number of times."""

import logging
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from gold_assets.delta.errors import UserError, reason

logger = logging.getLogger(__name__)

ATTEMPTS = 8

_Done = TypeVar("_Done")


class CommitConflict(Exception):
    """Another writer committed first; nothing was written. Compute again and try again."""


def until_committed(name: str, uri: str, attempt: Callable[[], _Done]) -> _Done:
    """What ``attempt`` returns, called again, after a growing random pause, where it raises ``CommitConflict``.

    Raises ``UserError`` where the table ``name`` at ``uri`` has lost ``ATTEMPTS`` races in a row.
    """

    def say_so(state: RetryCallState) -> None:
        logger.warning("%s: another writer committed first, trying again (attempt %d)", name, state.attempt_number + 1)

    races = Retrying(
        retry=retry_if_exception_type(CommitConflict),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2),
        before_sleep=say_so,
        reraise=True,
    )
    try:
        return races(attempt)
    except CommitConflict as conflict:
        raise UserError(
            f"{name} at {uri} lost {ATTEMPTS} commit races in a row to other writers ({reason(conflict)}): "
            "let one process write Gold at a time, then run again; nothing was half-written."
        ) from conflict
