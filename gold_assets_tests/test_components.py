"""The component of ``dg``: what ``gold init`` writes in Python, as YAML."""

import configparser
import datetime as dt
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner
from dagster_dg_cli.cli import cli
from deltalake import write_deltalake

from gold_assets.components import GoldProject

pytestmark = pytest.mark.sail

ROOT = Path(__file__).parents[1]
VIEWS = pa.table({"page": ["/"], "Seconds Spent": [1.5], "day": [dt.date(2024, 1, 1)]})


@pytest.fixture
def defs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder defs of a project of ``dg``, which knows what the package registers."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    [(_, module)] = [
        entry.split(" = ")
        for entry in setup["options.entry_points"]["dagster_dg_cli.registry_modules"].split("\n")
        if entry
    ]
    folder = tmp_path / "src" / "web_site" / "defs"
    folder.mkdir(parents=True)
    (tmp_path / "dg.toml").write_text(
        f'directory_type = "project"\n[project]\nroot_module = "web_site"\nregistry_modules = ["{module}"]\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "src")
    return folder


def scaffold(silver: str) -> str:
    return (
        CliRunner()
        .invoke(cli, ["scaffold", "defs", "gold_assets.components.GoldProject", "web", "--silver", silver])
        .output
    )


def test_a_scaffolded_project_loads_as_it_is(defs: Path) -> None:
    assert "There is no Delta table at" in scaffold("lake/page_views")
    write_deltalake("lake/page_views", VIEWS)
    told = scaffold("lake/page_views")
    written = yaml.safe_load((defs / "web" / "defs.yaml").read_text())
    assert written["attributes"]["source"] == {
        "name": "page_views",
        "date": "day",
        "columns": [
            {"name": "page", "type": "string"},
            {"name": "seconds_spent", "type": "double", "source": "Seconds Spent"},
        ],
        "rules": [],
    }
    assert f"GOLD_SOURCE_PATH='{Path.cwd()}/lake/page_views'" in told
    component = GoldProject.from_attributes_dict(attributes=written["attributes"])
    assert [table.name for table in component.project.tables] == ["page_views_by_page", "quarantined_page_views"]
    loaded = dg.load_from_defs_folder(path_within_project=defs)
    keys = {key.path[-1] for key in loaded.get_repository_def().asset_graph.get_all_asset_keys()}
    assert keys >= {"silver_page_views", "page_views_by_page", "quarantined_page_views"}


def test_the_guides_yaml_is_a_project_and_its_module_takes_it_from_there(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "own_tables.md").read_text()
    [text] = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "defs" / "web").mkdir(parents=True)
    (tmp_path / "defs" / "web" / "defs.yaml").write_text(text)
    names: dict[str, Any] = {"__file__": str(tmp_path / "project.py")}
    exec(re.findall(r"```python\n(.*?)```", guide, re.DOTALL)[-1], names)
    assert [table.key for table in names["project"].tables if table.key] == [("page", "event_date")]
