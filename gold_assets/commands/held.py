"""``gold held``: list what a person is to decide of. Needs no Dagster instance and no engine."""

import datetime as dt
from typing import Any

from tabulate import tabulate

from gold_assets.commands.options import Answer, dates_from_to, first_date, lake_of, last_date, sub_command
from gold_assets.config import Settings
from gold_assets.gold.held import HeldDate, held_dates
from gold_assets.gold.moment import Moment


@sub_command("held --from 2026-01-01", json_help="Write what is held as JSON")
@first_date
@last_date
def command(settings: Settings, first: dt.datetime | None, last: dt.datetime | None) -> Answer:
    """List the dates that a person is to decide of, and change nothing.

    Gold keeps what it has of them, though Silver has changed them: they would lose or gain more rows than GOLD_FUSE_LOST_SHARE
    and GOLD_FUSE_GAINED_SHARE let pass, or are sealed. Told by the logs alone. Where Silver is mended, Gold follows by itself;
    gold approve lets Silver's change through, gold keep seals the dates as they are.

    Exit code 0: nothing is held; 1: something is; 2: something to put right, said in one sentence.
    """
    moment = Moment(lake_of(settings))
    asked = set(dates_from_to(first, last, settings.limits))
    held = held_dates(moment, [date for date in moment.dates if date is not None and date in asked])
    return Answer(lambda: _text(held), lambda: [each.as_json() for each in held], 1 if held else 0)


def _text(held: list[HeldDate]) -> str:
    if not held:
        return "Nothing is held."
    heads = ("date", "why", "rows before", "now", "Silver's version", "by", "since", "tables")
    return str(tabulate([_row(each) for each in held], heads, "plain", disable_numparse=True))


def _row(each: HeldDate) -> tuple[Any, ...]:
    since = "?" if each.since is None else f"{each.since:%Y-%m-%d %H:%M} UTC"
    rows = ("?" if count is None else f"{count:,}" for count in (each.hold.rows_before, each.hold.rows_now))
    why = f"sealed, {each.hold.reason}" if each.hold.kind == "sealed" else each.hold.kind
    return (
        each.date,
        why,
        *rows,
        "?" if each.version is None else each.version,
        each.by or "?",
        since,
        ", ".join(each.tables),
    )
