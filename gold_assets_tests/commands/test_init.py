"""``gold init``: a project from a Delta table, which runs as it is written."""

import datetime as dt
import importlib
import os
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from dotenv import dotenv_values

from gold_assets.commands.gold import gold
from gold_assets.engines import Engine
from gold_assets.environment import load_settings
from gold_assets.gold.moment import Moment
from gold_assets.gold.refresh import refresh
from gold_assets_tests.end_to_end.command_line import run

pytestmark = pytest.mark.sail

MONDAY, TUESDAY = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
LATE = dt.datetime(2024, 1, 1, 23, tzinfo=dt.timezone.utc)
_NUMBERS = count()

GUIDE = Path(__file__).parents[2] / "docs" / "own_tables.md"

VIEWS = pa.table({"visitor_id": ["ann", "bob", "ann"], "page": ["/", "/", None], "viewed_at": [LATE, LATE, LATE]})
ODD = pa.table(
    {
        "User Id": ["ann", "bob"],
        "user-id": ["a", "b"],
        "order": ["x", "x"],
        "größe": [1, 2],
        "event_date": ["no", "date"],
        "paid": pa.array([Decimal("1.20"), Decimal("2.00")], pa.decimal128(9, 2)),
        "discount": pa.array([None, Decimal("0.10")], pa.decimal128(9, 2)),
        "tags": [["new"], []],
        "day": [MONDAY, TUESDAY],
    }
)
NUMBERS = pa.table({"price": [1.5, float("nan")], "at": [LATE, None]})


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith(("GOLD_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def written(table: pa.Table, name: str = "page_views", partitions: list[str] | None = None) -> str:
    write_deltalake(f"lake/{name}", table, partition_by=partitions)
    return f"lake/{name}"


def init(silver: str, name: str = "") -> tuple[str, Result]:
    name = name or f"shop_{next(_NUMBERS)}"  # Python loads a name once
    return name, CliRunner().invoke(gold, ["init", name, "--silver", silver])


@pytest.mark.parametrize(
    ("make", "table", "dates"),
    [
        (lambda: written(VIEWS), "page_views_by_page", 1),
        (lambda: written(ODD, "Orders 2024"), "orders_2024_by_order_", 2),
        (lambda: written(ODD, "part", ["day", "User Id"]), "part_by_user_id", 2),
        (lambda: written(NUMBERS, "select"), "select__by_date", 1),
        (lambda: written(VIEWS.slice(0, 0)), "page_views_by_page", 0),
    ],
    ids=["timestamp", "odd names", "partitioned", "no text", "empty"],
)
def test_what_is_written_runs_unchanged(
    make: Callable[[], str], table: str, dates: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    silver = make()
    name, told = init(silver)
    assert told.exit_code == 0, told.output
    assert told.output.endswith(f"  cp .env.example .env && pytest {name}\n  dagster dev\n")
    importlib.import_module(f"{name}.test_project").test_rows_are_counted_by_date()
    for setting, value in dotenv_values(".env.example").items():
        monkeypatch.setenv(setting, value or "")
    project = importlib.import_module(f"{name}.project").project
    lake = load_settings(project).lake
    asked = sorted(filter(None, Moment(lake).dates))
    assert len(asked) == dates
    if asked:
        refresh(lake, engine, asked)
        made = QueryBuilder().register("t", DeltaTable(lake.places[table]))
        assert pa.table(made.execute("SELECT sum(row_count) AS n FROM t"))["n"].to_pylist() == [
            pa.table(DeltaTable(silver).to_pyarrow_table())[lake.project.source.date].drop_null().length()
        ]
        checked = CliRunner().invoke(gold, ["checks", "--from", str(asked[0]), "--to", str(asked[-1])])
        assert checked.exit_code == 0, checked.output


def test_dagster_opens_it_in_its_folder(folder: Path) -> None:
    assert init(written(VIEWS), "shop")[1].exit_code == 0
    (folder / ".env.example").rename(".env")
    done = run("dagster", "definitions", "validate", env={**os.environ}, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DAGSTER_HOME" in done.stderr + done.stdout


def test_nothing_is_overwritten(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\n")
    (folder / ".env").write_text("GOLD_ENGINE=sail\n")
    silver = written(VIEWS)
    name, told = init(silver)
    assert (folder / "pyproject.toml").read_text() == "[project]\n"
    assert f'Add to it:\n\n[tool.gold_assets]\nproject = "{name}.project:project"\n' in told.output
    assert "  cat .env.example >> .env && pytest" in told.output
    (folder / name / "project.py").write_text("mine")
    _, again = init(silver, name)
    assert (again.exit_code, again.output.count("\n")) == (2, 1)
    assert f"{name}/project.py is there already, and nothing is overwritten" in again.output
    assert (folder / name / "project.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("make", "name", "sentence"),
    [
        (lambda: "lake/nowhere", "shop", "There is no Delta table at"),
        (lambda: written(ODD.select(["order", "tags"])), "shop", "no column of type date or timestamp, by whose date"),
        (lambda: written(VIEWS), "json", "There is a Python module json already"),
    ],
)
def test_what_cannot_be_is_one_sentence(make: Callable[[], str], name: str, sentence: str, folder: Path) -> None:
    _, told = init(make(), name)
    assert (told.exit_code, told.output.count("\n")) == (2, 1)
    assert sentence in told.output
    assert {path.name for path in folder.iterdir()} <= {"lake"}


def test_a_name_is_made_one_that_python_takes() -> None:
    silver = written(VIEWS)
    assert "wrote my_shop_2/project.py" in init(silver, "my-shop 2")[1].output
    assert "wrote class_/project.py" in init(silver, "class")[1].output


def test_what_the_guide_declares_and_tests_runs() -> None:
    declares, selects, tests, _ = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"MONDAY": MONDAY}
    exec(declares + selects + tests, names)
    names["test_a_cancelled_order_no_longer_counts"]()
