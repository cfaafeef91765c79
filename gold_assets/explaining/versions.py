"""Versions of the tables as people name them: published, now, a moment, or a number."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gold_assets.declaring.table import Table
from gold_assets.delta.errors import UserError, reason
from gold_assets.gold.lake import Lake
from gold_assets.reading.published import moment_of, published, text_of

NOW, PUBLISHED = "now", "published"


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
