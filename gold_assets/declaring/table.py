"""A table that is made from the source, by a PySpark function and the SELECT that it is compared with, or by one SELECT alone."""

import datetime as dt
import functools
import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame

from gold_assets.declaring.column import Column
from gold_assets.declaring.reference import Reference, one_line
from gold_assets.declaring.select import Select
from gold_assets.declaring.source import VIOLATIONS, Source, refuse_twice
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError
from gold_assets.delta.sql import DATAFUSION

_TELL_APART = ("key", "string", "byte", "short", "integer", "long", "boolean", "binary", "timestamp", "timestamp_ntz")
"""Kinds of columns that are read as they are, and of which two values are the same or are not, on every engine."""


@dataclass(frozen=True)
class Table:
    """A table that is a function of the source, partitioned by event_date.

    Attributes:
        name: the table's and the asset's name.
        source: what it is made from; its project gives it.
        version: raise it when the transformation changes what it computes.
        description: what a row means, for an analyst.
        reference: the same once more as one SELECT in Spark's SQL over the source's valid rows, by which the table is
            compared: with a ``GROUP BY`` of the key, which DuckDB answers; or ``SELECT *`` where each row is one of the source's,
            with all its columns, in DataFusion's SQL. A table with the column ``violations`` is the quarantine, over the other
            rows. Of it and the key derives what a patch does: a row of a key that was there and a new one are combined where
            each column is a sum, a count, a least or largest value, or an average of values that another column counts.
        sql: in place of version, reference, transformation, columns and key, all of which derive from it: one SELECT in
            Spark's SQL over the source's valid rows, see ``declaring.select``. Without ``GROUP BY`` a row stands for one of the
            source's. Columns that are given say what theirs mean; a reference that is given is another text for DuckDB.
        transformation: from the source's valid rows, or of the quarantine its broken ones, to the table's.
        columns: the columns, in order. After ``*`` those that it adds, and event_date.
        key: the columns whose values are unique and not NULL, event_date among them; empty where rows are the source's.
        zorder_by: the columns OPTIMIZE clusters by; without any it compacts. By default those of the key of a table in SQL.
        invariants: by name of what is wrong, what each row must meet by itself, in SQL over the table's columns.
        numbers: by name, an aggregate over a date's rows, as it is plotted beside their count.
        measure: the column by which a change of the table is told; without it, by rows.
        path_setting: the setting that holds the table's path, by default ``GOLD_WRITE_PATH_`` and the name.
        default_path: the table's path below the lake's root, by default ``gold/`` and the name.
        stands_for: the digest of the declaration that ``version`` alone is stamped for. Of any other it is stamped too.

    Raises:
        UserError: parts of it contradict each other or the source.

    Examples:
        >>> from gold_assets import Column
        >>> views = Source("page_views", [Column("page", "string")], date="viewed_at")
        >>> table = Table("views_by_page", views, sql="SELECT page, event_date, count(*) AS views FROM page_views GROUP BY page, event_date")
        >>> table.key, [(column.name, column.type) for column in table.columns]
        (('page', 'event_date'), [('page', 'string'), ('event_date', 'date'), ('views', 'long')])
    """

    name: str
    source: Source = None  # type: ignore[assignment]
    version: str = "1"
    description: str = ""
    reference: str = ""
    transformation: Callable[[DataFrame], DataFrame] = lambda rows: rows
    columns: Sequence[Column] = ()
    key: Sequence[str] = ()
    zorder_by: Sequence[str] = ()
    sql: str = ""
    invariants: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    measure: str = ""
    path_setting: str = ""
    default_path: str = ""
    stands_for: str = ""

    def __post_init__(self) -> None:
        if not self.path_setting:
            object.__setattr__(self, "path_setting", f"GOLD_WRITE_PATH_{self.name.upper()}")
        if not self.default_path:
            object.__setattr__(self, "default_path", f"gold/{self.name}")
        if self.source is None:
            return
        if self.sql and isinstance(self.select, Select):
            self._derive(self.select)
        refuse_twice(f"The table {self.name}", "column", self._names)
        if unknown := [name for name in self.key if name not in self._names]:
            raise UserError(
                f"The key of {self.name} has {unknown[0]}, expected some of its columns, {', '.join(self._names)}: correct it."
            )
        self._refuse_names_of_comparisons()
        if not self.sql:
            self._refuse_another_reference()

    def _derive(self, select: Select) -> None:
        if self.key and {*self.key, EVENT_DATE} != {*select.key}:
            raise UserError(
                f"The key of {self.name} is {', '.join(self.key)}, and its SELECT groups by {', '.join(select.key) or 'nothing'}: "
                "make the two say the same, or leave the key out."
            )
        meant = {column.name: column.description for column in (*self.source.columns, *self.columns)}
        derived = {
            "reference": self.reference or self.sql,
            "columns": tuple(Column(name, type, meant.get(name, "")) for name, type in select.types.items()),
            "key": select.key,
            "transformation": lambda rows: rows.sparkSession.sql(select.spark, rows=self.source.read(rows)),
            "zorder_by": self.zorder_by or tuple(name for name in select.key if name != EVENT_DATE),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def _refuse_names_of_comparisons(self) -> None:
        """Raise ``UserError`` for a name that would stand for something else where the table is compared."""
        if isinstance(self.select, Select) and self.is_quarantine:
            raise UserError(
                f"{self.name} selects {VIOLATIONS}, a column of the quarantine, which is made by itself: give it another name."
            )
        compared = {"rows", *self.select.aggregates}
        of_sides = {f"{side}_{name}" for side in ("silver", "gold") for name in (*compared, *self.invariants)}
        if taken := [name for name in self.key if name in of_sides]:
            raise UserError(
                f"The key of {self.name} has {taken[0]}, as a comparison calls a value of one of its sides: give it another name."
            )
        if self.key and (taken := [name for name in self.invariants if name in compared]):
            raise UserError(
                f"The invariant {taken[0]} of {self.name} is called as a value that is compared: give it another name."
            )

    def _refuse_another_reference(self) -> None:
        select, keeps = self.select, self.keeps_source_columns
        named, wrong = [name for name in self._names if not (keeps and name == EVENT_DATE)], ""
        if list(select.selected) != named:
            wrong = f"makes the columns {', '.join(select.selected) or 'none'}, expected those declared, {', '.join(named)}, in this order"
        elif sorted(select.key) != sorted(self.key):
            grouped = f"groups by {', '.join(select.key)}" if select.key else "does not group its rows"
            wrong = f"{grouped}, expected a GROUP BY of the key, or SELECT * and no key"
        elif EVENT_DATE not in self._names:
            wrong = f"has no {EVENT_DATE}, by which tables are partitioned"
        if wrong:
            raise UserError(f"The reference of {self.name} {wrong}: correct {one_line(self.reference)}")
        for name, function in select.aggregates.items():
            if function == "avg" and name not in select.counts:
                count = select.text(name).replace("AVG(", "count(", 1)
                raise UserError(
                    f"{self.name}.{name} is an average whose values no column counts, so that no patch could add to it: add "
                    f"{count} to the SELECT."
                )

    @functools.cached_property
    def select(self) -> Reference:
        """What the reference says."""
        by_name, is_of_rows = self.source.by_name, re.match(r"(?i)\s*SELECT\s*\*", self.reference)
        if is_of_rows and not self.sql:
            return Reference(self.name, self.reference, self.source.name, by_name, self._names)
        if self.sql:
            reference = self.reference if self.reference != self.sql else ""
            return Select(self.name, self.sql, self.source.name, by_name, reference=reference)
        return Select(self.name, self.reference, self.source.name, by_name, is_reference=True)

    @property
    def _names(self) -> list[str]:
        return [column.name for column in self.columns]

    @functools.cached_property
    def code_version(self) -> str:
        """What is stamped on what is made: it changes with the version, the source's columns and rules, and the reference."""
        return self.version if self.stands_for == self.digest else f"{self.version}-{self.digest}"

    @property
    def digest(self) -> str:
        """Of everything declared that the table's content depends on."""
        source = self.source
        # Only what is said: a declaration keeps its digest where Column gains what it may say.
        nullable = {column.name: [column.nullable] for column in source.columns if column.nullable is not None}
        declared = [
            [source.name, [[column.name, column.type, *nullable.get(column.name, [])] for column in source.columns]],
            [[rule.name, rule.condition, rule.reads] for rule in source.rules],
            [self.key, one_line(self.reference), [[column.name, column.type] for column in self.columns]],
            *([one_line(self.sql)] if self.sql not in ("", self.reference) else []),
        ]
        return hashlib.sha256(json.dumps(declared).encode()).hexdigest()[:12]

    @property
    def keeps_source_columns(self) -> bool:
        """Whether its rows are the source's, with its columns before the table's own."""
        return self.select.keeps_source_columns

    @property
    def combines(self) -> bool:
        """Whether what new rows of the source make can be added to the rows of a date."""
        return self.select.combined.keys() == self.select.aggregates.keys()

    @functools.cached_property
    def merge_key(self) -> Mapping[str, str]:
        """The columns by which some of its rows can be replaced, each with the source's column of the same values.

        All rows with the same values there are made from the source's rows with these values, and from no others. Of the table's key
        they are the columns that are the source's as they are; of a table of rows, which has no key, those that are read as keys, else
        all. Empty where ``event_date`` would be alone.
        """
        of = self.key or self.source.keys or [*self.select.read_as_is]
        read = {name: self.source.by_name[column] for name, column in self.select.read_as_is.items() if name in of}
        # Of two columns with the values of one of the source's, one tells the rows apart.
        of_source = {column.name: name for name, column in read.items() if column.kind in _TELL_APART}
        exact = {name: column for column, name in of_source.items()}
        return {**exact, EVENT_DATE: EVENT_DATE} if exact else {}

    @property
    def totals(self) -> Collection[str]:
        """The columns of which the sum over several keys means something."""
        return [name for name, function in self.select.aggregates.items() if function in ("sum", "count")]

    @property
    def row_order(self) -> str:
        """The order in which rows are shown, as SQL's ORDER BY has it: by key, else by what OPTIMIZE clusters by."""
        return ", ".join(map(DATAFUSION.name, self.key or self.zorder_by)) or "1"

    @property
    def what(self) -> str:
        """What a row stands for, in a word."""
        return next(iter(self.key)).removesuffix("_id") if self.key else "row"

    @property
    def is_quarantine(self) -> bool:
        """Whether the table holds the source's broken rows, those without a date among them."""
        return VIOLATIONS in self._names

    @property
    def has_invariants(self) -> bool:
        """Whether there is something that each of its rows must meet by itself."""
        own = self.keeps_source_columns and (self.select.conditions() or self.select.selected.keys() - {VIOLATIONS})
        return bool(self.key or self.invariants or own)

    def made_from(self, column: str) -> tuple[str, ...]:
        """The source's columns that the values of a column come from."""
        return tuple(self.source.by_name) if column == VIOLATIONS else self.select.made_from(column)

    @property
    def rows(self) -> Callable[[DataFrame, Collection[dt.date | None] | None], DataFrame]:
        """Which of the source's rows feed the table."""
        return self.source.quarantined_rows if self.is_quarantine else self.source.valid_rows

    def of(self, silver: DataFrame, broken_dates: Collection[dt.date | None] | None = None) -> DataFrame:
        """The table's content as the function of Silver that it is; ``broken_dates`` as in ``Source.valid_rows``."""
        return self.transformation(self.rows(silver, broken_dates))
