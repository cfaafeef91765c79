"""What several sub-commands are asked for in the same way: a range of dates, a file of JSON, the lake of the settings."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click

from gold_assets.checks.findings import Limits
from gold_assets.config import Settings
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError, reason
from gold_assets.gold.lake import Lake

_DATE = click.DateTime(["%Y-%m-%d"])
FILE = click.Path(dir_okay=False, path_type=Path)

first_date = click.option("--from", "first", type=_DATE, metavar="DATE", help="First date; by default the window's.")
last_date = click.option(
    "--to", "last", type=_DATE, metavar="DATE", help="Last date, included; by default the window's."
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
        return lakehouse.lake(settings.tables)
    finally:
        lakehouse.started_engine().close()


def write_json(file: Path, whole: Any) -> None:
    """Raises ``UserError`` where the file cannot be written."""
    try:
        file.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(f"--json {file} cannot be written ({reason(error)}): give another file.") from error
