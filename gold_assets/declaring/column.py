"""A declared column, and how its values are read: in PySpark for the tables, in SQL on DataFusion for their checks.

- ``key``: a string or an integer; not NULL, and no blank text.
- ``decimal(p,s)``, at most 18 digits: a decimal, integer, double or float, rounded half away from zero, and no more than fits; not NULL.
- ``number``: a double, a float as a double, or the decimal that it is; finite, or NULL.
- ``date``: a date, or the date in UTC of a timestamp; not NULL.
- a type by Delta's name, such as ``string``: that, or NULL.

Whether it may be NULL is so where ``nullable`` does not say it.

The two engines' sides share no reading, for the one is to find the other's mistakes.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DecimalType, IntegralType

from gold_assets.delta.sql import DATAFUSION

_INTEGERS = ("byte", "short", "integer", "long")
_READ = {
    "key": ("string or integer", ("string", *_INTEGERS)),
    "decimal": ("decimal, double, float or integer", ("decimal", "double", "float", *_INTEGERS)),
    "number": ("double, float or decimal", ("double", "float", "decimal")),
    "date": ("date or timestamp", ("date", "timestamp", "timestamp_ntz")),
}
"""By what a column is read as: the types that it may have, in words and by Delta's names without their digits."""

_FLOATING = ("double", "float")
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")


@dataclass(frozen=True)
class Column:
    """A column of the source or of a table.

    Attributes:
        name: what it is called here.
        type: of the source, what it is read as; of a table, its type by Delta's name, or ``key`` for the type of the source's.
        description: what it means to a reader.
        source: of the source, its name in the Delta table, where that is another.
        nullable: of the source, whether NULL is one of its values; by default as its type has it.

    Examples:
        >>> Column("amount", "decimal(18,4)", "Money spent.").accepted
        'decimal, double, float or integer'
    """

    name: str
    type: str
    description: str = ""
    source: str = ""
    nullable: bool | None = None

    @property
    def kind(self) -> str:
        """The type without its digits."""
        return self.type.split("(")[0]

    @property
    def accepted(self) -> str:
        """The types that it may have in Silver, in words."""
        return _READ[self.kind][0] if self.kind in _READ else self.type

    def accepts(self, type: str) -> bool:
        """Whether it can be read from a column of Silver's of this type, by Delta's name."""
        return type.split("(")[0] in _READ[self.kind][1] if self.kind in _READ else type == self.type

    @property
    def may_be_unreadable(self) -> bool:
        """Whether there are values, of a type that it accepts, that are none of what it is read as."""
        return self.kind in ("key", "decimal", "number") or not self.may_be_null

    @property
    def may_be_null(self) -> bool:
        """Whether NULL is one of its values."""
        return self.kind not in ("key", "decimal", "date") if self.nullable is None else self.nullable

    @property
    def digits(self) -> tuple[int, int]:
        """Of a decimal, its digits and how many of them are behind the point."""
        return digits_of(self.type) or (0, 0)


def digits_of(type: str) -> tuple[int, int] | None:
    """The same of a type by Delta's name; None where it is no decimal."""
    found = _DECIMAL.fullmatch(type)
    return None if found is None else (int(found[1]), int(found[2]))


# In PySpark


def is_readable(column: Column, rows: DataFrame) -> Expression:
    """Whether a value is one of what the column is read as; a NULL says no."""
    conditions = {"key": _is_present, "decimal": _fits, "number": _is_finite}
    found = F.col(column.name)
    holds = conditions[column.kind](column, rows) if column.kind in conditions else found.isNotNull()
    return found.isNull() | holds if column.may_be_null else holds


def decimal_sum(column: Column, rows: DataFrame) -> Expression:
    """The sum of a ``decimal(p,s)`` over valid rows, exact, as decimal(p+10,s). An aggregate.

    A double is rounded half away from zero, a float as the double that it is. The rounding is IEEE arithmetic on whole units,
    not a cast from double to decimal, because engines disagree on that cast: Spark goes through the shortest decimal text.
    """
    precision, scale = column.digits
    value, decimal = _as_decimal_or_double(column, rows)
    if decimal is not None:
        return F.sum(value.cast(column.type)).cast(DecimalType(precision + 10, scale))
    units = _whole_units(column, value)
    # In two halves of 32 bits, whose sums fit into a bigint: Spark takes many times as long to add decimals.
    high, low = F.sum(F.shiftright(units, 32)), F.sum(units.bitwiseAND(F.lit(2**32 - 1)))
    sum_of_units = high.cast("decimal(20,0)") * F.lit(2**32).cast("decimal(10,0)") + low.cast("decimal(20,0)")
    return (sum_of_units * F.lit(_unit(scale)).cast(DecimalType(scale + 1, scale))).cast(
        DecimalType(precision + 10, scale)
    )


def value(column: Column, rows: DataFrame) -> Expression:
    """A value of a valid row, as what it is read as; a ``number`` as a double, of a decimal the nearest one."""
    if column.kind == "number":
        is_decimal = isinstance(_type_of(column, rows), DecimalType)
        number = F.col(column.name)
        # Sail rounds a decimal twice: in a double it divides another by a power of ten.
        return (number.cast("string") if is_decimal else number).cast("double")
    if column.kind == "date":
        return F.col(column.name).cast("date")
    if column.kind != "decimal":
        return F.col(column.name)
    found, decimal = _as_decimal_or_double(column, rows)
    if decimal is not None:
        return found.cast(column.type)
    scale = column.digits[1]
    whole = _whole_units(column, found).cast("decimal(18,0)")
    return (whole * F.lit(_unit(scale)).cast(DecimalType(scale + 1, scale))).cast(column.type)


def is_below(column: Column, limit: Decimal, rows: DataFrame) -> Expression:
    """Whether a ``number`` is less than ``limit``: a decimal as the decimal that it is. NULL is not below, or NULL."""
    type = _type_of(column, rows)
    if not isinstance(type, DecimalType):
        return value(column, rows) < F.lit(float(limit))
    # In the column's own scale: what is below a limit between two of its numbers is below the larger one.
    least_above = F.lit(_in_scale(limit, type.scale, ROUND_CEILING)).cast(DecimalType(38, type.scale))
    # Not the bare column, by which Spark would skip files: the statistics of decimals in a Delta log may be rounded.
    return F.coalesce(F.col(column.name), least_above) < least_above


def _type_of(column: Column, rows: DataFrame) -> DataType:
    return rows.schema[column.name].dataType


def _as_decimal_or_double(column: Column, rows: DataFrame) -> tuple[Expression, DecimalType | None]:
    """The value as a decimal of this type, or else as a double."""
    value, type = F.col(column.name), _type_of(column, rows)
    if isinstance(type, DecimalType):
        return value, type
    if isinstance(type, IntegralType):
        return value.cast(DecimalType(20, 0)), DecimalType(20, 0)
    return value.cast("double"), None


def _units(column: Column, value: Expression) -> Expression:
    return value * F.lit(10.0 ** column.digits[1])


def _whole_units(column: Column, value: Expression) -> Expression:
    units = _units(column, value)
    whole = units.cast("bigint")
    # What the cast cut off is exact, and from a half on its double is a whole unit.
    return whole + ((units - whole) * F.lit(2.0)).cast("bigint")


def _is_present(column: Column, rows: DataFrame) -> Expression:
    value = F.col(column.name)
    if isinstance(_type_of(column, rows), IntegralType):
        return value.isNotNull()
    # Text that begins with a character after the blanks is not blank: that spares nearly every row the slower test.
    return (value >= F.lit("!")) | (F.trim(F.translate(value, "\t\r\n", "   ")) != F.lit(""))


def _fits(column: Column, rows: DataFrame) -> Expression:
    precision, scale = column.digits
    value, decimal = _as_decimal_or_double(column, rows)
    if decimal is None:
        # NaN is larger than every number on every engine. From 16 digits on a double has no fraction left to round.
        return F.abs(_units(column, value)) < F.lit(10.0**precision - 0.5)
    if decimal.precision - decimal.scale < precision - scale:
        return value.isNotNull()
    # In the column's own scale, since Sail fails to rescale a decimal that is too wide, and without abs, which Spark
    # fails to take of one. What follows the last decimal must not round up to the limit.
    decimals = ("9" * scale + "4" + "9" * decimal.scale)[: decimal.scale]
    limit = f"{'9' * (precision - scale)}.{decimals}".rstrip(".")
    least, most = (F.lit(text).cast(f"decimal(38,{decimal.scale})") for text in (f"-{limit}", limit))
    # Not the bare column, by which Spark would skip files: the statistics of decimals in a Delta log may be rounded.
    known = F.coalesce(value, F.lit(0).cast(decimal))
    return value.isNotNull() & (known >= least) & (known <= most)


def _is_finite(column: Column, rows: DataFrame) -> Expression:
    number = value(column, rows)
    return number.isNotNull() if isinstance(_type_of(column, rows), DecimalType) else number - number == F.lit(0.0)


# In SQL on DataFusion, for a column that has this type by Delta's name


def readable_sql(column: Column, type: str) -> str:
    """``is_readable``; NULL says no too."""
    holds = _readable_sql(column, type)
    return f"({DATAFUSION.name(column.name)} IS NULL OR {holds})" if column.may_be_null else holds


def _readable_sql(column: Column, type: str) -> str:
    name, kind = DATAFUSION.name(column.name), column.kind
    if kind == "key" and type == "string":
        # Every blank sorts before '!': most rows are spared the trim, which is what costs.
        return f"({name} >= '!' OR btrim({name}, e' \\t\\r\\n') <> '')"
    if kind == "decimal":
        precision, scale = column.digits
        if type in _FLOATING:
            # NaN is larger than every number
            return f"abs({_double_sql(name)} * 1e{scale}) < {10.0**precision - 0.5!r}"
        return f"abs(TRY_CAST({name} AS DECIMAL(38, {scale}))) < {10 ** (precision - scale)}"
    if kind == "number":
        return f"abs({_double_sql(name)}) < CAST('Infinity' AS DOUBLE)"
    return f"{name} IS NOT NULL"


def value_sql(column: Column, type: str) -> str:
    """A value, as what it is read as."""
    name = DATAFUSION.name(column.name)
    if column.kind == "decimal":
        precision, scale = column.digits
        # Of a double DataFusion rounds the product with 10^scale half away from zero, as PySpark's side does.
        return f"TRY_CAST({_double_sql(name) if type in _FLOATING else name} AS DECIMAL({precision}, {scale}))"
    if column.kind == "number":
        # Of a decimal the nearest double: DataFusion rounds a decimal twice, and its text once.
        return f"CAST(CAST({name} AS VARCHAR) AS DOUBLE)" if digits_of(type) else _double_sql(name)
    return f"CAST({name} AS DATE)" if column.kind == "date" and type != "date" else name


def bound_sql(scale: int, bound: str, *, up: bool) -> str:
    """What a ``number`` that is a decimal is compared with, in its scale: DataFusion fails to rescale one that is too wide.

    Between two of its numbers, ``up`` takes the larger one: what is below such a bound is below that.
    """
    in_scale = _in_scale(Decimal(bound), scale, ROUND_CEILING if up else ROUND_FLOOR)
    return f"CAST('{in_scale}' AS DECIMAL(38, {scale}))"


def _double_sql(name: str) -> str:
    return f"CAST({name} AS DOUBLE)"


def _unit(scale: int) -> str:
    return f"{Decimal(1).scaleb(-scale):f}"


def _in_scale(number: Decimal, scale: int, rounding: str) -> str:
    return str(number.quantize(Decimal(1).scaleb(-scale), rounding, Context(38)))
