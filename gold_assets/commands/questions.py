"""What several sub-commands are asked for in the same way: a range of dates, a moment, a file, the lake of the settings."""

import datetime as dt
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from gold_assets.checks.findings import Limits
from gold_assets.config import Settings
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError, reason
from gold_assets.gold.lake import Lake

_DATE = click.DateTime(["%Y-%m-%d"])
_NOT_A_TERMINAL = 10_000
"""Columns, where nobody says how wide what reads the text is."""

FILE = click.Path(dir_okay=False, path_type=Path)

first_date = click.option("--from", "first", type=_DATE, metavar="DATE", help="First date; by default the window's.")
last_date = click.option(
    "--to", "last", type=_DATE, metavar="DATE", help="Last date, included; by default the window's."
)

at_moment = click.option(
    "--at",
    metavar="MOMENT",
    help="What readers went by then, such as 2026-01-31T08:00:00Z; by default the newest publication.",
)


def dates_from_to(first: dt.datetime | None, last: dt.datetime | None, limits: Limits) -> list[dt.date] | None:
    """The dates of the range, whose ends are the window's by default; None where neither end is given."""
    if first is None and last is None:
        return None
    start, end = first.date() if first else limits.first_date, last.date() if last else limits.end
    if end < start:
        raise UserError(
            f"The range of dates is {start} to {end}, which holds none: give --from a date up to that of --to."
        )
    return days(start, end)


def lake_of(settings: Settings) -> Lake:
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


def write_json(file: Path, whole: Any) -> None:
    """Raises ``UserError`` where the file cannot be written."""
    with opened(file, "--json") as stream:
        stream.write(json.dumps(whole, indent=1, allow_nan=False) + "\n")
