"""What ``gold approve`` and ``gold keep`` have in common."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import click

from gold_assets.commands.options import BY, DATE, Answer, dates_from_to, lake_of
from gold_assets.config import Settings
from gold_assets.gold.decisions import Verdict
from gold_assets.gold.held import decide

_OPTIONS = (
    click.option("--from", "first", type=DATE, metavar="DATE", required=True, help="First date."),
    click.option("--to", "last", type=DATE, metavar="DATE", required=True, help="Last date, included."),
    click.option("--reason", required=True, metavar="TEXT", help="Why, as it stays on record."),
    BY,
)


def of_held_dates(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which somebody decides of held dates."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def decided(
    settings: Settings, verdict: Verdict, first: dt.datetime, last: dt.datetime, by: str, reason: str
) -> Answer:
    """Decide of those of the dates that are held."""
    made = decide(lake_of(settings), verdict, dates_from_to(first, last, settings.limits), by, reason)
    return Answer(lambda: f"{made.summary}.")
