"""A commit race lost to another writer, tried again a bounded number of times."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from gold_assets.delta.errors import UserError, failed, reason

logger = logging.getLogger(__name__)

ATTEMPTS = 8

_RACE = re.compile(
    "Failed to commit transaction|[Cc]oncurrent transaction|changed since last commit|committing existing table version"
)
"""What delta-rs says of a lost race. It raises the same error where the table allows no such commit."""

_Done = TypeVar("_Done")


class CommitConflict(Exception):
    """Another writer committed first; nothing was written. Compute again and try again."""


@contextmanager
def races_told() -> Iterator[None]:
    """Raise ``CommitConflict`` where delta-rs lost a race in the block; whatever else it fails with is no race."""
    try:
        yield
    except CommitFailedError as error:
        if _RACE.search(str(error)):
            raise CommitConflict(str(error)) from error
        raise


def until_committed(name: str, table: DeltaTable | str, attempt: Callable[[], _Done]) -> _Done:
    """What ``attempt`` returns, called again, after a growing random pause, where it loses a race.

    Args:
        table: the open table, which is brought up to date before each attempt; or the place of one that each opens.

    Raises ``UserError`` where the table ``name`` has lost ``ATTEMPTS`` races in a row, or allows no such commit.
    """
    uri = table if isinstance(table, str) else table.table_uri

    def attempt_on_newest() -> _Done:
        if isinstance(table, DeltaTable):
            table.update_incremental()
        with races_told():
            return attempt()

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
        return races(attempt_on_newest)
    except CommitConflict as conflict:
        raise UserError(
            f"{name} at {uri} lost {ATTEMPTS} commit races in a row to other writers ({reason(conflict)}): "
            "let one process write Gold at a time, then run again; nothing was half-written."
        ) from conflict
    except CommitFailedError as error:
        then = ", then run again; nothing was half-written"
        raise failed(f"{name} could not be written to {uri}", error, "mend that", then) from error
