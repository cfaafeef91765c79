"""``gold explain``: why a number is what it is. Needs no Dagster instance and no engine."""

import click

from gold_assets.commands.options import Answer, lake_of, sub_command, terminal_width
from gold_assets.config import Settings
from gold_assets.explaining.explanation import explain
from gold_assets.explaining.rendering import as_json, as_text


@sub_command("explain user_spend_summary --date 2026-11-25 user_id=1609", json_help="Write the same as JSON")
@click.argument("table", metavar="TABLE")
@click.argument("conditions", metavar="COLUMN=VALUE...", nargs=-1)
@click.option(
    "--date", required=True, metavar="DATE", help="The day, such as 2026-01-31; none for rows without a date."
)
def command(settings: Settings, table: str, conditions: tuple[str, ...], date: str) -> Answer:
    """Explain a row of TABLE: what it is made from, when it changed, and by whose doing.

    A row of a table with a key is named by the key, a row of another by any of its columns; NULL stands for no value. Told are the row as it
    is and as it is published, the rows of Silver behind it, what SQL makes of them, and each change of it that the logs still know,
    with the commits of Silver in between.

    Exit code 0: explained; 1: explained, and SQL finds another value; 2: something to put right, said in one sentence.
    """
    found = explain(lake_of(settings), table, date, conditions)
    differs = not found.second_opinion.agrees
    return Answer(lambda: as_text(found, terminal_width()), lambda: as_json(found), exit_code=int(differs))
