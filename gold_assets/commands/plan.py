"""``gold plan``: say what there is to do for the tables, and do nothing. Needs no Dagster instance and no engine."""

import datetime as dt
import sys
from pathlib import Path

import click

from gold_assets.commands.questions import FILE, dates_from_to, first_date, lake_of, last_date, write_json
from gold_assets.config import default_project, load_settings
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError
from gold_assets.gold.lake_plan import lake_plan


@click.command(epilog="Example: gold plan --from 2026-01-01 --table user_spend_summary")
@first_date
@last_date
@click.option(
    "--table", "names", multiple=True, metavar="NAME", help="Plan this table; may be given again; by default all."
)
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the plan as JSON.")
def command(
    first: dt.datetime | None, last: dt.datetime | None, names: tuple[str, ...], json_file: Path | None
) -> None:
    """Say which dates of the tables are not current, and change nothing.

    Told by the logs alone: which dates would be patched with the files that Silver has gained, which recomputed, how many of
    Silver's rows that reads, and why. The sensor does so with dates that Silver's commits touch; dates that are behind for
    another reason, such as a new code version, wait until they are materialized.

    Exit code 0: planned; 2: something to put right, said in one sentence.
    """
    try:
        settings = load_settings(default_project())
        dates = dates_from_to(first, last, settings.limits)
        if dates is None:
            dates = days(settings.limits.first_date, settings.limits.end)
        lake = lake_of(settings)
        plan = lake_plan(lake, lake.named(names) if names else lake.tables, dates)
        if json_file:
            write_json(json_file, plan.as_json())
    except UserError as error:
        click.echo(error, err=True)
        sys.exit(2)
    click.echo(plan.text())
