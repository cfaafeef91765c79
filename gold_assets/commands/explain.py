"""``gold explain``: why a number is what it is. Needs no Dagster instance and no engine."""

import sys
from pathlib import Path

import click

from gold_assets.commands.questions import FILE, is_stdout, lake_of, terminal_width, write_json
from gold_assets.config import default_project, load_settings
from gold_assets.delta.errors import UserError
from gold_assets.explaining.explanation import explain
from gold_assets.explaining.telling import as_json, as_text


@click.command(epilog="Example: gold explain user_spend_summary --date 2026-11-25 user_id=1609")
@click.argument("table", metavar="TABLE")
@click.argument("conditions", metavar="COLUMN=VALUE...", nargs=-1)
@click.option(
    "--date", required=True, metavar="DATE", help="The day, such as 2026-01-31; none for rows without a date."
)
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the same as JSON; - prints it instead.")
def command(table: str, conditions: tuple[str, ...], date: str, json_file: Path | None) -> None:
    """Explain a row of TABLE: what it is made from, when it changed, and by whose doing.

    A row of a table with a key is named by the key, a row of another by any of its columns; NULL stands for no value. Told are the row as it
    is and as it is published, the rows of Silver behind it, what SQL makes of them, and each change of it that the logs still know,
    with the commits of Silver in between.

    Exit code 0: explained; 1: explained, and SQL finds another value; 2: something to put right, said in one sentence.
    """
    try:
        found = explain(lake_of(load_settings(default_project())), table, date, conditions)
        if json_file:
            write_json(json_file, as_json(found))
    except UserError as error:
        click.echo(error, err=True)
        sys.exit(2)
    if not is_stdout(json_file):
        click.echo(as_text(found, terminal_width()))
    sys.exit(1 if found.second_opinion is not None and not found.second_opinion.agrees else 0)
