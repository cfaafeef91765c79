"""What the sub-commands of ``gold`` have in common: how each starts and ends, and options that several take."""

import datetime as dt
import functools
import getpass
import json
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from gold_assets.config import Settings
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError, reason, store_failures_told
from gold_assets.environment import default_project, find_project, load_reading_settings, load_settings, read_env_file
from gold_assets.reading.answers import plain

if TYPE_CHECKING:
    from gold_assets.checks.findings import Limits
    from gold_assets.declaring.project import Project
    from gold_assets.gold.lake import Lake

DATE = click.DateTime(["%Y-%m-%d"])
_NOT_A_TERMINAL = 10_000
"""Columns, where nobody says how wide what reads the text is."""

FILE = click.Path(dir_okay=False, path_type=Path)

first_date = click.option("--from", "first", type=DATE, metavar="DATE", help="First date; by default the window's.")
last_date = click.option(
    "--to", "last", type=DATE, metavar="DATE", help="Last date, included; by default the window's."
)
at_moment = click.option(
    "--at",
    metavar="MOMENT",
    help="What readers went by then, such as 2026-01-31T08:00:00Z; by default the newest publication.",
)
BY = click.option(
    "--by", default=getpass.getuser, metavar="NAME", help="Who says so; by default the user of this process."
)


def of_tables(doing: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option by which tables are chosen."""
    text = f"{doing} this table; may be given again; by default all."
    return click.option("--table", "names", multiple=True, metavar="NAME", help=text)


@dataclass(frozen=True)
class Answer:
    """What a sub-command has to say: as text, None where it has said it, and as JSON; each is worked out when it is asked for.

    Decimals and dates are text in the JSON.
    """

    text: Callable[[], str] | None
    json: Callable[[], Any] | None = None
    exit_code: int = 0


def sub_command(
    example: str, json_help: str = "", *, only_reads: bool = False
) -> Callable[[Callable[..., Answer | None]], click.Command]:
    """Make a function of the settings and the options a sub-command, whose help is the function's docstring.

    ``json_help`` gives it the option ``--json``, which writes the answer's JSON to a file, or in place of the text to stdout.
    It ends with the answer's exit code, and with 2 where the function raises: of a ``UserError`` the sentence is told. The
    project is the one that ``gold`` was called with, ``gold(obj=project)``, or the name that it was given, or else the one of
    ``find_project``, or the transactions; one that ``only_reads`` what is published gets the settings that readers need.
    """

    def decorate(function: Callable[..., Answer | None]) -> click.Command:
        @functools.wraps(function)
        def run(json_file: Path | None = None, **given: Any) -> None:
            code = 2
            try:
                read_env_file()
                called = click.get_current_context().obj
                project = find_project(called or "") if called is None or isinstance(called, str) else called
                settings = load_reading_settings(project) if only_reads else _settings_of(project or default_project())
                with store_failures_told():
                    answer = function(settings, **given) or Answer(None)
                    if json_file and answer.json:
                        with opened(json_file, "--json") as stream:
                            stream.write(json.dumps(plain(answer.json()), indent=1) + "\n")
                    if answer.text and not is_stdout(json_file):
                        click.echo(answer.text())
                code = answer.exit_code
            except UserError as error:
                click.echo(error, err=True)
            except (click.ClickException, BrokenPipeError):  # of which click knows how they end
                raise
            except Exception:
                traceback.print_exc()
            if code:
                sys.exit(code)

        command = click.command(epilog=f"Example: gold {example}")(run)
        if json_help:
            command.params.append(
                click.Option(
                    ["--json", "json_file"], type=FILE, metavar="FILE", help=f"{json_help}; - prints it alone."
                )
            )
        return command

    return decorate


def _settings_of(project: "Project") -> Settings:
    """The settings of this process; in a branch people are told which tables a command is about."""
    settings = load_settings(project)
    if settings.of_branch:
        click.echo(settings.of_branch, err=True)
    return settings


def dates_from_to(first: dt.datetime | None, last: dt.datetime | None, limits: "Limits") -> list[dt.date]:
    """The dates of the range, whose ends are the window's by default."""
    start, end = first.date() if first else limits.first_date, last.date() if last else limits.end
    if end < start:
        raise UserError(
            f"The range of dates is {start} to {end}, which holds none: give --from a date up to that of --to."
        )
    return days(start, end)


def lake_of(settings: Settings) -> "Lake":
    """The lake of the settings. Where they name its tables as in Spark's catalog, Spark is started to find them."""
    if not settings.names_tables:
        return settings.lake
    from gold_assets.resources import Lakehouse  # and Dagster with it, whose import takes longer than many a check

    lakehouse = Lakehouse.from_settings(settings)
    try:
        return lakehouse.lake(settings.project)
    finally:
        lakehouse.started_engine().close()


def terminal_width() -> int:
    """How many characters a line may have."""
    return shutil.get_terminal_size((_NOT_A_TERMINAL, 24)).columns


def is_stdout(file: Path | None) -> bool:
    """Whether - was given in place of a file."""
    return file is not None and str(file) == "-"


@contextmanager
def opened(file: Path, option: str) -> Iterator[TextIO]:
    """The file that the option gives, or stdout for -, to be written. Raises ``UserError`` where it cannot be."""
    if is_stdout(file):
        yield sys.stdout
        return
    try:
        with file.open("w", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        raise UserError(f"{option} {file} cannot be written ({reason(error)}): give another file.") from error
