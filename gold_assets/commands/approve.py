"""``gold approve``: let through what Silver has changed on held dates."""

import datetime as dt

from gold_assets.commands.deciding import decided, of_held_dates
from gold_assets.commands.options import Answer, sub_command
from gold_assets.config import Settings


@sub_command("approve --from 2026-01-01 --to 2026-01-31 --reason 'the shop has closed, ticket 4711'")
@of_held_dates
def command(settings: Settings, first: dt.datetime, last: dt.datetime, by: str, reason: str) -> Answer:
    """Let Gold follow Silver on those of the dates that gold held lists.

    The sensor, or the stream, then makes them. It counts for Silver as it is now: what changes such a date later is held anew.
    Who decided, and why, stays on record, and the commits of Gold tell it.

    Exit code 0: decided; 2: none of the dates is held, or something else is to be put right, said in one sentence.
    """
    return decided(settings, "approve", first, last, by, reason)
