"""Both sides of a comparison in SQL: a row for each key, or for each distinct row, with what Silver says and what Gold has."""

import atexit
import datetime as dt
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from gold_assets.declaring.averages import same_average_sql
from gold_assets.declaring.reference import all_of, one_line
from gold_assets.declaring.select import Select
from gold_assets.declaring.source import VIOLATIONS, types_of
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.query import Among, Stream, View, query_table, rows_of_arrow
from gold_assets.delta.sql import DATAFUSION, unpruned
from gold_assets.gold.open_table import left_in_silver
from gold_assets.silver.pin import Silver

OF_ROW = "column "

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
        silver: Silver, whose rows make Gold's; where ``before`` is given, those that the patch added; where ``kept`` is, too, those of the
            keys that it made anew.
        gold: Gold's rows; where ``before`` is given and ``kept`` is not, in the files that the patch wrote.
        before: Gold's rows in the files that the patch took away. Where it made keys anew and took no file away, those before it.
        kept: where the patch made keys anew, which of the rows ``before`` it had to keep: those of all other keys.
    """

    silver: Silver
    gold: DeltaTable
    before: DeltaTable | None = None
    kept: Among | None = None

    def views(self, dates: Collection[dt.date | None]) -> dict[str, View]:
        """What the SQL of ``pairs`` reads, by name."""
        views = {"silver": self.silver.view(dates), "gold": gold_view(self.gold, dates)}
        if self.before is None:
            return views
        return {**views, "before": replace(gold_view(self.before, dates), among=self.kept)}


def gold_view(gold: DeltaTable, dates: Collection[dt.date | None]) -> View:
    """A table's rows of these dates, those without a date as None."""
    return View(gold, "*", predicate(dates) or "false")


def pairs(table: Table, sides: Sides, broken_dates: Collection[dt.date | None], only: Collection[str] = ()) -> str:
    """SQL over ``Sides.views``: a row for each key or distinct row, both sides' values, and whether they agree.

    With a key, for example, ``user_id, event_date, silver_rows, gold_rows, silver_total_spend, gold_total_spend, …, agrees``;
    else Silver's columns as ``of_row`` names them, ``silver_rows, gold_rows, agrees``. Of Silver's rows those that meet all of
    ``only``, in SQL over its columns.
    """
    if table.key and isinstance(table.select, Select):
        return _key_pairs(table, table.select, sides)
    return _row_pairs(table, _of_silver(table, sides.silver, broken_dates, only), sides)


def compared(
    table: Table,
    sides: Sides,
    views: Mapping[str, View],
    broken_dates: Collection[Any],
    sql: str,
    only: Collection[str] = (),
) -> list[dict[str, Any]]:
    """The rows of ``sql``, a SELECT from ``pairs``."""
    sql = sql.replace("FROM pairs", f"FROM ({pairs(table, sides, broken_dates, only)})")
    return answered(asked(table, sql, views, sides.silver, broken_dates, only))


def asked(
    table: Table,
    sql: str,
    views: Mapping[str, View],
    silver: Silver | None = None,
    broken_dates: Collection[Any] = (),
    only: Collection[str] = (),
) -> pa.Table:
    """What ``sql``, a SELECT, makes of the views: by DuckDB, which reads Spark's SQL best, or of the source's own rows by DataFusion.

    DuckDB gets of ``silver`` what the table's SELECT reads, of the rows that it is made from.
    """
    if not isinstance(table.select, Select):
        return query_table(sql, **views)
    read = {name: f"SELECT * FROM {name}" for name in views}
    if silver is not None:
        columns = table.source.read_sql(table.select.reads, silver.types)
        read["silver"] = f"SELECT {columns} FROM silver WHERE {_of_silver(table, silver, broken_dates, only)}"
    return by_duckdb(table, sql, **{name: Stream(read[name], **{name: view}) for name, view in views.items()})


def by_duckdb(table: Table, sql: str, **tables: pa.Table | Stream) -> pa.Table:
    """What DuckDB answers to a SELECT about ``table`` from rows by the names of the arguments, each of which it reads once.

    Raises ``Unreadable`` and ``UserError``.
    """
    import duckdb

    with _database().cursor() as db:
        db.execute("SET TimeZone = 'UTC'")
        for name, rows in tables.items():
            db.register(name, rows.reader if isinstance(rows, Stream) else rows)
        try:
            return db.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            for rows in tables.values():
                if isinstance(rows, Stream) and rows.failure is not None:
                    raise rows.failure from error
            what = f"DuckDB cannot answer what {table.name} is compared with ({reason(error)})"
            raise UserError(f"{what}: correct {one_line(table.reference)}") from error


@functools.cache
def _database() -> Any:
    """DuckDB's, one for the process: to open one takes as long as a small comparison."""
    import duckdb

    db = duckdb.connect()
    atexit.register(_database.cache_clear)  # a thread that lives on would keep it, of which DuckDB complains
    db.execute("CREATE MACRO arrow_cast(moment, type) AS CAST(moment AS TIMESTAMP)")  # as DATAFUSION writes moments
    return db


def answered(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of an answer; a sum of integers, which is a decimal in DuckDB, as one."""
    rows = rows_of_arrow(table)
    for name in [field.name for field in table.schema if field.type == pa.decimal128(38, 0)]:
        for row in rows:
            row[name] = None if row[name] is None else int(row[name])
    return rows


def _of_silver(table: Table, silver: Silver, broken_dates: Collection[Any], only: Collection[str]) -> str:
    """Which of Silver's rows the table is made from, in DataFusion's SQL; of one in Spark's SQL before its own conditions."""
    is_valid, rows = table.source.is_valid_sql(silver.types), list(only)
    if table.is_quarantine:
        rows.append(unpruned(f"NOT {is_valid}"))
    elif broken_dates:
        rows.append(unpruned(f"NOT ({predicate(broken_dates)}) OR {is_valid}"))
    if table.keeps_source_columns and (conditions := table.select.conditions(silver.types)):
        rows.append(unpruned(all_of(conditions.values())))
    return " AND ".join(rows) or "true"


def keys(table: Table) -> list[str]:
    return [*(key for key in table.key if key != EVENT_DATE), EVENT_DATE]


def fault(table: Table, gold: DeltaTable) -> str:
    """1 for a row of Gold, one of Silver's, that its table's reference would not select so, else 0, as SQL."""
    holds = list(table.invariants.values())
    own, of_gold = table.select.selected.keys() - {VIOLATIONS}, types_of(gold.schema().fields)
    if own - of_gold.keys():
        return "1"
    values = {sql_name(name): table.select.sql(name, of_gold) for name in own if table.keeps_source_columns}
    holds += table.select.conditions(of_gold).values() if table.keeps_source_columns else []
    holds += [f"coalesce({name} = ({sql}), {name} IS NULL AND ({sql}) IS NULL)" for name, sql in values.items()]
    return f"CASE WHEN {all_of(holds)} THEN 0 ELSE 1 END"


sql_name = DATAFUSION.name
"""A column's name, which may be a word of SQL such as ``order``, as DataFusion and DuckDB want it."""


def as_of_row(name: str) -> str:
    return f"{DATAFUSION.name(name)} AS {of_row(name)}"


def of_row(name: str) -> str:
    """A column of Silver's in a query that has columns of its own, whatever Silver calls it."""
    return name if name == EVENT_DATE else DATAFUSION.name(OF_ROW + name)


def types(table: DeltaTable) -> dict[str, Any]:
    return {field.name: field.type for field in table.schema().fields}


def _key_pairs(table: Table, select: Select, sides: Sides) -> str:
    """Both sides aggregated by key and joined: a key that one side lacks, or Gold has twice, does not agree."""
    key, aggregates = keys(table), select.aggregates
    of_either = ", ".join(f"coalesce(s.{sql_name(name)}, g.{sql_name(name)}) AS {sql_name(name)}" for name in key)
    both = ", ".join(
        f"s.{sql_name(name)} AS {sql_name('silver_' + name)}, g.{sql_name(name)} AS {sql_name('gold_' + name)}"
        for name in ("rows", *aggregates)
    )
    broken = "".join(f", g.gold_{name}" for name in table.invariants)
    agree = " AND ".join(_is_same(name, is_exact=name not in select.sums_of_doubles) for name in aggregates) or "true"
    silver = f"SELECT *, 1 AS rows FROM ({select.duckdb})"
    if sides.before is not None:
        silver = _and_before(table, select, silver) if sides.kept is None else _and_kept(table, select, silver)
    return f"""
        SELECT {of_either}, {both}{broken}, coalesce(s.rows > 0 AND g.rows = 1 AND {agree}, false) AS agrees
        FROM ({silver}) AS s FULL JOIN ({gold_by_key(table, "gold")}) AS g ON {on_key(table, "s", "g")}"""


def _is_same(name: str, *, is_exact: bool) -> str:
    if not is_exact:
        return same_average_sql(name, f"s.{sql_name(name)}", f"g.{sql_name(name)}", "s")
    s, g = f"s.{sql_name(name)}", f"g.{sql_name(name)}"
    return f"({s} = {g} OR ({s} IS NULL AND {g} IS NULL))"


def gold_by_key(table: Table, view: str) -> str:
    """A row for each key: ``rows``; of each column the value, or their sum where it means something; the invariants they break."""
    key = ", ".join(map(sql_name, keys(table)))
    values = [
        f"{'sum' if name in table.totals else 'max'}({sql_name(name)}) AS {sql_name(name)}"
        for name in table.select.aggregates
    ]
    broken = [
        f"count(*) FILTER (WHERE NOT coalesce({holds}, false)) AS gold_{name}"
        for name, holds in table.invariants.items()
    ]
    return f"SELECT {', '.join([key, 'count(*) AS rows', *values, *broken])} FROM {view} GROUP BY {key}"


def _and_before(table: Table, select: Select, silver: str) -> str:
    """What new rows of Silver make, combined with Gold's before, as the aggregates over Silver are."""
    key, values = keys(table), []
    for name, function in select.combined.items():
        new, before, size = f"n.{sql_name(name)}", f"b.{sql_name(name)}", sql_name(f"size_of_{name}")
        leeway = f"coalesce(n.{sql_name(f'leeway_of_{name}')}, 0) AS {sql_name(f'leeway_of_{name}')}"
        if function == "avg":
            counted_by = select.counts[name]
            values += [
                f"{_mean(before, new, counted_by)} AS {sql_name(name)}",
                f"{_mean(f'abs({before})', f'n.{size}', counted_by)} AS {size}",
                leeway,
            ]
            continue
        values.append(f"{_OF_TWO[function].format(new=new, before=before)} AS {sql_name(name)}")
        if name in select.sums_of_doubles:
            values.append(f"coalesce(abs({before}), 0) + coalesce(n.{size}, 0) AS {size}")
            values.append(leeway)
    return f"""
        SELECT {", ".join(f"coalesce(n.{sql_name(name)}, b.{sql_name(name)}) AS {sql_name(name)}" for name in key)},
            coalesce(n.rows, 0) + coalesce(b.rows, 0) AS rows, {", ".join(values)}
        FROM ({silver}) AS n FULL JOIN ({gold_by_key(table, "before")}) AS b ON {on_key(table, "n", "b")}"""


def _and_kept(table: Table, select: Select, silver: str) -> str:
    """What Gold must hold where a patch made keys anew: what Silver's rows of these keys make, and Gold's rows before of all other keys."""
    names = [*keys(table), "rows", *select.aggregates]
    sizes = [f"{prefix}_of_{name}" for name in select.sums_of_doubles for prefix in ("size", "leeway")]
    columns = ", ".join(map(sql_name, names))
    of_sizes, nulls = ("".join(f", {sql}{sql_name(name)}" for name in sizes) for sql in ("", "NULL AS "))
    return f"""
        SELECT {columns}{of_sizes} FROM ({silver})
        UNION ALL SELECT {columns}{nulls} FROM ({gold_by_key(table, "before")})"""


def _mean(before: str, new: str, counted_by: str) -> str:
    """The mean of two means, ``before`` of rows in ``b`` and ``new`` of rows in ``n``, either of which may have none."""
    count = {side: f"CAST(coalesce({side}.{sql_name(counted_by)}, 0) AS DOUBLE)" for side in "bn"}
    whole = f"({count['b']} + {count['n']})"
    mean = f"{before} * ({count['b']} / {whole}) + {new} * ({count['n']} / {whole})"
    # It lies between the two, however it is rounded.
    return f"""CASE WHEN {count["b"]} = 0 THEN {new} WHEN {count["n"]} = 0 THEN {before}
        ELSE greatest(least({before}, {new}), least(greatest({before}, {new}), {mean})) END"""


def _row_pairs(table: Table, of_silver: str, sides: Sides) -> str:
    """Distinct rows with how often each side has them. A column that one side lacks must be NULL on the other."""
    own = {column.name for column in table.columns} - {EVENT_DATE}
    left = left_in_silver(table, sides.gold, sides.silver.fields)
    of_sides = (
        [field.name for field in sides.silver.fields if field.name not in left],
        [name for name in types(sides.gold) if name not in own],
    )
    rows = f"silver WHERE {of_silver}"
    if isinstance(table.select, Select):
        rows, of_sides = f"({table.select.duckdb})", (list(table.select.types),) * 2
    names = list(dict.fromkeys([*of_sides[0], *of_sides[1]]))
    of_both = ", ".join(map(of_row, names))
    silver, gold = (
        ", ".join(as_of_row(name) if name in side else f"NULL AS {of_row(name)}" for name in names) for side in of_sides
    )
    before = "" if sides.before is None else f"UNION ALL SELECT {gold}, 1 AS s, 0 AS g, 0 AS fault FROM before"
    return f"""
        SELECT {of_both}, sum(s) AS silver_rows, sum(g) AS gold_rows, sum(fault) AS gold_fault,
            sum(s) = sum(g) AS agrees FROM (
            SELECT {silver}, 1 AS s, 0 AS g, 0 AS fault FROM {rows} {before}
            UNION ALL SELECT {gold}, 0 AS s, 1 AS g, {fault(table, sides.gold)} AS fault FROM gold
        ) GROUP BY {of_both}"""


def on_key(table: Table, left: str, right: str) -> str:
    """That two rows have the same key, in SQL."""
    # A SELECT may group by NULL.
    return " AND ".join(
        f"{left}.{sql_name(name)} IS NOT DISTINCT FROM {right}.{sql_name(name)}" for name in keys(table)
    )
