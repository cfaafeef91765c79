"""What the README and docs/ say is so: links lead somewhere, and what people copy runs, or its page says why it is not tried."""

import configparser
import datetime as dt
import re
import shlex
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from dagster._cli import cli as dagster
from deltalake import DeltaTable, write_deltalake

from gold_assets.checks.publishing import publish
from gold_assets.commands.gold import SUB_COMMANDS, gold
from gold_assets.delta.dates import days
from gold_assets.engines import Engine
from gold_assets.environment import load_settings
from gold_assets.gold.refresh import refresh
from gold_assets_tests.docs.pages import ALL_PAGES, PAGES, REPOSITORY, Block, anchors_of, blocks_of, links_of, name_of
from gold_assets_tests.end_to_end.command_line import MATERIALIZES, SELECT

pytestmark = pytest.mark.sail

README = REPOSITORY / "README.md"
RUN = [README, REPOSITORY / "CONTRIBUTING.md", *PAGES]
PRELUDE = """
import datetime as dt
import dagster as dg
import pyarrow as pa
from pyspark.sql import DataFrame, functions as F
from gold_assets import Column, Table
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import _DATE
t = type("", (), {"__getattr__": lambda self, name: globals()[name]})()
"""
"""What the modules already have that a page's blocks are to be put into."""


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links_of(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_every_block_has_a_language_and_a_test_that_runs_it_or_a_reason(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language, f"the block has no language: {block.text}"
        if block.said.startswith("run by "):
            test = REPOSITORY / block.said.removeprefix("run by ")
            assert page.name in test.read_text(), f"{test} does not read {page.name}"


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_every_command_but_ours_is_one_that_there_is(page: Path) -> None:
    unknown = [
        command
        for block in blocks_of(page)
        if block.language in ("sh", "console") and block.is_run_here
        for command in block.commands()
        if not _is_known(shlex.split(command))
    ]
    assert unknown == []


def _is_known(words: list[str]) -> bool:
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    match words:
        case ["make", *targets]:
            there = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
            return there.issuperset(target for target in targets if "=" not in target)
        case ["gold", sub_command, *_]:
            return sub_command in SUB_COMMANDS
        case ["dagster", "asset" | "dev", *_] | [".", _] | ["export", _]:
            return True
        case _:
            return False


def test_the_extras_that_pages_name_are_there() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    for page in RUN:
        for named in re.findall(r"(?:pip install|\.venv/bin/pip install)[^`\n]*\[([\w,]+)\]", page.read_text()):
            assert set(named.split(",")) <= set(setup["options.extras_require"]), f"{name_of(page)}: {named}"


@pytest.mark.parametrize("page", [page for page in RUN if page.name != "own_tables.md"], ids=name_of)
def test_what_people_copy_from_a_page_runs(page: Path, folder: Path) -> None:
    names: dict[str, Any] = {}
    exec(PRELUDE, names)
    write_deltalake("orders", ORDERS)
    for block in filter(_runs, blocks_of(page)):
        if block.language == "python":
            exec(block.text, names)
        else:
            for command in block.commands():
                _run(command.replace("/data/silver/orders", "orders"))


ORDERS = pa.table(
    {
        "order_id": ["1", "2"],
        "customer": ["ann", "bob"],
        "amount": [2.5, -1.0],
        "placed_at": pa.array(["2026-10-01", "2026-10-02"]).cast(pa.date32()),
    }
)


def test_what_people_copy_to_begin_a_project_runs(
    folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_deltalake("orders", ORDERS)
    [begin, ask, bad, again, _] = [
        block for block in blocks_of(PAGES_BY_NAME["own_tables.md"]) if block.language == "sh"
    ]
    init = next(command for command in begin.commands() if command.startswith("gold init"))
    _run(init.replace("/data/silver/orders", str(folder / "orders")))
    monkeypatch.setenv("GOLD_LAKE_ROOT", str(folder / "shop_lake"))
    monkeypatch.setenv("GOLD_SOURCE_PATH", str(folder / "orders"))
    settings = load_settings(import_module("shop.project").project)
    refresh(settings.lake, engine, days(dt.date(2026, 10, 1), dt.date(2026, 10, 31)))
    assert publish(settings.lake, settings.limits).publication
    for block in (ask, bad, again):
        for command in block.commands():
            _run(command)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_what_people_copy_to_decide_of_a_held_date_runs(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLD_FUSE_LEAST_ROWS", "1")
    DeltaTable("data/silver/transactions").delete("event_date = '2026-01-01'")
    [block] = [block for block in blocks_of(PAGES_BY_NAME["held_dates.md"]) if block.language == "sh"]
    command = list(block.commands())[number]
    _run(command, 1 if command == "gold held" else 0)


PAGES_BY_NAME = {page.name: page for page in PAGES}


def _runs(block: Block) -> bool:
    return block.language in ("python", "sh", "console") and block.is_run_here


def _run(command: str, ends_with: int = 0) -> None:
    """The command, in this process: a sub-command of ``gold``, or a materialization by ``dagster``. Others are looked at only."""
    program, *arguments = shlex.split(command)
    if command.startswith(shlex.join([*MATERIALIZES, *SELECT])):
        option, dates = arguments[-2:]
        assert (option, dates.count("...")) in (("--partition", 0), ("--partition-range", 1))
        return  # as test_command_line materializes a date and a range, in processes of their own
    programs: dict[str, Callable[..., Any]] = {"gold": gold, "dagster": dagster}
    if program in programs and arguments != ["dev"]:
        done = CliRunner().invoke(programs[program], arguments)  # type: ignore[arg-type]
        assert done.exit_code == ends_with, f"{command}\n{done.output[-2000:]}"
