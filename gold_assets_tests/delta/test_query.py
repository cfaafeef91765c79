"""What SQL over Delta tables answers."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.query import query

pytestmark = pytest.mark.sail

MOMENT = pa.timestamp("us", "UTC")
IN_10000 = 253_402_318_799_000_000


def test_a_day_or_moment_that_python_does_not_have_is_a_text_wherever_it_is(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "at": pa.array([IN_10000, 0, None], MOMENT),
            "day": pa.array([6_000_000, 0, None], pa.int32()).cast(pa.date32()),
            "nested": pa.array([{"at": [IN_10000, None]}, None, None], pa.struct([("at", pa.list_(MOMENT))])),
            "map": pa.array([[("k", IN_10000)], [], None], pa.map_(pa.string(), MOMENT)),
        }
    )
    write_deltalake(tmp_path / "far", rows)
    first, second, third = query("SELECT * FROM far", far=DeltaTable(tmp_path / "far"))
    text = "10000-01-01 04:59:59.000000Z"
    assert first == {"at": text, "day": "18397-06-11", "nested": {"at": [text, None]}, "map": [("k", text)]}
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    assert second == {"at": epoch, "day": epoch.date(), "nested": None, "map": []}
    assert third == {"at": None, "day": None, "nested": None, "map": None}
