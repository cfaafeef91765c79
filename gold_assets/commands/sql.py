"""``gold sql``: ask the published tables. Needs no Dagster instance and no engine."""

import sys
from pathlib import Path

import click

from gold_assets.commands.questions import FILE, at_moment, opened, terminal_width
from gold_assets.config import default_project, load_settings
from gold_assets.delta.errors import UserError
from gold_assets.reading.answers import as_text, write_csv, write_json
from gold_assets.reading.published import published
from gold_assets.reading.sql import Questions


@click.command(epilog="Example: gold sql 'SELECT event_date, sum(total_spend) FROM user_spend_summary GROUP BY ALL'")
@click.argument("question", metavar="SELECT")
@at_moment
@click.option("--csv", "csv_file", type=FILE, metavar="FILE", help="Write all rows as CSV; - prints them.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write all rows as JSON; - prints them.")
def command(question: str, at: str | None, csv_file: Path | None, json_file: Path | None) -> None:
    """Answer a SELECT from the tables as they were published, in DuckDB's SQL.

    The tables go by their names, newer versions are not looked at, and nothing can be written. Needs the extra: pip install -e '.[read]'.

    Exit code 0: answered; 2: nothing is published, or something to put right, said in one sentence.
    """
    try:
        if csv_file and json_file:
            raise UserError("--csv and --json are given together, expected one of the two: leave one out.")
        answer = Questions(published(at, lake=load_settings(default_project()).published_path)).answer(question)
        if csv_file:
            with opened(csv_file, "--csv") as stream:
                write_csv(answer, stream)
        elif json_file:
            with opened(json_file, "--json") as stream:
                write_json(answer, stream)
        else:
            click.echo(as_text(answer, terminal_width()))
    except UserError as error:
        click.echo(error, err=True)
        sys.exit(2)
