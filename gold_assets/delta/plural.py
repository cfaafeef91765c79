"""Nouns with their numbers, as sentences about tables have them."""

import re
from decimal import Decimal


def plural(number: int | float | Decimal, noun: str) -> str:
    """A number of things, such as ``1 row``, ``2 rows``, ``2 copies`` or ``2 patches``."""
    if number != 1:
        noun = re.sub(r"([^aeiou])y$", r"\1ie", noun) + "s"
        noun = re.sub(r"(ch|sh|s|x)s$", r"\1es", noun)
    return f"{number} {noun}"
