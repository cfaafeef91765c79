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

It is here twice, in PySpark for Gold and in SQL on DataFusion for its checks, which have to agree on large dates too.
"""

from collections.abc import Collection, Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gold_assets.delta.sql import DATAFUSION

_LANES = 4
_MOST_ROWS = 2**31
_UNIT = 2**32
_UNIT_OF_REST = 2.0 ** (32 * _LANES)
_AGREE_TO = "1e-12"
_AGREE_TO_AT_LEAST = "CAST('1e-320' AS DOUBLE)"
"""Numbers below 2^-1022 have fewer digits than that asks for."""


def averaged(rows: DataFrame, key: Sequence[str], averages: Mapping[str, Column], *aggregates: Column) -> DataFrame:
    """The rows by ``key``, with an average of each of these doubles under its name, and other aggregates.

    An average is NULL where all its values are.
    """
    # In steps, since the engine would plan for longer than it computes if all were one expression.
    rows = rows.withColumns({_part(name, "value"): value for name, value in averages.items()})
    rows = rows.withColumns({_part(name, "held"): _held(F.col(_part(name, "value"))) for name in averages})
    sums = {
        _part(name, part): total
        for name in averages
        for part, total in _sums(F.col(_part(name, "value")), F.col(_part(name, "held"))).items()
    }
    by_key = rows.groupBy(*key).agg(*(total.alias(name) for name, total in sums.items()), *aggregates)
    return by_key.withColumns({name: _average(name) for name in averages}).drop(*sums)


def _held(value: Column) -> Column:
    """What the lanes hold: the value, or 0 in its place."""
    return F.when(F.abs(value) < F.lit(float(_UNIT)), value).otherwise(F.lit(0.0))


def _sums(value: Column, held: Column) -> dict[str, Column]:
    sums = {
        "count": F.count(value),
        "beyond": F.sum(F.when(F.abs(value) >= F.lit(float(_UNIT)), value / F.lit(float(_UNIT)))),
    }
    for lane in range(_LANES):
        whole = held.cast("bigint")
        sums[f"lane_{lane}"] = F.sum(whole)
        held = (held - whole) * F.lit(float(_UNIT))
    return sums | {"rest": F.sum(held)}


def _average(name: str) -> Column:
    total = F.lit(0)
    digits = []
    for lane in reversed(range(_LANES)):
        total = F.shiftright(total, 32) + F.col(_part(name, f"lane_{lane}"))
        digits.append(total.bitwiseAND(F.lit(_UNIT - 1)))
    total = total.cast("double")
    for place, digit in enumerate(reversed(digits[:-1]), start=1):
        total = total + digit / F.lit(2.0 ** (32 * place))
    count = F.col(_part(name, "count"))
    count = F.when((count > F.lit(0)) & (count < F.lit(_MOST_ROWS)), count)
    held = (total + F.col(_part(name, "rest")) / F.lit(_UNIT_OF_REST)) / count
    beyond = F.col(_part(name, "beyond")) / count
    return F.coalesce(beyond * F.lit(float(_UNIT)) + held, held)


def averaged_sql(
    rows: str,
    key: Mapping[str, str],
    averages: Mapping[str, str],
    aggregates: Mapping[str, str],
    totals: Collection[str] = (),
) -> str:
    """The same as SQL over ``rows``, a SELECT. ``key``, ``averages`` and ``aggregates`` are expressions by name.

    Of the averages named in ``totals`` the sum is there in place of the average. Beside each is ``size_of_`` it, the
    mean size of its values, of a sum the sum of their sizes, and ``leeway_of_`` it, by how much another order of the rows
    may change it. Of an average both are finite.
    """
    sums = {_quoted(name, part): total for name in averages for part, total in _sums_sql(name).items()}
    selected = ", ".join(f"{sql} AS {name}" for name, sql in {**key, **aggregates, **sums}.items())
    values = "".join(f", CAST({of} AS DOUBLE) AS {_quoted(name, 'value')}" for name, of in averages.items())
    cut = f"SELECT *{values} FROM ({rows})"
    for step in range(_LANES + 1):
        held = "".join(f", {_held_sql(name, step)} AS {_quoted(name, f'held_{step}')}" for name in averages)
        cut = f"SELECT *{held} FROM ({cut})"
    summed = f"SELECT {selected} FROM ({cut}) GROUP BY {', '.join(str(number + 1) for number in range(len(key)))}"
    for lane in reversed(range(_LANES - 1)):
        carried = "".join(f", {_carried_sql(name, lane)} AS {_quoted(name, f'total_{lane}')}" for name in averages)
        summed = f"SELECT *{carried} FROM ({summed})"
    held = "".join(f", {_mean_held_sql(name, name in totals)} AS {_quoted(name, 'mean')}" for name in averages)

    def times(name: str) -> str:
        return f" * {_quoted(name, 'count')}" if name in totals else ""

    found = "".join(
        f", {_average_sql(name, name in totals)} AS {name}, {_size_sql(name)}{times(name)} AS size_of_{name}, ({_leeway_sql(name)}){times(name)} AS leeway_of_{name}"
        for name in averages
    )
    return f"SELECT {', '.join([*key, *aggregates])}{found} FROM (SELECT *{held} FROM ({summed}))"


def same_average_sql(one: str, other: str, size: str, leeway: str = "0") -> str:
    """That two averages are the same, NULL counting as one: that they agree to 1e-12 of ``size``, the mean size of their values.

    See ``gold.combine.MOST_PATCHES``. ``leeway`` is by how much the order of the rows may change them besides. Where the values
    are not known, the larger of the averages' sizes is the least that ``size`` can be.
    """
    near = f"abs({one} - {other}) <= {_AGREE_TO} * {size} + {leeway} + {_AGREE_TO_AT_LEAST}"
    return f"({one} = {other} OR ({one} IS NULL AND {other} IS NULL) OR {near})"


def _held_sql(name: str, step: int) -> str:
    """What the lanes hold, and after each step what is left of it, as so many times 2^32."""
    if step:
        held = _quoted(name, f"held_{step - 1}")
        return f"({held} - CAST({held} AS BIGINT)) * {_double(_UNIT)}"
    value = _quoted(name, "value")
    return f"CASE WHEN abs({value}) < {_double(_UNIT)} THEN {value} ELSE {_double(0)} END"


def _sums_sql(name: str) -> dict[str, str]:
    value = _quoted(name, "value")
    beyond = f"CASE WHEN abs({value}) >= {_double(_UNIT)} THEN {value} / {_double(_UNIT)} END"
    lanes = {
        f"lane_{lane}": f"CAST(sum(CAST({_quoted(name, f'held_{lane}')} AS BIGINT)) AS BIGINT)"
        for lane in range(_LANES)
    }
    return {
        "count": f"count({value})",
        "size": f"avg(abs({value}) / {_double(_UNIT)})",
        "beyond": f"sum({beyond})",
        "count_beyond": f"count({beyond})",
        **lanes,
        "rest": f"sum({_quoted(name, f'held_{_LANES}')})",
    }


def _carried_sql(name: str, lane: int) -> str:
    """A lane's sum, with what the one below it carries."""
    below = _quoted(name, f"{'lane' if lane == _LANES - 2 else 'total'}_{lane + 1}")
    return f"({below} >> 32) + {_quoted(name, f'lane_{lane}')}"


def _divisor_sql(name: str, is_total: bool) -> str:
    count = _quoted(name, "count")
    return f"(CASE WHEN {count} > 0 AND {count} < {_MOST_ROWS} THEN {_double(1) if is_total else count} END)"


def _mean_held_sql(name: str, is_total: bool) -> str:
    total = f"CAST({_quoted(name, 'total_0')} AS DOUBLE)"
    for lane in range(1, _LANES):
        sums = _quoted(name, f"{'lane' if lane == _LANES - 1 else 'total'}_{lane}")
        total = f"({total} + ({sums} & {_UNIT - 1}) / {_double(2.0 ** (32 * lane))})"
    return f"({total} + {_quoted(name, 'rest')} / {_double(_UNIT_OF_REST)}) / {_divisor_sql(name, is_total)}"


def _average_sql(name: str, is_total: bool) -> str:
    held = _quoted(name, "mean")
    beyond = f"{_quoted(name, 'beyond')} / {_divisor_sql(name, is_total)} * {_double(_UNIT)}"
    return f"coalesce({beyond} + {held}, {held})"


def _size_sql(name: str) -> str:
    return f"coalesce({_quoted(name, 'size')}, 0) * {_double(_UNIT)}"


def _leeway_sql(name: str) -> str:
    last_bit = _double(2.0**-52)
    by_beyond = f"{_quoted(name, 'count_beyond')} * ({_size_sql(name)} * {last_bit})"
    by_rest = f"{_quoted(name, 'count')} * (least({_size_sql(name)}, {_double(_UNIT / _UNIT_OF_REST)}) * {last_bit})"
    return f"{by_beyond} + {by_rest}"


def _part(name: str, part: str) -> str:
    """A column for a step on the way, of a name that no table's own column has."""
    return f"{name}, {part}"


def _quoted(name: str, part: str) -> str:
    return DATAFUSION.name(_part(name, part))


def _double(number: float) -> str:
    return f"CAST('{float(number)!r}' AS DOUBLE)"
