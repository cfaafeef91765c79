"""``gold try``: what changed code does to the tables, before it is deployed. Needs no Dagster instance."""

import datetime as dt
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gold_assets.commands.contract import compared_with_file
from gold_assets.commands.options import (
    FILE,
    Answer,
    dates_from_to,
    first_date,
    is_stdout,
    last_date,
    of_tables,
    opened,
    sub_command,
    terminal_width,
)
from gold_assets.config import Settings
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.resources import Lakehouse
from gold_assets.trying.report import as_json, as_markdown, as_text, same_or_not
from gold_assets.trying.trial import Trial, try_out

CONTRACT = "contract.odcs.yaml"


@sub_command("try --sample 30 --markdown try.md", json_help="Write what changes as JSON")
@first_date
@last_date
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Try so many of the dates, spread over them, with some that have the most rows and the most quarantined ones; by default all.",
)
@of_tables("Try")
@click.option("--assert-same", is_flag=True, help="Try every table, and say in one sentence whether anything differs.")
@click.option(
    "--contract",
    type=FILE,
    is_flag=False,
    flag_value=CONTRACT,
    metavar="[FILE]",
    help=f"Make no table; compare the contract as it is declared with this file, by default {CONTRACT}.",
)
@click.option(
    "--markdown",
    type=FILE,
    metavar="FILE",
    help="Write what changes as Markdown, rows only where GOLD_EXAMPLES is on; - prints it instead.",
)
@click.option(
    "--keep",
    metavar="DIR",
    help="Make the tables below this folder or URI and leave them there; by default in a temporary folder.",
)
def command(
    settings: Settings,
    first: dt.datetime | None,
    last: dt.datetime | None,
    sample: int | None,
    names: tuple[str, ...],
    assert_same: bool,
    contract: Path | None,
    markdown: Path | None,
    keep: str | None,
) -> Answer:
    """Say what the code in the working folder would change in the tables, and change nothing.

    It makes the tables that are new, or declared with another code version than that which made them, from the Silver that is
    published, beside the lake, and compares them with what is published. PySpark code that changes without its table's
    version is not seen: name the table, or ask with --assert-same, which tries every table.

    Exit code 0: nothing changes; 1: numbers, keys or columns change, or with --contract something that breaks readers; 2: it could
    not be tried, said in one sentence.
    """
    if contract is not None:
        if assert_same or names or sample or first or last or keep:
            raise UserError("--contract makes no table, and was given with an option for that: give it alone.")
        return compared_with_file(settings, contract, markdown)
    lakehouse = Lakehouse.from_settings(settings)
    lake, context = lakehouse.lake(settings.project), click.get_current_context()
    scratch = context.with_resource(_scratch(keep))  # which is there until all is told

    def engine() -> Engine:
        started = lakehouse.started_engine()
        context.call_on_close(started.close)
        return started

    trial = try_out(
        lake,
        engine,
        scratch,
        dates_from_to(first, last, settings.limits),
        days(settings.limits.first_date, settings.limits.end),
        sample=sample,
        tables=lake.named(names) if names else lake.tables if assert_same else None,
    )
    if markdown:
        with opened(markdown, "--markdown") as stream:
            stream.write(
                (f"{same_or_not(trial)}\n\n" if assert_same else "")
                + as_markdown(trial, examples=settings.examples)
                + "\n"
            )
    text = None if is_stdout(markdown) else lambda: _text(trial, assert_same=assert_same)
    return Answer(text, lambda: as_json(trial), int(trial.differs))


def _text(trial: Trial, *, assert_same: bool) -> str:
    if not assert_same:
        return as_text(trial, terminal_width())
    said = same_or_not(trial)
    return f"{said}\n\n{as_text(trial, terminal_width())}" if trial.differs else said


@contextmanager
def _scratch(keep: str | None) -> Iterator[str]:
    """Where the tables are made."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="gold_try-") as folder:
        yield folder
