"""What "+" is: how the rows of a table that were there and those that new rows of Silver make become one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from gold_assets.gold.declaration import Table

MOST_PATCHES = 500
"""After this many patches in a row a date is computed from all its rows again.

An average of n values grows by one of m by ``a * (n / (n + m)) + b * (m / (n + m))``: two quotients, two products and a sum, each
within half a unit in the last place, 2^-53, so that a patch adds no more than 4 * 2^-53 of the mean size of what is averaged, and
passes on what was there by less than one. 500 of them stay below 2.3e-13, of the 1e-12 to which averages must agree. Where the
numbers are so small that a product is subnormal it is within 2^-1074 of its own size's place, and 500 patches within 1e-320.
"""

MOST_APPENDED = 48
"""After this many appended files in a row the next patch writes the date's rows as one."""

_IS_NEW = "is_new"


@dataclass(frozen=True)
class SummedKeys:
    """Rows of the same key become one: its columns are added up.

    Attributes:
        averages: by name of a column that is an average, the column that counts what it is the average of.
    """

    averages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AppendedRows:
    """Each row stands for one of Silver's: all of both sides are kept."""


Addition = SummedKeys | AppendedRows


def added(table: "Table", before: DataFrame, new: DataFrame) -> DataFrame:
    """The rows of both, which have the same columns, by the table's ``addition``."""
    if not isinstance(table.addition, SummedKeys):
        return before.unionByName(new)
    both = before.withColumn(_IS_NEW, F.lit(False)).unionByName(new.withColumn(_IS_NEW, F.lit(True)))
    # Of each key there is one row on either side, or none: the largest value is the value.
    aggregates = []
    for column in before.columns:
        if column in table.addition.averages:
            counted = table.addition.averages[column]
            for is_new, side in ((False, "before"), (True, "new")):
                on_side = F.col(_IS_NEW) == F.lit(is_new)
                aggregates += [
                    F.max(F.when(on_side, F.col(column))).alias(f"{side}_{column}"),
                    F.coalesce(F.max(F.when(on_side, F.col(counted))), F.lit(0)).alias(f"{side}_{counted}_of_{column}"),
                ]
        elif column not in table.key:
            aggregates.append(F.sum(column).cast(before.schema[column].dataType).alias(column))
    summed = both.groupBy(*table.key).agg(*aggregates)
    return summed.select(
        *(
            _average(column, table.addition.averages[column]).alias(column)
            if column in table.addition.averages
            else F.col(column)
            for column in before.columns
        )
    )


def _average(column: str, counted: str) -> Column:
    """The average of two averages, by how many values each has; the other side's where one has none."""
    before, new = F.col(f"before_{column}"), F.col(f"new_{column}")
    n, m = (F.col(f"{side}_{counted}_of_{column}").cast("double") for side in ("before", "new"))
    both = before * (n / (n + m)) + new * (m / (n + m))
    return F.when(n == 0, new).when(m == 0, before).otherwise(both)
