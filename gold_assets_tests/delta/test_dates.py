"""The one predicate for a set of dates."""

import datetime as dt

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from gold_assets.delta.dates import contiguous, days, predicate
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY

FIRST = dt.date(2024, 2, 26)
WINDOW = days(FIRST, dt.date(2024, 3, 4))


def test_days_are_counted_with_both_ends_and_a_leap_day() -> None:
    assert days(dt.date(2024, 2, 28), dt.date(2024, 3, 1)) == [
        dt.date(2024, 2, 28),
        dt.date(2024, 2, 29),
        dt.date(2024, 3, 1),
    ]
    assert days(MONDAY, MONDAY) == [MONDAY]
    assert days(TUESDAY, MONDAY) == []


def test_contiguous_dates_make_one_run_whatever_their_order() -> None:
    assert contiguous([WEDNESDAY, MONDAY, TUESDAY, MONDAY]) == [(MONDAY, WEDNESDAY)]
    assert contiguous([WEDNESDAY, MONDAY]) == [(MONDAY, MONDAY), (WEDNESDAY, WEDNESDAY)]
    assert contiguous([]) == []


def test_no_dates_make_no_predicate() -> None:
    assert predicate([]) == ""
    assert predicate([None]) == "(event_date IS NULL)"


@given(dates=st.sets(st.sampled_from([*WINDOW, None]), min_size=1))
def test_the_predicate_is_true_on_those_dates_and_on_no_other(dates: set[dt.date | None]) -> None:
    values = ", ".join(f"(DATE '{date}')" for date in [FIRST - dt.timedelta(1), *WINDOW, WINDOW[-1] + dt.timedelta(1)])
    where = predicate(dates)
    found = duckdb.execute(f"SELECT event_date FROM (VALUES {values}, (NULL)) t(event_date) WHERE {where}").fetchall()
    assert {date for (date,) in found} == dates
