"""How readers of Delta tables that are not ours are asked for a published version."""

from gold_assets.delta.places import spark_path
from gold_assets.gold.publication import PublishedTable


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote


def _in_spark(table: PublishedTable) -> str:
    return f"SELECT * FROM delta.{_quoted(spark_path(table.uri), '`')} VERSION AS OF {table.version}"


def _in_duckdb(table: PublishedTable) -> str:
    place = table.uri if "://" in table.uri else f"file://{table.uri}"
    return f"SELECT * FROM delta_scan({_quoted(place, chr(39))}, version => {table.version})"


def _in_polars(table: PublishedTable) -> str:
    return f"pl.scan_delta({table.uri!r}, version={table.version})"


READERS = {
    "spark_sql": ("Spark SQL", _in_spark),
    "duckdb": ("DuckDB, with its extension delta", _in_duckdb),
    "polars": ("Polars", _in_polars),
}
"""By name in the JSON, a reader, and how it is asked for a table."""
