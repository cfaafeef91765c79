"""A commit race lost to another writer, tried again a bounded number of times."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from gold_assets.engines import CommitConflict
from gold_assets.lakehouse.errors import UserError, reason

logger = logging.getLogger(__name__)

ATTEMPTS = 8

_Done = TypeVar("_Done")


def until_committed(name: str, uri: str, attempt: Callable[[], _Done]) -> _Done:
    """What ``attempt`` returns, called again, after a growing random pause, where it raises ``CommitConflict``.

    Raises ``UserError`` where the table ``name`` at ``uri`` has lost ``ATTEMPTS`` races in a row.
    """
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except CommitConflict as conflict:
            if number == ATTEMPTS:
                raise UserError(
                    f"{name} at {uri} lost {ATTEMPTS} commit races in a row to other writers ({reason(conflict)}): "
                    "let one process write Gold at a time, then run again; nothing was half-written."
                ) from conflict
            logger.warning("%s: another writer committed first, trying again (attempt %d)", name, number + 1)
            time.sleep(random.uniform(0, 0.1 * 2**number))
    raise AssertionError("unreachable: the last attempt returns or raises")
