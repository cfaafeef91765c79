"""``gold init``: begin a project of one's own, from a Delta table. Needs no Dagster instance and no engine."""

import importlib.resources
import importlib.util
import json
import keyword
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from gold_assets.commands.options import Answer, sub_command
from gold_assets.config import ReadingSettings
from gold_assets.declaring.draft import Draft, draft_of, plain_name
from gold_assets.delta.errors import UserError

_PROJECT = '''"""The Gold tables of {name}, made from the Delta table that GOLD_SOURCE_PATH names."""

from gold_assets import Column, Project, Rule, Source, Table, definitions

source = Source(
    {source},
    date={date},  # of a timestamp its date in UTC counts
    columns=[{columns}
    ],
    rules=[  # a row that breaks one is quarantined: Rule("price_is_negative", condition="price >= 0"){rules}
    ],
)

tables = [
    Table(
        {table},
        sql="""
            {sql}""",
    ),
]

project = Project("{name}", source, tables)
defs = definitions(project)
'''

_TEST = '''"""What the tables of {name} hold after commits to their source."""

import datetime as dt

from gold_assets.testing import project_lake

from {name}.project import project

MONDAY, TUESDAY = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
ROW = {row}


def test_rows_are_counted_by_date() -> None:
    with project_lake(project) as case:
        case.append([ROW])
        case.append([ROW, ROW])
        case.expect({table}, [{counted}])
        case.move("true", TUESDAY)
        case.expect({table}, [{moved}])
        case.delete("true")
        case.expect({table}, [])
'''

_WORKSPACE = """load_from:
  - python_module:
      module_name: {name}.project
      working_directory: .
      location_name: {name}
"""

_PYPROJECT = """[tool.gold_assets]
project = "{name}.project:project"
"""

_ENV = """# dagster, gold and Python read a file .env in the folder that they are started in. More settings: .env.example and the page of settings of gold_assets.
GOLD_SOURCE_PATH='{uri}'
# Where Gold goes, and from which date on.
GOLD_LAKE_ROOT='./data'
{start}GOLD_PARTITIONS_START='{first}'
# Where Dagster keeps its records.
DAGSTER_HOME='{home}'
"""

_VALUES = {"string": '"a"', "decimal": "1.0", "date": "MONDAY"}
"""By a column's kind, a value of it in the test."""


@sub_command("init shop --silver s3://lake/silver/page_views", only_reads=True)
@click.argument("name")
@click.option("--silver", required=True, metavar="URI", help="The Delta table to make Gold from, a path or a URI.")
def command(settings: ReadingSettings, name: str, silver: str) -> Answer:
    """Begin a project in the working folder, from a Delta table.

    Looks at the table's schema and log, and writes a package NAME with the source declared, one table as an example and its
    test; beside it workspace.yaml, pyproject.toml, .env.example and dagster_home. Overwrites nothing.

    Exit code 0: written; 2: something to put right, said in one sentence.
    """
    name = plain_name(name) + "_" * keyword.iskeyword(name)
    if importlib.util.find_spec(name) and not Path(name).is_dir():
        raise UserError(f"There is a Python module {name} already, which this would hide: give another name.")
    draft = draft_of(silver)
    files = _files(name, draft)
    if there := [path for path in files if path.startswith(f"{name}/") and Path(path).exists()]:
        raise UserError(f"{there[0]} is there already, and nothing is overwritten: move it away or give another name.")
    said = []
    for path, text in files.items():
        if not Path(path).exists():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text, encoding="utf-8")
            said.append(f"wrote {path}")
        elif text not in Path(path).read_text(encoding="utf-8"):
            said.append(f"{path} is there already and left as it is. Add to it:\n\n{text}")
    copy = "cat .env.example >> .env" if Path(".env").exists() else "cp .env.example .env"
    said += [
        f"Rows are dated by {draft.source.date}: see {name}/project.py. Next:\n",
        f"  {copy} && pytest {name}",
        "  dagster dev",
    ]
    return Answer(lambda: "\n".join(said))


def _files(name: str, draft: Draft) -> Mapping[str, str]:
    """By path below the working folder, what is written there."""
    columns = [
        _call("Column", column.name, column.type, source=column.source, nullable=column.nullable)
        for column in draft.columns
    ]
    keys = {column.name: _VALUES[column.kind] for column in draft.columns if column.name in draft.table.key}
    # Of a row of the test what the example groups by, and what rules ask for.
    needed = [column for column in draft.columns if column.name in keys or column.may_be_unreadable]
    values = {
        "name": name,
        "uri": draft.uri,
        "source": _text(draft.source.name),
        "date": _text(draft.source.date),
        "columns": _lines([*columns, *(f"# {column}: {why}" for column, why in draft.left.items())]),
        "rules": _lines(_call("Rule", rule.name, rule.description, reads=rule.reads) for rule in draft.rules),
        "table": _text(draft.table.name),
        "sql": draft.table.sql.replace("\n", "\n            "),
        "row": _row(
            {draft.source.date: "MONDAY", **{column.source or column.name: _VALUES[column.kind] for column in needed}}
        ),
        "counted": _row({**keys, "event_date": "MONDAY", "row_count": "3"}),
        "moved": _row({**keys, "event_date": "TUESDAY", "row_count": "3"}),
        "start": "" if draft.first else "#",
        "first": draft.first or "2024-01-31",
        "home": Path("dagster_home").absolute(),
    }
    files = {"project.py": _PROJECT, "test_project.py": _TEST, "__init__.py": ""}
    files = {f"{name}/{file}": text for file, text in files.items()}
    files |= {"workspace.yaml": _WORKSPACE, "pyproject.toml": _PYPROJECT, ".env.example": _ENV}
    instance = importlib.resources.files("gold_assets.instance").joinpath("dagster.yaml").read_text()
    return {path: text.format(**values) for path, text in files.items()} | {"dagster_home/dagster.yaml": instance}


def _call(function: str, *arguments: str, **named: str | bool | None) -> str:
    given = [*map(_text, arguments)]
    given += [f"{name}={_text(value) if isinstance(value, str) else value}" for name, value in named.items() if value]
    return f"{function}({', '.join(given)}),"


def _row(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {value}" for name, value in values.items()) + "}"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"\n        {line}" for line in lines)


def _text(text: str) -> str:
    """The text as Python writes it, between double quotes."""
    return json.dumps(text, ensure_ascii=False)
