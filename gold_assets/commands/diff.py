"""``gold diff``: what changed in the tables between two of their versions. Needs no Dagster instance and no engine."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

import click
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.commands.options import (
    FILE,
    Answer,
    is_stdout,
    lake_of,
    of_tables,
    opened,
    sub_command,
    terminal_width,
)
from gold_assets.config import Settings
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import EVENT_DATE, dates_text
from gold_assets.delta.errors import UserError, reason
from gold_assets.delta.plural import plural
from gold_assets.explaining.differences import TableDifferences, differences
from gold_assets.explaining.numbers import short, signed
from gold_assets.gold.lake import Lake
from gold_assets.reading import answers
from gold_assets.reading.answers import table_of, write_csv
from gold_assets.reading.published import moment_of, published, text_of

_ROWS_SHOWN = 20
NOW, PUBLISHED = "now", "published"
_COLUMNS = ("table", EVENT_DATE, "key", "column", "before", "after", "change")
_VERSION = "now, published, published@MOMENT, a moment such as 2026-01-31T08:00Z, or with one --table a version"


@sub_command(
    "diff --from published@2026-01-26T08:00Z --to published --csv correction.csv",
    json_help="Write every change as JSON",
)
@click.option("--from", "before", default=PUBLISHED, metavar="VERSION", help=f"By default published; {_VERSION}.")
@click.option("--to", "after", default=NOW, metavar="VERSION", help="By default now.")
@of_tables("Compare")
@click.option("--csv", "csv_file", type=FILE, metavar="FILE", help="Write every change as CSV; - prints them instead.")
def command(settings: Settings, before: str, after: str, names: tuple[str, ...], csv_file: Path | None) -> Answer:
    """Say which keys of which dates of the tables changed between two versions, and by how much, largest first.

    By default: what readers would see change if the tables were published as they are now.

    Exit code 0: compared, whatever was found; 2: something to put right, said in one sentence.
    """
    lake = lake_of(settings)
    tables = lake.named(names) if names else lake.tables
    old, new = versions_of(lake, tables, before), versions_of(lake, tables, after)
    found = [differences(lake, table, old.tables[table.name], new.tables[table.name]) for table in tables]
    if csv_file:
        lines = ((table.table.name, *value) for table in found for value in table.values())
        with opened(csv_file, "--csv") as stream:
            write_csv(answers.Answer(_COLUMNS, lines), stream)
    text = None if is_stdout(csv_file) else lambda: _text(old, new, found, terminal_width())
    return Answer(text, lambda: _as_json(old, new, found))


@dataclass(frozen=True)
class Versions:
    """A version of each table, None where there is no table, or was none then; and what was meant, in words."""

    words: str
    tables: Mapping[str, DeltaTable | None]


def versions_of(lake: Lake, tables: Sequence[Table], named: str) -> Versions:
    """The versions of the tables that are named.

    Args:
        named: ``now``; ``published``, what readers read now; ``published@`` and a moment, what they read then; a moment such as
            ``2026-01-31T08:00Z``, what the tables were then; or a version, of one table alone.

    Raises ``UserError`` for any other word, and where there is no such version or it cannot be opened.
    """
    name, at, moment = named.partition("@")
    if name == PUBLISHED:
        reader = published(moment if at else None, lake=lake)
        opened = {table.name: reader.delta(table.name) if table.name in reader.names else None for table in tables}
        return Versions(f"what was published at {text_of(reader.publication.at)}", opened)
    if named == NOW:
        return Versions("now", {table.name: lake.open(table) for table in tables})
    if named.isdecimal():
        if len(tables) != 1:
            raise UserError(
                f"The version {named} is that of one table, and {len(tables)} are asked about: name one with --table, or a moment."
            )
        [table], newest = tables, lake.open(tables[0])
        if newest is not None and int(named) > newest.version():
            raise UserError(
                f"{table.name} has no version {named}, its newest is {newest.version()}: ask for one up to that, or for now."
            )
        found = None if newest is None else lake.open(table, int(named))
        return Versions(f"version {named}", {table.name: found})
    then = moment_of(named)
    return Versions(text_of(then), {table.name: _at(lake.open(table), then) for table in tables})


def _at(table: DeltaTable | None, moment: dt.datetime) -> DeltaTable | None:
    """The table as it was at the moment; None where it was not there yet. Raises ``UserError``."""
    if table is None or (table.metadata().created_time or 0) / 1000 > moment.timestamp():
        return None
    try:
        table.load_as_version(moment)
    except (DeltaError, OSError) as error:
        raise UserError(
            f"{table.table_uri} cannot be opened as it was at {text_of(moment)} ({reason(error)}): ask for a later moment."
        ) from error
    return table


def _text(old: Versions, new: Versions, found: Sequence[TableDifferences], width: int) -> str:
    lines = [f"From {old.words} to {new.words}:"]
    for table in found:
        before, after = ("none" if side is None else side.version() for side in (table.before, table.after))
        summary = table.summary if table.dates else "nothing changed"
        lines += ["", f"{table.table.name}, version {before} to {after}: {summary}"]
        if not table.dates:
            continue
        lines.append(f"  on {dates_text(table.dates, 5)}")
        totals = [
            (name, short(total.before), short(total.after), signed(total.change))
            for name, total in table.totals.items()
        ]
        lines.append(indent(table_of(("of these dates", "before", "after", "change"), totals, width - 2), "  "))
        values = [(*values, "" if moved is None else signed(moved)) for *values, moved in table.values(_ROWS_SHOWN)]
        lines += ["", indent(table_of(_COLUMNS[1:], values, width - 2), "  ")]
        if table.count > _ROWS_SHOWN:
            lines.append(f"  and {plural(table.count - _ROWS_SHOWN, 'change')} more; --csv and --json have all")
    return "\n".join(lines)


def _as_json(old: Versions, new: Versions, found: Sequence[TableDifferences]) -> dict[str, Any]:
    return {
        "from": old.words,
        "to": new.words,
        "tables": [table.as_json() for table in found],
    }
