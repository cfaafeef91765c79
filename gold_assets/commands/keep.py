"""``gold keep``: seal held dates as they are in Gold."""

import datetime as dt

from gold_assets.commands.deciding import decided, of_held_dates
from gold_assets.commands.options import Answer, sub_command
from gold_assets.config import Settings


@sub_command("keep --from 2025-01-01 --to 2025-12-31 --reason 'Silver keeps a year, Gold all'")
@of_held_dates
def command(settings: Settings, first: dt.datetime, last: dt.datetime, by: str, reason: str) -> Answer:
    """Keep what Gold has of those of the dates that gold held lists, and seal them.

    Gold follows Silver no more there. What Silver changes of them later is told, until somebody decides again: gold approve
    lets it through and ends the seal. Who decided, and why, stays on record.

    Exit code 0: decided; 2: none of the dates is held, or something else is to be put right, said in one sentence.
    """
    return decided(settings, "keep", first, last, by, reason)
