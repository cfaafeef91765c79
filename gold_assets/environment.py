"""Which project and which lake this process works for: by its environment, the file ``.env``, and pyproject.toml."""

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import dotenv_values, load_dotenv
from pydantic_settings import PydanticBaseSettingsSource

from gold_assets.config import OF_ALL_PROJECTS, ReadingSettings, Settings, loaded, path_fields
from gold_assets.delta import storage
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.places import overlap, resolved
from gold_assets.settings import PREFIX

if TYPE_CHECKING:
    # Imported where it is used: who only reads has no engine, with which it comes.
    from gold_assets.declaring.project import Project

_GONE = ("GOLD_ALERT_WEBHOOK", "GOLD_ALERT_MAIL", "GOLD_ALERT_SMTP")
"""Who sets one of them would wait for alerts that nobody sends."""
_WRITTEN = ("lake_root", "published_path", "checkpoint_path")
_NOT_OF_PRODUCTION = ("read_from", "alert_urls", "ui_url")
"""What a branch does not take from production's settings beside what says where to write: who hears of production hears nothing of it."""


def find_project(name: str = "") -> "Project | None":
    """The project of this name, ``shop.project:project``: a module, which the working folder may hold, and its attribute.

    Without a name it is the one that ``[tool.gold_assets] project`` gives in pyproject.toml of the working folder, None where there
    is none. Raises ``UserError`` where it is not there, or is no project.
    """
    where = "--project" if name else "[tool.gold_assets] project of pyproject.toml"
    if not (name := name or _named_in_pyproject()):
        return None
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise UserError(
            f"{where} is {name!r}, expected a module and its attribute such as shop.project:project: correct it."
        )
    sys.path[:0] = {str(Path.cwd())} - set(sys.path)
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"The module {module} that {where} names cannot be loaded ({reason(error)}): correct the name, or stand in the folder that "
            "holds it."
        ) from error
    from gold_assets.declaring.project import Project

    if not isinstance(project := getattr(found, attribute, None), Project):
        is_what = f"is {type(project).__name__}" if hasattr(found, attribute) else "is not there"
        raise UserError(
            f"{attribute} of the module {module} {is_what}, expected the Project that {where} names: correct the name."
        )
    return project


def _named_in_pyproject() -> str:
    if sys.version_info < (3, 11):
        import tomli as tomllib
    else:
        import tomllib
    try:
        settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise UserError(
            f"The file pyproject.toml cannot be read ({reason(error)}): correct it, or give --project."
        ) from error
    return str(settings.get("tool", {}).get("gold_assets", {}).get("project", ""))


def default_project() -> "Project":
    """The project that commands and readers work for where nobody names another: the one of ``gold_assets.transactions``.

    It is loaded by its name, for the rest of the package knows no business.
    """
    project: Project = importlib.import_module("gold_assets.transactions").project
    return project


def read_env_file() -> None:
    """Put what the file ``.env`` of the working directory says into the environment of this process, where it wins over what is there.

    ``dagster`` does so by itself wherever it starts, and then nobody can tell any more what was there. So it is for the
    commands and for Python, which call this. Raises ``UserError`` where the file cannot be read.
    """
    try:
        load_dotenv(Path(".env"), override=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The file .env cannot be read ({reason(error)}): make it readable, UTF-8, or remove it."
        ) from error


def load_reading_settings(project: "Project | None" = None) -> ReadingSettings:
    """Those of the settings of this process that readers need, loaded as ``load_settings`` loads all."""
    return loaded(ReadingSettings, project)


def load_settings(project: "Project") -> Settings:
    """The settings of this process, for the project's lake. The environment gets what GOLD_STORAGE_OPTIONS says.

    In a branch, which GOLD_READ_FROM makes it, what it does not set is as production has it, and its project has the tables alone
    that production has not published by the same version.

    Raises ``UserError`` with one sentence where a value makes no sense, or production cannot be read.
    """
    if gone := [name for name in _GONE if os.environ.get(name)]:
        raise UserError(
            f"{gone[0]} is set, which GOLD_ALERT_URLS has replaced: set that to URLs of apprise, such as "
            f"slack://token_a/token_b/token_c/#alerts, and unset {gone[0]}."
        )
    file = os.environ.get(f"{project.env_prefix}READ_FROM")
    settings = _of_branch(project, file) if file else loaded(Settings, project, path_fields(project), declared=project)
    urls, remote = settings.alert_addresses(), settings.spark_remote
    storage.hide(*urls)
    for address in [*urls, *([remote.get_secret_value()] if remote else [])]:
        storage.hide_address(address)
    return settings


def _of_branch(project: "Project", file: str) -> Settings:
    """The settings of a branch: its own, and of those in production's ``file`` what it does not set and does not write by."""
    from gold_assets.gold.production import Production

    setting, told = f"{project.env_prefix}READ_FROM", _told_by(project, file)
    try:
        there = loaded(_SettingsOfFile, project, path_fields(project), told)
        published = Production(there.published_path).newest()
    except UserError as error:
        raise UserError(f"{setting} is {file}, by which production cannot be read: {error}") from error
    unchanged = {
        table.name: table.code_version
        for table in project.tables
        if published.code_versions.get(table.name) == table.code_version
    }
    own = project.only([table.name for table in project.tables if table.name not in unchanged])
    written = {*_WRITTEN, *path_fields(project)} - {"source_path"}
    taken = {
        "source_path": there.source_path,
        **{name: text for name, text in told.items() if name not in ("source_path", *_NOT_OF_PRODUCTION, *written)},
    }
    taken = {name: text for name, text in taken.items() if not os.environ.get(project.env_prefix + name.upper())}
    production = Production(there.published_path, unchanged)
    settings = loaded(Settings, own, path_fields(own), taken, declared=project, production=production)
    _refuse_places_of(there, {table.uri: table.name for table in published.tables.values()}, settings)
    return settings


def _told_by(project: "Project", file: str) -> dict[str, str]:
    """By field, what a file in the form of ``.env`` says of the project's settings."""
    try:
        with Path(file).expanduser().open(encoding="utf-8") as stream:
            found = dotenv_values(stream=stream)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{project.env_prefix}READ_FROM is {file}, which cannot be read ({reason(error)}), expected a file as .env is, with "
            "production's settings: correct it, or unset it where this is no branch."
        ) from error
    fields = (*Settings.model_fields, *path_fields(project))
    told = {name: found.get(PREFIX + name.upper()) for name in fields if name in OF_ALL_PROJECTS}
    told |= {name: text for name in fields if (text := found.get(project.env_prefix + name.upper()))}
    return {name: text for name, text in told.items() if text}


class _SettingsOfFile(Settings):
    """Settings that the environment says nothing of."""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        return (sources["init_settings"],)


def _refuse_places_of(production: Settings, published: Mapping[str, str], settings: Settings) -> None:
    """Raise ``UserError`` where a branch reads another Silver than production, or would write where production does."""
    prefix = settings.prefix
    if resolved(settings.source_path) != resolved(production.source_path):
        raise UserError(
            f"{prefix}SOURCE_PATH is {settings.source_path}, and production's tables, which a branch reads beside its own, are made from "
            f"{production.source_path}: unset it."
        )
    if resolved(settings.lake_root) == resolved(production.lake_root):
        raise UserError(
            f"{prefix}LAKE_ROOT is {settings.lake_root}, which is production's, expected a place of the branch's own: set it to another path."
        )
    theirs = {**{place: name for name, place in production.written_places.items()}, **published}
    for name, place in settings.written_places.items():
        if other := next((other for other in theirs if overlap(place, other)), None):
            raise UserError(
                f"This branch would write {name} at {place}, where production has {theirs[other]}, {other}, expected places of the branch's "
                "own: set or unset the setting of that place."
            )
