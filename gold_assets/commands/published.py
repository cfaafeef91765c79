"""``gold published``: say what is published, and how to read it elsewhere. Needs no Dagster instance and no engine."""

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gold_assets.commands.questions import FILE, at_moment, is_stdout, write_json
from gold_assets.config import default_project, load_settings
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError
from gold_assets.delta.plural import plural
from gold_assets.gold.publication import Publication
from gold_assets.reading.elsewhere import READERS
from gold_assets.reading.published import publications_of, published, text_of


@click.command(epilog="Example: gold published --at 2026-01-31T08:00:00Z")
@at_moment
@click.option("--history", type=click.IntRange(min=1), metavar="N", help="Tell the last N publications, a line each.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the same as JSON; - prints it instead.")
def command(at: str | None, history: int | None, json_file: Path | None) -> None:
    """Say which versions of the tables are published, and how Spark, DuckDB and Polars read them.

    A publication names versions of all tables that were verified together. Where a later attempt to publish was held back, the
    checks that failed are named. Times are UTC.

    Exit code 0: there is a publication; 2: there is none, or something to put right, said in one sentence.
    """
    try:
        if at and history:
            raise UserError("--at and --history are given together, expected one of the two: leave one out.")
        place = load_settings(default_project()).published_path
        found = published(at, lake=place).publication
        if history:
            last = publications_of(place).last(history)
            text = _history(last)
            whole: Any = [_as_json(publication) for publication in last]
        else:
            attempt = None if at else publications_of(place).last_attempt()
            held = attempt if attempt is not None and attempt.held_since is not None else None
            text = _text(found, held)
            whole = {**_as_json(found), "held_back": held and _held_as_json(held)}
        if json_file:
            write_json(json_file, whole)
    except UserError as error:
        click.echo(error, err=True)
        sys.exit(2)
    if not is_stdout(json_file):
        click.echo(text)


def _text(publication: Publication, held: Publication | None) -> str:
    lines = [
        f"Published at {text_of(publication.at)}, {_by(publication)}",
        _silver(publication),
        f"Verified for it: {plural(publication.dates_verified, 'date')} that had changed since the publication before",
    ]
    if held is not None and held.held_since is not None:
        checks = ", ".join(sorted({failure.check for failure in held.failures}))
        dates = dates_text({failure.date for failure in held.failures}, 5)
        lines.append(f"Held back since {text_of(held.held_since)} by {checks}: {dates}")
    tables = publication.tables.values()
    lines += ["", f"{'table':<24}{'version':>9}  path"]
    lines += [f"{table.name:<24}{table.version:>9}  {table.uri}" for table in tables]
    for reader, statement in READERS.values():
        lines += ["", f"{reader}:", *(f"  {statement(table)}" for table in tables)]
    return "\n".join(lines)


def _history(publications: Sequence[Publication]) -> str:
    names = list(publications[0].tables)
    lines = [f"{'published at':<29}{'Silver':>7}{'dates':>7}  {'  '.join(names)}  by"]
    for publication in publications:
        silver = "-" if publication.silver_version is None else publication.silver_version
        versions = "  ".join(f"{publication.versions.get(name, '-'):>{len(name)}}" for name in names)
        by = publication.run_id or "-"
        lines.append(f"{text_of(publication.at):<29}{silver:>7}{publication.dates_verified:>7}  {versions}  {by}")
    return "\n".join(lines)


def _by(publication: Publication) -> str:
    return f"by run {publication.run_id}" if publication.run_id else "outside Dagster"


def _silver(publication: Publication) -> str:
    if publication.silver_version is None:
        return f"True to no one version of Silver: {publication.reason}"
    but = f", but for {dates_text(publication.dates_behind, 5)}, outside the window" if publication.dates_behind else ""
    return f"True to version {publication.silver_version} of Silver at {publication.silver_uri}{but}"


def _as_json(publication: Publication) -> dict[str, Any]:
    return {
        "published_at": text_of(publication.at),
        "silver_version": publication.silver_version,
        "silver_version_is_null_because": publication.reason or None,
        "silver_uri": publication.silver_uri,
        "dates_behind": [str(date) for date in publication.dates_behind],
        "dates_verified": publication.dates_verified,
        "run_id": publication.run_id or None,
        "tables": [
            {
                "name": table.name,
                "uri": table.uri,
                "version": table.version,
                **{name: statement(table) for name, (_, statement) in READERS.items()},
            }
            for table in publication.tables.values()
        ],
    }


def _held_as_json(held: Publication) -> dict[str, Any]:
    assert held.held_since is not None
    return {
        "since": text_of(held.held_since),
        "failures": [
            {"date": _day(failure.date), "check": failure.check, "found": failure.found} for failure in held.failures
        ],
    }


def _day(date: dt.date | None) -> str | None:
    return None if date is None else str(date)
