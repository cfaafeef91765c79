"""What a table's reference, one SELECT over the source's valid rows, says: by sqlglot, which nothing else here imports."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from gold_assets.declaring.column import Column, bound_sql, double_sql, sum_sql, value_sql
from gold_assets.delta.errors import UserError

Columns = Mapping[str, Column]
"""The source's declared columns by name."""

Types = Mapping[str, str]
"""Their types in a Delta table, by name."""

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
_OPERATORS: Mapping[type[exp.Expr], str] = {exp.LT: "<", exp.GT: ">", exp.LTE: "<=", exp.GTE: ">="}


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


@dataclass(frozen=True)
class Aggregate:
    """What a column of the SELECT is, where it is one aggregate and no more.

    Attributes:
        function: ``sum``, ``count``, ``min``, ``max`` or ``avg``; with ``distinct``, as in ``count distinct``, where it takes
            each value once.
        of: what it is the aggregate of, with a ``FILTER`` as a ``CASE``.
    """

    function: str
    of: exp.Expr

    @classmethod
    def in_sql(cls, expression: exp.Expr) -> "Aggregate | None":
        """The aggregate that the expression is; None where it is anything else."""
        condition = expression.expression.this if isinstance(expression, exp.Filter) else None
        call = expression.this if isinstance(expression, exp.Filter) else expression
        if (function := _FUNCTIONS.get(type(call))) is None or len(call.args.get("expressions") or ()) > 0:
            return None
        of = call.this
        if isinstance(of, exp.Distinct):
            if len(of.expressions) != 1:
                return None
            [of] = of.expressions
            function = function if function in ("min", "max") else f"{function} distinct"
        if condition is not None:
            counted = exp.Literal.number(1) if isinstance(of, exp.Star) else of.copy()
            of = exp.Case(ifs=[exp.If(this=condition.copy(), true=counted)])
        return cls(function, of)


@dataclass(frozen=True)
class Reference:
    """``SELECT user_id, sum(amount) AS total_spend, event_date FROM transactions GROUP BY user_id, event_date``, taken apart.

    Attributes:
        table: the name of the table that it belongs to, for what is wrong with it.
    """

    table: str
    sql: str

    @cached_property
    def _select(self) -> exp.Select:
        what = f"The reference of {self.table}"
        select = parsed(self.sql, what)
        clauses = {name for name, value in select.args.items() if value}
        if not isinstance(select, exp.Select) or not {"expressions", "from_"} <= clauses <= _CLAUSES:
            raise UserError(
                f"{what} is not of the form expected, SELECT … FROM … WHERE … GROUP BY …, the last two where needed: correct {one_line(self.sql)}"
            )
        return select

    @property
    def source(self) -> str:
        """The table that it reads."""
        return str(self._select.args["from_"].this.sql())

    @property
    def keeps_source_columns(self) -> bool:
        """Whether it is ``SELECT *``, and something more or nothing."""
        return self._select.is_star

    @cached_property
    def columns(self) -> Mapping[str, exp.Expr]:
        """By name, in order, what it selects, without the star's."""
        return {each.alias_or_name: each.unalias() for each in self._select.selects if not isinstance(each, exp.Star)}

    def text(self, name: str) -> str:
        """What makes a column, as it is written."""
        return self.columns[name].sql()

    @cached_property
    def conditions(self) -> Mapping[str, exp.Expr]:
        """The parts of its WHERE, which must all hold, by themselves as text."""
        where = self._select.args.get("where")
        if where is None:
            return {}
        parts = where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
        return {part.sql(): part for part in parts}

    @property
    def groups_by(self) -> list[str]:
        """The names of the columns that it groups by; of what is none of them, its text."""
        group = self._select.args.get("group")
        return [self._named(each) for each in group.expressions] if group else []

    def _named(self, grouped: exp.Expr) -> str:
        names = list(self.columns)
        if isinstance(grouped, exp.Literal) and grouped.is_int and 0 < int(grouped.this) <= len(names):
            return names[int(grouped.this) - 1]
        # As SQL has it: the source's column goes before one of the SELECT's that has its name.
        found = next((name for name, selected in self.columns.items() if selected == grouped), None)
        if (
            found is None
            and grouped.name in self.columns
            and grouped.name not in column_names(self.columns[grouped.name])
        ):
            found = grouped.name
        return found or grouped.sql()

    @cached_property
    def aggregates(self) -> Mapping[str, Aggregate | None]:
        """Where it groups, by name of each other column, the aggregate that it is; None where it is not simply one."""
        grouped = self.groups_by
        return {
            name: Aggregate.in_sql(found) for name, found in self.columns.items() if grouped and name not in grouped
        }

    def made_from(self, name: str) -> tuple[str, ...]:
        """The source's columns that the values of a column come from; of a constant, those of the conditions."""
        if name not in self.columns:
            return (name,)
        if isinstance(self.columns[name], (exp.Boolean, exp.Literal)):
            return tuple(dict.fromkeys(read for part in self.conditions.values() for read in column_names(part)))
        return tuple(column_names(self.columns[name]))

    def counts(self, average: str) -> str | None:
        """The column that counts the values which another is the average of."""
        of = self.aggregates[average]
        return next((name for name, each in self.aggregates.items() if of and each == Aggregate("count", of.of)), None)

    def combined(self, columns: Columns) -> Mapping[str, str]:
        """How two rows of a key become one: by column, ``sum``, ``count``, ``min``, ``max`` or ``avg``.

        Nothing is said of what cannot be told from two values, as of a count of distinct users; of a sum of doubles, which
        depends on their order; and of the largest of what may be NaN, of which engines do not agree whether it is.
        """
        return {
            name: found.function
            for name, found in self.aggregates.items()
            if found and _can_be_combined(found, columns)
        }

    def unknown(self, columns: Collection[str]) -> Iterator[str]:
        """The columns that it reads and the source does not have."""
        yield from (name for name in column_names(self._select) if name not in columns and name not in self.groups_by)


def _can_be_combined(aggregate: Aggregate, columns: Columns) -> bool:
    if aggregate.function in ("min", "max"):
        return isinstance(aggregate.of, exp.Column)
    if aggregate.function == "sum":
        return all(columns[name].kind != "number" for name in column_names(aggregate.of) if name in columns)
    return aggregate.function in ("count", "avg")


def rendered(expression: exp.Expr, columns: Columns, types: Types) -> str:
    """An expression over the source in DataFusion's SQL, each column as what it is read as."""

    def read(node: exp.Expr) -> exp.Expr:
        of = columns.get(node.this.name) if isinstance(node.this, exp.Column) else None
        if isinstance(node, exp.Sum) and of is not None and of.kind == "decimal":
            return exp.Var(this=sum_sql(of, types[of.name]))
        if isinstance(node, exp.Avg) and of is not None:
            return exp.Var(this=f"avg({double_sql(of, types[of.name])})")
        if isinstance(node, exp.Count) and of is not None:
            return exp.Var(this=f"count({of.name})")
        if type(node) in _OPERATORS:
            return _compared(node, columns, types)
        if isinstance(node, exp.Column) and node.name in columns:
            return exp.Var(this=value_sql(columns[node.name], types[node.name]))
        return node

    return expression.copy().transform(read).sql()


def rendered_as_double(expression: exp.Expr, columns: Columns, types: Types) -> str:
    """The same as a double, of a number the nearest one: what is averaged."""
    if isinstance(expression, exp.Column) and expression.name in columns:
        return double_sql(columns[expression.name], types[expression.name])
    return f"CAST({rendered(expression, columns, types)} AS DOUBLE)"


def _compared(node: exp.Expr, columns: Columns, types: Types) -> exp.Expr:
    """A comparison of a ``number`` with a literal, exact; any other as it is."""
    if _is_number(node.this) and isinstance(node.expression, exp.Column):
        node = _MIRRORED[type(node)](this=node.expression, expression=node.this)
    column = columns.get(node.this.name) if isinstance(node.this, exp.Column) else None
    if column is not None and column.kind == "number" and _is_number(node.expression):
        bound = bound_sql(types[column.name], _OPERATORS[type(node)], node.expression.sql())
        node.set("expression", exp.Var(this=bound))
    return node


def _is_number(node: exp.Expr) -> bool:
    literal = node.this if isinstance(node, exp.Neg) else node
    return isinstance(literal, exp.Literal) and not literal.is_string


def all_of(conditions: Collection[str]) -> str:
    """That all of the conditions hold, in SQL."""
    return " AND ".join(f"({condition})" for condition in conditions) or "true"
