"""Nouns with their numbers, and how long something takes, as sentences have them."""

import re
from decimal import Decimal


def plural(number: int | float | Decimal, noun: str) -> str:
    """A number of things, such as ``1 row``, ``2 rows``, ``2 copies`` or ``2 patches``."""
    if number != 1:
        noun = re.sub(r"([^aeiou])y$", r"\1ie", noun) + "s"
        noun = re.sub(r"(ch|sh|s|x)s$", r"\1es", noun)
    return f"{number} {noun}"


def duration(seconds: float) -> str:
    """About how long that is, such as ``a second``, ``40 s``, ``12 min`` or ``2.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else "a second"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
