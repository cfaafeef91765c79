"""A published lake, and what makes it newer than what is published."""

import datetime as dt

import duckdb

from gold_assets.checks.findings import Limits
from gold_assets.checks.publishing import publish
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.publication import Publication
from gold_assets.gold.refresh import refresh
from gold_assets_tests.corruptions import DATES, SPEND
from gold_assets_tests.small_silver import MONDAY, WEDNESDAY, high_risk_row, row, write_silver

LIMITS = Limits(MONDAY, WEDNESDAY)
USERS = f"SELECT DISTINCT user_id FROM {SPEND} ORDER BY user_id"


def published_lake(lake: Lake, engine: Engine) -> None:
    """Three dates, made and published: on each ann's spending twice, once high-risk, and a row without a user."""
    for date in DATES:
        write_silver(lake, [row(event_date=date), high_risk_row(event_date=date), row(user_id=None, event_date=date)])
    refresh(lake, engine, DATES)
    publish(lake, LIMITS)


def publish_in(lake: Lake) -> Publication:
    """The publication of a copy, whose tables have places of their own."""
    outcome = publish(lake, LIMITS)
    assert outcome.publication is not None
    return outcome.publication


def add(lake: Lake, engine: Engine, user: str, date: dt.date = MONDAY) -> None:
    """Silver and the tables gain a row of the user's; nothing is published."""
    write_silver(lake, [row(user_id=user, event_date=date)])
    refresh(lake, engine, [date])


def users(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Whom user_spend_summary knows."""
    return [user for (user,) in connection.execute(USERS).fetchall()]
