"""A project of one's own: how commands, readers and Python find it, and its places and settings beside another's."""

import dataclasses
import os
import sys
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gold_assets import Column, Project, Source, Table, published, transactions
from gold_assets.commands.gold import gold
from gold_assets.delta.errors import UserError
from gold_assets.environment import load_settings

_NUMBERS = count()

DECLARES = """
from gold_assets import Column, Project, Source, Table

clicks = Source("clicks", date="at", columns=[Column("page", "string")])
table = Table("clicks_by_page", sql="SELECT page, event_date, count(*) AS n FROM clicks GROUP BY page, event_date", key=["page"])
project = Project("web", clicks, [table], env_prefix="WEB_")
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith(("GOLD_", "WEB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def module(folder: Path) -> str:
    """A module in the working folder that declares a project; of a new name, for Python loads a name once."""
    name = f"web_{next(_NUMBERS)}"
    (folder / f"{name}.py").write_text(DECLARES)
    return name


def web(prefix: str = "WEB_") -> Project:
    clicks = Source("clicks", date="at", columns=[Column("page", "string")])
    sql = "SELECT page, event_date, count(*) AS n FROM clicks GROUP BY page, event_date"
    return Project("web", clicks, [Table("clicks_by_page", sql=sql, key=["page"])], env_prefix=prefix)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(gold, arguments)


def test_a_command_works_for_the_project_that_it_is_given(module: str, folder: Path) -> None:
    told = run("--project", f"{module}:project", "plan")
    assert told.exit_code == 2
    assert f"at {folder}/data/web/silver/clicks, where Silver is expected: set WEB_SOURCE_PATH to" in told.output


def test_a_command_and_a_reader_find_the_project_of_the_working_folder(module: str, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(f'[tool.gold_assets]\nproject = "{module}:project"\n')
    assert f"{folder}/data/web/silver/clicks" in run("plan").output
    assert f"{folder}/data/web/published" in run("published").output
    with pytest.raises(UserError, match=f"{folder}/data/web/published"):
        published()


@pytest.mark.parametrize("text", [None, "[tool.other]\nproject = 'x:y'\n"])
def test_where_none_is_named_it_is_the_transactions(folder: Path, text: str | None) -> None:
    if text:
        (folder / "pyproject.toml").write_text(text)
    assert f"{folder}/data/silver/transactions" in run("plan").output
    assert f"{folder}/data/published" in run("published").output


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("web", "--project is 'web', expected a module and its attribute such as shop.project:project"),
        ("no_module_here:project", "The module no_module_here that --project names cannot be loaded"),
        ("MODULE:defs", "defs of the module MODULE is not there, expected the Project"),
        ("MODULE:table", "table of the module MODULE is Table, expected the Project"),
    ],
)
def test_a_project_that_is_none_is_one_sentence(module: str, name: str, sentence: str) -> None:
    told = run("--project", name.replace("MODULE", module), "plan")
    assert (told.exit_code, told.output.count("\n")) == (2, 1)
    assert sentence.replace("MODULE", module) in told.output


def test_a_pyproject_that_cannot_be_read_is_one_sentence(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.gold_assets")
    told = run("plan")
    assert (told.exit_code, told.output.count("\n")) == (2, 1)
    assert told.output.startswith("The file pyproject.toml cannot be read (")


def test_a_lake_below_a_root_has_all_its_places_there() -> None:
    lake = web().lake("s3://bucket/web/")
    places = [lake.silver, *lake.places.values(), lake.published]
    assert places == [
        f"s3://bucket/web/{path}" for path in ("silver/clicks", "gold/clicks_by_page", "quarantine/clicks", "published")
    ]


def test_a_lake_without_a_root_is_that_of_the_settings_and_of_the_file_env(folder: Path) -> None:
    (folder / ".env").write_text("WEB_LAKE_ROOT=/from/env\n")
    try:
        assert web().lake().silver == "/from/env/silver/clicks"
    finally:
        del os.environ["WEB_LAKE_ROOT"]


def test_projects_with_prefixes_of_their_own_share_an_environment_and_no_place(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("GOLD_PARTITIONS_START", "2020-01-01")
    monkeypatch.setenv("WEB_PARTITIONS_START", "2024-01-01")
    monkeypatch.setenv("GOLD_BAD_RECORDS_PATH", "/bad")
    monkeypatch.setenv("WEB_WRITE_PATH_CLICKS_BY_PAGE", "/clicks")
    ours, other = load_settings(transactions.project), load_settings(web())
    assert (str(ours.partitions_start), str(other.partitions_start)) == ("2020-01-01", "2024-01-01")
    assert other.lake.places == {
        "clicks_by_page": "/clicks",
        "quarantined_clicks": f"{folder}/data/web/quarantine/clicks",
    }
    mine = {*ours.lake.named_places.values(), ours.checkpoint_path}
    assert not mine & {*other.lake.named_places.values(), other.checkpoint_path}
    with pytest.raises(UserError, match=f"{folder}/data/web/published"):
        published(project=web())


def test_engine_and_store_are_the_environments_unless_the_project_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_ENGINE", "spark")
    assert load_settings(web()).engine == "spark"
    monkeypatch.setenv("WEB_ENGINE", "sail")
    assert load_settings(web()).engine == "sail"
    assert load_settings(transactions.project).engine == "spark"


@pytest.mark.parametrize(
    ("setting", "value"), [("WEB_PARTITIONS_START", "soon"), ("WEB_SILVER_COLUMNS", "{"), ("GOLD_ENGINE", "fast")]
)
def test_a_value_that_makes_no_sense_is_told_under_its_own_name(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(UserError, match=f"^{setting} is '{value}', expected"):
        load_settings(web())


@pytest.mark.parametrize("field", ["ALERT_URLS", "STORAGE_OPTIONS"])
@pytest.mark.parametrize("prefix", ["WEB_", "GOLD_"])
def test_a_secret_that_makes_no_sense_is_told_under_its_own_name(
    monkeypatch: pytest.MonkeyPatch, prefix: str, field: str
) -> None:
    monkeypatch.setenv(prefix + field, "{")
    with pytest.raises(UserError, match=f"^{prefix}{field} is n"):
        load_settings(web())


@pytest.mark.parametrize("prefix", ["", "web_", "WEB"])
def test_a_prefix_that_cannot_be_one_is_one_sentence(prefix: str) -> None:
    with pytest.raises(UserError, match=f"has the env_prefix '{prefix}', expected capitals that end with _"):
        web(prefix)


def test_a_name_that_can_be_no_name_in_dagster_is_one_sentence() -> None:
    with pytest.raises(UserError, match="The project's name is 'my shop', expected letters, digits and _"):
        dataclasses.replace(web(), name="my shop")


def test_stores_that_one_process_cannot_have_both_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gold_assets.config._STORE_OPTIONS", {})
    monkeypatch.setenv("AWS_REGION", "before")
    monkeypatch.setenv("GOLD_STORAGE_OPTIONS", '{"AWS_REGION": "eu-north-9"}')
    load_settings(transactions.project)
    load_settings(web())
    monkeypatch.setenv("WEB_STORAGE_OPTIONS", '{"AWS_REGION": "eu-south-9"}')
    with pytest.raises(
        UserError, match=r"^WEB_STORAGE_OPTIONS gives AWS_REGION another value than GOLD_STORAGE_OPTIONS"
    ):
        load_settings(web())
