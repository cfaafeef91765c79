"""Why a number is what it is, as a job for those who have the UI and no shell."""

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from gold_assets.assets.pictures import steps_of
from gold_assets.config import Settings
from gold_assets.explaining.explanation import Explanation, explain
from gold_assets.explaining.telling import as_markdown, as_text
from gold_assets.resources import Lakehouse, one_sentence_failures

_WIDTH = 120


def explain_job(settings: Settings) -> dg.JobDefinition:
    """The job ``explain``: one op that says why a row is what it is, and writes nothing."""

    class Row(dg.Config):
        """What the launchpad asks for, filled in as far as it can be."""

        table: str = Field(default=settings.tables[0].name, description="The table.")
        date: str = Field(
            default=str(settings.limits.end), description="The day, such as 2026-01-31; none for rows without a date."
        )
        key: str = Field(
            default="",
            description="The row, by its key, such as user_id=1609; by any of its columns where the table has no key. "
            "NULL stands for no value.",
        )

    @dg.op
    def explain_row(context: dg.OpExecutionContext, config: Row, lakehouse: Lakehouse) -> None:
        """Tell what a row is made from, when it changed, and by whose doing."""
        with one_sentence_failures():
            found = explain(lakehouse.lake(settings.tables), config.table, config.date, shlex.split(config.key))
        context.log.info(as_text(found, _WIDTH))
        context.add_output_metadata(_metadata(found))

    @dg.job(
        name="explain",
        description="What a row of a table is made from, when it changed, and by whose doing; changes nothing.",
    )
    def job() -> None:
        explain_row()

    return job


def _metadata(found: Explanation) -> dict[str, dg.MetadataValue]:
    page = "\n\n".join([*_picture(found), as_markdown(found)])
    metadata: dict[str, dg.MetadataValue] = {"explanation": dg.MetadataValue.md(page)}
    if found.second_opinion is not None:
        metadata["sql_agrees"] = dg.MetadataValue.bool(found.second_opinion.agrees)
    return metadata


def _picture(found: Explanation) -> Iterator[str]:
    """The value over the table's versions, where it is one row's and a number."""
    table = found.question.table
    changes = [
        change for change in reversed(found.history.changes) if change.info.at is not None and change.after is not None
    ]
    if not table.key or not table.measure or not changes:
        return
    moments: list[dt.datetime] = [change.info.at for change in changes if change.info.at is not None]
    values = [_value(change.after or [], table.measure) for change in changes]
    yield steps_of(f"{table.measure} of {found.question}", moments, values)


def _value(rows: Sequence[Mapping[str, Any]], measure: str) -> float:
    return float(rows[0][measure] or 0) if rows else 0.0
