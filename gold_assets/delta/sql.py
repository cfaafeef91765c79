"""How the engines want names and moments written in SQL."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """One engine's SQL, where the engines differ."""

    quote: str
    moment_form: str

    def name(self, name: str) -> str:
        """A column's name, whatever is in it."""
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def moment(self, text: str) -> str:
        """A timestamp in UTC, given as ``2024-01-31`` or ``2024-01-31 12:00:00``."""
        return self.moment_form.format(text)


SPARK = Dialect("`", "TIMESTAMP '{}'")
"""Spark's, and Sail's."""

DATAFUSION = Dialect('"', "arrow_cast('{}', 'Timestamp(Microsecond, None)')")
"""A literal of its own counts nanoseconds, and overflows before 1678 and after 2262."""


def unpruned(condition: str) -> str:
    """The condition, false where it is NULL, that DataFusion keeps away from the files' statistics.

    They leave out NaN: a file of 0.1 and NaN has 0.1 as its least and its largest value, and DataFusion 55 takes all its rows
    for ones that meet ``x = 0.1`` (apache/datafusion#15812). A condition on something volatile stays above the scan.
    """
    return f"coalesce({condition}, random() > 1)"
