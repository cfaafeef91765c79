"""The reference of a table whose rows are the source's, with all its columns; and what any SQL that is declared is read by."""

from collections.abc import Collection, Mapping
from functools import cached_property

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from gold_assets.declaring.column import Column, bound_sql, digits_of, value_sql
from gold_assets.delta.errors import UserError
from gold_assets.delta.sql import DATAFUSION

Types = Mapping[str, str]
"""The types of the source's columns in a Delta table, by name."""

_CLAUSES = {"expressions", "from_", "where"}
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


class Reference:
    """The source's rows as a table, ``SELECT *, true AS is_high FROM visits WHERE level = 'high'``, taken apart.

    ``more`` are columns that its rows have beside the source's. Raises ``UserError`` where ``sql``, the reference of ``table``, has
    another form.
    """

    keeps_source_columns = True
    key: tuple[str, ...] = ()
    """The columns by which it is grouped, ``event_date`` last."""
    aggregates: Mapping[str, str] = {}
    """By each other column where it is grouped the aggregate that it is; empty where it is not simply one."""
    combined: Mapping[str, str] = {}
    """By column, the aggregate by which its values in two rows of a key become one; one of which that cannot be told is not there."""
    counts: Mapping[str, str] = {}
    """By column that is an average, the one that counts its values."""
    _select: exp.Select

    @cached_property
    def read_as_is(self) -> Mapping[str, str]:
        """By column that has the values of one of the source's columns as they are, that column."""
        return {name: name for name in self._columns}

    def __init__(
        self, table: str, sql: str, source: str, columns: Mapping[str, Column], more: Collection[str] = ()
    ) -> None:
        select = parsed(sql, f"The reference of {table}")
        clauses = {name for name, value in select.args.items() if value}
        if not isinstance(select, exp.Select) or not {"expressions", "from_"} <= clauses <= _CLAUSES:
            wrong = "is not of the form expected, SELECT *, … FROM … WHERE …, the last where needed"
        elif (found := select.args["from_"].this.sql()) != source:
            wrong = f"reads {found}, expected {source}"
        elif unknown := [name for name in column_names(select) if name not in (*columns, *more)]:
            wrong = f"reads the column {unknown[0]}, expected some of {', '.join(columns)}"
        else:
            self._select, self._columns = select, columns
            return
        raise UserError(f"The reference of {table} {wrong}: correct {one_line(sql)}")

    @cached_property
    def selected(self) -> Mapping[str, exp.Expr]:
        """By name, in order, what it selects, without the star's columns."""
        return {each.alias_or_name: each.unalias() for each in self._select.selects if not isinstance(each, exp.Star)}

    @cached_property
    def _conditions(self) -> list[exp.Expr]:
        where = self._select.args.get("where")
        return [] if where is None else list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]

    def made_from(self, name: str) -> tuple[str, ...]:
        """The source's columns that the values of a column come from; of a constant, those of the conditions."""
        if name not in self.selected:
            return (name,)
        of = [self.selected[name]]
        if isinstance(of[0], (exp.Boolean, exp.Literal)):
            of = self._conditions
        return tuple(dict.fromkeys(read for each in of for read in column_names(each)))

    def text(self, name: str) -> str:
        """What makes a column, as it is written."""
        return self.selected[name].sql()

    def sql(self, name: str, types: Types) -> str:
        """What makes a column of the source's, in DataFusion's SQL for columns of these types."""
        return self._sql(self.selected[name], types)

    def conditions(self, types: Types | None = None) -> dict[str, str]:
        """By its text, each part of its WHERE, in DataFusion's SQL for columns of these types."""
        return {part.sql(): self._sql(part, types) if types else part.sql() for part in self._conditions}

    def _sql(self, expression: exp.Expr, types: Types) -> str:
        """Each column as what it is read as."""

        def read(node: exp.Expr) -> exp.Expr:
            if type(node) in _MIRRORED:
                return self._exact(node, types)
            if isinstance(node, exp.Column) and node.name in self._columns:
                return exp.Var(this=value_sql(self._columns[node.name], types[node.name]))
            return node

        return expression.copy().transform(read).sql()

    def _exact(self, node: exp.Expr, types: Types) -> exp.Expr:
        """A comparison of a ``number`` with a literal, exact; any other as it is."""
        if _is_number(node.this):
            node = _MIRRORED[type(node)](this=node.expression, expression=node.this)
        column = self._columns.get(node.this.name) if isinstance(node.this, exp.Column) else None
        scale = digits_of(types[column.name]) if column is not None and column.kind == "number" else None
        if column is not None and scale and _is_number(node.expression):
            up = isinstance(node, (exp.LT, exp.GTE))
            node.set("expression", exp.Var(this=bound_sql(scale[1], node.expression.sql(), up=up)))
            node.set("this", exp.Var(this=DATAFUSION.name(column.name)))
        return node


def _is_number(node: exp.Expr) -> bool:
    literal = node.this if isinstance(node, exp.Neg) else node
    return isinstance(literal, exp.Literal) and not literal.is_string
