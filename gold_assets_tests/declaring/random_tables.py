"""Random tables in SQL over a source with columns of all types, and random histories of its Silver."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from gold_assets import Column, Rule, Source
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY

DATES = [MONDAY, TUESDAY, WEDNESDAY]

page_views = Source(
    "page_views",
    [
        Column("page", "string"),
        Column("visitor", "key"),
        Column("seconds", "double"),
        Column("share", "float"),
        Column("ratio", "number"),
        Column("clicks", "integer"),
        Column("bytes", "long"),
        Column("paid", "decimal(9,2)"),
        Column("price", "decimal(12,3)", nullable=True),
        Column("is_new", "boolean"),
        Column("born", "date", nullable=True),
        Column("seen_at", "timestamp"),
    ],
    [
        Rule("clicks_are_negative", condition="coalesce(clicks, 0) >= 0"),
        Rule("visitor_is_missing", reads="visitor"),
        Rule("ratio_is_not_finite", reads="ratio"),
        Rule("paid_is_no_money", reads="paid"),
        Rule("price_is_no_money", reads="price"),
    ],
    date="day",
)
VALID_ROWS = """
    SELECT page, visitor, seconds, share::DOUBLE AS share, ratio::DOUBLE AS ratio, clicks, bytes,
        round(paid::DOUBLE, 2)::DECIMAL(9, 2) AS paid, price, is_new, born::DATE AS born, seen_at, day::DATE AS event_date
    FROM silver
    WHERE coalesce(clicks, 0) >= 0 AND regexp_matches(visitor::VARCHAR, '[^ \t\r\n]') AND coalesce(isfinite(ratio::DOUBLE), true)
        AND paid IS NOT NULL AND day IS NOT NULL"""
"""What DuckDB takes for the valid rows of ``silver``, as the declaration says it."""

# Silver


@dataclass(frozen=True)
class Layout:
    """The types of those columns that may have one of several, and whether Silver is partitioned by its date."""

    visitor: pa.DataType
    ratio: pa.DataType
    paid: pa.DataType
    day: pa.DataType
    is_partitioned: bool

    @property
    def type_of_day(self) -> str:
        """As DataFusion calls it."""
        zone = "None" if pa.types.is_date(self.day) or self.day.tz is None else f'Some("{self.day.tz}")'
        return "Date32" if pa.types.is_date(self.day) else f"Timestamp(Microsecond, {zone})"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [
                ("page", pa.string()),
                ("visitor", self.visitor),
                ("seconds", pa.float64()),
                ("share", pa.float32()),
                ("ratio", self.ratio),
                ("clicks", pa.int32()),
                ("bytes", pa.int64()),
                ("paid", self.paid),
                ("price", pa.decimal128(12, 3)),
                ("is_new", pa.bool_()),
                ("born", pa.date32()),
                ("seen_at", pa.timestamp("us", "UTC")),
                ("day", self.day),
                ("note", pa.string()),  # not declared
            ]
        )

    def table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """The rows with these types. Of what a type does not have, as a decimal has no NaN, there is NULL."""
        return pa.table(
            [pa.array([_as(field.type, row[field.name]) for row in rows], field.type) for field in self.schema],
            schema=self.schema,
        )

    def write(self, silver: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A commit that appends the rows."""
        partitions = ["day"] if self.is_partitioned else None
        write_deltalake(silver, self.table(rows), mode="append", partition_by=partitions)


def _as(type: pa.DataType, value: Any) -> Any:
    if pa.types.is_integer(type) and isinstance(value, str):
        return {"ann": 1, "bob": 2**40}.get(value)
    if pa.types.is_decimal(type) and isinstance(value, float):
        return Decimal(value).quantize(Decimal(1).scaleb(-type.scale)) if abs(value) < 1e6 else None
    if pa.types.is_timestamp(type) and type.tz is not None and isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.timezone.utc)
    if pa.types.is_date(type) and isinstance(value, dt.datetime):
        return value.date()
    return value


layouts = st.builds(
    Layout,
    visitor=st.sampled_from([pa.string(), pa.string(), pa.int64()]),
    ratio=st.sampled_from([pa.float64(), pa.float32(), pa.decimal128(10, 3)]),
    paid=st.sampled_from([pa.float64(), pa.decimal128(9, 2), pa.decimal128(12, 2)]),
    day=st.sampled_from([pa.date32(), pa.timestamp("us", "UTC"), pa.timestamp("us")]),
    is_partitioned=st.just(False),
) | st.builds(
    Layout,
    visitor=st.just(pa.string()),
    ratio=st.just(pa.float64()),
    paid=st.just(pa.float64()),
    day=st.just(pa.date32()),
    is_partitioned=st.just(True),
)
hours = st.builds(dt.datetime.combine, st.sampled_from(DATES), st.builds(dt.time, st.integers(0, 23)))
odd_texts = ["/", "/tea", "", " /", "O'Brien", "ü€😀", "100%_", "NULL", "{x}", 'a"b`c', "back\\slash", "a\nb"]
# Sums of these are exact in any order, so that DuckDB's own sum can be held against ours.
exact_doubles = st.sampled_from([0.25, 1.5, -2.0, 4096.125, 0.0, -0.0, float("nan"), float("inf"), float("-inf")])
any_doubles = st.floats(-1e6, 1e6) | st.sampled_from([0.1, 0.2, 0.3, 1e-9, 1e15, float("nan"), float("inf")])


def weighted(*strategies: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of the strategies, each so many times as often. Of one that it is given twice ``one_of`` makes one."""
    drawn = [strategy for weight, strategy in strategies for _ in range(weight)]
    return st.integers(0, len(drawn) - 1).flatmap(drawn.__getitem__)


def row_of_silver(doubles: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, Any]]:
    """Most of them break no rule."""

    def rarely(broken: Sequence[Any], valid: Sequence[Any]) -> st.SearchStrategy[Any]:
        return weighted((1, st.sampled_from(broken)), (24, st.sampled_from(valid)))

    births = [MONDAY, dt.date(2000, 2, 29), dt.date(1969, 12, 31), dt.date(2024, 12, 30)]
    return st.fixed_dictionaries(
        {
            "page": weighted((2, st.sampled_from(["/", "/tea", None])), (1, st.sampled_from(odd_texts))),
            "visitor": rarely(["", " \t", None], ["ann", "bob"]),
            "seconds": weighted((1, st.none()), (4, doubles)),
            "share": st.none() | st.sampled_from([0.5, 2.25, -1.0, float("nan")]),
            "ratio": rarely([float("nan"), float("inf")], [0.125, 0.5, 7.0, None]),
            "clicks": rarely([-1], [0, 1, 2, 7, None]),
            "bytes": st.sampled_from([0, 1, -3, 2**40, -(2**40), None]),
            "paid": rarely([None], [0.0, 1.25, 19.99, -3.5, 1234567.89]),
            "price": rarely([None], [Decimal("0.001"), Decimal("-12.500"), Decimal("999999999.999")]),
            "is_new": st.sampled_from([True, False, None]),
            "born": rarely([None], births),
            "seen_at": st.none() | hours | st.just(dt.datetime(1969, 12, 31, 23, 59, 59, 999)),
            "day": weighted((1, st.none()), (24, hours)),
            "note": st.sampled_from(["a", None]),
        }
    )


# What becomes of it

Change = tuple[str, Any]

_CONDITIONS = [
    "page = '/'",
    "clicks > 1",
    "visitor IS NOT NULL",
    "seconds < 1",
    "is_new",
    "born < '2001-01-01'",
    "true",
]
_SETS = [
    {"clicks": "coalesce(clicks, 0) + 1", "seconds": "0.5"},
    {"clicks": "-1"},
    {"clicks": "abs(clicks)"},
    {"page": "NULL", "price": "CAST(1.5 AS DECIMAL(12, 3))"},
    {"page": "concat(page, '!')", "bytes": "bytes - 5"},
    {"seconds": "CAST('NaN' AS DOUBLE)", "is_new": "NOT is_new"},
    {"paid": "NULL"},
    {"paid": "2.75", "seen_at": "NULL"},
]


def _changes(rows: st.SearchStrategy[Any], appends: int, updates: int) -> st.SearchStrategy[Change]:
    conditions = st.sampled_from(_CONDITIONS)
    return weighted(
        (appends, st.tuples(st.just("append"), rows)),
        (updates, st.tuples(st.just("update"), st.tuples(conditions, st.sampled_from(_SETS)))),
        (3, st.tuples(st.just("delete"), conditions)),
        (2, st.tuples(st.just("move"), st.tuples(conditions, st.sampled_from([*DATES, None])))),
        (1, st.tuples(st.just("compact"), st.none())),
    )


def histories(rows: st.SearchStrategy[Any], most: int = 6) -> st.SearchStrategy[list[tuple[Change, bool]]]:
    """Commits to Silver, each with whether the tables follow before the next; in half of the histories 70 % of them are updates."""

    def of(changes: st.SearchStrategy[Change]) -> st.SearchStrategy[list[tuple[Change, bool]]]:
        return st.lists(st.tuples(changes, weighted((3, st.just(True)), (1, st.just(False)))), max_size=most)

    return of(_changes(rows, 10, 3)) | of(_changes(rows, 3, 21))


def change_silver(silver: str, layout: Layout, kind: str, what: Any) -> None:
    """Commit a change, if any row is to be changed."""
    if kind == "append":
        layout.write(silver, what)
    elif kind == "delete":
        DeltaTable(silver).delete(what)
    elif kind == "update":
        DeltaTable(silver).update(what[1], predicate=what[0])
    elif kind == "move":
        which, date = what
        text = "NULL" if date is None else f"'{date}'"
        DeltaTable(silver).update({"day": f"arrow_cast({text}, '{layout.type_of_day}')"}, predicate=which)
    else:
        DeltaTable(silver).optimize.compact()


# Tables in SQL, of which DuckDB knows the meaning without us: no day of the week, no division by zero, no CAST of a double.

_NAMES = ["a", "b", "c", "d", "Mixed", "order", "group", "date", "end", "user", "select"]
_LEAVES: Mapping[str, Sequence[str]] = {
    "string": ["page", "substring(page, 1, 2)", "trim(page)", "CAST(clicks AS STRING)", "CAST(born AS STRING)"],
    "key": ["visitor"],
    "integer": [
        "clicks",
        "clicks",
        "bytes",
        "length(page)",
        "year(born)",
        "hour(seen_at)",
        "datediff(born, event_date)",
    ],
    "decimal": ["paid", "price", "CAST(clicks AS DECIMAL(12,2))"],
    "double": ["seconds", "seconds", "share", "ratio", "CAST(clicks AS DOUBLE)", "clicks / 4"],
    "boolean": ["is_new"],
    "date": ["born", "event_date", "CAST(seen_at AS DATE)"],
    "timestamp": ["seen_at"],
}
_CONSTANTS = {
    "string": "'none'",
    "integer": "2",
    "decimal": "0.5",
    "double": "0.5D",
    "boolean": "true",
    "date": "DATE '2024-01-02'",
}
_OF_TYPE: Mapping[str, Sequence[str]] = {
    "string": ["concat({}, '-', {})", "{} || '!'"],
    "integer": ["({} + {})", "({} - 1)", "({} * 3)", "(-{})", "abs({})", "({} % 5)"],
    "decimal": ["({} + {})", "({} * 2)", "(-{})", "abs({})", "({} - 0.001)"],
    "double": ["({} + {})", "({} - {})", "({} * 2)", "(-{})", "abs({})"],
}


def _filled(template: str, of: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*[of] * template.count("{}")).map(lambda parts: template.format(*parts))


def expressions(type: str, deep: bool = True) -> st.SearchStrategy[str]:
    """Of a type, over the columns of the source."""
    leaves = st.sampled_from(_LEAVES[type])
    if not deep or type not in _CONSTANTS:
        return leaves
    if type == "boolean":
        return conditions()
    constant = st.just(_CONSTANTS[type])
    return st.one_of(
        leaves,
        *(_filled(template, leaves) for template in _OF_TYPE.get(type, ())),
        st.builds("coalesce({}, {})".format, leaves, constant),
        st.builds("nullif({}, {})".format, leaves, constant),
        st.builds("CASE WHEN {} THEN {} ELSE {} END".format, comparisons, leaves, leaves | constant),
        st.builds("if({}, {}, NULL)".format, comparisons, leaves),
    )


_COMPARED = {
    "string": ["{} = '/'", "{} <> ''", "{} IN ('/', 'O\\'Brien')", "{} LIKE '%a%'", "{} > '/'", "{} IS NULL", "{} BETWEEN '/' AND 'a'"],
    "key": ["{} IS NOT NULL"],
    "integer": ["{} > 1", "{} = {}", "{} IN (1, 2)", "{} NOT IN (0, NULL)", "{} BETWEEN 0 AND 2", "{} IS NULL", "{} < 1.5", "{} <=> {}"],
    "decimal": ["{} >= 1.25", "{} < {}", "{} IS NOT NULL", "{} BETWEEN 0 AND 20"],
    "double": ["{} > 1", "{} < {}", "{} = 0", "{} BETWEEN 0 AND 2", "coalesce(isnan({}), false)", "{} <= 0.5"],
    "boolean": ["{}", "NOT {}", "{} IS TRUE", "{} IS NULL", "{} = true"],
    "date": ["{} = '2024-01-01'", "{} >= DATE '2024-01-01'", "{} <> {}"],
    "timestamp": ["{} IS NULL", "{} = {}"],
}  # fmt: skip
comparisons = st.sampled_from(
    [(template, type) for type, templates in _COMPARED.items() for template in templates]
).flatmap(lambda found: _filled(found[0], st.sampled_from(_LEAVES[found[1]])).map("({})".format))


def conditions() -> st.SearchStrategy[str]:
    return st.one_of(
        comparisons,
        st.builds("({} AND {})".format, comparisons, comparisons),
        st.builds("({} OR NOT {})".format, comparisons, comparisons),
    )


_KEY_TYPES = ["string", "string", "key", "integer", "decimal", "boolean", "date", "timestamp"]
_filters = weighted((2, st.just("")), (1, conditions().map(" FILTER (WHERE {})".format)))


def _of_any(template: str, *types: str) -> st.SearchStrategy[str]:
    return st.sampled_from(types).flatmap(expressions).map(template.format)


_ALL_TYPES = ("string", "key", "integer", "decimal", "double", "boolean", "date", "timestamp")
aggregates = st.one_of(
    st.just("count(*)"),
    _of_any("count({})", *_ALL_TYPES),
    _of_any("count(DISTINCT {})", *_ALL_TYPES),
    _of_any("sum({})", "integer", "decimal", "double"),
    _of_any("avg({})", "integer", "double"),
    _of_any("min({})", *_ALL_TYPES),
    _of_any("max({})", *_ALL_TYPES),
    conditions().map("count_if({})".format),
    st.builds("{}({})".format, st.sampled_from(["bool_or", "bool_and"]), conditions()),
)
filtered = st.builds("{}{}".format, aggregates, _filters)
combined = st.one_of(
    st.just("count(*)"),
    _of_any("count({})", *_ALL_TYPES),
    _of_any("sum({})", "integer", "decimal", "double"),
    _of_any("min({})", "string", "key", "integer", "decimal", "date", "timestamp"),
    _of_any("max({})", "string", "key", "integer", "decimal", "date", "timestamp"),
    conditions().map("count_if({})".format),
)
"""Aggregates of which new rows can be added to what is there."""
of_aggregates = st.one_of(
    st.builds("{} / count(*)".format, _of_any("sum({})", "integer", "double")),
    st.builds(
        "CASE WHEN {} > 1 THEN 'many' ELSE 'few' END".format, filtered.filter(lambda of: of.startswith("count("))
    ),
    st.builds("coalesce({}, 0)".format, _of_any("sum({})", "integer", "decimal")),
    st.builds("{} - {}".format, _of_any("max({})", "integer"), _of_any("min({})", "integer")),
)
_havings = st.sampled_from(
    ["count(*) > 1", "max(clicks) > 1", "sum(paid) IS NOT NULL AND min(page) < '0'", "count(DISTINCT visitor) = 1"]
)


@st.composite
def _grouped(draw: st.DrawFn, patched: bool) -> str:
    names = iter(draw(st.permutations(_NAMES)))
    keys = draw(st.lists(st.sampled_from(_KEY_TYPES).flatmap(expressions), max_size=2, unique=True))
    keys = [f"{key} AS `{next(names)}`" for key in keys if key != "event_date"]
    of_key = combined if patched else aggregates | filtered | of_aggregates
    values = draw(st.lists(of_key, min_size=1, max_size=4))
    if draw(st.booleans()):
        average = draw(expressions("double"))
        values += [f"avg({average})", f"count({average})"]
    values = [f"{value} AS `{next(names)}`" for value in values]
    where = draw(st.just("") | conditions().map("WHERE {}".format))
    having = "" if patched else draw(st.just("") | _havings.map("HAVING {}".format))
    numbers = ", ".join(str(number + 1) for number in range(len(keys) + 1))
    return f"SELECT event_date, {', '.join([*keys, *values])} FROM page_views {where} GROUP BY {numbers} {having}"


@st.composite
def _of_rows(draw: st.DrawFn) -> str:
    names = iter(draw(st.permutations(_NAMES)))
    selected = draw(st.lists(st.sampled_from(_ALL_TYPES).flatmap(expressions), min_size=1, max_size=5))
    own = ", ".join(f"{each} AS `{next(names)}`" for each in selected)
    where = draw(st.just("") | conditions().map("WHERE {}".format))
    return f"SELECT {draw(st.sampled_from(['*', 'event_date']))}, {own} FROM page_views {where}"


patched_selects = _grouped(patched=True)
selects = weighted((2, patched_selects), (2, _grouped(patched=False)), (1, _of_rows()))
