"""Small pictures of the tables, drawn from what is in them, as the UI shows them."""

import base64
import datetime as dt
import io
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from deltalake import DeltaTable

from gold_assets.gold.declaration import Table
from gold_assets.gold.summaries import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 50
_COLOUR = "#4f43dd"


def picture_of(
    table: Table, gold: DeltaTable, dates: Collection[dt.date], numbers: Mapping[dt.date, Mapping[str, float]]
) -> dg.MarkdownMetadataValue:
    """One chart of the table on ``dates``; ``numbers`` are those of ``numbers_by_date``."""
    days = sorted(dates)
    span = str(days[0]) if len(days) == 1 else f"{days[0]} to {days[-1]}"
    title = f"{table.picture.title}, {span}"
    if table.picture.kind == "spread":
        bins = spread(gold, table.picture.of, days, _BINS)
        return _bars(title, [start + 0.5 / _BINS for start, _ in bins], [count for _, count in bins], 1 / _BINS)
    return _bars(title, days, [numbers.get(day, {}).get(table.picture.of, 0) for day in days], 1)


def steps_of(title: str, moments: Sequence[dt.datetime], values: Sequence[float]) -> str:
    """A chart, as Markdown, of a value that changed at these moments and stayed as it is since, oldest first."""
    figure, axes = _axes(title)
    now = dt.datetime.now(dt.timezone.utc)
    axes.step([*moments, now], [*values, values[-1]], where="post", color=_COLOUR)  # type: ignore[arg-type]
    axes.plot(moments, values, "o", markersize=4, color=_COLOUR)  # type: ignore[arg-type]
    _with_dates(axes)
    return _as_markdown(title, figure)


def _axes(title: str) -> "tuple[Figure, Axes]":
    # Imported when there is something to draw: half a second, which loading the definitions should not take.
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 2.2), dpi=100)
    axes = figure.add_axes((0.08, 0.2, 0.91, 0.67))
    axes.set_title(title, fontsize=10, loc="left")
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _as_markdown(title: str, figure: "Figure") -> str:
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return f"![{title}](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})"


def _bars(
    title: str, places: Sequence[dt.date] | Sequence[float], heights: Sequence[float], width: float
) -> dg.MarkdownMetadataValue:
    figure, axes = _axes(title)
    axes.bar(places, heights, width=width * 0.9, color=_COLOUR)  # type: ignore[arg-type]
    axes.set_ylim(bottom=min(0, *heights))
    if isinstance(places[0], dt.date):
        _with_dates(axes)
    return dg.MetadataValue.md(_as_markdown(title, figure))


def _with_dates(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=1, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_fontsize(8)
