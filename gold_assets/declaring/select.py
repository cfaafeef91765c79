"""One Spark SQL SELECT as a table: its columns and key, how it is combined, and its text for Spark, Sail and DuckDB.

Spark's meaning counts, with ``spark.sql.ansi.enabled`` off: a text is written in which all three agree, with a cast wherever types
meet and in other words where engines differ. What is not known to agree is refused. An integer is computed as BIGINT and a float
as the double that it is. A sum or an average of doubles is that of ``declaring.averages``, which no order of rows changes.
"""

import copy
import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from gold_assets.declaring.averages import averaged_sql, in_dialect
from gold_assets.declaring.column import Column, digits_of
from gold_assets.declaring.reference import Reference, Types, one_line
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError

_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_SPARK_TYPES = {"byte": "tinyint", "short": "smallint", "integer": "int", "long": "bigint"}
_READ_AS = {"number": "double"}
_DELTA_TYPES = {"tinyint": "byte", "smallint": "short", "int": "integer", "bigint": "long"}
_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 20, "null": 1}
_MOST_DIGITS = 38
_MOST = {"int": 2**31 - 1, "bigint": 2**63 - 1}
_NUMBER = re.compile(r"[+-]?(?:0*(\d*)\.?(\d*))(?:[eE][+-]?\d+)?")
_NAN, _INFINITY, _ZERO = "CAST('NaN' AS DOUBLE)", "CAST('Infinity' AS DOUBLE)", "CAST('0.0' AS DOUBLE)"
_EXACT_CASTS = {
    ("key", "string"),
    ("timestamp", "date"),
    ("int", "string"),
    ("bigint", "string"),
    ("date", "string"),
    ("boolean", "int"),
}
_OF_TWO = ("sum", "count", "min", "max")
_UNKNOWN = "unknown"
"""The type of what DuckDB alone is asked for."""
_OF_CHECKS = ("rows", "agrees", "number")
_CLAUSES = {"expressions", "from_", "where", "group", "having"}
_CHANGING = ("current", "rand", "uuid", "now", "monotonically", "spark_partition", "input_file", "shuffle", "localtime")


class Typed(NamedTuple):
    """An expression in Spark's SQL and the type of its values; of a literal, its text."""

    sql: str
    type: str
    literal: str | None = None


class _Aggregate(NamedTuple):
    """An aggregate of values; or in DuckDB's words as it is ``written``, over columns ``of_x``."""

    function: str
    of: Typed | None = None
    distinct: bool = False
    written: str = ""

    @property
    def type(self) -> str:
        if self.written:
            return _UNKNOWN
        of = "" if self.of is None else self.of.type
        if self.function == "sum" and (digits := digits_of(of)):
            return f"decimal({min(digits[0] + 10, _MOST_DIGITS)},{digits[1]})"
        if self.function == "count" or (self.function == "sum" and of in _INTEGERS):
            return "bigint"
        return of

    @property
    def is_of_doubles(self) -> bool:
        """Whether its value depends on the order in which doubles are added."""
        return self.function in ("sum", "avg") and self.type == "double"

    def sql(self, name: str) -> str:
        """It, over the column ``name`` that holds what it is of."""
        if self.of is None:
            return self.written or "count(*)"
        called = f"{self.function}({'DISTINCT ' if self.distinct else ''}{name})"
        return f"CAST({called} AS {self.type})" if self.function == "sum" else called


class Select(Reference):
    """What a table's Spark SQL says of it, over the valid rows of ``source`` with these columns.

    Args:
        is_reference: what makes the table is a PySpark function, and DuckDB alone is asked: it may have functions besides of which
            engines do not agree, and an average of decimals is one of doubles.
        reference: another text for DuckDB, of the same columns, groups, and sums and averages of doubles.

    Attributes:
        selected: by name, in order, what it selects.
        where: its condition in our words, empty where it has none.

    Raises ``UserError`` where it is no SELECT over the source, where it asks for what no date holds by itself or is another
    value each time, and for what engines do not agree in.
    """

    keeps_source_columns = False

    def __init__(
        self,
        table: str,
        sql: str,
        source: str,
        columns: Mapping[str, Column],
        *,
        is_reference: bool = False,
        reference: str = "",
    ) -> None:
        try:
            parsed = sqlglot.parse(sql, dialect="spark")
        except SqlglotError as error:
            found = str(error).splitlines()[0].rstrip(".")
            raise UserError(f"The SELECT of {table} is no Spark SQL ({found}): correct {one_line(sql)}") from None
        if len(parsed) != 1 or not isinstance(parsed[0], exp.Select):
            raise UserError(f"The SQL of {table} is not one SELECT: write SELECT … FROM {source}, without UNION.")
        types = {name: _READ_AS.get(column.type, column.type) for name, column in columns.items()}
        self.columns = {name: _SPARK_TYPES.get(type, type) for name, type in types.items()}
        self._columns, self._select, self._is_reference = columns, parsed[0], is_reference
        self.table, self.source = table, source
        self.groups: list[tuple[str, Typed]] = []
        self.found: list[_Aggregate] = []
        self.values: dict[str, Typed] = {}
        self.origins: dict[str, tuple[str, ...]] = {}
        self.within = "row"
        self.used: dict[str, None] = {}
        self.written_of: dict[str, str] = {}
        self._refuse_clauses()
        self._read_all()
        self._reference = self._compared_with(reference) if reference else None

    def _compared_with(self, reference: str) -> "Select":
        other = Select(self.table, reference, self.source, self._columns, is_reference=True)
        made, expected = ([[*each.values], {*each.key}, {*each.sums_of_doubles}] for each in (other, self))
        if made != expected:
            raise UserError(
                f"The reference of {self.table} makes {', '.join(other.values)}, expected what its SELECT makes, "
                f"{', '.join(self.values)}, with the same groups, and the same sums and averages of doubles: correct "
                f"{one_line(reference)}"
            )
        return other

    def _read_all(self) -> None:
        clauses = self._select.args
        self.where = self._boolean(clauses["where"].this) if clauses.get("where") else ""
        if group := clauses.get("group"):
            if {name for name, found in group.args.items() if found} != {"expressions"}:
                raise self.refused(group, "group by columns and expressions")
            for grouped in group.expressions:
                self._add_group(grouped)
            self.within = "group"
        elif clauses.get("having"):
            raise self.refused(clauses["having"], "without GROUP BY say it in WHERE")
        for name, output in self.selected.items():
            before, self.used = self.used, {}
            self.values[name] = self.read(output)
            self.origins[name] = tuple(self.used)
            self.used |= before
            if self.values[name].type == "null":
                raise self.refused(output, f"give {name} a type: CAST(NULL AS STRING)")
        self.having = self._boolean(clauses["having"].this) if clauses.get("having") else ""
        selected = {value.sql for value in self.values.values()}
        for number, (text, _) in enumerate(self.groups):
            if f"k{number}" not in selected:
                raise self.refused(f"GROUP BY {text}", "select all that it is grouped by, or group by less")
        self._tell_how_it_adds_up()

    @property
    def reads(self) -> Collection[str]:
        """The source's columns that it reads."""
        return self.used if self._reference is None else {**self.used, **self._reference.used}

    @cached_property
    def types(self) -> Mapping[str, str]:
        """By name, in order, the types of its columns as Delta names them."""
        return {name: _DELTA_TYPES.get(value.type, value.type) for name, value in self.values.items()}

    def sql(self, name: str, types: Types) -> str:
        """What makes a column that is no aggregate, of a row of the source with its columns as they are read, in DuckDB's SQL."""
        return self._of_row(self.selected[name])

    def conditions(self, types: Types | None = None) -> dict[str, str]:
        """By its text, each part of its WHERE, in the same SQL."""
        return {part.sql("spark"): self._of_row(part) for part in self._conditions}

    def _of_row(self, node: exp.Expr) -> str:
        reader = copy.copy(self)
        reader.within = "row"
        return _translated(reader.read(node).sql, "duckdb")

    def made_from(self, name: str) -> tuple[str, ...]:
        """The source's columns that a column comes from."""
        return self.origins[name]

    @cached_property
    def read_as_is(self) -> Mapping[str, str]:
        """By column that has the values of one of the source's columns as they are, that column."""
        read = {f"k{number}": value.sql for number, (_, value) in enumerate(self.groups)}
        read |= {f"`{name}`": f"`{name}`" for name in self.columns}
        plain = {name: read.get(value.sql, "").strip("`") for name, value in self.values.items()}
        return {name: column for name, column in plain.items() if column in self.columns}

    @cached_property
    def _aggregates(self) -> Mapping[str, _Aggregate]:
        """By column, the aggregate that it is, where it is one and no more."""
        numbers = {f"a{number}": each for number, each in enumerate(self.found)}
        return {name: numbers[value.sql] for name, value in self.values.items() if value.sql in numbers}

    def _tell_how_it_adds_up(self) -> None:
        names = {value.sql: name for name, value in self.values.items()}
        key = [names[f"k{number}"] for number in range(len(self.groups))]
        self.key = tuple(sorted(key, key=lambda name: name == EVENT_DATE))
        plain = {name: each.function for name, each in self._aggregates.items() if not each.distinct}
        self.aggregates = {name: plain.get(name, "") for name in self.values if self.groups and name not in key}
        of = {name: each.of for name, each in self._aggregates.items() if each.of is not None}
        counted = {_double(of[name]): name for name in of if plain.get(name) == "count"}
        self.counts = {
            name: counted[of[name].sql] for name in of if plain.get(name) == "avg" and of[name].sql in counted
        }
        two = {name: how for name, how in plain.items() if how in _OF_TWO or name in self.counts}
        self.combined = {} if self.having else two

    @cached_property
    def sums_of_doubles(self) -> Mapping[str, int]:
        """The columns that are a sum or an average of doubles, which patches may change in the last digits, and their aggregates' numbers."""
        return {name: self.found.index(each) for name, each in self._aggregates.items() if each.is_of_doubles}

    @cached_property
    def spark(self) -> str:
        """For Spark and Sail, over ``{rows}``, as ``spark.sql(…, rows=rows)`` takes it."""
        whole = self._whole("rows of the source", "spark").replace("{", "{{").replace("}", "}}")
        return whole.replace("`rows of the source`", "{rows}")

    @cached_property
    def duckdb(self) -> str:
        """For DuckDB, over ``silver``.

        Beside a sum or an average of doubles ``x`` are ``size_of_x`` and ``leeway_of_x``, as ``declaring.averages`` has them.
        """
        return self._whole("silver", "duckdb") if self._reference is None else self._reference.duckdb

    def refused(self, found: exp.Expr | str, instead: str) -> UserError:
        found = found if isinstance(found, str) else found.sql("spark").strip()
        return UserError(f"The SELECT of {self.table} has {found}: {instead}.")

    def _refuse_clauses(self) -> None:
        extra = [name.strip("_").upper() for name, found in self._select.args.items() if found and name not in _CLAUSES]
        extra += ["a subquery" for found in self._select.find_all(exp.Query) if found is not self._select]
        extra += ["a window function" for _ in self._select.find_all(exp.Window)]
        if extra:
            raise self.refused(
                extra[0], f"a table is what the rows of {self.source} make, date by date and in no order: leave it out"
            )
        tables = list(self._select.find_all(exp.Table))
        if len(tables) != 1 or tables[0].name.lower() != self.source.lower() or tables[0].db:
            raise self.refused("FROM " + (tables[0].sql() if tables else "nothing"), f"select FROM {self.source}")
        self.source_names = {"", self.source.lower(), tables[0].alias_or_name.lower()}

    @cached_property
    def selected(self) -> Mapping[str, exp.Expr]:
        """By name, in order, what it selects."""
        outputs: dict[str, exp.Expr] = {}
        for selected in self._select.expressions:
            is_star = isinstance(selected, exp.Star) and not any(selected.args.values())
            named = (
                {name: exp.column(name) for name in self.columns}
                if is_star
                else {selected.alias_or_name: selected.unalias()}
            )
            for name, output in named.items():
                if not re.fullmatch(r"[A-Za-z_]\w*", name) or isinstance(output, exp.Star):
                    raise self.refused(output, "give it a plain name, by AS")
                if name.lower() in _OF_CHECKS:
                    raise self.refused(f"the column {name}", "a comparison has one of that name: give it another")
                if name.lower() in map(str.lower, outputs):
                    raise self.refused(f"two columns {name}", "give one of them another name")
                outputs[name] = output
        date = outputs.get(EVENT_DATE)
        if not isinstance(date, exp.Column) or date.name.lower() != EVENT_DATE:
            raise self.refused(
                f"no {EVENT_DATE}", "a table is kept by it: select it, and group by it where rows are grouped"
            )
        return outputs

    def _add_group(self, grouped: exp.Expr) -> None:
        outputs = self.selected
        named = {name.lower(): output for name, output in outputs.items()}
        if isinstance(grouped, exp.Literal) and grouped.is_int and 0 < int(grouped.name) <= len(outputs):
            grouped = list(outputs.values())[int(grouped.name) - 1]
        elif isinstance(grouped, exp.Column) and grouped.name.lower() not in map(str.lower, self.columns):
            grouped = named.get(grouped.name.lower(), grouped)
        value = self.read(grouped)
        if value.type == "double":
            raise self.refused(f"GROUP BY {grouped.sql('spark')}", "a double makes no key: group by what is exact")
        self.groups.append((_text(grouped), value))

    # The whole as SQL

    def _whole(self, rows: str, dialect: str) -> str:
        """The SELECT over ``rows`` in the words of an engine."""
        values = {name: _cast(value) for name, value in self.values.items()}
        # Not the bare condition, by which files would be skipped: statistics of decimals are rounded, and leave NaN out.
        where = f" WHERE coalesce({self.where}, false)" if self.where else ""
        if not self.groups:
            return _translated(f"SELECT {_named(values)} FROM `{rows}`{where}", dialect)
        inner = {f"k{number}": value.sql for number, (_, value) in enumerate(self.groups)}
        inner |= {f"a{number}": found.of.sql for number, found in enumerate(self.found) if found.of is not None}
        inner |= self.written_of
        doubles = {f"a{n}": f"a{n}" for n, found in enumerate(self.found) if found.is_of_doubles}
        by_kahan: set[str] = set()
        if dialect == "duckdb":
            exact = " ".join([self.having, *(values[name] for name in values.keys() - self.sums_of_doubles.keys())])
            by_kahan = doubles.keys() - set(re.findall(r"\w+", exact))
            for name, number in self.sums_of_doubles.items():
                values |= {f"size_of_{name}": f"size_of_a{number}", f"leeway_of_{name}": f"leeway_of_a{number}"}
        by_key = averaged_sql(
            "SELECT * FROM rows_to_group",
            {f"k{number}": f"k{number}" for number in range(len(self.groups))},
            doubles,
            {f"a{n}": found.sql(f"a{n}") for n, found in enumerate(self.found) if not found.is_of_doubles},
            totals=[f"a{n}" for n, found in enumerate(self.found) if found.function == "sum"],
            by_kahan=by_kahan,
        )
        outer = _translated(
            f"SELECT {_named(values)} FROM rows_by_key" + (f" WHERE {self.having}" if self.having else ""), dialect
        )
        inmost = _translated(f"SELECT {_named(inner)} FROM `{rows}`{where}", dialect)
        by_key = in_dialect(by_key, dialect).replace("FROM rows_to_group", f"FROM ({inmost})")
        return outer.replace("FROM rows_by_key", f"FROM ({by_key}) AS rows_by_key")

    # Expressions

    def read(self, node: exp.Expr) -> Typed:
        """The expression in our words, and its type."""
        for number, (text, value) in enumerate(self.groups if self.within == "group" else ()):
            if _text(node) == text:
                self.used |= dict.fromkeys(self._named(column) for column in node.find_all(exp.Column))
                return Typed(f"k{number}", value.type)
        within = self.within
        try:
            return self._agreed(node)
        except UserError:
            self.within = within
            is_misplaced = isinstance(node, _AGGREGATING) and within != "group"
            if not self._is_reference or isinstance(node, exp.Column) or is_misplaced or _is_changing(node):
                raise
            return self._as_duckdb_has_it(node)

    def _as_duckdb_has_it(self, node: exp.Expr) -> Typed:
        """An expression, of which its columns and aggregates alone are ours; or an aggregate."""

        def column(part: exp.Expr) -> exp.Expr:
            if not isinstance(part, exp.Column):
                return part
            name = f"of_{part.name}"
            self.written_of[name] = self._column(part).sql
            return exp.column(name)

        def whole(part: exp.Expr) -> exp.Expr:
            if part is copied or not isinstance(part, (exp.Column, *_AGGREGATING)):
                return part
            return sqlglot.parse_one(self.read(part).sql, dialect="spark")

        copied = node.copy()
        if isinstance(node, _AGGREGATING):
            self.within = "aggregate"
            written = copied.transform(column, copy=False).sql("duckdb")
            self.within = "group"
            return self._registered(_Aggregate("", written=written))
        return Typed(copied.transform(whole, copy=False).sql("spark"), _UNKNOWN)

    def _agreed(self, node: exp.Expr) -> Typed:
        """The expression in words in which all engines agree."""
        given = {name for name, found in node.args.items() if found not in (None, False, [])}
        if type(node) in _SIMPLE:
            takes, template, gives = _SIMPLE[type(node)]
            if given <= {"this", "expression", "safe"}:
                args = [self._of(node.args[name], takes) for name in ("this", "expression") if name in given]
                return Typed(f"({template.format(*args)})", gives)
        elif type(node) in _READS:
            reads, *args = _READS[type(node)]
            if given <= {"this", "expression", "expressions", "safe", "big_int", *args}:
                read: Typed = reads(self, node)
                return read
        if _is_changing(node):
            raise self.refused(
                node, "that is another value each time, and Gold is a function of its source: leave it out"
            )
        raise self.refused(
            node, "it is not known to mean the same on every engine: write it otherwise, or the table in PySpark"
        )

    def _of(self, node: exp.Expr, type: str) -> str:
        """The expression, which must have this type; a timestamp is taken for its date."""
        value = self.read(node.this if isinstance(node, exp.TsOrDsToDate) else node)
        if value.type == "timestamp" and type == "date":
            return f"CAST({value.sql} AS DATE)"
        if value.type not in (type, "null", _UNKNOWN):
            raise self.refused(node, f"it is a {value.type} where a {type} is needed")
        return value.sql

    def _boolean(self, node: exp.Expr) -> str:
        return self._of(node, "boolean")

    def _named(self, node: exp.Expr) -> str:
        return {name.lower(): name for name in self.columns}.get(node.name.lower(), "")

    def _column(self, node: exp.Column) -> Typed:
        if not (name := self._named(node)) or node.table.lower() not in self.source_names:
            raise self.refused(node, f"{self.source} declares {', '.join(self.columns)}")
        if self.within == "group":
            raise self.refused(node, "it is neither grouped by nor aggregated")
        self.used[name] = None
        is_float = self.columns[name] == "float"
        return Typed(f"CAST(`{name}` AS DOUBLE)", "double") if is_float else Typed(f"`{name}`", self.columns[name])

    def _literal(self, node: exp.Literal) -> Typed:
        if node.is_string:
            return Typed(node.sql("spark"), "string", node.name)
        type = _type_of_number(node.name)
        if type in _INTEGERS:
            return Typed(node.name, type, node.name)
        return Typed(f"CAST('{node.name}' AS {type})", type, node.name)

    def _compared(self, node: exp.Binary) -> Typed:
        (left, right), type = self._alike(node, node.this, node.expression)
        left, right = _whole(left, type), _whole(right, type)
        if isinstance(node, (exp.NullSafeEQ, exp.NullSafeNEQ)):
            # Not IS [NOT] DISTINCT FROM, of which Sail 0.7 refuses its own plan in an aggregate, as in _branches.
            same = f"coalesce({left} = {right}, {left} IS NULL AND {right} IS NULL)"
            return Typed(same if isinstance(node, exp.NullSafeEQ) else f"(NOT {same})", "boolean")
        return Typed(f"({left} {_OPERATORS[node.__class__]} {right})", "boolean")

    def _between(self, node: exp.Between) -> Typed:
        values, type = self._alike(node, node.this, node.args["low"], node.args["high"])
        value, low, high = (_whole(of, type) for of in values)
        return Typed(f"({value} >= {low} AND {value} <= {high})", "boolean")

    def _in(self, node: exp.In) -> Typed:
        values, type = self._alike(node, node.this, *node.expressions)
        value, *among = (_whole(of, type) for of in values)
        return Typed(f"({value} IN ({', '.join(among)}))", "boolean")

    def _is(self, node: exp.Is) -> Typed:
        if isinstance(node.expression, exp.Boolean):
            return Typed(f"coalesce({self._boolean(node.this)} = {node.expression.sql()}, false)", "boolean")
        return Typed(f"({self.read(node.this).sql} IS NULL)", "boolean")

    def _like(self, node: exp.Like) -> Typed:
        pattern = self.read(node.expression)
        if pattern.literal is None or "\\" in pattern.literal:
            raise self.refused(node, "give LIKE a text in quotes without a backslash")
        negated = "NOT " if node.args.get("negate") else ""
        return Typed(f"({self._of(node.this, 'string')} {negated}LIKE {pattern.sql})", "boolean")

    def _numbers(self, node: exp.Expr, *of: exp.Expr) -> list[Typed]:
        values = [self.read(each) for each in of]
        for value in values:
            if value.type not in (*_INTEGERS, "double", "null") and not digits_of(value.type):
                raise self.refused(node, f"it is of a {value.type} where a number is needed")
        return values

    def _arithmetic(self, node: exp.Binary) -> Typed:
        left, right = self._numbers(node, node.this, node.expression)
        operator = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}[type(node)]
        if "double" in (left.type, right.type):
            return Typed(f"({_double(left)} {operator} {_double(right)})", "double")
        if not digits_of(left.type) and not digits_of(right.type):
            return Typed(f"(CAST({left.sql} AS BIGINT) {operator} CAST({right.sql} AS BIGINT))", "bigint")
        (p, s), (q, t) = _as_decimal(left), _as_decimal(right)
        digits, scale = (p + q + 1, s + t) if operator == "*" else (max(p - s, q - t) + max(s, t) + 1, max(s, t))
        if digits > _MOST_DIGITS:
            raise self.refused(
                node, f"it needs {digits} digits and a DECIMAL has {_MOST_DIGITS}: CAST its parts to fewer"
            )
        type_ = f"decimal({digits},{scale})"
        return Typed(
            f"CAST(CAST({left.sql} AS decimal({p},{s})) {operator} CAST({right.sql} AS decimal({q},{t})) AS {type_})",
            type_,
        )

    def _quotient(self, node: exp.Div) -> Typed:
        left, right = self._numbers(node, node.this, node.expression)
        if "double" not in (left.type, right.type) and (digits_of(left.type) or digits_of(right.type)):
            raise self.refused(node, "engines cut a quotient of decimals at other digits: CAST one of them AS DOUBLE")
        return Typed(f"({_double(left)} / nullif({_plain(_double(right))}, {_ZERO}))", "double")

    def _remainder(self, node: exp.Mod) -> Typed:
        left, right = self._numbers(node, node.this, node.expression)
        if not {left.type, right.type} <= {*_INTEGERS, "null"}:
            raise self.refused(node, "a remainder is of whole numbers: CAST both AS BIGINT")
        return Typed(f"(CAST({left.sql} AS BIGINT) % nullif(CAST({right.sql} AS BIGINT), 0))", "bigint")

    def _negated(self, node: exp.Neg) -> Typed:
        [value] = self._numbers(node, node.this)
        if value.type in _INTEGERS and value.literal is None:
            return Typed(f"(-CAST({value.sql} AS BIGINT))", "bigint")
        return Typed(f"(-{value.sql})", value.type)

    def _absolute(self, node: exp.Abs) -> Typed:
        [value] = self._numbers(node, node.this)
        if value.type == "double":
            return Typed(f"abs({value.sql})", value.type)
        zero = f"CAST(0 AS {value.type})"
        return Typed(
            f"CASE WHEN {value.sql} < {zero} THEN CAST(-{value.sql} AS {value.type}) ELSE {value.sql} END", value.type
        )

    def _rounded(self, node: exp.Floor | exp.Ceil) -> Typed:
        [value] = self._numbers(node, node.this)
        if value.type not in (*_INTEGERS, "double"):
            raise self.refused(node, "it is read of doubles and integers: CAST what it is of AS DOUBLE")
        function = "floor" if isinstance(node, exp.Floor) else "ceil"
        return Typed(
            _integer(function, value.sql, "bigint") if value.type == "double" else f"CAST({value.sql} AS BIGINT)",
            "bigint",
        )

    def _case(self, node: exp.Case) -> Typed:
        asked = [
            branch.this if node.this is None else exp.EQ(this=node.this, expression=branch.this)
            for branch in node.args["ifs"]
        ]
        then = [branch.args["true"] for branch in node.args["ifs"]]
        return self._branches(node, asked, then, node.args.get("default"))

    def _if(self, node: exp.If) -> Typed:
        return self._branches(node, [node.this], [node.args["true"]], node.args.get("false"))

    def _branches(
        self, node: exp.Expr, asked: Sequence[exp.Expr], then: Sequence[exp.Expr], otherwise: exp.Expr | None
    ) -> Typed:
        values, type = self._alike(node, *then, *filter(None, [otherwise]))
        conditions = [self._boolean(each) for each in asked]
        if otherwise is not None:
            # In place of ELSE: in an aggregate Sail 0.7 refuses its own plan of CASE WHEN a <> b THEN a ELSE 1 END, of which one
            # of its steps thinks that it may be NULL and another that it may not.
            conditions.append(f"NOT coalesce({conditions[-1]}, false)")
        branches = " ".join(f"WHEN {of} THEN {value}" for of, value in zip(conditions, values, strict=True))
        return Typed(f"CASE {branches} END", type)

    def _coalesce(self, node: exp.Coalesce) -> Typed:
        values, type = self._alike(node, node.this, *node.expressions)
        return Typed(f"coalesce({', '.join(values)})", type)

    def _nullif(self, node: exp.Nullif) -> Typed:
        (left, right), type = self._alike(node, node.this, node.expression)
        return Typed(f"CASE WHEN {_whole(left, type)} = {_whole(right, type)} THEN NULL ELSE {left} END", type)

    def _concat(self, node: exp.Expr) -> Typed:
        parts = node.expressions or [node.this, node.expression]
        return Typed(f"({' || '.join(self._of(part, 'string') for part in parts)})", "string")

    def _substring(self, node: exp.Substring) -> Typed:
        numbers = [of for of in (node.args.get("start"), node.args.get("length")) if of is not None]
        if not all(isinstance(of, exp.Literal) and of.is_int and int(of.name) > 0 for of in numbers):
            raise self.refused(node, "engines count otherwise from 0 and from the end: give whole numbers from 1 on")
        return Typed(f"substring({', '.join([self._of(node.this, 'string'), *(of.name for of in numbers)])})", "string")

    def _cast(self, node: exp.Cast) -> Typed:
        value, to = self.read(node.this), node.args["to"].sql("spark").lower().replace(" ", "")
        if to == "double" and (value.type in _INTEGERS or digits_of(value.type)):
            return Typed(_double(value), to)
        if to in _MOST and value.type == "double":
            return Typed(_integer("trunc", value.sql, to), to)
        if value.literal is not None and value.type == "string":
            if to == "date":
                return Typed(self._date(node, value), to)
            is_number = bool(_NUMBER.fullmatch(value.literal)) and (
                to == "double" or _is_wider(_type_of_number(value.literal, exact=True), to)
            )
        else:
            is_number = (
                value.type == to
                or value.type == "null"
                or _is_wider(value.type, to)
                or (value.type, to) in _EXACT_CASTS
            )
        if not is_number or (
            to not in (*_INTEGERS, "double", "string", "date", "boolean", "timestamp") and not digits_of(to)
        ):
            raise self.refused(
                node, f"engines read such a CAST of a {value.type} otherwise: declare the column with that type"
            )
        return Typed(f"CAST({value.sql} AS {to})", to)

    def _date(self, node: exp.Expr, value: Typed) -> str:
        try:
            return value.sql if value.literal is None else f"CAST('{dt.date.fromisoformat(value.literal)}' AS DATE)"
        except ValueError:
            raise self.refused(node, f"'{value.literal}' is no date: write it as '2024-01-31'") from None

    def _alike(self, node: exp.Expr, *of: exp.Expr) -> tuple[list[str], str]:
        """The expressions as values of one type, by casts that lose nothing, and that type."""
        values = [self.read(each) for each in of]
        types = {value.type for value in values} - {"null"}
        if len(types) < 2:
            return [value.sql for value in values], next(iter(types), "null")
        if types == {"string", "date"} and all(value.literal is not None for value in values if value.type == "string"):
            return [self._date(node, value) for value in values], "date"
        if all(type in ("double", *_INTEGERS) or digits_of(type) for type in types):
            if "double" in types:
                return [_double(value) for value in values], "double"
            digits = [_as_decimal(value) for value in values if value.type != "null"]
            scale = max(s for _, s in digits)
            whole = max(p - s for p, s in digits) + scale
            wide = max(types, key=_INTEGERS.index) if types <= {*_INTEGERS} else f"decimal({whole},{scale})"
            if whole <= _MOST_DIGITS:
                return [f"CAST({value.sql} AS {wide})" for value in values], wide
        raise self.refused(node, f"it has a {' and a '.join(sorted(types))}: make them one type by a CAST")

    # Aggregates

    def _filtered(self, node: exp.Filter) -> Typed:
        if type(node.this) not in _AGGREGATES:
            raise self.refused(node, "FILTER is of an aggregate")
        return self._aggregate(node.this, node.expression.this)

    def _aggregate(self, node: exp.Expr, only: exp.Expr | None = None) -> Typed:
        if self.within != "group":
            raise self.refused(
                node, f"aggregate in a SELECT with GROUP BY {EVENT_DATE} and more, neither in WHERE nor within another"
            )
        self.within = "aggregate"
        of, is_distinct = node.this, isinstance(node.this, exp.Distinct)
        if is_distinct:
            of = of.expressions[0] if len(of.expressions) == 1 else exp.Tuple()
        function, value = _AGGREGATES[type(node)], None
        if function == "count_if":
            function, value = "count", Typed(f"CASE WHEN {self._boolean(of)} THEN 1 END", "int")
        elif function != "count" or not (isinstance(of, exp.Star) or (isinstance(of, exp.Literal) and not is_distinct)):
            value = self._numbers(node, of)[0] if function in ("sum", "avg") else self.read(of)
        if only is not None:
            counted = value or Typed("1", "int")
            value = Typed(f"CASE WHEN {self._boolean(only)} THEN {counted.sql} END", counted.type)
        self.within = "group"
        return self._aggregated(node, function, value, is_distinct)

    def _aggregated(self, node: exp.Expr, function: str, of: Typed | None, is_distinct: bool) -> Typed:
        if is_distinct and function not in ("count", "min", "max"):
            raise self.refused(node, "DISTINCT is read in count(DISTINCT …)")
        if of is None:
            return self._registered(_Aggregate(function))
        of = Typed(of.sql, of.type)
        if of.type == "null" or (function in ("bool_and", "bool_or") and of.type != "boolean"):
            raise self.refused(node, f"it is of a {of.type}: give it a value of the right type")
        if function == "avg":
            if digits_of(of.type) and not self._is_reference:
                raise self.refused(
                    node, "engines cut an average of decimals at other digits: CAST what it is of AS DOUBLE"
                )
            of = Typed(_double(of), "double")
        is_finite = any(of.sql == f"`{name}`" for name, column in self._columns.items() if column.kind == "number")
        if of.type == "double" and function in ("min", "max") and not is_finite:
            return self._extreme(function, of.sql)
        if of.type == "double" and is_distinct:
            of = Typed(_plain(of.sql), of.type)
        return self._registered(_Aggregate(function, of, is_distinct and function == "count"))

    def _extreme(self, function: str, of: str) -> Typed:
        """As Spark has it NaN is the largest double; Sail leaves it out, and takes infinite for the largest finite number."""
        kinds = {_NAN: f"isnan({of})", _INFINITY: f"{of} = {_INFINITY}", f"(-{_INFINITY})": f"{of} = (-{_INFINITY})"}
        finite = self._registered(
            _Aggregate(function, Typed(f"CASE WHEN abs({of}) < {_INFINITY} THEN {of} END", "double"))
        )
        counts = {
            kind: self._registered(_Aggregate("count", Typed(f"CASE WHEN {sql} THEN 1 END", "int")))
            for kind, sql in kinds.items()
        }
        branches = [f"WHEN {count.sql} > 0 THEN {kind}" for kind, count in counts.items()]
        branches.insert(2, f"WHEN {finite.sql} IS NOT NULL THEN {finite.sql}")
        if function == "min":
            branches = [branches[3], branches[2], branches[1], branches[0]]
        return Typed(f"CASE {' '.join(branches)} END", "double")

    def _registered(self, found: _Aggregate) -> Typed:
        if found not in self.found:
            self.found.append(found)
        return Typed(f"a{self.found.index(found)}", found.type)


_OPERATORS: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_AGGREGATING = (exp.AggFunc, exp.Filter, exp.WithinGroup)
_AGGREGATES: Mapping[type[exp.Expr], str] = {
    exp.Count: "count", exp.CountIf: "count_if", exp.Sum: "sum", exp.Avg: "avg", exp.Min: "min", exp.Max: "max",
    exp.LogicalAnd: "bool_and", exp.LogicalOr: "bool_or",
}  # fmt: skip
_SIMPLE: Mapping[type[exp.Expr], tuple[str, str, str]] = {
    exp.And: ("boolean", "{} AND {}", "boolean"),
    exp.Or: ("boolean", "{} OR {}", "boolean"),
    exp.Not: ("boolean", "NOT {}", "boolean"),
    exp.IsNan: ("double", "coalesce(isnan({}), false)", "boolean"),
    exp.DateDiff: ("date", "datediff({}, {})", "int"),
    exp.Year: ("date", "year({})", "int"),
    exp.Quarter: ("date", "quarter({})", "int"),
    exp.Month: ("date", "month({})", "int"),
    exp.WeekOfYear: ("date", "weekofyear({})", "int"),
    exp.Day: ("date", "day({})", "int"),
    exp.DayOfMonth: ("date", "day({})", "int"),
    exp.DayOfWeek: ("date", "dayofweek({})", "int"),
    exp.DayOfYear: ("date", "dayofyear({})", "int"),
    exp.Hour: ("timestamp", "hour({})", "int"),
    exp.Minute: ("timestamp", "minute({})", "int"),
    exp.Length: ("string", "length({})", "int"),
    exp.Trim: ("string", "trim({})", "string"),
    exp.StartsWith: ("string", "startswith({}, {})", "boolean"),
    exp.Contains: ("string", "contains({}, {})", "boolean"),
}
"""By function, the type of what it takes, how it is written, and the type of what it gives."""
_READS: Mapping[type[exp.Expr], tuple[Any, ...]] = {
    exp.Column: (Select._column, "table"),
    exp.Literal: (Select._literal, "is_string"),
    exp.Boolean: (lambda _, node: Typed(node.sql(), "boolean"),),
    exp.Null: (lambda _, node: Typed("NULL", "null"),),
    exp.Paren: (lambda self, node: self.read(node.this),),
    **dict.fromkeys((*_OPERATORS, exp.NullSafeEQ, exp.NullSafeNEQ), (Select._compared,)),
    exp.Between: (Select._between, "low", "high"),
    exp.In: (Select._in,),
    exp.Is: (Select._is,),
    exp.Like: (Select._like, "negate"),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), (Select._arithmetic,)),
    exp.Div: (Select._quotient,),
    exp.Mod: (Select._remainder,),
    exp.Neg: (Select._negated,),
    exp.Abs: (Select._absolute,),
    **dict.fromkeys((exp.Floor, exp.Ceil), (Select._rounded,)),
    exp.Case: (Select._case, "ifs", "default"),
    exp.If: (Select._if, "true", "false"),
    exp.Coalesce: (Select._coalesce,),
    exp.Nullif: (Select._nullif,),
    **dict.fromkeys((exp.Concat, exp.DPipe), (Select._concat,)),
    exp.Substring: (Select._substring, "start", "length"),
    **dict.fromkeys((exp.Cast, exp.TryCast), (Select._cast, "to")),
    exp.TsOrDsToDate: (lambda self, node: Typed(self._of(node.this, "date"), "date"),),
    exp.Filter: (Select._filtered,),
    **dict.fromkeys(_AGGREGATES, (Select._aggregate,)),
}
"""By kind of expression, what reads it, and which parts it may have besides the usual ones."""


def _is_changing(node: exp.Expr) -> bool:
    """Whether some function in it is another value each time."""
    functions = [found.name if isinstance(found, exp.Anonymous) else found.key for found in node.find_all(exp.Func)]
    return any(word in function.lower() for function in functions for word in _CHANGING)


def _text(node: exp.Expr) -> str:
    """By which two expressions are told to be the same."""
    return (
        node.sql("spark", identify=False).replace("`", "").lower() if not node.find(exp.Literal) else node.sql("spark")
    )


def _cast(value: Typed) -> str:
    is_simple = value.type in (*_INTEGERS, "double", "string", "boolean", "date", "timestamp") or digits_of(value.type)
    return f"CAST({value.sql} AS {value.type})" if is_simple else value.sql


def _named(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{sql} AS `{name}`" for name, sql in columns.items())


def _translated(sql: str, dialect: str) -> str:
    """Our Spark SQL in the words of another engine, with what sqlglot leaves as it is and means something else there."""

    def corrected(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.DayOfWeek):
            return exp.paren(exp.Add(this=node.copy(), expression=exp.Literal.number(1)))  # DuckDB's Sunday is 0
        of = node.this.to.sql("spark").lower() if isinstance(node, exp.Mul) and isinstance(node.this, exp.Cast) else ""
        if (digits := digits_of(of)) is not None:  # a product of two short ones has 18 digits in DuckDB
            node.this.set("to", exp.DataType.build(f"decimal({_MOST_DIGITS},{digits[1]})"))
        return node

    parsed = sqlglot.parse_one(sql, dialect="spark")
    return (parsed.transform(corrected) if dialect == "duckdb" else parsed).sql(dialect)


def _as_decimal(value: Typed) -> tuple[int, int]:
    """The digits that a number has as a decimal."""
    return digits_of(_type_of_number(value.literal, exact=True) if value.literal else value.type) or (
        _DIGITS[value.type],
        0,
    )


def _type_of_number(text: str, exact: bool = False) -> str:
    found = _NUMBER.fullmatch(text)
    whole, behind = found.groups() if found else ("", "")
    if "e" in text.lower() or len(whole + behind) > _MOST_DIGITS:
        return "double"
    if exact or "." in text or int(text) > _MOST["bigint"]:
        return f"decimal({max(len(whole + behind), 1)},{len(behind)})"
    return "int" if abs(int(text)) <= _MOST["int"] else "bigint"


def _is_wider(type: str, to: str) -> bool:
    """Whether every number of one exact type is one of another."""
    if type in _INTEGERS and to in _INTEGERS:
        return _INTEGERS.index(to) >= _INTEGERS.index(type)
    has, gets = digits_of(type) or (_DIGITS.get(type, 99), 0), digits_of(to)
    return gets is not None and gets[1] >= has[1] and gets[0] - gets[1] >= has[0] - has[1]


def _double(value: Typed) -> str:
    if value.type == "double":
        return value.sql
    if value.literal is not None:
        return f"CAST('{value.literal}' AS DOUBLE)"
    # A decimal by its text: Sail and DuckDB round it twice, for they divide one double by another.
    return f"CAST(CAST({value.sql} AS STRING) AS DOUBLE)" if digits_of(value.type) else f"CAST({value.sql} AS DOUBLE)"


def _plain(sql: str) -> str:
    """A double with one zero and one NaN, as Spark compares them; of a literal it is."""
    return (
        sql
        if re.fullmatch(r"CAST\('[\d.]+' AS DOUBLE\)", sql)
        else f"CASE WHEN isnan({sql}) THEN {_NAN} ELSE {sql} + {_ZERO} END"
    )


def _whole(sql: str, type: str) -> str:
    return f"({_plain(sql) if type == 'double' else sql})"


def _integer(function: str, sql: str, to: str) -> str:
    """A double as an integer: NaN is 0, and what is beyond is the largest or least one."""
    most = _MOST[to]
    least_beyond = f"CAST('{float(most)!r}' AS DOUBLE)"
    rounded = f"floor({sql})" if function == "floor" else f"ceil({sql})"
    if function == "trunc":
        rounded = f"CASE WHEN {sql} < {_ZERO} THEN ceil({sql}) ELSE floor({sql}) END"
    return (
        f"CAST(CASE WHEN isnan({sql}) THEN 0 WHEN {sql} >= {least_beyond} THEN {most} WHEN {sql} <= -{least_beyond} THEN {-most - 1} "
        f"ELSE CAST(CASE WHEN abs({sql}) < {least_beyond} THEN {rounded} END AS BIGINT) END AS {to})"
    )
