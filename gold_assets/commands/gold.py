"""``gold``, the one command. A sub-command is the ``command`` of the module of its name, which is loaded when it is called; ``try`` of ``try_``."""

import importlib
import keyword
import sys

import click

SUB_COMMANDS = (
    "approve",
    "checks",
    "contract",
    "diff",
    "explain",
    "held",
    "init",
    "keep",
    "plan",
    "published",
    "sql",
    "stream",
    "try",
)


class _LoadedWhenCalled(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUB_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUB_COMMANDS:
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        try:
            command: click.Command = importlib.import_module(f"gold_assets.commands.{module}").command
        except ModuleNotFoundError as error:
            return _without_extra(cmd_name, error)
        return command


def _without_extra(name: str, error: ModuleNotFoundError) -> click.Command:
    """A command that says which extra it needs."""
    from gold_assets.delta.errors import missing_extra

    said = str(missing_extra(error))

    def say(**_: object) -> None:
        click.echo(said, err=True)
        sys.exit(2)

    options = {"ignore_unknown_options": True, "help_option_names": []}
    return click.Command(name, options, say, [click.Argument(["given"], nargs=-1)], help=said)


@click.command(cls=_LoadedWhenCalled, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--project",
    metavar="MODULE:NAME",
    help="Work for this project, such as shop.project:project; by default that of [tool.gold_assets] project in pyproject.toml, or the transactions.",
)
@click.version_option(package_name="gold-assets", prog_name="gold")
@click.pass_context
def gold(context: click.Context, project: str | None) -> None:
    """Look after the Gold tables from the shell.

    Where Silver and the tables are, the window of dates and the engine are told by the GOLD_ settings, from a file .env in the
    working directory, or else the environment. Every sub-command ends with an exit code that its help explains; 2 also stands for
    options that make no sense, and for a failure of the command itself.
    """
    context.obj = project or context.obj


if __name__ == "__main__":
    gold(prog_name="gold")
