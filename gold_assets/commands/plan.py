"""``gold plan``: say what there is to do for the tables, and do nothing. Needs no Dagster instance and no engine."""

import datetime as dt

from gold_assets.commands.options import Answer, dates_from_to, first_date, lake_of, last_date, of_tables, sub_command
from gold_assets.config import Settings
from gold_assets.gold.lake_plan import lake_plan


@sub_command("plan --from 2026-01-01 --table user_spend_summary", json_help="Write the plan as JSON")
@first_date
@last_date
@of_tables("Plan")
def command(settings: Settings, first: dt.datetime | None, last: dt.datetime | None, names: tuple[str, ...]) -> Answer:
    """Say which dates of the tables are not current, and change nothing.

    Told by the logs alone: which dates would be patched with the files that Silver has gained, which would have the rows of
    changed keys alone computed, which would be recomputed, how many of Silver's rows that reads, and why. The sensor does so with dates that
    Silver's commits touch, and the roll-out with those that an earlier version of a table made; dates that are behind for another reason
    wait until they are materialized.

    Exit code 0: planned; 2: something to put right, said in one sentence.
    """
    dates = dates_from_to(first, last, settings.limits)
    lake = lake_of(settings)
    plan = lake_plan(lake, lake.named(names) if names else lake.tables, dates)
    return Answer(plan.text, plan.as_json)
