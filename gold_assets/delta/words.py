"""Words that sentences about tables are made of."""

from decimal import Decimal


def count_of(number: int | float | Decimal, noun: str) -> str:
    """A number of things, such as ``1 row`` or ``2 rows``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
