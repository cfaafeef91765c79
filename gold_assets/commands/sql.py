"""``gold sql``: ask the published tables. Needs no Dagster instance and no engine."""

from pathlib import Path

import click

from gold_assets.commands.options import FILE, Answer, at_moment, opened, sub_command, terminal_width
from gold_assets.config import ReadingSettings
from gold_assets.delta.errors import UserError
from gold_assets.reading.answers import answer, as_text, write_csv, write_json
from gold_assets.reading.published import published


@sub_command("sql 'SELECT event_date, sum(total_spend) FROM user_spend_summary GROUP BY ALL'", only_reads=True)
@click.argument("question", metavar="SELECT")
@at_moment
@click.option("--csv", "as_csv", type=FILE, metavar="FILE", help="Write all rows as CSV; - prints them.")
@click.option("--json", "as_json", type=FILE, metavar="FILE", help="Write all rows as JSON; - prints them.")
def command(
    settings: ReadingSettings, question: str, at: str | None, as_csv: Path | None, as_json: Path | None
) -> Answer:
    """Answer a SELECT from the tables as they were published, in DuckDB's SQL.

    The tables go by their names, newer versions are not looked at, and nothing can be written. Needs the extra: pip install 'gold-assets[read]'.

    Exit code 0: answered; 2: nothing is published, or something to put right, said in one sentence.
    """
    if as_csv and as_json:
        raise UserError("--csv and --json are given together, expected one of the two: leave one out.")
    rows = answer(published(at, lake=settings.published_path), question)
    for file, option, write in ((as_csv, "--csv", write_csv), (as_json, "--json", write_json)):
        if file:
            with opened(file, option) as stream:
                write(rows, stream)
            return Answer(None)
    return Answer(lambda: as_text(rows, terminal_width()))
