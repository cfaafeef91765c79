"""``gold published``: say what is published, and how to read it elsewhere. Needs no Dagster instance and no engine."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from tabulate import tabulate

from gold_assets.commands.options import BY, Answer, at_moment, sub_command
from gold_assets.config import ReadingSettings
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError
from gold_assets.delta.places import spark_path
from gold_assets.delta.plural import plural
from gold_assets.gold.publication import Publication, Publications, PublishedTable
from gold_assets.gold.publishing_again import put_back
from gold_assets.gold.publishing_again import resume as resume_publishing
from gold_assets.reading.published import Published, moment_of, published, text_of


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote


def _in_duckdb(table: PublishedTable) -> str:
    place = table.uri if "://" in table.uri else f"file://{table.uri}"
    return f"SELECT * FROM delta_scan({_quoted(place, chr(39))}, version => {table.version})"


READERS: Mapping[str, tuple[str, Callable[[PublishedTable], str]]] = {
    "spark_sql": (
        "Spark SQL",
        lambda table: f"SELECT * FROM delta.{_quoted(spark_path(table.uri), '`')} VERSION AS OF {table.version}",
    ),
    "duckdb": ("DuckDB, with its extension delta", _in_duckdb),
    "polars": ("Polars", lambda table: f"pl.scan_delta({table.uri!r}, version={table.version})"),
}
"""By name in the JSON, a reader of Delta tables that is not ours, and how it is asked for a published version."""


@sub_command("published --at 2026-01-31T08:00:00Z", json_help="Write the same as JSON", only_reads=True)
@at_moment
@click.option("--history", type=click.IntRange(min=1), metavar="N", help="Tell the last N publications, a line each.")
@click.option(
    "--back-to",
    metavar="MOMENT|N",
    help="Put readers back to what they went by then, or to the publication that --history numbers so.",
)
@click.option("--resume", is_flag=True, help="Let publishing go on after --back-to.")
@click.option("--reason", metavar="TEXT", help="Why, as it stays on record: of --back-to and --resume.")
@BY
def command(
    settings: ReadingSettings,
    at: str | None,
    history: int | None,
    back_to: str | None,
    resume: bool,
    reason: str | None,
    by: str,
) -> Answer:
    """Say which versions of the tables are published, and how Spark, DuckDB and Polars read them.

    A publication names versions of all tables that were verified together. Where a later attempt to publish was held back, the
    checks that failed are named. Times are UTC.

    With --back-to readers get an earlier publication's versions again, whose files must still be there. The tables stay as they are, and go
    on following Silver; what is next published comes once all dates are made by another version of a table's code, or with --resume.

    Exit code 0: there is a publication; 2: there is none, or something to put right, said in one sentence.
    """
    asked = {"--at": at, "--history": history, "--back-to": back_to, "--resume": resume}
    if len(together := [name for name, given in asked.items() if given]) > 1:
        raise UserError(f"{' and '.join(together)} are given together, expected one of them: leave the others out.")
    reason = (reason or "").strip()
    if bool(reason) != bool(back_to or resume):
        raise UserError(
            "--back-to and --resume want a --reason, and nothing else does: "
            + ("leave it out." if reason else "say why, for it stays on record.")
        )
    if back_to:
        return _put_back(settings, back_to, by, reason)
    if resume:
        made = resume_publishing(settings.published_path, by, reason)
        return Answer(
            lambda: f"Publishing goes on from what is {_silver(made)[0].lower()}{_silver(made)[1:]}.",
            lambda: _as_json(made),
        )
    publications = Publications(settings.published_path, prefix=settings.prefix)
    found = published(at, lake=settings.published_path).publication
    if history:
        last = publications.last(history)
        return Answer(lambda: _history(last), lambda: [_as_json(publication) for publication in last])
    attempt = None if at else publications.last_attempt()
    held = attempt if attempt is not None and attempt.held_since is not None else None
    return Answer(lambda: _text(found, held), lambda: {**_as_json(found), "held_back": held and _held_as_json(held)})


def _put_back(settings: ReadingSettings, back_to: str, by: str, reason: str) -> Answer:
    """Put readers back to a publication whose tables can all be read."""
    publications = Publications(settings.published_path, prefix=settings.prefix)
    if not back_to.isdecimal():
        if moment_of(back_to) > dt.datetime.now(dt.timezone.utc):
            raise UserError(
                f"{back_to} is a moment to come, expected one at which readers went by what they are to have: give that."
            )
        to = published(back_to, lake=settings.published_path)
    elif (numbered := publications.numbered(int(back_to))) is None:
        raise UserError(f"There is no publication {back_to}: ask for one that gold published --history 20 numbers.")
    else:
        to = Published(numbered)
    for name in to.names:
        to.delta(name)
    made = put_back(settings.published_path, to.publication, by, reason)
    return Answer(lambda: f"{made.put_back}.\n{_silver(made)}.", lambda: _as_json(made))


def _text(publication: Publication, held: Publication | None) -> str:
    by = f"by run {publication.run_id}" if publication.run_id else "outside Dagster"
    lines = [
        f"Published at {text_of(publication.at)}, {by}",
        _silver(publication),
        f"Verified for it: {plural(publication.dates_verified, 'date')} that had changed since the publication before",
    ]
    if publication.put_back:
        lines.append(f"{publication.put_back}; gold published --resume lets publishing go on")
    if held is not None and held.held_since is not None:
        checks = ", ".join(sorted({failure.check for failure in held.failures}))
        dates = {failure.date for failure in held.failures if failure.date is not None}
        found = dates_text(dates, 5) or "; ".join(sorted({failure.found for failure in held.failures}))
        lines.append(f"Held back since {text_of(held.held_since)} by {checks}: {found}")
    tables = publication.tables.values()
    rows = [(table.name, table.version, table.uri) for table in tables]
    lines += ["", _table(("table", "version", "path"), rows)]
    for reader, statement in READERS.values():
        lines += ["", f"{reader}:", *(f"  {statement(table)}" for table in tables)]
    return "\n".join(lines)


def _history(publications: Sequence[Publication]) -> str:
    names = list(publications[0].tables)
    rows = [
        (
            "-" if publication.number is None else str(publication.number),
            text_of(publication.at),
            "-" if publication.silver_version is None else publication.silver_version,
            publication.dates_verified,
            *(publication.versions.get(name, "-") for name in names),
            publication.run_id or publication.put_back or publication.put_back_by or "-",
        )
        for publication in publications
    ]
    return _table(("", "published at", "Silver", "dates", *names, "by"), rows)


def _table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A line for each row, however wide; the first and the last column are text, the others numbers."""
    sides = ["left", *["right"] * (len(headers) - 2), "left"]
    return str(tabulate(rows, headers, "plain", disable_numparse=True, colalign=sides))


def _silver(publication: Publication) -> str:
    if publication.silver_version is None:
        return f"True to no one version of Silver: {publication.reason}"
    return f"True to version {publication.silver_version} of Silver at {publication.silver_uri}{publication.exceptions}"


def _as_json(publication: Publication) -> dict[str, Any]:
    return {
        "published_at": text_of(publication.at),
        "silver_version": publication.silver_version,
        "silver_version_is_null_because": publication.reason or None,
        "silver_uri": publication.silver_uri,
        "dates_behind": list(publication.dates_behind),
        "dates_kept": list(publication.dates_kept),
        "dates_verified": publication.dates_verified,
        "run_id": publication.run_id or None,
        "number": publication.number,
        "put_back_to": publication.put_back_to and text_of(publication.put_back_to),
        "put_back_by": publication.put_back_by or None,
        "put_back_because": publication.put_back_because or None,
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
    return {"since": text_of(held.held_since), "failures": list(map(dataclasses.asdict, held.failures))}
