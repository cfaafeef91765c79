"""Expressions of Spark SQL over a few odd rows, and what Spark says they are: kept in ``spark_answers.json``.

``GOLD_ENGINE=spark python -m gold_assets_tests.declaring.spark_answers`` asks Spark anew, with the text as it is written here.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from gold_assets_tests.small_silver import MONDAY, TUESDAY

ANSWERS = Path(__file__).with_suffix(".json")
_TOGETHER = 25
"""So many expressions in one query, which an engine plans sooner than as many queries."""

COLUMNS = {
    "id": "integer",
    "g": "string",
    "s": "string",
    "x": "double",
    "y": "double",
    "f": "float",
    "i": "integer",
    "b": "long",
    "d": "decimal(18,4)",
    "e": "decimal(10,2)",
    "p": "boolean",
    "day": "date",
    "t": "timestamp",
    "event_date": "date",
}

_NAN, _INF = "NaN", "Infinity"
_ROWS = """
1|plain|apple|1.5|2.0|0.5|3|4|1.5|2.25|true|2024-02-29|2024-02-29 13:14:15
2|plain|Banana|2.25|-0.5|-1.25|-7|12|-2.25|0.01|false|2023-12-31|2023-12-31 00:00:00
3|plain|apple|-3.75|0.0|2.0|0|0|10.0001|2.25|true|2024-01-01|2024-01-01 23:59:59.999
4|plain| a b |0.0|-0.0|0.0|5|-5|0|-1.50|\\N|1970-01-01|1970-01-01 00:00:00
5|nulls|\\N|\\N|\\N|\\N|\\N|\\N|\\N|\\N|\\N|\\N|\\N
6|nulls|b|\\N|1.0|\\N|2|\\N|3.5|\\N|false|2000-03-01|\\N
7|nulls||4.0|\\N|1.0|\\N|9|\\N|7.77|\\N|\\N|2020-02-29 12:00:00
8|nan|x1|NaN|1.0|NaN|1|1|1|1|true|1969-12-31|1969-12-31 23:59:59
9|nan|12|5.0|NaN|1.0|2|2|2|2|true|1900-02-28|1900-03-01 00:00:00
10|only_nan|z|NaN|NaN|NaN|0|0|0|0|false|2024-06-30|2024-06-30 06:30:00
11|infinite|ü€😀|Infinity|-Infinity|Infinity|1|1|0.0001|0.01|true|2024-12-30|2024-12-30 01:00:00
12|infinite|O'Brien|-1.0|3.0|-Infinity|1|1|0.0001|0.01|true|2025-01-05|2025-01-05 02:00:00
13|both_infinities|a%b|Infinity|1.0|1.0|1|1|1|1|true|9999-12-31|9999-12-31 00:00:00
14|both_infinities|a_b|-Infinity|1.0|1.0|1|1|1|1|true|0001-01-01|1582-10-15 00:00:00
15|extreme|zz|1e300|1e-300|3.4e38|2147483647|1152921504606846976|99999999999999.9999|99999999.99|true|2024-03-31|2024-03-31 02:30:00
16|extreme|{}|-1e300|5e-324|-3.4e38|-2147483648|-1152921504606846976|-99999999999999.9999|-99999999.99|false|2024-10-27|2024-10-27 02:30:00
17|large|A|4294967296.0|4294967295.5|16777216.0|1000000|1000000000000|123456.7891|12.34|true|2024-05-05|2024-05-05 05:05:05
18|large|a|8589934592.25|1125899906842624.0|16777215.0|-1000000|-3|-0.0001|-0.01|false|2024-05-05|2024-05-05 05:05:05
19|\\N|null|1.0|1.0|1.0|1|1|1|1|true|2024-01-07|2024-01-07 00:00:00
20|\\N|ßİıΣςﬁǆÀ|-0.0|0.0|-0.0|1|1|1|1|\\N|2024-01-06|2024-01-06 00:00:00
"""


def rows() -> pa.Table:
    """The odd rows, which have every group on two dates."""
    arrow = {
        "integer": pa.int32(), "string": pa.string(), "double": pa.float64(), "float": pa.float32(), "long": pa.int64(),
        "decimal(18,4)": pa.decimal128(18, 4), "decimal(10,2)": pa.decimal128(10, 2), "boolean": pa.bool_(),
        "date": pa.date32(), "timestamp": pa.timestamp("us", "UTC"),
    }  # fmt: skip
    lines = [line.split("|") for line in _ROWS.strip().splitlines()]
    columns: dict[str, pa.Array] = {}
    for place, (name, type) in enumerate(list(COLUMNS.items())[:-1]):
        texts = pa.array([None if line[place] == "\\N" else line[place] for line in lines], pa.string())
        if type == "timestamp":
            columns[name] = texts.cast(pa.timestamp("us")).cast(arrow[type])
        else:
            columns[name] = (
                texts.cast(arrow["double"]).cast(arrow[type]) if type == "float" else texts.cast(arrow[type])
            )
    columns["event_date"] = pa.array([(MONDAY, TUESDAY)[number % 7 == 6] for number in range(len(lines))])
    return pa.table(columns)


_NUMBERS = ("x", "y", "f", "i", "b", "d", "e")
_ALL = ("s", *_NUMBERS, "p", "day", "t")

SCALARS = [
    *_ALL,
    *(f"{a} + {b}" for a, b in ("xy", "xf", "xi", "ib", "id", "de", "xd", "bb", "ff")),
    *(f"{a} - {b}" for a, b in ("xy", "xb", "ib", "ed", "dd", "fi")),
    *(f"{a} * {b}" for a, b in ("xy", "xi", "ee", "de", "fd", "ie")),
    *(f"{a} / {b}" for a, b in ("xy", "xi", "ib", "bi", "yx", "xd", "dx", "if", "fe")),
    "x + 1", "x + 0.1", "x * 2.5", "x / 3", "x / 0", "i / 2", "b / 3", "i / 0", "i + 1L", "i * 2L", "d + 1", "d + 0.5", "e * 2", "e - 0.001", "1 / x", "(x + y) * 2", "x - (y - 1)",
    "i % 3", "b % 5", "i % i", "b % 0", "-x", "-b % 7", "-d", "-e", "abs(x)", "abs(f)", "abs(d)", "abs(e)", "abs(-7)", "abs(b)",
    *(f"{f}({c})" for f in ("floor", "ceil") for c in ("x", "y", "f", "i", "b", "x / 2")),
    *(f"{a} {op} {b}" for op in ("=", "<>", "<", "<=", ">", ">=", "<=>") for a, b in ("xy", "xf", "ib", "de", "xi", "xd", "ss", "pp")),
    "x = 0", "x > 1.5", "x >= 0.1", "x < -1", "i > 2.5", "i = 3", "d > 1", "d <= 1.50001", "e = 2.25", "x = x", "x <> x", "y > 1e300", "0 < x",
    "s = 'apple'", "s <> 'apple'", "s < 'b'", "s > 'A'", "s = ''", "s = 'O\\'Brien'", "s = '{}'", "s >= 'a' AND s <= 'z'",
    "p", "NOT p", "p AND x > 1", "p OR x > 1", "p = true", "p IS NULL", "p IS TRUE", "p IS FALSE", "p IS NOT TRUE", "x IS NULL", "s IS NOT NULL", "d IS NULL",
    "x BETWEEN 0 AND 2", "i BETWEEN -7 AND 2", "s BETWEEN 'a' AND 'b'", "NOT i BETWEEN 1 AND 2", "d BETWEEN 0 AND 10", "day BETWEEN '2024-01-01' AND '2024-12-31'",
    "i IN (1, 2, 3)", "x IN (1.5, 2.25)", "s IN ('apple', 'b')", "i NOT IN (1, 2)", "i IN (1, NULL)", "d IN (1, 1.5)", "x IN (0)", "s NOT IN ('a', NULL)",
    "s LIKE 'a%'", "s LIKE '%a%'", "s LIKE '_'", "s LIKE 'a%b'", "s NOT LIKE '%1'", "s LIKE '___'", "s LIKE ''", "s LIKE '%'",
    "CASE WHEN x > 1 THEN 'high' WHEN x > 0 THEN 'low' ELSE 'none' END", "CASE WHEN p THEN i END", "CASE s WHEN 'apple' THEN 1 WHEN 'b' THEN 2 ELSE 0 END", "CASE WHEN p THEN x ELSE i END", "CASE WHEN i > 0 THEN d ELSE e END",
    "CASE i WHEN 1 THEN 'one' WHEN NULL THEN 'null' END", "CASE WHEN p THEN 1 ELSE 2.5 END", "CASE x WHEN 0 THEN 'zero' END",
    "if(x > 1, 1, 0)", "if(p, s, 'none')", "if(x > y, x, y)", "coalesce(x, 0)", "coalesce(s, 'none')", "coalesce(i, b)", "coalesce(d, e)", "nvl(x, y)", "ifnull(s, 'x')", "coalesce(p, false)", "coalesce(x, y, 1)",
    "nullif(i, 0)", "nullif(x, 0)", "nullif(s, '')", "nullif(x, y)", "isnan(x)", "isnan(f)", "isnan(x + y)",
    "CAST(i AS BIGINT)", "CAST(i AS DOUBLE)", "CAST(b AS DOUBLE)", "CAST(d AS DOUBLE)", "CAST(e AS DOUBLE)", "CAST(x AS INT)", "CAST(x AS BIGINT)", "CAST(y AS INT)", "CAST(f AS BIGINT)", "CAST(x / 2 AS INT)", "CAST(f AS DOUBLE)", "CAST(e AS DECIMAL(18,4))", "CAST(i AS DECIMAL(12,2))",
    "CAST(i AS STRING)", "CAST(b AS STRING)", "CAST(day AS STRING)", "CAST(t AS DATE)", "CAST(p AS INT)", "int(x)", "double(i)", "date(t)", "to_date(t)", "CAST('1.5' AS DOUBLE)", "CAST(NULL AS DOUBLE)",
    *(f"{f}(day)" for f in ("year", "month", "day", "quarter", "dayofweek", "dayofyear", "weekofyear", "dayofmonth")),
    *(f"{f}(t)" for f in ("year", "month", "day", "hour", "minute", "dayofweek", "weekofyear", "quarter")),
    "day = '2024-01-01'", "day > DATE '2000-01-01'", "day >= event_date", "datediff(day, event_date)", "datediff(event_date, day)", "CAST(t AS DATE) = day", "t = t", "day IN ('2024-01-01', '1970-01-01')",
    "length(s)", "trim(s)", "concat(s, '-', s)", "s || 'x'", "concat('a', 'b')", "substring(s, 1, 2)", "substr(s, 2)", "substring(s, 2, 100)", "startswith(s, 'a')", "contains(s, 'a')", "length(trim(s))",
    "1", "1.5", "'text'", "true", "-1", "1e3", "3L", "2.5D", "DATE '2024-02-29'", "10BD",
]  # fmt: skip

AGGREGATES = [
    "count(*)", "count(1)", *(f"count({c})" for c in _ALL), *(f"count(DISTINCT {c})" for c in _ALL),
    *(f"{f}({c})" for f in ("min", "max") for c in _ALL), *(f"sum({c})" for c in _NUMBERS), *(f"avg({c})" for c in ("x", "y", "f", "i", "b")),
    "bool_and(p)", "bool_or(p)", "bool_and(x > 0)", "bool_or(x > 0)", "count_if(p)", "count_if(x > 1)", "count_if(s = 'apple')",
    "sum(x * y)", "sum(x + 1)", "sum(i * 3)", "sum(i + 1L)", "sum(d * 2)", "sum(d + e)", "sum(-x)", "sum(abs(x))", "sum(i) + count(*)", "sum(x) / count(x)", "sum(i) / count(*)", "avg(x) * 2", "sum(x) - avg(x)",
    "avg(x + y)", "avg(CAST(d AS DOUBLE))", "avg(i / 2)", "min(x + y)", "max(-x)", "max(x) - min(x)", "max(s)", "min(length(s))", "max(day)", "datediff(max(day), min(day))",
    "count(*) FILTER (WHERE p)", "sum(x) FILTER (WHERE i > 0)", "avg(x) FILTER (WHERE p)", "min(s) FILTER (WHERE s > 'b')", "count(DISTINCT s) FILTER (WHERE p)", "sum(d) FILTER (WHERE d > 0)", "max(x) FILTER (WHERE NOT isnan(x))",
    "sum(CASE WHEN p THEN x ELSE 0 END)", "sum(CASE WHEN p THEN 1 ELSE 0 END)", "sum(if(x > 1, d, 0))", "count(CASE WHEN x > 1 THEN 1 END)", "sum(coalesce(x, 0))", "count(DISTINCT CASE WHEN p THEN s END)", "sum(CASE WHEN s = 'apple' THEN i END)",
    "CASE WHEN count(*) > 2 THEN 'many' ELSE 'few' END", "coalesce(sum(x), 0)", "if(sum(i) > 0, sum(i), NULL)", "count(*) > 2", "sum(x) > sum(y)", "max(i) IS NULL", "CAST(sum(i) AS DOUBLE)", "count(x) / count(*)", "sum(d) - sum(e)", "CAST(avg(x) AS INT)",
    "count_if(x > y) / count(*)", "sum(b)", "count(DISTINCT x + y)", "count(DISTINCT length(s))", "count(DISTINCT year(day))", "max(DISTINCT i)", "min(CAST(t AS DATE))", "trim(max(s))", "g", "length(g)", "max(f) / 2",
    "min(i <=> b)", "max(CASE WHEN day <> event_date THEN day ELSE DATE '2024-01-02' END)", "count(CASE WHEN i NOT IN (0, NULL) THEN event_date ELSE DATE '2024-01-02' END)",
]  # fmt: skip


def selects(expressions: list[str], key: str, grouped: str) -> list[tuple[list[str], str]]:
    """The expressions as a few SELECTs, in which they are ``v0``, ``v1`` and so on after the ``key``."""
    slices = [expressions[start : start + _TOGETHER] for start in range(0, len(expressions), _TOGETHER)]
    return [
        (
            some,
            f"SELECT {key}, event_date, {', '.join(f'{of} AS v{n}' for n, of in enumerate(some))} FROM odd {grouped}",
        )
        for some in slices
    ]


def all_selects() -> list[tuple[list[str], str]]:
    """The SELECTs of the scalar expressions, then of the aggregates."""
    return selects(SCALARS, "id AS k", "") + selects(AGGREGATES, "g AS k", "GROUP BY g, event_date")


def by_expression(expressions: list[str], table: pa.Table) -> dict[str, list[str]]:
    """What each expression is, row by row in the order of keys and dates, as texts that tell NaN, NULL and types apart."""
    table = table.sort_by([("k", "ascending"), ("event_date", "ascending")])
    return {of: list(map(_text, table[f"v{number}"].to_pylist())) for number, of in enumerate(expressions)}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return repr(value + 0.0)
    return f"{type(value).__name__} {value}"


def ask_spark(session: SparkSession) -> dict[str, list[str]]:
    """What Spark says of all of them, of a float as the double that it is."""
    answers: dict[str, list[str]] = {}
    session.createDataFrame(rows()).selectExpr("* EXCEPT (f)", "double(f) AS f").createOrReplaceTempView("odd")
    for expressions, sql in all_selects():
        answers |= by_expression(expressions, session.sql(sql).toArrow())
    return answers


if __name__ == "__main__":
    from gold_assets_tests.conftest import new_engine

    started = new_engine()
    text = ",\n".join(f"{json.dumps(of)}: {json.dumps(found)}" for of, found in ask_spark(started.session).items())  # type: ignore[attr-defined]
    ANSWERS.write_text(f"{{\n{text}\n}}\n")
    started.close()
