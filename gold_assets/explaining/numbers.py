"""Numbers that changed, and how they are told."""

from decimal import Decimal
from typing import Any

Number = int | float | Decimal


def moved(before: Any, after: Any) -> Number | None:
    """By how much, where both are numbers."""
    if not all(isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in (before, after)):
        return None
    change: Number = (
        float(after) - float(before) if isinstance(before, float) is not isinstance(after, float) else after - before
    )
    return change


def short(number: Any) -> Any:
    """A sum of doubles without the digits that the order of its terms decides."""
    return f"{number:.12g}" if isinstance(number, float) else number


def signed(number: Number) -> str:
    """A change of a number, with its sign and two decimals or more."""
    if isinstance(number, float):
        return f"{number:+,.4g}"
    if isinstance(number, int):
        return f"{number:+,}"
    digits = 2 if number == round(number, 2) else 4
    return f"{number:+,.{digits}f}"
