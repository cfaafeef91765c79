"""The contract once more, as SQL on DataFusion, by none of the code in ``contract``: what the checks go by."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal

from deltalake import Field

from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.types import type_name
from gold_assets.silver.pin import Silver

_IS_MONEY_AS_DOUBLE = "abs(CAST(amount AS DOUBLE) * 1e4) < 1e18"  # NaN is larger than every number
_IS_MONEY_AS_DECIMAL = "abs(TRY_CAST(amount AS DECIMAL(38, 4))) < 100000000000000"
_SPEND_AS_DOUBLE = """sum(CAST(TRY_CAST(round(CAST(amount AS DOUBLE) * 1e4) AS BIGINT) AS DECIMAL(20, 0)))
    * CAST('0.0001' AS DECIMAL(4, 4))"""
_SPEND_AS_DECIMAL = "sum(TRY_CAST(amount AS DECIMAL(38, 4)))"


@dataclass(frozen=True)
class SilverSql:
    """SQL over a table ``silver`` with Silver's columns, whose types by name decide how it reads."""

    types: Mapping[str, str]

    @classmethod
    def of(cls, silver: Silver) -> "SilverSql":
        """SQL for the columns that ``silver`` has."""
        return cls.over(silver.fields)

    @classmethod
    def over(cls, fields: Iterable[Field]) -> "SilverSql":
        """SQL for columns of Silver, in a table that keeps them."""
        return cls({field.name: type_name(field) for field in fields})

    def text(self, sql: "Sql") -> str:
        """What is declared in SQL, for these columns."""
        return sql if isinstance(sql, str) else sql(self)

    @property
    def _amount_is_exact(self) -> bool:
        return self.types["amount"] not in ("double", "float")

    @property
    def money_sum(self) -> str:
        """The sum of ``amount`` over valid rows, exact. An aggregate."""
        return _SPEND_AS_DECIMAL if self._amount_is_exact else _SPEND_AS_DOUBLE

    @property
    def ratio(self) -> str:
        """``usage_cost_ratio`` as a double, of a decimal the nearest one: DataFusion rounds a decimal twice, and its text once."""
        is_decimal = self._scale_of_ratio is not None
        return f"CAST({'CAST(usage_cost_ratio AS VARCHAR)' if is_decimal else 'usage_cost_ratio'} AS DOUBLE)"

    def ratio_is_below(self, limit: str) -> str:
        """That ``usage_cost_ratio`` is less than a number: a decimal as the decimal that it is, anything else as a double."""
        if (scale := self._scale_of_ratio) is None:
            return f"CAST(usage_cost_ratio AS DOUBLE) < {limit}"
        # In the column's own scale: DataFusion fails to rescale a decimal that is too wide.
        least_above = Decimal(limit).quantize(Decimal(1).scaleb(-scale), ROUND_CEILING, Context(38))
        return f"usage_cost_ratio < CAST('{least_above}' AS DECIMAL(38, {scale}))"

    @property
    def _scale_of_ratio(self) -> int | None:
        """Where it is a decimal."""
        found = re.fullmatch(r"decimal\(\d+,\s*(\d+)\)", self.types.get("usage_cost_ratio", ""))
        return None if found is None else int(found[1])

    @property
    def rules_hold(self) -> str:
        """The contract, as a condition that is NULL where a rule evaluates to NULL."""
        is_money = _IS_MONEY_AS_DECIMAL if self._amount_is_exact else _IS_MONEY_AS_DOUBLE
        return f"""{self._is_present("user_id")} AND {self._is_present("product_id")} AND {is_money}
        AND (usage_cost_ratio IS NULL OR abs(CAST(usage_cost_ratio AS DOUBLE)) < CAST('Infinity' AS DOUBLE))
        AND coalesce(risk_level, 'low') IN ('low', 'medium', 'high') AND {EVENT_DATE} IS NOT NULL"""

    @property
    def is_valid(self) -> str:
        """The contract, as a condition that is never NULL."""
        return f"coalesce({self.rules_hold}, false)"

    def _is_present(self, column: str) -> str:
        if self.types[column] != "string":
            return f"{column} IS NOT NULL"
        # Every blank sorts before '!': most rows are spared the trim, which is what costs.
        return f"({column} >= '!' OR btrim({column}, e' \\t\\r\\n') <> '')"


Sql = str | Callable[[SilverSql], str]
"""SQL over Silver's columns; a function where their types matter."""


def unpruned(condition: str) -> str:
    """The condition, false where it is NULL, that DataFusion keeps away from the files' statistics.

    They leave out NaN: a file of 0.1 and NaN has 0.1 as its least and its largest value, and DataFusion 55 takes all its rows
    for ones that meet ``x = 0.1`` (apache/datafusion#15812). A condition on something volatile stays above the scan.
    """
    return f"coalesce({condition}, random() > 1)"
