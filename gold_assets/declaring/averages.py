"""Averages that are the same, to the last bit, in whatever order the rows come and whichever engine adds them up.

A sum of doubles depends on the order: that of a million is off by 1e-11, otherwise in each layout of the files. So each double is cut
into whole numbers, and these are summed::

    x = l0 + l1 * 2^-32 + l2 * 2^-64 + l3 * 2^-96 + rest        |x| < 2^32, each |l| < 2^32, |rest| < 2^-96

- Nothing is lost in cutting: a double less its whole part is a double, and so is that times 2^32.
- The rest is 0 where x is 0 or, in size, 2^-44 or more (5.7e-14): the last of its 53 bits stands for 2^-96 or more.
- A lane of fewer than 2^31 rows sums up to less than 2^63, which a BIGINT holds. The average of more is NULL, for checks to find.
- Once the carries of the four sums are done, their digits are those of the exact sum. They are added as doubles, the highest
  first: exactly, until 53 bits are full; what comes then is less than the last of these, so the sum is within 2^-52 of its own
  size. With the division the average is within 3 * 2^-53, and nearly always it is the exact one, correctly rounded.

What the lanes do not hold is summed as doubles: the rests, and the numbers from 2^32 on, as so many times 2^32, so that the sum
of finite numbers is finite. So is their average: k times the largest double is k * 2^1024 less at least the sum's last bit,
however it is rounded on the way. Another order of k of them changes the average by up to k * 2^-52 of their mean size.

It is one text of SQL on all engines, for Gold and for its checks, which have to agree on large dates too. Where a check does no more
than hold an average against Gold's, to 1e-12 of the mean size of its values, DuckDB adds up by Kahan's sum in place of the lanes, in
half the time: within 2^-51 of that size, however many rows, and a mistake in the lanes is none of its own.
"""

import functools
import math
from collections.abc import Collection, Mapping, Sequence

import sqlglot
from pyspark.sql import DataFrame

from gold_assets.delta.sql import DATAFUSION

_LANES = 4
_MOST_ROWS = 2**31
_UNIT = 2**32
_UNIT_OF_REST = 2.0 ** (32 * _LANES)
_AGREE_TO = "1e-12"
_AGREE_TO_AT_LEAST = "CAST('1e-320' AS DOUBLE)"
"""Numbers below 2^-1022 have fewer digits than that asks for."""


def averaged(
    rows: DataFrame, key: Sequence[str], averages: Mapping[str, str], aggregates: Mapping[str, str]
) -> DataFrame:
    """The rows by ``key``, with an average of each of these doubles and other aggregates, expressions by name in SQL.

    An average is NULL where all its values are.
    """
    by_key = averaged_sql("SELECT * FROM rows_to_group", {name: name for name in key}, averages, aggregates)
    names = [*key, *averages, *aggregates]
    return rows.sparkSession.sql(in_dialect(by_key, "spark").replace("rows_to_group", "{rows}"), rows=rows).select(
        *names
    )


@functools.lru_cache
def in_dialect(by_key: str, dialect: str) -> str:
    """What ``averaged_sql`` gives in an engine's words. Kept, for to translate it takes a third of the time of a small patch."""
    return sqlglot.transpile(by_key, read="duckdb", write=dialect)[0]


def averaged_sql(
    rows: str,
    key: Mapping[str, str],
    averages: Mapping[str, str],
    aggregates: Mapping[str, str],
    totals: Collection[str] = (),
    by_kahan: Collection[str] = (),
) -> str:
    """The same as SQL over ``rows``, a SELECT. ``key``, ``averages`` and ``aggregates`` are expressions by name.

    Of the averages named in ``totals`` the sum is there in place of the average. Those in ``by_kahan``, which DuckDB alone can
    work out, may have other last bits. Beside each is ``size_of_`` it, the
    mean size of its values, of a sum the sum of their sizes, and ``leeway_of_`` it, by how much another order of the rows
    may change it. Of an average both are finite.
    """
    parts = {name: _Parts(name, is_total=name in totals, by_kahan=name in by_kahan) for name in averages}

    def added(templates: Mapping[str, str]) -> str:
        return "".join(
            f", {sql.format_map(each)} AS {each[part]}"
            for each in parts.values()
            for part, sql in templates.items()
            if part not in each.without
        )

    values = "".join(f", CAST({of} AS DOUBLE) AS {parts[name]['value']}" for name, of in averages.items())
    cut = f"SELECT *{values} FROM ({rows})"
    for part, sql in _CUT.items():
        cut = f"SELECT *{added({part: sql})} FROM ({cut})"
    selected = ", ".join(f"{sql} AS {name}" for name, sql in {**key, **aggregates}.items())
    by_key = f"SELECT {selected}{added(_SUMS)} FROM ({cut}) GROUP BY {', '.join(str(n + 1) for n in range(len(key)))}"
    for part, sql in _CARRIED.items():
        by_key = f"SELECT *{added({part: sql})} FROM ({by_key})"
    found = "".join(
        f", {sql.format_map(each)} AS {prefix}{name}" for name, each in parts.items() for prefix, sql in _FOUND.items()
    )
    return f"SELECT {', '.join([*key, *aggregates])}{found} FROM ({by_key})"


def _double(number: float) -> str:
    return f"CAST('{float(number)!r}' AS DOUBLE)"


class _Parts(dict[str, str]):
    """What an average is made of on the way, in SQL: numbers, and columns of names that no table's own column has."""

    def __init__(self, name: str, *, is_total: bool, by_kahan: bool) -> None:
        self._name, self.without = name, _OF_LANES if by_kahan else {"kahan"}
        count = self["count"]
        by = _double(1) if is_total else count
        super().__init__(
            unit=_double(_UNIT),
            zero=_double(0),
            divisor=f"(CASE WHEN {count} > 0 AND {count} < {_MOST_ROWS} THEN {by} END)",
            times=count if is_total else _double(1),
            mean_size=f"coalesce({self['size']}, 0) * {_double(_UNIT)}",
            last_bit=_double(2.0**-52),
            unit_of_rest=_double(_UNIT_OF_REST),
            most_of_rest=_double(_UNIT / _UNIT_OF_REST),
        )
        self["total"] = self["kahan"] if by_kahan else _TOTAL.format_map(self)

    def __missing__(self, part: str) -> str:
        return DATAFUSION.name(f"{self._name}, {part}")


_CUT = {
    "held_0": "CASE WHEN abs({value}) < {unit} THEN {value} ELSE {zero} END",
    **{f"held_{n + 1}": f"({{held_{n}}} - CAST({{held_{n}}} AS BIGINT)) * {{unit}}" for n in range(_LANES)},
}
"""What the lanes hold, and after each step what is left of it, as so many times 2^32."""

_BEYOND = "CASE WHEN abs({value}) >= {unit} THEN {value} / {unit} END"
_SUMS = {
    "count": "count({value})",
    "size": "avg(abs({value}) / {unit})",
    "beyond": f"sum({_BEYOND})",
    "count_beyond": f"count({_BEYOND})",
    **{f"lane_{n}": f"CAST(sum(CAST({{held_{n}}} AS BIGINT)) AS BIGINT)" for n in range(_LANES)},
    "rest": f"sum({{held_{_LANES}}})",
    "kahan": "fsum({held_0})",
}

_TOTAL = "CAST({total_0} AS DOUBLE)"
for _n in range(1, _LANES):
    _TOTAL = f"({_TOTAL} + ({{total_{_n}}} & {_UNIT - 1}) / {_double(2.0 ** (32 * _n))})"
_TOTAL = f"({_TOTAL} + {{rest}} / {{unit_of_rest}})"
_CARRIED = {
    f"total_{_LANES - 1}": f"{{lane_{_LANES - 1}}}",
    **{f"total_{n}": f"({{total_{n + 1}}} >> 32) + {{lane_{n}}}" for n in reversed(range(_LANES - 1))},
    "mean": "{total} / {divisor}",
}
"""Each lane's sum with what the one below it carries, and the average of what the lanes hold."""

_OF_LANES = {*_CUT, *_SUMS, *_CARRIED} - {"held_0", "count", "size", "beyond", "count_beyond", "kahan", "mean"}

_FOUND = {
    "": "coalesce({beyond} / {divisor} * {unit} + {mean}, {mean})",
    "size_of_": "{mean_size} * {times}",
    "leeway_of_": "({count_beyond} * ({mean_size} * {last_bit}) + {count} * (least({mean_size}, {most_of_rest}) * {last_bit})) * {times}",
}


def same_average_sql(name: str, one: str, other: str, silver: str = "") -> str:
    """That two values of the average, or sum of doubles, ``name`` are the same, NULL counting as one: the one definition.

    They agree to 1e-12 of the mean size of its values, of a sum of all their sizes, see ``gold.combine.MOST_PATCHES``; and to
    the leeway that the order of the rows has besides. Both are in ``silver``, the alias of a row of ``averaged_sql``. Where
    no row of Silver is at hand, the larger of the two values is the least that the size can be.
    """
    size, leeway = f"greatest(abs({one}), abs({other}))", "0"
    if silver:
        size, leeway = (
            f"coalesce({silver}.{DATAFUSION.name(f'size_of_{name}')}, {size})",
            f"coalesce({silver}.{DATAFUSION.name(f'leeway_of_{name}')}, 0)",
        )
    apart = f"abs({one} - {other})"
    near = f"{apart} <= {_AGREE_TO} * {size} + {leeway} + {_AGREE_TO_AT_LEAST}"
    # NaN and the infinities are near nothing, whatever a size that is one of them allows.
    return f"({one} = {other} OR ({one} IS NULL AND {other} IS NULL) OR ({apart} < {_double(math.inf)} AND {near}))"
