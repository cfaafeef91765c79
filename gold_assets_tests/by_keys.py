"""Changed keys by themselves, whatever costs less."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from gold_assets.checks import patches
from gold_assets.gold import changed_keys, plan


@contextmanager
def however_many() -> Iterator[None]:
    """Keys that Silver has changed are made anew and compared by themselves, however many they are, and however few all are."""
    with (
        patch.multiple(plan, MOST_REWRITTEN=math.inf, MOST_CHANGED=math.inf, AS_MANY_ROWS=0),
        patch.object(changed_keys, "MOST_KEYS", math.inf),
        patch.multiple(patches, _FEW_ROWS=0, _FEW_KEYS=math.inf),
    ):
        yield
