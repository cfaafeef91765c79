"""What a Silver row must be, and the one split of Silver into valid and quarantined rows."""

import datetime as dt
import functools
import operator
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from typing import Literal

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DecimalType, IntegralType

from gold_assets.delta.dates import EVENT_DATE, predicate

VIOLATIONS = "violations"
RISK_LEVELS = ("low", "medium", "high")

MONEY_SCALE = 4
_UNITS = 10**MONEY_SCALE
_UNIT = "0.0001"
_UNITS_LIMIT = 10**18
"""DECIMAL(18,4) counts in units of 0.0001 and holds fewer than this many of them."""
_WHOLE_DIGITS = 18 - MONEY_SCALE


@dataclass(frozen=True)
class Column:
    """A column of a Delta table: its name, its type as Delta writes it, and what it means to a reader.

    ``made_from`` names the columns of Silver that its values come from. Where ``keeps_type``, its type is that of the one it is
    made from, and ``type`` says in words which that may be.

    ``adds`` says what becomes of the values that the rows of a key had and those that new rows of Silver make: ``sum``
    and ``count`` are added up, of ``min`` and ``max`` one is kept, and an ``average`` is weighed by ``counted_by``, the
    column that counts what it is the average of. None where that cannot be told from the two values, as of a count of
    distinct users or a median; and where a value may be NaN, of which engines do not agree whether it is the largest:
    the contract keeps it from its own columns only.
    """

    name: str
    type: str
    description: str
    made_from: tuple[str, ...] = field(default=(), kw_only=True)
    keeps_type: bool = field(default=False, kw_only=True)
    adds: Literal["sum", "count", "min", "max", "average"] | None = field(default=None, kw_only=True)
    counted_by: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class SilverColumn(Column):
    """A column Silver must have. ``type`` may be any of ``types``, where ``decimal`` stands for every decimal."""

    types: tuple[str, ...]


_INTEGERS = ("byte", "short", "integer", "long")
KEY_TYPE = "string or integer"
"""What may be a key, in words. Gold keeps Silver's type for it."""

SILVER_COLUMNS = (
    SilverColumn("user_id", KEY_TYPE, "Who spent.", ("string", *_INTEGERS)),
    SilverColumn("product_id", KEY_TYPE, "What it was spent on.", ("string", *_INTEGERS)),
    SilverColumn(
        "amount",
        "decimal, double, float or integer",
        "Money spent, in the currency of the source.",
        ("decimal", "double", "float", *_INTEGERS),
    ),
    SilverColumn(
        "usage_cost_ratio",
        "double, float or decimal",
        "Usage paid for relative to its cost; NULL without a cost.",
        ("double", "float", "decimal"),
    ),
    SilverColumn("risk_level", "string", "low, medium or high; NULL where it was not rated.", ("string",)),
    SilverColumn(
        EVENT_DATE,
        "date or timestamp",
        "UTC date of the transaction; of a timestamp its UTC date counts.",
        ("date", "timestamp", "timestamp_ntz"),
    ),
)


def money_sum(transactions: DataFrame) -> Expression:
    """The sum of ``amount`` over valid rows, each as DECIMAL(18,4), as an exact DECIMAL(28,4). An aggregate.

    A double is rounded half away from zero at the fourth decimal, a float as the double that it is. The rounding is IEEE
    arithmetic on whole units, not a cast from double to decimal, because engines disagree on that cast: Spark goes through the
    shortest decimal text.
    """
    amount, decimal = _amount(transactions)
    if decimal is not None:
        return F.sum(amount.cast("decimal(18,4)")).cast("decimal(28,4)")
    amount = _units(amount)
    whole = amount.cast("bigint")
    # What the cast cut off is exact, and from a half on its double is a whole unit.
    units = whole + ((amount - whole) * F.lit(2.0)).cast("bigint")
    # In two halves of 32 bits, whose sums fit into a bigint: Spark takes many times as long to add decimals.
    high, low = F.sum(F.shiftright(units, 32)), F.sum(units.bitwiseAND(F.lit(2**32 - 1)))
    sum_of_units = high.cast("decimal(20,0)") * F.lit(2**32).cast("decimal(10,0)") + low.cast("decimal(20,0)")
    return (sum_of_units * F.lit(_UNIT).cast("decimal(5,4)")).cast("decimal(28,4)")


def ratio(transactions: DataFrame) -> Expression:
    """``usage_cost_ratio`` as a double, whatever Silver has it as; of a decimal the nearest one."""
    ratio = F.col("usage_cost_ratio")
    if isinstance(_type_of("usage_cost_ratio", transactions), DecimalType):
        ratio = ratio.cast("string")  # Sail rounds a decimal twice: in a double it divides another by a power of ten
    return ratio.cast("double")


def ratio_is_below(limit: Decimal, transactions: DataFrame) -> Expression:
    """Whether ``usage_cost_ratio`` is less than ``limit``: a decimal as the decimal that it is, anything else as a double.

    What has no ratio is not below, or NULL.
    """
    type = _type_of("usage_cost_ratio", transactions)
    if not isinstance(type, DecimalType):
        return ratio(transactions) < F.lit(float(limit))
    # In the column's own scale: what is below a limit between two of its numbers is below the larger one.
    text = str(limit.quantize(Decimal(1).scaleb(-type.scale), ROUND_CEILING, Context(38)))
    least_above = F.lit(text).cast(DecimalType(38, type.scale))
    # Not the bare column, by which Spark would skip files: the statistics of decimals in a Delta log may be rounded.
    return F.coalesce(F.col("usage_cost_ratio"), least_above) < least_above


def _type_of(column: str, transactions: DataFrame) -> DataType:
    return transactions.schema[column].dataType


def _amount(silver: DataFrame) -> tuple[Expression, DecimalType | None]:
    """The amount as a decimal of this type, or else as a double."""
    amount, type = F.col("amount"), _type_of("amount", silver)
    if isinstance(type, DecimalType):
        return amount, type
    if isinstance(type, IntegralType):
        whole = DecimalType(20, 0)
        return amount.cast(whole), whole
    return amount.cast("double"), None


def _units(amount: Expression) -> Expression:
    return amount * F.lit(float(_UNITS))


def _is_present(column: str, silver: DataFrame) -> Expression:
    value = F.col(column)
    if isinstance(_type_of(column, silver), IntegralType):
        return value.isNotNull()
    # Text that begins with a character after the blanks is not blank: that spares nearly every row the slower test.
    return (value >= F.lit("!")) | (F.trim(F.translate(value, "\t\r\n", "   ")) != F.lit(""))


def _is_money(silver: DataFrame) -> Expression:
    amount, decimal = _amount(silver)
    if decimal is not None:
        if decimal.precision - decimal.scale < _WHOLE_DIGITS:
            return amount.isNotNull()
        # In the column's own scale, since Sail fails to rescale a decimal that is too wide, and without abs, which Spark
        # fails to take of one. What follows the fourth decimal must not round up to the limit.
        decimals = ("9999"[: decimal.scale] + "4" + "9" * decimal.scale)[: decimal.scale]
        limit = f"{'9' * _WHOLE_DIGITS}.{decimals}".rstrip(".")
        least, most = (F.lit(text).cast(f"decimal(38,{decimal.scale})") for text in (f"-{limit}", limit))
        # Not the bare column, by which Spark would skip files: the statistics of decimals in a Delta log may be rounded.
        value = F.coalesce(amount, F.lit(0).cast(decimal))
        return amount.isNotNull() & (value >= least) & (value <= most)
    # NaN is larger than every number on every engine. Doubles this large have no fraction left to round.
    return F.abs(_units(amount)) < F.lit(float(_UNITS_LIMIT))


def _ratio_is_finite_or_null(silver: DataFrame) -> Expression:
    if isinstance(_type_of("usage_cost_ratio", silver), DecimalType):
        return F.lit(True)
    value = ratio(silver)
    return value.isNull() | (value - value == F.lit(0.0))


def _is_risk_level_or_null() -> Expression:
    # As one of the levels, NULL spares each row a test of its own.
    return F.coalesce(F.col("risk_level"), F.lit(RISK_LEVELS[0])).isin(*RISK_LEVELS)


@dataclass(frozen=True)
class Rule:
    """One thing every Silver row must be. ``holds`` builds the condition; one that evaluates to NULL counts as broken."""

    name: str
    description: str
    holds: Callable[[DataFrame], Expression]

    def is_broken(self, silver: DataFrame) -> Expression:
        """A boolean that is never NULL."""
        return ~F.coalesce(self.holds(silver), F.lit(False))


RULES = (
    Rule("user_id_is_missing", "user_id is NULL or blank", lambda silver: _is_present("user_id", silver)),
    Rule("product_id_is_missing", "product_id is NULL or blank", lambda silver: _is_present("product_id", silver)),
    Rule("amount_is_not_money", "amount is NULL, NaN, infinite or does not fit DECIMAL(18,4)", _is_money),
    Rule("usage_cost_ratio_is_not_finite", "usage_cost_ratio is NaN or infinite", _ratio_is_finite_or_null),
    Rule(
        "risk_level_is_unknown",
        f"risk_level is none of {', '.join(RISK_LEVELS)}",
        lambda silver: _is_risk_level_or_null(),
    ),
    Rule("event_date_is_missing", "event_date is NULL", lambda silver: F.col(EVENT_DATE).isNotNull()),
)


def valid_rows(silver: DataFrame, broken_dates: Collection[dt.date | None] | None = None) -> DataFrame:
    """Silver's rows that break no rule, with Silver's columns.

    Where ``broken_dates`` is given, it names every date that has a broken row: the others are spared the test.
    """
    if broken_dates is None:
        return silver.filter(_all_rules_hold(silver))
    whole_date = F.col(EVENT_DATE).isNotNull()
    if not (broken := predicate(filter(None, broken_dates))):
        return silver.filter(whole_date)
    return silver.filter((whole_date & ~F.expr(broken)) | _all_rules_hold(silver))


def quarantined_rows(silver: DataFrame, broken_dates: Collection[dt.date | None] | None = None) -> DataFrame:
    """Silver's other rows, with Silver's columns and ``violations`` array<string>, the names of the broken rules.

    Where ``broken_dates`` is given, it names every date that has a broken row, None where rows without a date are there; where
    it names none, nothing is read.
    """
    broken = [F.when(rule.is_broken(silver), F.lit(rule.name)) for rule in RULES]
    is_broken = ~F.coalesce(_all_rules_hold(silver), F.lit(False))
    if broken_dates is not None:
        silver = silver.filter(predicate(filter(None, broken_dates), and_null=None in broken_dates) or "false")
    return silver.filter(is_broken).withColumn(VIOLATIONS, F.array_compact(F.array(*broken)))


def broken_dates(silver: DataFrame) -> set[dt.date | None]:
    """The dates that have a row that breaks a rule, None where a row has no date. Reads the columns of the contract, once."""
    holds = F.coalesce(_all_rules_hold(silver), F.lit(False))
    dates = silver.groupBy(EVENT_DATE).agg(F.bool_and(holds).alias("is_whole"))
    return {row[EVENT_DATE] for row in dates.filter("NOT is_whole").collect()}


def _all_rules_hold(silver: DataFrame) -> Expression:
    # NULL where a rule evaluates to NULL. A filter drops such a row, and quarantined_rows takes it.
    return functools.reduce(operator.and_, (rule.holds(silver) for rule in RULES))
