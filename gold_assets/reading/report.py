"""The published state as one HTML file, with plots that answer to the pointer. It loads nothing from elsewhere."""

from collections.abc import Mapping
from html import escape
from importlib import resources
from string import Template
from typing import Any

from gold_assets.delta.dates import contiguous, days
from gold_assets.reading.published import missing
from gold_assets.reading.report_numbers import ReportNumbers, Rows

_CHANGE_SHOWN = 100
"""Per cent. Beside a day after a holiday all others would be flat."""


def report(numbers: ReportNumbers) -> str:
    """The page. Raises ``UserError`` where Plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise missing("Plotly", "report") from error
    figures = [
        (
            "Spend",
            f"A day's total, and how far that is above the same weekday of the week before; bars end at {_CHANGE_SHOWN} %.",
            _spend(numbers.spend),
        ),
        (
            "High-risk transactions",
            "A day's transactions with risk_level high and a usage_cost_ratio below 0.2.",
            _bars(
                [row[0] for row in numbers.high_risk],
                [row[1] for row in numbers.high_risk],
                "transactions",
                is_date=True,
            ),
        ),
        (
            "usage_cost_ratio",
            "Daily averages of the products: how many lie in each twentieth.",
            _bars([_twentieth(row[0]) for row in numbers.ratios], [row[1] for row in numbers.ratios], "averages"),
        ),
        (
            "Quarantined rows by rule",
            "Share of Silver's rows that break each rule of the contract. A row may break several.",
            _rules(numbers.rules),
        ),
    ]
    page = resources.files("gold_assets.reading").joinpath("report.html").read_text(encoding="utf-8")
    return Template(page).substitute(
        library=get_plotlyjs(),
        tiles=_tiles(numbers),
        fresh="".join(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>" for name, said in numbers.fresh.items()),
        figures="".join(
            f"<figure><figcaption><h2>{escape(title)}</h2><p>{escape(text)}</p></figcaption>"
            + (f'<div class="plot" id="plot{n}"></div></figure>' if figure else '<p class="none">None.</p></figure>')
            for n, (title, text, figure) in enumerate(figures)
        ),
        data=_script({f"plot{n}": figure for n, (_, _, figure) in enumerate(figures) if figure}),
    )


def _tiles(numbers: ReportNumbers) -> str:
    last = numbers.spend[-1] if numbers.spend else (None, 0.0, 0, None)
    flagged = {row[0]: row[1] for row in numbers.high_risk}
    valid = sum(row[2] for row in numbers.spend)
    rows = valid + numbers.quarantined_rows
    change = "" if last[3] is None else f"{last[3]:+.1f} % on the week before"
    tiles = [
        (f"Spend on {last[0] or 'no date'}", f"{last[1]:,.0f}", change),
        ("Transactions", f"{valid:,}", f"{last[2]:,} on the last date"),
        ("High-risk", f"{sum(flagged.values()):,}", f"{flagged.get(last[0], 0):,} on the last date"),
        (
            "Quarantined",
            f"{numbers.quarantined_rows:,}",
            f"{100 * numbers.quarantined_rows / rows if rows else 0:.4f} % of all rows",
        ),
    ]
    return "".join(
        f"<div><span>{escape(name)}</span><strong>{escape(value)}</strong><span>{escape(more)}</span></div>"
        for name, value, more in tiles
    )


def _spend(rows: Rows) -> dict[str, Any] | None:
    import plotly.graph_objects as go

    if not rows:
        return None
    spent = {row[0]: row[1] for row in rows}
    line: list[tuple[str | None, float | None]] = []
    for first, last in contiguous(spent):
        line += [(str(day), spent[day]) for day in days(first, last)]
        line.append((None, None))  # a day without rows parts the line
    dates = [str(row[0]) for row in rows]
    spend = go.Scatter(
        x=[x for x, _ in line], y=[y for _, y in line], name="spend", mode="lines", hovertemplate="%{y:,.2f}"
    )
    most = min(_CHANGE_SHOWN, max((abs(row[3]) for row in rows if row[3] is not None), default=1) * 1.05)
    change = go.Bar(
        x=dates, y=[row[3] for row in rows], name="change", yaxis="y2", hovertemplate="%{y:+.1f} %", marker_line_width=0
    )
    return _figure(
        [spend, change],
        xaxis={"type": "date", "anchor": "y2", "hoverformat": "%a %Y-%m-%d"},
        yaxis={"domain": [0.42, 1], "rangemode": "tozero", "title": {"text": "spend"}},
        yaxis2={"domain": [0, 0.32], "range": [-most, most], "ticksuffix": " %", "title": {"text": "change"}},
        hovermode="x unified",
        height=400,
    )


def _bars(x: list[Any], y: list[Any], what: str, *, is_date: bool = False) -> dict[str, Any] | None:
    import plotly.graph_objects as go

    if not x:
        return None
    axis = {"type": "date", "hoverformat": "%a %Y-%m-%d"} if is_date else {"type": "category", "title": {"text": ""}}
    bars = go.Bar(x=[str(each) for each in x], y=y, name=what, hovertemplate="%{x}: %{y:,} " + what + "<extra></extra>")
    bars.marker.line.width = 0
    return _figure([bars], xaxis=axis, yaxis={"title": {"text": what}}, bargap=0.1, height=260)


def _rules(rows: Rows) -> dict[str, Any] | None:
    import plotly.graph_objects as go

    if not rows:
        return None
    bars = go.Bar(
        x=[row[2] for row in rows],
        y=[row[0] for row in rows],
        customdata=[row[1] for row in rows],
        orientation="h",
        hovertemplate="%{y}: %{x:.5f} %, %{customdata:,} rows<extra></extra>",
        text=[f"{row[1]:,}" for row in rows],
        textposition="auto",
    )
    return _figure(
        [bars],
        xaxis={"ticksuffix": " %", "rangemode": "tozero", "nticks": 4},
        yaxis={"automargin": True},
        height=50 + 34 * len(rows),
    )


def _figure(traces: list[Any], **layout: Any) -> dict[str, Any]:
    import plotly.graph_objects as go

    figure = go.Figure(traces, {"template": "none", "showlegend": False, **layout})
    made: dict[str, Any] = figure.to_plotly_json()
    return made


def _script(figures: Mapping[str, Any]) -> str:
    """As JSON that a script element can hold."""
    from plotly.io.json import to_json_plotly

    return to_json_plotly(figures).replace("</", "<\\/")


def _twentieth(number: int) -> str:
    if number < 0:
        return "< 0"
    return "≥ 1" if number >= 20 else f"{number / 20:.2f}"
