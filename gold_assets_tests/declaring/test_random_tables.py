"""Random tables in SQL and random histories: patched, recomputed and as DuckDB answers the same SELECT they are equal."""

import tempfile
from collections import Counter
from collections.abc import Collection
from typing import Any

import duckdb
import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import sqlglot
from deltalake import write_deltalake
from sqlglot import exp

from gold_assets import Project, Table
from gold_assets.declaring.select import Select
from gold_assets.engines import Engine
from gold_assets.gold.refresh import refresh
from gold_assets_tests.declaring.random_tables import (
    DATES,
    VALID_ROWS,
    Layout,
    any_doubles,
    change_silver,
    exact_doubles,
    histories,
    layouts,
    page_views,
    row_of_silver,
    selects,
)
from gold_assets_tests.declaring.test_sql_tables import failing
from gold_assets_tests.truth import rows_of

EXAMPLES = hypothesis.settings().max_examples


def duckdbs_own(table: Table, silver: pa.Table) -> pa.Table:
    """What DuckDB answers to the SELECT as it is written, in its dialect."""

    def corrected(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.CountIf):  # NULL in DuckDB where Spark says 0
            return exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))]))
        return node

    own = sqlglot.parse_one(table.sql, dialect="spark").transform(corrected).sql("duckdb")
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.register("silver", silver)
        return db.sql(f"WITH page_views AS ({VALID_ROWS}) {own}").to_arrow_table()


def multiset(rows: pa.Table, without: Collection[str] = ()) -> Counter[tuple[Any, ...]]:
    """The rows with how often they are there, numbers by their value, whichever zero and NaN it is."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return repr(value + 0.0)
        return tuple(value) if isinstance(value, list) else value

    names = [name for name in sorted(rows.column_names) if name not in without]
    return Counter(tuple(plain(row[name]) for name in names) for row in rows.select(names).to_pylist())


@hypothesis.settings(max_examples=EXAMPLES // 3, phases=[hypothesis.Phase.generate])  # shrinking takes minutes
@hypothesis.given(data=st.data(), layout=layouts, sql=st.lists(selects, min_size=3, max_size=3), is_exact=st.booleans())
def test_patched_recomputed_and_duckdb_agree(
    data: st.DataObject, layout: Layout, sql: list[str], is_exact: bool, engine: Engine
) -> None:
    rows = st.lists(row_of_silver(exact_doubles if is_exact else any_doubles), min_size=1, max_size=8)
    first, history = data.draw(rows), data.draw(histories(rows))
    project = Project("web", page_views, [Table(f"table_{number}", sql=each) for number, each in enumerate(sql)])
    with tempfile.TemporaryDirectory() as root:
        lake, other = project.lake(f"{root}/patched"), project.lake(f"{root}/recomputed")
        layout.write(lake.silver, first)
        refresh(lake, engine, DATES)
        for (kind, what), is_followed in history:
            change_silver(lake.silver, layout, kind, what)
            if is_followed:
                refresh(lake, engine, DATES, how="patch")
        refresh(lake, engine, DATES, how="patch")
        assert failing(lake) == []
        assert failing(lake, patches=True) == []
        patched = {table.name: rows_of(lake.places[table.name]) for table in project.tables}
        silver = rows_of(lake.silver)
        order = data.draw(st.permutations(range(silver.num_rows)))
        write_deltalake(other.silver, layout.table([silver.to_pylist()[number] for number in order]))
        refresh(other, engine, DATES)
        refresh(lake, engine, DATES)
        for table in project.tables:
            recomputed = multiset(rows_of(other.places[table.name]))
            assert multiset(rows_of(lake.places[table.name])) == recomputed, table.sql
        for table in filter(lambda table: table.sql, project.tables):
            assert isinstance(table.select, Select)
            recomputed, doubles = rows_of(other.places[table.name]), set()
            if table.key and not is_exact:
                doubles = {column.name for column in table.columns if column.type == "double"}
            own = duckdbs_own(table, silver)
            assert multiset(recomputed, doubles) == multiset(own, doubles), table.sql
            averages = {name for name in table.select.sums_of_doubles if table.select.combined.get(name) == "avg"}
            rounded = averages if is_exact else {*averages, *table.select.sums_of_doubles}
            assert multiset(patched[table.name], rounded) == multiset(recomputed, rounded), table.sql
