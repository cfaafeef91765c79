"""Ways in which a lake goes wrong on Tuesday, each with the checks that must tell, and no other."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.refresh import refresh
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, high_risk_row, row, write_silver
from gold_assets_tests.truth import rows_of

SPEND, USAGE, HIGH_RISK, QUARANTINE = (table.name for table in TABLES)
SILVER = "silver_transactions"
ON_TUESDAY = "event_date = DATE '2024-01-02'"
DATES = (MONDAY, TUESDAY, WEDNESDAY)

Failure = tuple[str, str, dt.date | None]
"""The table, the check and the date of a finding that must be red; None where it is of the table as a whole."""


def good_lake(lake: Lake, engine: Engine) -> None:
    """Three dates of Silver, a quarter of a percent of which breaks a rule, and the tables made from them."""
    rows = [
        row(user_id=user, product_id=product, amount=amount, event_date=date)
        for date in DATES
        for user, product, amount in (
            ("ann", "tea", 2.5),
            ("ann", "rye", 1.0001),
            ("bob", "tea", 0.3),
            ("bob", "tea", 0.4),
        )
    ]
    many = [row(user_id=f"user {n}", usage_cost_ratio=None, event_date=date) for date in DATES for n in range(400)]
    risky = [
        high_risk_row(user_id=user, product_id="gin", event_date=date) for date in DATES for user in ("cid", "dan")
    ]
    broken = [row(user_id=None, event_date=date) for date in DATES]
    write_silver(lake, [*rows, *many, *risky, *broken])
    refresh(lake, engine, DATES)


@dataclass(frozen=True)
class Corruption:
    """What goes wrong, and what must be found: nothing is to be red but these."""

    name: str
    corrupt: Callable[[Lake, Engine], object]
    failures: Sequence[Failure]
    warns_only: bool = False


def _update(table: str, column: str, value: str, where: str = ON_TUESDAY) -> Callable[[Lake, Engine], object]:
    return lambda lake, engine: DeltaTable(lake.places[table]).update({column: value}, predicate=where)


def _delete(table: str, where: str = ON_TUESDAY) -> Callable[[Lake, Engine], object]:
    return lambda lake, engine: DeltaTable(lake.places[table]).delete(where)


def _add(table: str, **changes: Any) -> Callable[[Lake, Engine], object]:
    """Add a copy of a row of Tuesday, with ``changes``."""

    def add(lake: Lake, engine: Engine) -> None:
        rows = rows_of(lake.places[table])
        [copied, *_] = [found for found in rows.to_pylist() if found["event_date"] == TUESDAY]
        write_deltalake(lake.places[table], pa.Table.from_pylist([copied | changes], schema=rows.schema), mode="append")

    return add


def _in_silver(**changes: Any) -> Callable[[Lake, Engine], object]:
    return lambda lake, engine: write_silver(lake, [row(**{"event_date": TUESDAY, "user_id": "late"} | changes)])


def _swap_two_users(lake: Lake, engine: Engine) -> None:
    swapped = "CASE WHEN user_id = 'ann' THEN 'bob' WHEN user_id = 'bob' THEN 'ann' ELSE user_id END"
    DeltaTable(lake.places[SPEND]).update({"user_id": swapped}, predicate=ON_TUESDAY)


def _halve_a_key(lake: Lake, engine: Engine) -> None:
    """Ann's day in two rows that add up to what it was."""
    rows = rows_of(lake.places[SPEND])
    [whole] = [found for found in rows.to_pylist() if (found["user_id"], found["event_date"]) == ("ann", TUESDAY)]
    halves = [
        whole | {"total_spend": whole["total_spend"] - 1, "transaction_count": whole["transaction_count"] - 1},
        whole | {"total_spend": Decimal(1), "transaction_count": 1},
    ]
    DeltaTable(lake.places[SPEND]).delete(f"{ON_TUESDAY} AND user_id = 'ann'")
    write_deltalake(lake.places[SPEND], pa.Table.from_pylist(halves, schema=rows.schema), mode="append")


def _change_the_schema(lake: Lake, engine: Engine) -> None:
    rows = rows_of(lake.places[SPEND])
    schema = rows.schema.set(2, pa.field("transaction_count", pa.int32()))
    write_deltalake(lake.places[SPEND], rows.cast(schema), mode="overwrite", schema_mode="overwrite")


def _refresh_one_table_from_newer_silver(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(event_date=TUESDAY, user_id="late")])
    refresh(lake, engine, [TUESDAY], tables=lake.named([SPEND]))


def _quarantine_many(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(amount=None, risk_level="?", event_date=TUESDAY)] * 5)
    refresh(lake, engine, DATES)


def _duplicate_in_silver(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(event_date=TUESDAY, user_id="twin")] * 2)
    refresh(lake, engine, DATES)


def _on_a_date_outside(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(event_date=dt.date(1970, 1, 1))])


def _without_a_date(lake: Lake, engine: Engine) -> None:
    write_silver(lake, [row(event_date=None)])
    refresh(lake, engine, DATES)


def _lose_an_undated_row(lake: Lake, engine: Engine) -> None:
    _without_a_date(lake, engine)
    DeltaTable(lake.places[QUARANTINE]).delete("event_date IS NULL")


def _versions_differ(*, behind: bool) -> list[Failure]:
    failures: list[Failure] = [(name, "one_silver_version", TUESDAY) for name in (SPEND, USAGE, HIGH_RISK)]
    return [*failures, (SILVER, "gold_follows", None)] if behind else failures


CORRUPTIONS = [
    Corruption("a row added", _add(SPEND, user_id="nobody"), [(SPEND, "reconciles", TUESDAY)]),
    Corruption(
        "a digit changed",
        _update(SPEND, "total_spend", "total_spend + 0.0001", f"{ON_TUESDAY} AND user_id = 'ann'"),
        [(SPEND, "reconciles", TUESDAY)],
    ),
    Corruption("two users swapped", _swap_two_users, [(SPEND, "reconciles", TUESDAY)]),
    Corruption("a day of spend lost", _delete(SPEND), [(SPEND, "reconciles", TUESDAY)]),
    Corruption("a day of usage lost", _delete(USAGE), [(USAGE, "reconciles", TUESDAY)]),
    Corruption("a day of high risk lost", _delete(HIGH_RISK), [(HIGH_RISK, "reconciles", TUESDAY)]),
    Corruption("a day of quarantine lost", _delete(QUARANTINE), [(QUARANTINE, "reconciles", TUESDAY)]),
    Corruption("a key twice", _add(SPEND), [(SPEND, "reconciles", TUESDAY), (SPEND, "sound_rows", TUESDAY)]),
    Corruption("a key in two halves", _halve_a_key, [(SPEND, "reconciles", TUESDAY), (SPEND, "sound_rows", TUESDAY)]),
    Corruption("a product twice", _add(USAGE), [(USAGE, "reconciles", TUESDAY), (USAGE, "sound_rows", TUESDAY)]),
    Corruption(
        "a key NULL", _add(SPEND, user_id=None), [(SPEND, "reconciles", TUESDAY), (SPEND, "sound_rows", TUESDAY)]
    ),
    Corruption(
        "a count below one",
        _update(SPEND, "transaction_count", "-1", f"{ON_TUESDAY} AND user_id = 'ann'"),
        [(SPEND, "reconciles", TUESDAY), (SPEND, "sound_rows", TUESDAY)],
    ),
    Corruption(
        "an average a little off",
        _update(
            USAGE, "avg_usage_cost_ratio", "avg_usage_cost_ratio + 0.000000001", f"{ON_TUESDAY} AND product_id = 'rye'"
        ),
        [(USAGE, "reconciles", TUESDAY)],
    ),
    Corruption(
        "an average without a rated row",
        _update(USAGE, "rated_count", "0", f"{ON_TUESDAY} AND product_id = 'rye'"),
        [(USAGE, "reconciles", TUESDAY), (USAGE, "sound_rows", TUESDAY)],
    ),
    Corruption(
        "a row that is not high-risk",
        _update(HIGH_RISK, "usage_cost_ratio", "0.2", f"{ON_TUESDAY} AND user_id = 'dan'"),
        [(HIGH_RISK, "reconciles", TUESDAY), (HIGH_RISK, "sound_rows", TUESDAY)],
    ),
    Corruption("a high-risk row twice", _add(HIGH_RISK), [(HIGH_RISK, "reconciles", TUESDAY)]),
    Corruption(
        "a column of a quarantined row changed",
        _update(QUARANTINE, "amount", "amount + 1.0"),
        [(QUARANTINE, "reconciles", TUESDAY)],
    ),
    Corruption("a wrong schema", _change_the_schema, [(SPEND, "schema", None)]),
    Corruption("a stale date", _in_silver(), [(SILVER, "gold_follows", None)], warns_only=True),
    Corruption("one table from newer Silver", _refresh_one_table_from_newer_silver, _versions_differ(behind=True)),
    Corruption(
        "too much in quarantine",
        _quarantine_many,
        [(QUARANTINE, "share", TUESDAY), (SILVER, "no_duplicate_rows", TUESDAY)],
        warns_only=True,
    ),
    Corruption(
        "an undated row lost",
        _lose_an_undated_row,
        [(QUARANTINE, "undated_rows_reconcile", None), (SILVER, "dates_in_window", None)],
    ),
    Corruption("rows of Silver twice", _duplicate_in_silver, [(SILVER, "no_duplicate_rows", TUESDAY)], warns_only=True),
    Corruption("a date outside the window", _on_a_date_outside, [(SILVER, "dates_in_window", None)]),
    Corruption("a row without a date", _without_a_date, [(SILVER, "dates_in_window", None)], warns_only=True),
]
