"""The files in deploy/ that docs/production.md goes by: they agree with the project, and with each other."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from gold_assets import transactions
from gold_assets.environment import load_settings
from gold_assets_tests.instance.postgres_server import on_postgres

REPOSITORY = Path(__file__).parents[1]
DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ON_THE_SERVER, HERE = "/opt/gold-assets/.venv/bin", str(Path(sys.executable).parent)


def command_of(unit: Path) -> list[str]:
    """What the unit starts, with this environment's programs in place of the server's."""
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.read(unit)
    return shlex.split(parsed["Service"]["ExecStart"].replace(ON_THE_SERVER, HERE))


def test_the_instance_is_the_projects_but_for_its_storage() -> None:
    ours, in_production = (
        yaml.safe_load((folder / "dagster.yaml").read_text()) for folder in (REPOSITORY / "dagster_home", DEPLOY)
    )
    del ours["storage"]
    assert in_production == ours | {"storage": on_postgres({"env": "DAGSTER_POSTGRES_URL"})}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_units_command_is_there_and_takes_its_options(
    unit: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *arguments = command_of(unit)
    assert Path(program).exists()
    options = [argument for argument in arguments if argument.startswith("--")]
    monkeypatch.setattr(sys, "argv", [program, *arguments[: arguments.index(options[0])], "--help"])
    [main] = entry_points(group="console_scripts", name=Path(program).name)
    with pytest.raises(SystemExit):
        main.load()()
    told = capsys.readouterr().out
    assert [option for option in options if not re.search(rf"{option}\b", told)] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed.")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    units = [Path(shutil.copy(unit, tmp_path)) for unit in (DEPLOY / "systemd").iterdir()]
    for unit in units:
        unit.write_text(unit.read_text().replace(ON_THE_SERVER, HERE))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "gold-" in line]) == (0, [])


def test_the_parts_meet_at_the_same_places() -> None:
    code_server, daemon, webserver = map(command_of, UNITS)
    [location] = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    ours = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    socket, module, name = code_server[code_server.index("--socket") + 1 :: 2]
    assert location["grpc_server"] == {"socket": socket, "location_name": name}
    assert (module, name) == (ours["module_name"], ours["location_name"])
    for command in (daemon, webserver):
        workspace = Path(command[command.index("--workspace") + 1])
        assert workspace == Path("/opt/gold-assets") / (DEPLOY / "workspace.yaml").relative_to(REPOSITORY)
    host, port = (webserver[webserver.index(option) + 1] for option in ("--host", "--port"))
    assert f"proxy_pass http://{host}:{port};" in (DEPLOY / "nginx.conf").read_text()
    in_the_image = yaml.safe_load(re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)[0])
    assert [part.replace(ON_THE_SERVER, HERE) for part in in_the_image] == code_server


def test_the_examples_name_the_settings_that_there_are() -> None:
    kind = load_settings(transactions.project).__class__
    there = {kind.setting(name) for name in kind.model_fields}
    on_the_server, here = (
        set(re.findall(r"^#?(GOLD_\w+)=", file.read_text(), re.MULTILINE))
        for file in (DEPLOY / "gold-assets.env", REPOSITORY / ".env.example")
    )
    assert len(on_the_server) > 3
    assert on_the_server <= there
    assert here == there, "the file .env.example is to have a line of each setting"


@pytest.mark.parametrize("file", [REPOSITORY / ".env.example", DEPLOY / "gold-assets.env"], ids=lambda file: file.name)
def test_a_shell_reads_the_settings_as_python_does_with_every_example_in_force(file: Path, tmp_path: Path) -> None:
    written = tmp_path / "settings.env"
    written.write_text(re.sub(r"^#(?=[A-Z_]+=)", "", file.read_text(), flags=re.MULTILINE))
    read = dotenv_values(written)
    assert len(read) > 5
    sourced = subprocess.run(
        ["sh", "-c", 'set -a; . "$1"; env -0', "-", str(written)], capture_output=True, text=True, check=True, env={}
    )
    assert sourced.stderr == ""
    environment = dict(line.split("=", 1) for line in sourced.stdout.split("\0") if line)
    assert {name: environment.get(name) for name in read} == read


@pytest.mark.parametrize(
    "workflow", sorted((REPOSITORY / ".github" / "workflows").iterdir()), ids=lambda file: file.stem
)
def test_an_action_is_the_commit_that_was_looked_at(workflow: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", workflow.read_text())
    assert used
    assert [action for action, said in used if not re.fullmatch(r"\S+@[0-9a-f]{40}", action) or "# v" not in said] == []


def test_the_changelog_says_what_to_do_for_the_version_that_a_tag_would_release() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    notes = str(REPOSITORY / ".ci" / "release-notes")
    told = [notes, setup["metadata"]["version"]]
    assert "When you upgrade" in subprocess.run(told, capture_output=True, text=True, check=True).stdout
    assert subprocess.run([notes, "0.0.9"], capture_output=True).returncode == 1
