"""Small pictures of the tables, drawn from what is in them, as the UI shows them."""

import base64
import datetime as dt
import io
from collections.abc import Collection, Mapping, Sequence

import dagster as dg
from deltalake import DeltaTable

from gold_assets.gold.summaries import ratios
from gold_assets.gold.tables import (
    HIGH_RISK_TXNS,
    PRODUCT_USAGE_METRICS,
    QUARANTINED_TXNS,
    USER_SPEND_SUMMARY,
    Table,
)

_BY_DAY = {
    USER_SPEND_SUMMARY.name: ("spend", "Total spend by day"),
    HIGH_RISK_TXNS.name: ("rows", "High-risk transactions by day"),
    QUARANTINED_TXNS.name: ("rows", "Quarantined rows by day"),
}
_OF_ANY_TABLE = ("rows", "Rows by day")

_BINS = 50
_COLOUR = "#4f43dd"


def picture_of(
    table: Table, gold: DeltaTable, dates: Collection[dt.date], numbers: Mapping[dt.date, Mapping[str, float]]
) -> dg.MarkdownMetadataValue:
    """One chart of the table on ``dates``; ``numbers`` are those of ``numbers_by_date``."""
    days = sorted(dates)
    span = str(days[0]) if len(days) == 1 else f"{days[0]} to {days[-1]}"
    if table is PRODUCT_USAGE_METRICS:
        spread = ratios(gold, days, _BINS)
        title = f"Products a day by average usage_cost_ratio, {span}"
        return _bars(title, [start + 0.5 / _BINS for start, _ in spread], [count for _, count in spread], 1 / _BINS)
    number, what = _BY_DAY.get(table.name, _OF_ANY_TABLE)
    return _bars(f"{what}, {span}", days, [numbers.get(day, {}).get(number, 0) for day in days], 1)


def _bars(
    title: str, places: Sequence[dt.date] | Sequence[float], heights: Sequence[float], width: float
) -> dg.MarkdownMetadataValue:
    # Imported when there is something to draw: half a second, which loading the definitions should not take.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 2.2), dpi=100)
    axes = figure.add_axes((0.08, 0.14, 0.91, 0.72))
    axes.bar(places, heights, width=width * 0.9, color=_COLOUR)  # type: ignore[arg-type]
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_ylim(bottom=min(0, *heights))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if isinstance(places[0], dt.date):
        locator = AutoDateLocator(minticks=1, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})")
