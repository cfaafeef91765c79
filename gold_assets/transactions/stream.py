"""``write_to_gold()``: this business's tables, kept true to a stream of enriched transactions."""

import datetime as dt
import threading
from collections.abc import Callable

from gold_assets import transactions
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.streaming import Batch, follow


def write_to_gold(
    source_path: str,
    write_path_spend_summary: str,
    write_path_product_usage_metrics: str,
    write_path_high_risk_txns: str,
    checkpoint_path: str,
    bad_records_path: str,
    *,
    engine: Engine,
    optimize: bool = False,
    interval: str | None = None,
    on_refreshed: Callable[[Batch], None] | None = None,
    stop: threading.Event | None = None,
) -> set[dt.date]:
    """``follow`` of Silver by the three Gold tables and the quarantine; on Spark by foreachBatch with a checkpoint.

    Args:
        source_path: Silver. It may be appended to, updated, deleted from, optimized and vacuumed as its owner likes.
        bad_records_path: the quarantine, which gets a batch's bad rows in the same batch.

    The rest is as ``follow`` has it.
    """
    places = {
        "user_spend_summary": write_path_spend_summary,
        "product_usage_metrics": write_path_product_usage_metrics,
        "high_risk_txns": write_path_high_risk_txns,
        "quarantined_txns": bad_records_path,
    }
    lake = Lake(transactions.project, source_path, places)
    return follow(
        lake, engine, checkpoint_path, optimize=optimize, interval=interval, on_refreshed=on_refreshed, stop=stop
    )
