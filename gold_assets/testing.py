"""Tests of your own project: commits to its source, then the rows that its tables must hold; on Sail, in a folder that is gone afterwards.

    with project_lake(project) as case:
        case.append([{"page": "/", "visitor": "ann", "seconds": 2.5, "viewed_at": datetime(2024, 1, 1, 9)}])
        case.expect("views_by_page", [{"page": "/", "event_date": date(2024, 1, 1), "views": 1}])
        case.move("visitor = 'ann'", date(2024, 1, 2))
        case.expect("views_by_page", [{"page": "/", "event_date": date(2024, 1, 2), "views": 1}])

Each case also asserts that tables which follow commit by commit hold the rows of tables computed anew, and that the checks pass.
"""

import dataclasses
import datetime as dt
import functools
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema, write_deltalake
from deltalake.schema import PrimitiveType

from gold_assets.checks.catalogue import RECONCILES, all_checks, run
from gold_assets.checks.findings import Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.declaring.column import Column
from gold_assets.declaring.project import Project
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.query import query
from gold_assets.engines.sail import SailEngine
from gold_assets.explaining.differences import differences
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import refresh
from gold_assets.reading.answers import table_of

Row = Mapping[str, Any]
_CHECKS = ("schema", RECONCILES, "undated_rows_reconcile", "sound_rows")
_sail = functools.cache(SailEngine)


@contextmanager
def project_lake(project: Project) -> Iterator["Case"]:
    """A case of the project: a source that is empty, and no tables yet.

    Args:
        project: what is tested.

    Yields:
        The case, whose folder is gone at the end.

    Raises:
        AssertionError: at the end, tables that followed commit by commit do not hold what they hold computed anew.

    Examples:
        >>> from gold_assets import Source, Table
        >>> views = Source("page_views", [Column("page", "string")], date="day")
        >>> by_page = Table("views_by_page", sql="SELECT page, event_date, count(*) AS views FROM page_views GROUP BY page, event_date")
        >>> with project_lake(Project("web", views, [by_page])) as case:
        ...     case.append([{"page": "/", "day": dt.date(2024, 1, 1)}, {"page": "/", "day": dt.date(2024, 1, 1)}])
        ...     case.expect("views_by_page", [{"page": "/", "views": 2}])
    """
    with tempfile.TemporaryDirectory() as root:
        case = Case(project, root)
        yield case
        case.assert_agreement()


class Case:
    """A source to commit to, and the tables made from it, which follow each commit. Rows are dicts by the source's columns.

    ``project_lake`` makes one.

    Attributes:
        lake: where its source and its tables are.
    """

    def __init__(self, project: Project, root: str) -> None:
        """A case of the project in a folder."""
        self.lake = project.lake(f"{root}/lake")
        self._anew = dataclasses.replace(project.lake(f"{root}/anew"), silver=self.lake.silver)
        dates_first = sorted(project.source.columns, key=lambda column: column.name != EVENT_DATE)
        self._columns = {column.source or column.name: column for column in dates_first}
        self._schema: pa.Schema | None = None
        self._agreed = True

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows to the source. The first tell of what type keys and dates are.

        Args:
            rows: by the columns of the Delta table; what a row does not name is NULL.

        Raises:
            AssertionError: a row has a column that the source has not.
        """
        if unknown := {name for row in rows for name in row} - self._columns.keys():
            raise AssertionError(f"The source has no column {min(unknown)}, but {', '.join(self._columns)}.")
        if self._schema is None:
            types = {name: _type(column, [row.get(name) for row in rows]) for name, column in self._columns.items()}
            self._schema = pa.schema(Schema([Field(name, PrimitiveType(type)) for name, type in types.items()]))
        write_deltalake(self.lake.silver, pa.Table.from_pylist(rows, self._schema), mode="append")
        self._follow(len(rows), "")

    def change(self, which: str, **values: str) -> None:
        """Set columns of the rows that meet a condition: ``case.change("page = '/'", seconds="seconds + 1")``.

        Args:
            which: the condition, in DataFusion's SQL.
            values: by column, an expression.

        Raises:
            AssertionError: no row meets it.
        """
        self._follow(DeltaTable(self.lake.silver).update(values, predicate=which)["num_updated_rows"], which)

    def delete(self, which: str) -> None:
        """Delete the rows that meet a condition.

        Args:
            which: the condition, in DataFusion's SQL.

        Raises:
            AssertionError: no row meets it.
        """
        self._follow(DeltaTable(self.lake.silver).delete(which)["num_deleted_rows"], which)

    def move(self, which: str, to: dt.date) -> None:
        """Set the date of the rows that meet a condition.

        Args:
            which: the condition, in DataFusion's SQL.
            to: the date; where a timestamp tells it, its midnight UTC.

        Raises:
            AssertionError: no row meets it.
        """
        name = self.lake.project.source.by_name[EVENT_DATE].source or EVENT_DATE
        is_date = self._schema is not None and pa.types.is_date(self._schema.field(name).type)
        arrow = "Date32" if is_date else 'Timestamp(Microsecond, Some("UTC"))'
        self.change(which, **{name: f"arrow_cast('{to}', '{arrow}')"})

    def expect(self, table: str, rows: Sequence[Row]) -> None:
        """Assert that the table holds these rows and no other, in any order.

        Args:
            table: its name.
            rows: in the columns that the first of them names.

        Raises:
            AssertionError: it does not, or a table is not what it would be computed anew.
        """
        self.assert_agreement()
        assert table in self.lake.places, f"There is no table {table}, but {', '.join(self.lake.places)}."
        found = query("SELECT * FROM t", t=DeltaTable(self.lake.place(table)))
        _assert_same(f"{table} does not hold the rows expected", rows, found)

    def assert_agreement(self) -> None:
        """Assert that each table holds the rows that it holds computed anew, and that the checks, which compute it otherwise, agree.

        Raises:
            AssertionError: one does not, or they do not.
        """
        if self._agreed:
            return
        refresh(self._anew, _sail(), dates := self._dates())
        checks = [check for check in all_checks(self.lake.project) if check.name in _CHECKS]
        for lake, how in ((self._anew, "computed anew"), (self.lake, "made commit by commit")):
            for finding in run(
                checks, Inspection(lake, dates, Limits(dt.date.min, dt.date.max, quarantined_share=1.0))
            ):
                said = f"{finding.check.table}, {how}, fails the check {finding.check.name}. {finding.summary}"
                assert finding.passed, f"{said}\n{_table(finding.rows)}"
        for table in self.lake.tables:
            found = differences(self.lake, table, self._anew.open(table), self.lake.open(table))
            said = f"{table.name}, made commit by commit, does not hold the rows that it holds computed anew"
            rows = [
                {"": how, EVENT_DATE: each.date, **each.key, **values}
                for each in found.largest()
                for how, values in (("anew", each.before), ("by commits", each.after))
            ]
            assert not rows, f"{said}:\n{_table(rows)}"
        self._agreed = True

    def _follow(self, changed: int, which: str) -> None:
        assert changed, f"The commit changes no row of the source: {which or 'there is none'}."
        self._agreed = False
        refresh(self.lake, _sail(), self._dates(), how="patch")

    def _dates(self) -> list[dt.date]:
        # Of either lake, for a date that has lost all its rows may be known to the other one alone.
        return sorted(filter(None, Moment(self.lake).dates | Moment(self._anew).dates))


def _type(column: Column, values: Sequence[Any]) -> str:
    seen = next((type(value) for value in values if value is not None), None)
    read = {"key": "long" if seen is int else "string", "decimal": column.type if seen is Decimal else "double"}
    read |= {"number": "double", "date": "date" if seen is dt.date else "timestamp"}
    return read.get(column.kind, column.type)


def _assert_same(said: str, expected: Sequence[Row], found: Sequence[Row]) -> None:
    columns = list(next(iter((*expected, *found)), {}))
    missing = [{name: row.get(name) for name in columns} for row in expected]
    rows: list[Row] = []
    for row in found:
        same = next((each for each in missing if all(_same(each[name], row.get(name)) for name in columns)), None)
        if same is not None:
            missing.remove(same)
        rows.append({"": "found" if same is None else "both", **{name: row.get(name) for name in columns}})
    if missing or any(row[""] == "found" for row in rows):
        raise AssertionError(f"{said}:\n{_table([*({'': 'expected', **row} for row in missing), *rows])}")


def _table(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return table_of(columns, [[row.get(name) for name in columns] for row in rows], 160) if rows else ""


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(expected, found, rel_tol=1e-12) or (math.isnan(expected) and math.isnan(found))
    return bool(expected == found)
