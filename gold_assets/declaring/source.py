"""The one table that a project's tables are made from: what its columns and its rows must be."""

import datetime as dt
import functools
import operator
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from deltalake import Field
from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sqlglot import exp

from gold_assets.declaring.column import Column, is_readable, readable_sql, value, value_sql
from gold_assets.declaring.reference import column_names, one_line, parsed
from gold_assets.delta.dates import EVENT_DATE, predicate
from gold_assets.delta.errors import UserError
from gold_assets.delta.sql import DATAFUSION
from gold_assets.delta.types import type_name

VIOLATIONS = "violations"
"""The column of quarantined rows that names the rules they break, array<string>."""


@dataclass(frozen=True)
class Rule:
    """What every row of the source must be. Give it a condition, or the column that it reads.

    Attributes:
        name: what quarantined rows name it by.
        description: what a row is that breaks it.
        condition: in SQL that means the same on Spark, Sail and DataFusion; where it is NULL the rule is broken.
        reads: the column whose value must be one of what it is read as.

    Raises:
        UserError: it has both or neither.

    Examples:
        >>> Rule("amount_is_not_money", "amount is NULL or does not fit", reads="amount").reads
        'amount'
        >>> Rule("level_is_unknown", "level is neither low nor high", "level IN ('low', 'high')").condition
        "level IN ('low', 'high')"
    """

    name: str
    description: str = ""
    condition: str = ""
    reads: str = ""

    def __post_init__(self) -> None:
        if bool(self.condition) == bool(self.reads):
            raise UserError(
                f"The rule {self.name} has a condition and reads a column, or neither: give it one of the two."
            )

    @property
    def columns(self) -> list[str]:
        """The columns that it is on. Raises ``UserError`` for a condition that is no SQL, or SQL that Spark reads otherwise."""
        if self.reads:
            return [self.reads]
        condition = parsed(self.condition, f"The rule {self.name}")
        if quoted := [name.name for name in condition.find_all(exp.Identifier) if name.args.get("quoted")]:
            raise UserError(
                f'The rule {self.name} has "{quoted[0]}" in double quotes, which Spark takes for text: write a text in single quotes; a '
                f"column with such a name is declared by another, with source={quoted[0]!r}."
            )
        qualified = [column.sql() for column in condition.find_all(exp.Column) if column.table]
        if qualified or not column_names(condition):
            found = ", ".join(qualified) or "no column"
            raise UserError(
                f"The rule {self.name} is on {found}, expected columns of the source by their names alone: correct {one_line(self.condition)}."
            )
        return column_names(condition)


_NAME = re.compile(r"[^\W\d]\w*")
"""Of a column: PySpark takes dots and backticks for more than a name."""


@dataclass(frozen=True)
class Source:
    """A Delta table that others write, and from which the project's tables are made.

    Attributes:
        name: what it is called, in the SQL of the tables' references too; as an asset it is ``silver_`` and the name.
        columns: the columns that it must have, ``event_date`` among them, by which the tables are partitioned.
        rules: what every row must be to count as valid.
        description: what a row is, for an analyst.
        date: the column of the Delta table that dates a row, a date or a timestamp whose date in UTC counts. It stands for a
            declared ``event_date`` and its rule.

    Raises:
        UserError: a name is there twice or is none in SQL, a key or the date is nullable, a rule is on a column that is none, or none reads a
            column whose values may be none of what it is read as.

    Examples:
        >>> views = Source("page_views", [Column("page", "string")], date="viewed_at")
        >>> [column.name for column in views.columns], [rule.name for rule in views.rules]
        (['page', 'event_date'], ['event_date_is_missing'])
    """

    name: str
    columns: Sequence[Column]
    rules: Sequence[Rule] = ()
    description: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        dated, rules = [], []
        if self.date and EVENT_DATE not in (column.name for column in self.columns):
            dated = [Column(EVENT_DATE, "date", f"UTC date of {self.date}.", source=self.date)]
            rules = [Rule(f"{EVENT_DATE}_is_missing", f"{self.date} is NULL", reads=EVENT_DATE)]
        object.__setattr__(self, "columns", (*self.columns, *dated))
        object.__setattr__(self, "rules", (*self.rules, *rules))
        refuse_twice(f"The source {self.name}", "column", [column.name for column in self.columns])
        refuse_twice(f"The source {self.name}", "rule", [rule.name for rule in self.rules])
        if (date := self.by_name.get(EVENT_DATE)) is None or date.kind != "date":
            raise UserError(
                f"The source {self.name} has no column {EVENT_DATE} of type date: declare it, by it dates are told."
            )
        for column in self.columns:
            if not _NAME.fullmatch(column.name):
                raise UserError(
                    f"The source {self.name} declares a column named {column.name!r}, expected letters, digits and _, the first no digit: name it "
                    f"so, and add source={column.name!r}, by which Silver knows it."
                )
            if column.name.lower() == VIOLATIONS:
                raise UserError(
                    f"The source {self.name} declares a column named {column.name}, as the quarantine has one of its own: name it otherwise, and "
                    f"add source={column.name!r}."
                )
            if column.may_be_null and (column.kind == "key" or column.name == EVENT_DATE):
                why = "by it dates are told" if column.name == EVENT_DATE else "a key tells rows apart"
                raise UserError(
                    f"The column {column.name} of the source {self.name} is nullable, and {why}: leave nullable out, or declare it as "
                    "another type."
                )
        for rule in self.rules:
            if unknown := [name for name in rule.columns if name not in self.by_name]:
                raise UserError(
                    f"The rule {rule.name} is on {unknown[0]}, expected one of the columns {', '.join(self.by_name)} of the source "
                    f"{self.name}: correct it."
                )
        unread = {column.name for column in self.columns if column.may_be_unreadable} - {
            rule.reads for rule in self.rules
        }
        if unread:
            name = min(unread)
            raise UserError(
                f"No rule says what a row breaks whose {name} is not what the source {self.name} reads it as, "
                f'{self.by_name[name].type}: add Rule("{name}_is_missing", "{name} is …", reads="{name}").'
            )

    @functools.cached_property
    def by_name(self) -> Mapping[str, Column]:
        """The columns, by name."""
        return {column.name: column for column in self.columns}

    def read(self, rows: DataFrame) -> DataFrame:
        """The declared columns of valid rows, each value as what it is read as."""
        return rows.select(*(value(column, rows).alias(column.name) for column in self.columns))

    def read_sql(self, names: Collection[str], types: Mapping[str, str], *, of_any_row: bool = False) -> str:
        """The same of some columns in DataFusion's SQL, as what a SELECT selects of columns of these types.

        ``of_any_row`` has NULL in place of a value that is none of what it is read as, which only valid rows are free of.
        """
        read = {name: value_sql(column, types[name]) for name, column in self.by_name.items() if name in names}
        for name in read if of_any_row else ():
            read[name] = f"CASE WHEN {readable_sql(self.by_name[name], types[name])} THEN {read[name]} END"
        return ", ".join(f"{sql} AS {DATAFUSION.name(name)}" for name, sql in read.items())

    @property
    def asset(self) -> str:
        """Its name as an asset, under which its checks go too."""
        return f"silver_{self.name}"

    @property
    def keys(self) -> list[str]:
        """The columns that are read as keys: what people tell its rows by."""
        return [column.name for column in self.columns if column.kind == "key"]

    def valid_rows(self, rows: DataFrame, broken_dates: Collection[dt.date | None] | None = None) -> DataFrame:
        """Those of the source's rows that break no rule.

        Where ``broken_dates`` is given, it names every date that has a broken row: the others are spared the test.
        """
        if broken_dates is None:
            return rows.filter(self._all_rules_hold(rows))
        whole_date = F.col(EVENT_DATE).isNotNull()
        if not (broken := predicate(filter(None, broken_dates))):
            return rows.filter(whole_date)
        return rows.filter((whole_date & ~F.expr(broken)) | self._all_rules_hold(rows))

    def quarantined_rows(self, rows: DataFrame, broken_dates: Collection[dt.date | None] | None = None) -> DataFrame:
        """The source's other rows, with ``violations`` array<string>, the names of the broken rules.

        Where ``broken_dates`` is given, it names every date that has a broken row, None where rows without a date are there;
        where it names none, nothing is read.
        """
        broken = [F.when(~F.coalesce(self._holds(rule, rows), F.lit(False)), F.lit(rule.name)) for rule in self.rules]
        is_broken = ~F.coalesce(self._all_rules_hold(rows), F.lit(False))
        if broken_dates is not None:
            rows = rows.filter(predicate(broken_dates) or "false")
        return rows.filter(is_broken).withColumn(VIOLATIONS, F.array_compact(F.array(*broken)))

    def broken_dates(self, rows: DataFrame) -> set[dt.date | None]:
        """The dates that have a row that breaks a rule, None where a row has no date. Reads the rules' columns, once."""
        holds = F.coalesce(self._all_rules_hold(rows), F.lit(False))
        dates = rows.groupBy(EVENT_DATE).agg(F.bool_and(holds).alias("is_whole"))
        return {row[EVENT_DATE] for row in dates.filter("NOT is_whole").collect()}

    def rules_sql(self, types: Mapping[str, str]) -> dict[str, str]:
        """By name, what each rule asks of a row, in DataFusion's SQL for columns of these types."""
        return {
            rule.name: readable_sql(self.by_name[rule.reads], types[rule.reads])
            if rule.reads
            else f"({rule.condition})"
            for rule in self.rules
        }

    def rules_hold_sql(self, types: Mapping[str, str]) -> str:
        """That a row breaks no rule; NULL where a rule is NULL."""
        return " AND ".join(self.rules_sql(types).values())

    def is_valid_sql(self, types: Mapping[str, str]) -> str:
        """The same, never NULL."""
        return f"coalesce({self.rules_hold_sql(types)}, false)"

    def _all_rules_hold(self, rows: DataFrame) -> Expression:
        # NULL where a rule evaluates to NULL. A filter drops such a row, and quarantined_rows takes it.
        return functools.reduce(operator.and_, (self._holds(rule, rows) for rule in self.rules))

    def _holds(self, rule: Rule, rows: DataFrame) -> Expression:
        return is_readable(self.by_name[rule.reads], rows) if rule.reads else F.expr(rule.condition)


def types_of(fields: Iterable[Field]) -> dict[str, str]:
    """The types of columns by name, as Delta names them."""
    return {field.name: type_name(field) for field in fields}


def refuse_twice(what: str, kind: str, names: Collection[str]) -> None:
    """Raise ``UserError`` where a name is there twice; Delta does not tell capitals from small letters."""
    for name in names:
        same = [other for other in names if other.lower() == name.lower()]
        if len(same) > 1:
            spelt = f", as {' and '.join(same)}" if len({*same}) > 1 else ""
            raise UserError(f"{what} has the {kind} {name} twice{spelt}: give each one of its own.")
