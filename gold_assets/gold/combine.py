"""How the rows of a table that were there and those that new rows of Silver make become one table."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gold_assets.declaring.table import Table

MOST_PATCHES = 500
"""After this many patches in a row a date is computed from all its rows again.

An average of n values grows by one of m by ``a * (n / (n + m)) + b * (m / (n + m))``: a quotient, a product and a sum
on either side, each within 2^-53 of its size. So a patch adds no more than 3 * 2^-53 of the mean size of what is
averaged to the error that the worse of the two averages has, which is 3 * 2^-53 where all rows were averaged
(``declaring.averages``). After 500 it is below 1.7e-13, of the 1e-12 to which averages must agree. Where numbers are so
small that a product is subnormal it is within 2^-1075 of that besides, and 500 patches within 1e-320.
"""

MOST_APPENDED = 48
"""After this many appended files in a row the next patch writes the date's rows as one."""

_IS_NEW = "is new"
"""With a blank, as all names below: no column of a Delta table has one."""


def combined(table: Table, before: DataFrame, new: DataFrame) -> DataFrame:
    """Both sets of rows, which have the same columns; in a table with a key the two rows of one key become one row."""
    if not table.key:
        return before.unionByName(new)
    both = before.withColumn(_IS_NEW, F.lit(False)).unionByName(new.withColumn(_IS_NEW, F.lit(True)))
    averages = {name: table.select.counts[name] for name, how in table.select.combined.items() if how == "avg"}
    # A side has one row of a key, or none: its largest value of a column is its value.
    aggregates = []
    for name in before.columns:
        if name in table.key:
            continue
        if name in averages:
            counted = averages[name]
            for is_new, side in ((False, "before"), (True, "new")):
                on_side = F.col(_IS_NEW) == F.lit(is_new)
                aggregates += [
                    F.max(F.when(on_side, F.col(name))).alias(f"{side} {name}"),
                    F.coalesce(F.max(F.when(on_side, F.col(counted))), F.lit(0)).alias(f"{side} {counted} of {name}"),
                ]
        else:
            # A column that somebody added to the table by hand is kept as it is.
            aggregate = {"sum": F.sum, "count": F.sum, "min": F.min}.get(table.select.combined.get(name, ""), F.max)
            aggregates.append(aggregate(name).cast(before.schema[name].dataType).alias(name))
    by_key = both.groupBy(*table.key).agg(*aggregates)
    return by_key.select(
        *(_average(name, averages[name]).alias(name) if name in averages else F.col(name) for name in before.columns)
    )


def _average(name: str, counted: str) -> Column:
    """The average of two averages, by how many values each has; the other side's where one has none."""
    before, new = F.col(f"before {name}"), F.col(f"new {name}")
    n, m = (F.col(f"{side} {counted} of {name}").cast("double") for side in ("before", "new"))
    both = before * (n / (n + m)) + new * (m / (n + m))
    # It lies between the two, however it is rounded: of equal numbers it is the same, and of finite ones finite.
    between = F.greatest(F.least(before, new), F.least(F.greatest(before, new), both))
    return F.when(n == 0, new).when(m == 0, before).otherwise(between)
