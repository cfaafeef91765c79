"""Where a table is: at its place, or where its key or its columns have become others, beside it, at the next one.

The table before stays as it is, so that readers have it, by its publication, until the one that is made under the next
place holds the same dates.
"""

import itertools

from deltalake import DeltaTable, Field
from deltalake.exceptions import DeltaError

from gold_assets.declaring.table import Table
from gold_assets.delta.places import next_place
from gold_assets.gold.gold_log import GoldLog
from gold_assets.gold.open_table import delta_type, fits

_at_its_place: set[tuple[str, str]] = set()
"""The places that hold the table as a version of it declares it, which they do from then on."""


def place_of(table: Table, place: str) -> str:
    """Where the table is, whose declared place is given: there, or at ``…_layout2``, ``…_layout3`` and so on."""
    if (place, table.code_version) in _at_its_place:
        return place
    for number in itertools.count(1):
        at = next_place(place, number)
        there = _there(at)
        if there is None or not _is_another(table, there):
            if there is not None and at == place:
                _at_its_place.add((place, table.code_version))
            return at
    raise AssertionError


def _there(place: str) -> DeltaTable | None:
    try:
        return DeltaTable(place)
    except (DeltaError, OSError):  # whoever opens it to use it says so
        return None


def _is_another(table: Table, there: DeltaTable) -> bool:
    """Whether another version of the table has made it with a key or with columns that it does not have any more."""
    fields = {field.name: field for field in there.schema().fields}
    own = {column.name: column for column in table.columns}
    is_less = not table.keeps_source_columns and bool(fields.keys() - own.keys())
    unlike = [
        name
        for name, column in own.items()
        if name in fields and column.type != "key" and not fits(fields[name], Field(name, delta_type(column)))
    ]
    if not (is_less or unlike or set(table.key) - fields.keys()):
        return False
    made = GoldLog(there).newest_made()
    return made is not None and made.code_version != table.code_version
