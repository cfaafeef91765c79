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
    """Keep the three Gold tables and the quarantine true to Silver by a stream of micro-batches; on Spark by foreachBatch with a checkpoint.

    Args:
        source_path: Silver. It may be appended to, updated, deleted from, optimized and vacuumed as its owner likes.
        write_path_spend_summary: the table ``user_spend_summary``.
        write_path_product_usage_metrics: the table ``product_usage_metrics``.
        write_path_high_risk_txns: the table ``high_risk_txns``.
        checkpoint_path: where Spark keeps how far its stream came. Sail needs none, and starts with every date.
        bad_records_path: the quarantine, which gets a batch's bad rows in the same batch.
        engine: Sail, or Spark on this machine or on a cluster; Spark Connect cannot run the stream's batches here.
        optimize: at the end, OPTIMIZE ZORDER BY the written dates that lie before today.
        interval: how often to look for new commits, such as ``200 milliseconds``, for good; by default drain Silver and end.
        on_refreshed: called after each batch, on Spark before the checkpoint counts it as done.
        stop: once set, the stream ends after the batch in hand.

    Returns:
        The dates that were written.

    Raises:
        UserError: Silver, a table's place or the checkpoint is not what it must be, or a write fails.

    Examples:
        >>> from gold_assets import SailEngine
        >>> engine = SailEngine()
        >>> places = ("gold/user_spend_summary", "gold/product_usage_metrics", "gold/high_risk_txns", "checkpoint", "quarantine/transactions")
        >>> written = write_to_gold("data/silver/transactions", *(f"data/{place}" for place in places), engine=engine)
        >>> engine.close()
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
