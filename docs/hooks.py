"""What the site has beside the pages of this folder: settings, commands, checks and metadata from the code, and the files of the repository that pages link to.

A page says where by a comment, such as ``<!-- written from the code: settings -->``.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[1]
PAGES_OF_THE_REPOSITORY = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
COMMENT = re.compile(r"<!-- written from the code: (\w+) -->")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add what pages link to beside this folder: the pages by the README, and the files of ``deploy/``."""
    from mkdocs.structure.files import File

    for name in PAGES_OF_THE_REPOSITORY:
        text = (REPOSITORY / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name.lower(), content=text))
    for path in (REPOSITORY / ".env.example", *sorted((REPOSITORY / "deploy").rglob("*"))):
        if path.is_file():
            name = path.relative_to(REPOSITORY).as_posix().lstrip(".")
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: "Page", config: object, files: object) -> str:
    """Write what the page asks for, and point links into the repository at the site's copies."""
    up = "../" * page.file.src_uri.count("/")
    for name in PAGES_OF_THE_REPOSITORY:
        markdown = markdown.replace(f"]({up}../{name}", f"]({up}{name.lower()}")
    markdown = markdown.replace(f"]({up}../deploy/", f"]({up}deploy/").replace(f"]({up}../.env", f"]({up}env")
    return COMMENT.sub(lambda found: WRITTEN[found[1]](), markdown)


def settings() -> str:
    """A row of each setting of the transactions, whose names and defaults another project has with its own prefix."""
    kind = of_transactions().__class__
    fields = kind.model_fields
    rows = [
        (f"`{kind.setting(name)}`", _default(fields[name].default), fields[name].description)
        for name in sorted(fields, key=lambda name: name != "lake_root")
    ]
    return _table(("setting", "default", "what it is"), rows)


def of_transactions() -> Any:
    """The settings that the transactions have where nobody sets any."""
    from gold_assets import transactions
    from gold_assets.environment import load_settings

    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GOLD_")}
    try:
        return load_settings(transactions.project)
    finally:
        os.environ |= kept


def _default(value: Any) -> str:
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        value = "on" if value else "off"
    return f"`{value}`".replace("{lake_root}/", "")


def commands() -> str:
    """A section of each command, as its ``--help`` has it."""
    from gold_assets.commands.gold import gold

    context = click.Context(gold, info_name="gold")
    parts = list(_command(gold, context, 2))
    for name in gold.list_commands(context):
        command = gold.get_command(context, name)
        assert command is not None
        parts += _command(command, click.Context(command, info_name=name, parent=context), 2)
    return "\n\n".join(parts)


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```"
    yield _escaped(_unwrapped(command.help or ""))
    options = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    if shown := [option for option in options if option]:
        yield _table(("option", "what it does"), [(f"`{name}`", _escaped(text)) for name, text in shown])
    if command.epilog:
        yield f"```sh\n{command.epilog.removeprefix('Example: ')}\n```"


def _unwrapped(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", re.sub(r"(?m)^ +", "", text.strip()))
    return "\n\n".join(
        paragraph.replace("\b\n", "").replace("\n", "  \n" if paragraph.startswith("\b") else " ")
        for paragraph in paragraphs
    )


def checks() -> str:
    """A row of each check of the transactions' definitions, with the assets that have it."""
    from gold_assets import transactions
    from gold_assets.checks.catalogue import all_checks
    from gold_assets.code_location import definitions

    severities = {(check.table, check.name): check.severity for check in all_checks(transactions.project)}
    severities["published_gold", "is_current"] = "warning"
    graph = definitions(transactions.project, of_transactions()).get_repository_def().asset_graph
    rows: dict[tuple[str, ...], list[str]] = {}
    for key in sorted(graph.asset_check_keys):
        spec = graph.get_check_spec(key)
        asset = key.asset_key.to_user_string()
        judged = "each date" if spec.partitions_def else "the whole"
        fails = severities.get((asset, key.name), "error")
        said = str(spec.description), judged, f"{fails}, blocks what is downstream" if spec.blocking else fails
        rows.setdefault((f"`{key.name}`", *said), []).append(f"`{asset}`")
    columns = ("check", "of", "what holds where it passes", "judges", "a failure is")
    return _table(columns, sorted((name, ", ".join(of), *said) for (name, *said), of in rows.items()))


def metadata() -> str:
    """A row of each key, by what it is told with."""
    from gold_assets.assets.metadata import KEYS

    parts = [f"## {what}\n\n{_table(('key', 'what it is'), _code(keys.items()))}" for what, keys in KEYS.items()]
    return "\n\n".join(parts)


def _code(rows: Any) -> list[tuple[str, str]]:
    return [(f"`{name}`", text) for name, text in rows]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join((cell or '').replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _escaped(text: str) -> str:
    return re.sub(r"(?<![`\w])(GOLD_\w+|--[a-z-]+)", r"`\1`", text.replace("<", "&lt;"))


WRITTEN: dict[str, Callable[[], str]] = {
    "settings": settings,
    "commands": commands,
    "checks": checks,
    "metadata": metadata,
}
