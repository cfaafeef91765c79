"""Rows that break the contract, a few for each rule, so that the demo's quarantine has something to show."""

import datetime as dt
import math
from typing import Any

import pyarrow as pa

from gold_assets.transactions.sample.complete_journey import SCHEMA

_DAYS_APART = 9

_BROKEN: tuple[dict[str, Any], ...] = (
    {"user_id": None},
    {"user_id": "  "},
    {"product_id": None},
    {"product_id": "\t"},
    {"amount": None},
    {"amount": math.nan},
    {"amount": math.inf},
    {"amount": 1e14},
    {"usage_cost_ratio": math.nan},
    {"usage_cost_ratio": -math.inf},
    {"risk_level": "severe"},
    {"risk_level": "HIGH"},
    {"event_date": None},
    {"user_id": "", "amount": -math.inf, "risk_level": "?"},
)


def bad_rows(transactions: pa.Table) -> pa.Table:
    """Copies of some of ``transactions``, broken: three for each way to break a rule, spread over the last dates."""
    last: dt.date = transactions["event_date"][-1].as_py()
    rows = []
    for number, broken in enumerate(_BROKEN * 3):
        date = last - dt.timedelta(days=1 + number % _DAYS_APART)
        rows.append(transactions.slice(number, 1).to_pylist()[0] | {"event_date": date} | broken)
    return pa.Table.from_pylist(rows, schema=SCHEMA)
