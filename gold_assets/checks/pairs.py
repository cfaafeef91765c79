"""Both sides of a comparison in SQL: a row for each key, or for each distinct row, with what Silver says and what Gold has."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable

from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.query import View
from gold_assets.delta.sql import DATAFUSION
from gold_assets.gold.averages import averaged_sql
from gold_assets.gold.declaration import KeysTwin, RowsTwin, Table
from gold_assets.gold.open_table import left_in_silver
from gold_assets.silver.contract_sql import SilverSql, unpruned
from gold_assets.silver.pin import Silver

OF_ROW = "column "

_AGREE_TO = "1e-12"
"""Of averages, relative to the mean size of what is averaged: see ``gold.addition.MOST_PATCHES``."""

_AGREE_TO_AT_LEAST = "CAST('1e-320' AS DOUBLE)"
"""Numbers below 2^-1022 have fewer digits than that asks for."""


_OF_TWO = {
    "sum": "coalesce({new} + {before}, {new}, {before})",
    "count": "coalesce({new} + {before}, {new}, {before})",
    "min": "least({new}, {before})",
    "max": "greatest({new}, {before})",
}
"""By aggregate, the value of two sides' rows, either of which may have none."""


@dataclass(frozen=True)
class Sides:
    """What is compared: Silver's rows with Gold's; and where only what a patch did is, its new rows and Gold's before it.

    Attributes:
        silver: Silver, whose rows make Gold's; where ``before`` is given, those that the patch added.
        gold: Gold's rows; where ``before`` is given, in the files that the patch wrote.
        before: Gold's rows in the files that the patch took away.
    """

    silver: Silver
    gold: DeltaTable
    before: DeltaTable | None = None

    def views(self, dates: Collection[Any], *, undated: bool) -> dict[str, View]:
        """What the SQL of ``pairs`` reads, by name."""
        views = {
            "silver": self.silver.view(dates, and_null=undated),
            "gold": gold_view(self.gold, dates, and_null=undated),
        }
        if self.before is not None:
            views["before"] = gold_view(self.before, dates, and_null=undated)
        return views


def gold_view(gold: DeltaTable, dates: Collection[Any], *, and_null: bool = False) -> View:
    """A table's rows of these dates, and those without a date where ``and_null``."""
    return View(gold, "*", predicate(dates, and_null=and_null) or "false")


def pairs(table: Table, sides: Sides, broken_dates: Collection[Any], only: Collection[str] = ()) -> str:
    """SQL over ``Sides.views``: a row for each key or distinct row, both sides' values, and whether they agree.

    Of Silver's rows those that meet all of ``only``, in SQL over its columns.
    """
    sql = SilverSql.of(sides.silver)
    rows = list(only)
    if isinstance(table.twin, RowsTwin) and not table.twin.of_valid:
        rows.append(unpruned(f"NOT {sql.is_valid}"))
    elif broken_dates:
        rows.append(unpruned(f"NOT ({predicate(broken_dates)}) OR {sql.is_valid}"))
    if isinstance(table.twin, RowsTwin) and table.twin.conditions:
        rows.append(unpruned(table.twin.condition(sql)))
    of_silver = " AND ".join(rows) or "true"
    if isinstance(table.twin, KeysTwin):
        return _key_pairs(table, table.twin, sql, of_silver, sides)
    assert table.twin is not None
    return _row_pairs(table, of_silver, sides)


def adds_up(table: Table, silver: Silver) -> bool:
    """Whether what a patch did can be told from what it added: by the SQL of each value, not by what the patch goes by."""
    if not isinstance(table.twin, KeysTwin):
        return True
    functions = _functions(table.twin, SilverSql.of(silver))
    return all(
        function in _OF_TWO or (function == "avg" and table.twin.values[name].counted_by is not None)
        for name, function in functions.items()
    )


def keys(table: Table) -> list[str]:
    return [*(key for key in table.key if key != EVENT_DATE), EVENT_DATE]


def senses(twin: KeysTwin) -> str:
    """How many rows of a key break each sense."""
    return "".join(
        f", count(*) FILTER (WHERE NOT coalesce({sense}, false)) AS gold_{name}" for name, sense in twin.senses.items()
    )


def fault(table: Table, gold: DeltaTable) -> str:
    """1 for a row of Gold that makes no sense by itself, else 0, as SQL."""
    if not isinstance(table.twin, RowsTwin) or table.twin.sense is None:
        return "0"
    own = {column.name for column in table.columns}
    if own - types(gold).keys():
        return "1"
    return f"CASE WHEN {SilverSql.over(gold.schema().fields).text(table.twin.sense[1])} THEN 0 ELSE 1 END"


def as_of_row(name: str) -> str:
    return f"{DATAFUSION.name(name)} AS {of_row(name)}"


def of_row(name: str) -> str:
    """A column of Silver's in a query that has columns of its own, whatever Silver calls it."""
    return name if name == EVENT_DATE else DATAFUSION.name(OF_ROW + name)


def types(table: DeltaTable) -> dict[str, Any]:
    return {field.name: field.type for field in table.schema().fields}


def _key_pairs(table: Table, twin: KeysTwin, sql: SilverSql, of_silver: str, sides: Sides) -> str:
    """Both sides aggregated by key and joined: a key that one side lacks, or Gold has twice, does not agree."""
    key = keys(table)
    of_either = ", ".join(f"coalesce(s.{name}, g.{name}) AS {name}" for name in key)
    both = ", ".join(f"s.{name} AS silver_{name}, g.{name} AS gold_{name}" for name in ("rows", *twin.values))
    sensed = "".join(f", g.gold_{name}" for name in twin.senses)
    functions = _functions(twin, sql)
    agree = " AND ".join(_agrees(name, is_average=function == "avg") for name, function in functions.items())
    silver = _silver_by_key(table, twin, sql, of_silver)
    if sides.before is not None:
        silver = _and_before(table, twin, sql, silver)
    gold = ", ".join(f"{value.gold} AS {name}" for name, value in twin.values.items())
    numbers = _numbers(key)
    return f"""
        SELECT {of_either}, {both}{sensed}, coalesce(s.rows > 0 AND g.rows = 1 AND {agree}, false) AS agrees
        FROM ({silver}) AS s FULL JOIN (
            SELECT {", ".join(key)}, count(*) AS rows, {gold}{senses(twin)} FROM gold GROUP BY {numbers}
        ) AS g ON {_on("s", "g", key)}"""


def _silver_by_key(table: Table, twin: KeysTwin, sql: SilverSql, of_silver: str) -> str:
    averages, others = {}, {"rows": "count(*)"}
    for name, value in twin.values.items():
        aggregate = value.aggregate(sql)
        if aggregate is not None and aggregate.function == "avg":
            averages[name] = aggregate.of
        else:
            others[name] = sql.text(value.silver)
    key = {name: twin.keys.get(name, name) for name in keys(table)}
    return averaged_sql(f"SELECT * FROM silver WHERE {of_silver}", key, averages, others)


def _and_before(table: Table, twin: KeysTwin, sql: SilverSql, silver: str) -> str:
    """What new rows of Silver make, added to Gold's before, as the aggregates over Silver add up."""
    key = keys(table)
    gold = ", ".join(f"{value.gold} AS {name}" for name, value in twin.values.items())
    values = []
    for name, function in _functions(twin, sql).items():
        new, before, counted_by = f"n.{name}", f"b.{name}", twin.values[name].counted_by
        if function == "avg" and counted_by is not None:
            values += [
                f"{_mean(before, new, counted_by)} AS {name}",
                f"{_mean(f'abs({before})', f'n.size_of_{name}', counted_by)} AS size_of_{name}",
                f"coalesce(n.leeway_of_{name}, 0) AS leeway_of_{name}",
            ]
        elif function in _OF_TWO:
            values.append(f"{_OF_TWO[function].format(new=new, before=before)} AS {name}")
        else:
            raise ValueError(f"{table.name}.{name} does not add up: ask adds_up first")
    return f"""
        SELECT {", ".join(f"coalesce(n.{name}, b.{name}) AS {name}" for name in key)},
            coalesce(n.rows, 0) + coalesce(b.rows, 0) AS rows, {", ".join(values)}
        FROM ({silver}) AS n FULL JOIN (
            SELECT {", ".join(key)}, count(*) AS rows, {gold} FROM before GROUP BY {_numbers(key)}
        ) AS b ON {_on("n", "b", key)}"""


def _mean(before: str, new: str, counted_by: str) -> str:
    """The mean of two means, ``before`` of rows in ``b`` and ``new`` of rows in ``n``, either of which may have none."""
    count = {side: f"CAST(coalesce({side}.{counted_by}, 0) AS DOUBLE)" for side in "bn"}
    whole = f"({count['b']} + {count['n']})"
    mean = f"{before} * ({count['b']} / {whole}) + {new} * ({count['n']} / {whole})"
    # It lies between the two, however it is rounded.
    return f"""CASE WHEN {count["b"]} = 0 THEN {new} WHEN {count["n"]} = 0 THEN {before}
        ELSE greatest(least({before}, {new}), least(greatest({before}, {new}), {mean})) END"""


def _agrees(name: str, *, is_average: bool) -> str:
    agree = f"s.{name} = g.{name} OR (s.{name} IS NULL AND g.{name} IS NULL)"
    if is_average:
        distance = f"{_AGREE_TO} * s.size_of_{name} + s.leeway_of_{name} + {_AGREE_TO_AT_LEAST}"
        agree += f" OR abs(s.{name} - g.{name}) <= {distance}"
    return f"({agree})"


def _functions(twin: KeysTwin, sql: SilverSql) -> dict[str, str]:
    """By value, the function that it aggregates by; empty where it is not one that is known."""
    aggregates = {name: value.aggregate(sql) for name, value in twin.values.items()}
    return {name: "" if found is None else found.function for name, found in aggregates.items()}


def _row_pairs(table: Table, of_silver: str, sides: Sides) -> str:
    """Distinct rows with how often each side has them. A column that one side lacks must be NULL on the other."""
    own = {column.name for column in table.columns} - {EVENT_DATE}
    left = left_in_silver(table, sides.gold, sides.silver.fields)
    of_sides = (
        [field.name for field in sides.silver.fields if field.name not in left],
        [name for name in types(sides.gold) if name not in own],
    )
    names = list(dict.fromkeys([*of_sides[0], *of_sides[1]]))
    of_both = ", ".join(map(of_row, names))
    silver, gold = (
        ", ".join(as_of_row(name) if name in side else f"NULL AS {of_row(name)}" for name in names) for side in of_sides
    )
    before = "" if sides.before is None else f"UNION ALL SELECT {gold}, 1 AS s, 0 AS g, 0 AS fault FROM before"
    return f"""
        SELECT {of_both}, sum(s) AS silver_rows, sum(g) AS gold_rows, sum(fault) AS gold_fault,
            sum(s) = sum(g) AS agrees FROM (
            SELECT {silver}, 1 AS s, 0 AS g, 0 AS fault FROM silver WHERE {of_silver} {before}
            UNION ALL SELECT {gold}, 0 AS s, 1 AS g, {fault(table, sides.gold)} AS fault FROM gold
        ) GROUP BY {of_both}"""


def _numbers(key: list[str]) -> str:
    return ", ".join(str(number + 1) for number in range(len(key)))


def _on(left: str, right: str, key: list[str]) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in key)
