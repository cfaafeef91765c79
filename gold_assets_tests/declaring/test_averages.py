"""Averages do not depend on the order of the rows, nor on the engine, and are the exact ones but for the last bit."""

import math
import random
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from gold_assets.declaring import averages
from gold_assets.declaring.averages import averaged, averaged_sql
from gold_assets.delta.query import query

LARGEST = sys.float_info.max
Values = Mapping[str, Sequence[float | None]]

in_lanes = st.just(0.0) | st.just(-0.0) | st.floats(2.0**-44, 2.0**32, exclude_max=True)
of_one_size = st.integers(-96, -21).flatmap(
    lambda place: st.lists(
        st.integers(2**52, 2**53 - 1).map(lambda bits: math.ldexp(bits | 1, place)), min_size=2, max_size=12
    )
)
"""Of 53 bits each, so that a sum of doubles is rounded, otherwise in another order."""
few_in_lanes = st.lists(st.none() | in_lanes | in_lanes.map(lambda x: -x), min_size=1, max_size=12) | of_one_size
few_of_any_size = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12)


def by_engine(engine: Any, values: Values, seed: int) -> dict[str, Any]:
    rows = engine.session.createDataFrame(_rows(values, seed))
    found = averaged(rows, ["key"], {"average": "x"}, {"rated": "count(x)"}).toArrow().to_pylist()
    assert {row["key"]: row["rated"] for row in found} == {
        key: sum(x is not None for x in of_key) for key, of_key in values.items()
    }
    return {row["key"]: row["average"] for row in found}


def by_sql(values: Values, seed: int) -> dict[str, dict[str, Any]]:
    rows = _rows(values, seed)
    with TemporaryDirectory() as folder:
        place = Path(folder) / "x"
        for half in (rows.slice(0, len(rows) // 2), rows.slice(len(rows) // 2)):
            write_deltalake(place, half, mode="append")
        sql = averaged_sql("SELECT * FROM x", {"key": "key"}, {"average": "x"}, {})
        return {row["key"]: row for row in query(sql, x=DeltaTable(place))}


def by_kahan(values: Values, seed: int) -> dict[str, dict[str, Any]]:
    sql = averaged_sql("SELECT * FROM x", {"key": "key"}, {"average": "x"}, {}, by_kahan={"average"})
    with duckdb.connect() as db:
        db.register("x", _rows(values, seed))
        return {row["key"]: row for row in db.sql(sql).to_arrow_table().to_pylist()}


def _rows(values: Values, seed: int) -> pa.Table:
    rows = [(key, x) for key, of_key in values.items() for x in of_key]
    random.Random(seed).shuffle(rows)
    keys, of_x = zip(*rows, strict=True)
    return pa.table({"key": pa.array(keys), "x": pa.array(of_x, pa.float64())})


def exact(values: Sequence[float | None]) -> Fraction | None:
    known = [Fraction(x) for x in values if x is not None]
    return sum(known, Fraction()) / len(known) if known else None


@given(
    few=st.dictionaries(st.sampled_from("abcdefgh"), few_in_lanes, min_size=1),
    times=st.integers(1, 200),
    seed=st.integers(),
)
def test_an_average_is_the_same_bits_in_any_order_and_on_any_engine_and_the_exact_one_but_for_the_last_bit(
    engine: Any, few: Values, times: int, seed: int
) -> None:
    values = {key: [*of_key, *list(of_key[:1]) * times] for key, of_key in few.items()}
    found, by_datafusion = by_engine(engine, values, seed), by_sql(values, seed + 1)
    for key, of_key in values.items():
        assert found[key] == by_datafusion[key]["average"]
        if (mean := exact(of_key)) is None:
            assert found[key] is None
        else:
            assert abs(Fraction(found[key]) - mean) <= abs(mean) * Fraction(3, 2**53)
            assert str(found[key]) != "-0.0"


@pytest.mark.sail
@given(few=st.dictionaries(st.sampled_from("abcdefgh"), few_of_any_size, min_size=1), seed=st.integers())
def test_an_average_of_doubles_of_any_size_is_finite_and_within_the_leeway(engine: Any, few: Values, seed: int) -> None:
    found, by_datafusion, by_duckdb = by_engine(engine, few, seed), by_sql(few, seed + 1), by_kahan(few, seed + 2)
    for key, of_key in few.items():
        averages = [found[key], by_datafusion[key]["average"], by_duckdb[key]["average"]]
        if (mean := exact(of_key)) is None:
            assert averages == [None] * 3
            continue
        size = exact([None if x is None else abs(x) for x in of_key])
        assert size is not None
        allowed = Fraction(by_datafusion[key]["leeway_of_average"]) + size * Fraction(8, 2**53) + Fraction(1, 2**1073)
        for average in averages:
            assert abs(Fraction(average) - mean) <= allowed
        assert abs(Fraction(by_datafusion[key]["size_of_average"]) - size) <= size * Fraction(1, 2**40) + Fraction(
            1, 2**1030
        )


def test_duckdb_adds_up_a_million_rows_as_closely_as_a_few() -> None:
    [row] = by_kahan({"repeating": [0.1, 0.6, -1e6] * 400_000}, 1).values()
    size = Fraction(row["size_of_average"])
    mean = (Fraction(0.1) + Fraction(0.6) - 10**6) / 3
    assert abs(Fraction(row["average"]) - mean) <= size * Fraction(1, 2**51)


def test_averages_that_were_hard_to_get_right(engine: Any) -> None:
    of: dict[str, tuple[list[float | None], float | None]] = {
        "repeating": ([0.1, 0.6] * 500, 0.35),
        "the largest": ([LARGEST] * 3, LARGEST),
        "the largest, often": ([LARGEST] * 999, LARGEST),
        "the largest of either sign": ([LARGEST, 0.5, -LARGEST], 0.5 / 3),
        "large beside small": ([2.0**32, 2.0**-96, -(2.0**32)], 2.0**-96 / 3),
        "small": ([1e-25] * 7, 1e-25),
        "the least": ([5e-324] * 5, 5e-324),
        "what is left of ones": ([1.0, -1.0 + 2.0**-53, 2.0**-60], (2.0**-53 + 2.0**-60) / 3),
        "none": ([None, None], None),
        "not finite": ([1.0, float("inf")], float("inf")),
    }
    values = {name: of_name for name, (of_name, _) in of.items()}
    expected = {name: average for name, (_, average) in of.items()}
    assert by_engine(engine, values, 1) == expected
    assert {name: row["average"] for name, row in by_sql(values, 2).items()} == expected


@pytest.mark.sail
def test_more_rows_than_the_lanes_can_hold_have_no_average(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(averages, "_MOST_ROWS", 4)
    values = {"as many": [1.0] * 3, "more": [1.0] * 4}
    assert by_engine(engine, values, 1) == {"as many": 1.0, "more": None}
    assert {name: row["average"] for name, row in by_sql(values, 2).items()} == {"as many": 1.0, "more": None}
