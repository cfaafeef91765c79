"""SQL over Delta tables by DataFusion, in this process: it starts no engine, and reads deletion vectors right."""

from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from gold_assets.delta.errors import UserError, reason

_PARTITIONS = 4
"""More than cores: the files of a table are of unequal size."""


class Unreadable(UserError):
    """Rows of a table could not be read."""


def query(sql: str, **tables: DeltaTable) -> list[dict[str, Any]]:
    """The rows that ``sql`` selects from ``tables``, which it names as the arguments do. Raises ``Unreadable``."""
    builder = QueryBuilder()
    try:
        for name, table in tables.items():
            builder.register(name, table)
        as_table(builder.execute(f"SET datafusion.execution.target_partitions = {_PARTITIONS}"))
        return as_table(builder.execute(sql)).to_pylist()
    except Exception as error:  # DataFusion's errors arrive as bare Exceptions
        places = " and ".join(table.table_uri for table in tables.values())
        raise Unreadable(
            f"Rows of {places} cannot be read ({reason(error)}): see that the files are there and whole, then run again."
        ) from error


def as_table(stream: Any) -> pa.Table:
    """What delta-rs gives, as a pyarrow table. ``pa.table`` would ask pandas what it is, whose import takes half a second."""
    return pa.RecordBatchReader.from_stream(stream).read_all()
