"""What a table's reference, one SELECT over the source's valid rows, says: by sqlglot, which nothing else here imports."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from gold_assets.declaring.column import Column, bound_sql, double_sql, sum_sql, value_sql
from gold_assets.delta.errors import UserError

Types = Mapping[str, str]
"""The types of the source's columns in a Delta table, by name."""

_CLAUSES = {"expressions", "from_", "where", "group"}
_FUNCTIONS: Mapping[type[exp.Expr], str] = {
    exp.Sum: "sum",
    exp.Count: "count",
    exp.Min: "min",
    exp.Max: "max",
    exp.Avg: "avg",
}
_MIRRORED: Mapping[type[exp.Expr], type[exp.Binary]] = {
    exp.LT: exp.GT,
    exp.GT: exp.LT,
    exp.LTE: exp.GTE,
    exp.GTE: exp.LTE,
}


def parsed(sql: str, what: str) -> exp.Expr:
    """The SQL that ``what`` has. Raises ``UserError`` where it is none."""
    try:
        return sqlglot.parse_one(sql)
    except SqlglotError as error:
        found = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{what} is no SQL ({found}), expected such as DataFusion takes: correct {one_line(sql)}"
        ) from None


def one_line(sql: str) -> str:
    """The SQL as a sentence can hold it."""
    return " ".join(sql.split())


def column_names(expression: exp.Expr) -> list[str]:
    """The columns that it reads."""
    return list(dict.fromkeys(column.name for column in expression.find_all(exp.Column)))


def all_of(conditions: Collection[str]) -> str:
    """That all of the conditions hold, in SQL."""
    return " AND ".join(f"({condition})" for condition in conditions) or "true"


class Aggregate(NamedTuple):
    """An aggregate, such as ``sum`` or ``count distinct``, and what it is of, with a ``FILTER`` as a ``CASE``."""

    function: str
    of: exp.Expr


class Reference:
    """A table's SELECT, taken apart, such as ``SELECT user_id, count(*) AS n, event_date FROM visits GROUP BY user_id, event_date``.

    Raises ``UserError`` where ``sql``, the reference of ``table``, has another form.
    """

    def __init__(self, table: str, sql: str, columns: Mapping[str, Column]) -> None:
        select, self._columns = parsed(sql, f"The reference of {table}"), columns
        clauses = {name for name, value in select.args.items() if value}
        if not isinstance(select, exp.Select) or not {"expressions", "from_"} <= clauses <= _CLAUSES:
            raise UserError(
                f"The reference of {table} is not of the form expected, SELECT … FROM … WHERE … GROUP BY …, the last two where "
                f"needed: correct {one_line(sql)}"
            )
        self._select = select

    @property
    def source(self) -> str:
        """The table that it reads."""
        return str(self._select.args["from_"].this.sql())

    @property
    def keeps_source_columns(self) -> bool:
        """Whether it is ``SELECT *``, with something more or nothing."""
        return self._select.is_star

    @cached_property
    def selected(self) -> Mapping[str, exp.Expr]:
        """By name, in order, what it selects, without the star's columns."""
        return {each.alias_or_name: each.unalias() for each in self._select.selects if not isinstance(each, exp.Star)}

    @cached_property
    def _conditions(self) -> list[exp.Expr]:
        where = self._select.args.get("where")
        return [] if where is None else list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]

    @cached_property
    def groups_by(self) -> list[str]:
        """The names of the columns that it groups by; of what is none of them, its text."""
        group = self._select.args.get("group")
        return [self._named(each) for each in group.expressions] if group else []

    def _named(self, grouped: exp.Expr) -> str:
        names = list(self.selected)
        if isinstance(grouped, exp.Literal) and grouped.is_int and 0 < int(grouped.this) <= len(names):
            return names[int(grouped.this) - 1]
        # As SQL has it: a column of the source goes before one of the SELECT that has its name.
        by_name = names if grouped.name not in self._columns else []
        return next(
            (name for name in names if self.selected[name] == grouped or (name in by_name and name == grouped.name)),
            grouped.sql(),
        )

    @cached_property
    def aggregates(self) -> Mapping[str, Aggregate | None]:
        """Where it groups, by name of each other column, the aggregate that it is; None where it is not simply one."""
        names = self.selected.keys() - self.groups_by if self.groups_by else set()
        return {name: _aggregate(selected) for name, selected in self.selected.items() if name in names}

    @property
    def sums_of_doubles(self) -> Collection[str]:
        """The columns whose last digits depend on the order of rows or patches: averages."""
        return [name for name, found in self.aggregates.items() if found and found.function == "avg"]

    def counts(self, average: str) -> str | None:
        """The column that counts the values which another is the average of."""
        of = self.aggregates[average]
        return next((name for name, each in self.aggregates.items() if of and each == Aggregate("count", of.of)), None)

    @cached_property
    def combined(self) -> Mapping[str, str]:
        """By column, how its values in two rows of a key become one: ``sum``, ``count``, ``min``, ``max`` or ``avg``.

        No column is there of which that cannot be told from two values, as of a count of distinct users; nor a sum of doubles,
        which depends on their order; nor the largest of what may be NaN, of which engines do not agree whether it is.
        """
        return {
            name: found.function for name, found in self.aggregates.items() if found and self._can_be_combined(found)
        }

    def _can_be_combined(self, found: Aggregate) -> bool:
        if found.function == "sum":
            return all(self._columns[name].kind != "number" for name in column_names(found.of))
        return found.function in ("count", "avg") or (
            found.function in ("min", "max") and isinstance(found.of, exp.Column)
        )

    def made_from(self, name: str) -> tuple[str, ...]:
        """The source's columns that the values of a column come from; of a constant, those of the conditions."""
        if name not in self.selected:
            return (name,)
        of = (
            [self.selected[name]]
            if not isinstance(self.selected[name], (exp.Boolean, exp.Literal))
            else self._conditions
        )
        return tuple(dict.fromkeys(read for each in of for read in column_names(each)))

    def unknown(self) -> list[str]:
        """The columns that it reads and the source does not have."""
        parts = (*self.selected.values(), *self._conditions)
        return [name for part in parts for name in column_names(part) if name not in self._columns]

    def text(self, name: str) -> str:
        """What makes a column, as it is written."""
        return self.selected[name].sql()

    def sql(self, name: str, types: Types) -> str:
        """What makes a column of the source's, in DataFusion's SQL for columns of these types."""
        return self._sql(self.selected[name], types)

    def averaged_sql(self, name: str, types: Types) -> str:
        """Of a column that is an average, what it is the average of, as a double."""
        found = self.aggregates[name]
        assert found is not None
        if isinstance(found.of, exp.Column):
            return double_sql(self._columns[found.of.name], types[found.of.name])
        return f"CAST({self._sql(found.of, types)} AS DOUBLE)"

    def conditions(self, types: Types | None = None) -> dict[str, str]:
        """By its text, each part of its WHERE, in DataFusion's SQL for columns of these types."""
        return {part.sql(): self._sql(part, types) if types else part.sql() for part in self._conditions}

    def _sql(self, expression: exp.Expr, types: Types) -> str:
        """Each column as what it is read as."""

        def read(node: exp.Expr) -> exp.Expr:
            of = self._columns.get(node.this.name) if isinstance(node.this, exp.Column) else None
            if isinstance(node, exp.Sum) and of is not None and of.kind == "decimal":
                return exp.Var(this=sum_sql(of, types[of.name]))
            if isinstance(node, exp.Avg) and of is not None:
                return exp.Var(this=f"avg({double_sql(of, types[of.name])})")
            if isinstance(node, exp.Count) and of is not None:
                return exp.Var(this=f"count({of.name})")
            if type(node) in _MIRRORED:
                return self._compared(node, types)
            if isinstance(node, exp.Column) and node.name in self._columns:
                return exp.Var(this=value_sql(self._columns[node.name], types[node.name]))
            return node

        return expression.copy().transform(read).sql()

    def _compared(self, node: exp.Expr, types: Types) -> exp.Expr:
        """A comparison of a ``number`` with a literal, exact; any other as it is."""
        if _is_number(node.this):
            node = _MIRRORED[type(node)](this=node.expression, expression=node.this)
        column = self._columns.get(node.this.name) if isinstance(node.this, exp.Column) else None
        if column is not None and column.kind == "number" and _is_number(node.expression):
            up = isinstance(node, (exp.LT, exp.GTE))
            node.set("expression", exp.Var(this=bound_sql(types[column.name], node.expression.sql(), up=up)))
        return node


def _aggregate(expression: exp.Expr) -> Aggregate | None:
    condition = expression.expression.this if isinstance(expression, exp.Filter) else None
    call = expression.this if isinstance(expression, exp.Filter) else expression
    function, of = _FUNCTIONS.get(type(call)), call.this
    if function is None or call.args.get("expressions"):
        return None
    if isinstance(of, exp.Distinct):
        if len(of.expressions) != 1:
            return None
        [of] = of.expressions
        function = function if function in ("min", "max") else f"{function} distinct"
    if condition is not None:
        counted = exp.Literal.number(1) if isinstance(of, exp.Star) else of.copy()
        of = exp.Case(ifs=[exp.If(this=condition.copy(), true=counted)])
    return Aggregate(function, of)


def _is_number(node: exp.Expr) -> bool:
    literal = node.this if isinstance(node, exp.Neg) else node
    return isinstance(literal, exp.Literal) and not literal.is_string
