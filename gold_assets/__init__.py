"""Gold tables on Delta Lake, kept true to a Silver table by Dagster; and the same from Python, without Dagster.

A ``Project`` declares a ``Source`` of ``Column`` and ``Rule``, and each ``Table`` that is made from it; ``definitions`` is what Dagster loads of it. ``Lake``,
``refresh`` and ``maintain`` work on a lake with an engine, ``SailEngine`` or ``SparkEngine``; ``write_to_gold`` follows Silver as a stream. ``published`` gives readers
the tables at the versions that were verified together. Each is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gold_assets.code_location import definitions
    from gold_assets.declaring.column import Column
    from gold_assets.declaring.project import Project
    from gold_assets.declaring.source import Rule, Source
    from gold_assets.declaring.table import Table
    from gold_assets.engines.sail import SailEngine
    from gold_assets.engines.spark import SparkEngine
    from gold_assets.gold.lake import Lake
    from gold_assets.gold.maintenance import maintain
    from gold_assets.gold.refresh import refresh
    from gold_assets.reading.published import published
    from gold_assets.transactions.stream import write_to_gold

__all__ = [
    "Column",
    "Lake",
    "Project",
    "Rule",
    "SailEngine",
    "Source",
    "SparkEngine",
    "Table",
    "definitions",
    "maintain",
    "published",
    "refresh",
    "write_to_gold",
]

_MODULES = {
    "Column": "gold_assets.declaring.column",
    "Lake": "gold_assets.gold.lake",
    "Project": "gold_assets.declaring.project",
    "Rule": "gold_assets.declaring.source",
    "SailEngine": "gold_assets.engines.sail",
    "Source": "gold_assets.declaring.source",
    "SparkEngine": "gold_assets.engines.spark",
    "Table": "gold_assets.declaring.table",
    "definitions": "gold_assets.code_location",
    "maintain": "gold_assets.gold.maintenance",
    "published": "gold_assets.reading.published",
    "refresh": "gold_assets.gold.refresh",
    "write_to_gold": "gold_assets.transactions.stream",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from gold_assets.delta.errors import missing_extra

        raise missing_extra(error) from error


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
