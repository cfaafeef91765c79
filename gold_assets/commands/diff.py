"""``gold diff``: what changed in the tables between two of their versions. Needs no Dagster instance and no engine."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from gold_assets.commands.questions import FILE, is_stdout, lake_of, opened, terminal_width, write_json
from gold_assets.config import default_project, load_settings
from gold_assets.delta.dates import EVENT_DATE, dates_text
from gold_assets.delta.errors import UserError
from gold_assets.delta.plural import plural
from gold_assets.explaining.differences import Difference, Number, TableDifferences, difference, differences, signed
from gold_assets.explaining.versions import NOW, PUBLISHED, Versions, versions_of
from gold_assets.reading.answers import plain, table_of, write_csv
from gold_assets.reading.sql import Answer

_ROWS_SHOWN = 20
_COLUMNS = ("table", EVENT_DATE, "key", "column", "before", "after", "change")
_VERSION = "now, published, published@MOMENT, a moment such as 2026-01-31T08:00Z, or with one --table a version"


@click.command(epilog="Example: gold diff --from published@2026-01-26T08:00Z --to published --csv correction.csv")
@click.option("--from", "before", default=PUBLISHED, metavar="VERSION", help=f"By default published; {_VERSION}.")
@click.option("--to", "after", default=NOW, metavar="VERSION", help="By default now.")
@click.option(
    "--table", "names", multiple=True, metavar="NAME", help="Compare this table; may be given again; by default all."
)
@click.option("--csv", "csv_file", type=FILE, metavar="FILE", help="Write every change as CSV; - prints them instead.")
@click.option(
    "--json", "json_file", type=FILE, metavar="FILE", help="Write every change as JSON; - prints them instead."
)
def command(before: str, after: str, names: tuple[str, ...], csv_file: Path | None, json_file: Path | None) -> None:
    """Say which keys of which dates of the tables changed between two versions, and by how much, largest first.

    By default: what readers would see change if the tables were published as they are now.

    Exit code 0: compared, whatever was found; 2: something to put right, said in one sentence.
    """
    try:
        lake = lake_of(load_settings(default_project()))
        tables = lake.named(names) if names else lake.tables
        old, new = versions_of(lake, tables, before), versions_of(lake, tables, after)
        found = [differences(table, old.tables[table.name], new.tables[table.name]) for table in tables]
        if csv_file:
            with opened(csv_file, "--csv") as stream:
                write_csv(
                    Answer(_COLUMNS, (line for table in found for line in _values(table, table.largest()))), stream
                )
        if json_file:
            write_json(json_file, _as_json(old, new, found))
        if not is_stdout(csv_file) and not is_stdout(json_file):
            click.echo(_text(old, new, found, terminal_width()))
    except UserError as error:
        click.echo(error, err=True)
        sys.exit(2)


def _text(old: Versions, new: Versions, found: Sequence[TableDifferences], width: int) -> str:
    lines = [f"From {old.words} to {new.words}:"]
    for table in found:
        lines += ["", f"{table.table.name}, version {_version(table.before)} to {_version(table.after)}: "]
        if not table.dates:
            lines[-1] += "nothing changed"
            continue
        lines[-1] += table.summary
        lines.append(f"  on {dates_text(table.dates, 5)}")
        totals = [
            (name, _short(total.before), _short(total.after), signed(total.change))
            for name, total in table.totals.items()
        ]
        lines.append(_indented(table_of(("of these dates", "before", "after", "change"), totals, width - 2)))
        values = [
            (*values, "" if moved is None else signed(moved))
            for _, *values, moved in _values(table, table.largest(_ROWS_SHOWN))
        ]
        lines += ["", _indented(table_of(_COLUMNS[1:], values, width - 2))]
        if table.count > _ROWS_SHOWN:
            lines.append(f"  and {plural(table.count - _ROWS_SHOWN, 'change')} more; --csv and --json have all")
    return "\n".join(lines)


def _values(table: TableDifferences, changes: Iterator[Difference]) -> Iterator[Sequence[Any]]:
    """A line for each value that changed."""
    for change in changes:
        key = " ".join(f"{name}={value}" for name, value in change.key.items())
        for name, value in change.after.items():
            before = change.before[name]
            if before != value:
                moved = None if before is None or value is None else difference(before, value)
                yield table.table.name, change.date, key, name, before, value, moved


def _as_json(old: Versions, new: Versions, found: Sequence[TableDifferences]) -> dict[str, Any]:
    return {
        "from": old.words,
        "to": new.words,
        "tables": [
            {
                "table": table.table.name,
                "from_version": table.before and table.before.version(),
                "to_version": table.after and table.after.version(),
                "dates": {str(date): count for date, count in table.dates.items()},
                "changed": table.count,
                "totals": {
                    name: plain({"before": total.before, "after": total.after, "change": total.change})
                    for name, total in table.totals.items()
                },
                "changes": [
                    plain({"date": change.date, "key": change.key, "before": change.before, "after": change.after})
                    for change in table.largest()
                ],
            }
            for table in found
        ],
    }


def _short(number: Number) -> Number | str:
    """A sum of doubles without the digits that the order of its terms decides."""
    return f"{number:.12g}" if isinstance(number, float) else number


def _version(table: Any) -> str:
    return "none" if table is None else str(table.version())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
