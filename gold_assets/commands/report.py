"""``gold report``: the published state as one HTML file. Needs no Dagster instance and no engine."""

import sys
from pathlib import Path

import click

from gold_assets.commands.questions import FILE, at_moment, lake_of, opened
from gold_assets.config import load_settings
from gold_assets.delta.errors import UserError
from gold_assets.reading.published import published
from gold_assets.reading.report import report
from gold_assets.reading.report_numbers import report_numbers


@click.command(epilog="Example: gold report gold.html")
@click.argument("file", type=FILE)
@at_moment
def command(file: Path, at: str | None) -> None:
    """Write FILE, a page with plots of the tables as they were published, to look at or to send on.

    Spend by day, high-risk transactions, usage_cost_ratio, what is quarantined, and how fresh that is. The page loads nothing from
    elsewhere. Needs the extra: pip install -e '.[report]'.

    Exit code 0: written; 2: nothing is published, or something to put right, said in one sentence.
    """
    try:
        settings = load_settings()
        reader = published(at, lake=settings.published_path)
        page = report(report_numbers(reader, lake_of(settings), settings.limits))
        with opened(file, "FILE") as stream:
            stream.write(page)
    except UserError as error:
        click.echo(error, err=True)
        sys.exit(2)
