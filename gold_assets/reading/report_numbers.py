"""The numbers of the report: aggregates of the published tables by SQL, so that no table is loaded as a whole."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gold_assets.checks.findings import Limits
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError
from gold_assets.delta.words import count_of
from gold_assets.gold.lag import lag
from gold_assets.gold.lake import Lake
from gold_assets.reading.published import Published, text_of
from gold_assets.reading.sql import Questions

SPEND_BY_DAY = """
WITH spent AS (
    SELECT event_date, sum(total_spend) AS spend, sum(transaction_count) AS transactions FROM user_spend_summary GROUP BY ALL
)
SELECT
    day.event_date,
    CAST(day.spend AS DOUBLE) AS spend,
    CAST(day.transactions AS BIGINT) AS transactions,
    CASE WHEN week_before.spend > 0 THEN 100 * (CAST(day.spend AS DOUBLE) / CAST(week_before.spend AS DOUBLE) - 1) END AS change
FROM spent AS day LEFT JOIN spent AS week_before ON week_before.event_date = day.event_date - 7
ORDER BY day.event_date
"""
"""By date: spend; transactions; per cent that the spend is above that of the same weekday of the week before, NULL without one."""

RATIOS = """
SELECT
    CASE WHEN avg_usage_cost_ratio < 0 THEN -1 WHEN avg_usage_cost_ratio >= 1 THEN 20 ELSE CAST(floor(avg_usage_cost_ratio * 20) AS BIGINT) END
        AS twentieth,
    count(*) AS averages
FROM product_usage_metrics WHERE avg_usage_cost_ratio IS NOT NULL
GROUP BY ALL ORDER BY twentieth
"""
"""How many of the products' daily averages lie in each twentieth; -1 is below 0, 20 is from 1 on."""

HIGH_RISK_BY_DAY = """
SELECT event_date, CAST(coalesce(flagged, 0) AS BIGINT) AS flagged
FROM (SELECT DISTINCT event_date FROM user_spend_summary)
FULL JOIN (SELECT event_date, count(*) AS flagged FROM high_risk_txns GROUP BY ALL) USING (event_date)
ORDER BY event_date
"""

QUARANTINED_BY_RULE = """
WITH quarantined AS (SELECT count(*) AS rows FROM quarantined_txns),
valid AS (SELECT coalesce(sum(transaction_count), 0) AS rows FROM user_spend_summary)
SELECT
    rule, count(*) AS rows, 100.0 * count(*) / any_value(valid.rows + quarantined.rows) AS share
FROM (SELECT unnest(violations) AS rule FROM quarantined_txns), valid, quarantined
GROUP BY rule ORDER BY rows, rule DESC
"""
"""By rule: how many rows break it, and how many per cent of all of Silver's rows those are. A row may break several."""

QUARANTINED = "SELECT count(*) AS rows FROM quarantined_txns"

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class ReportNumbers:
    """What the report shows, each as the SQL of its name gives it, and ``fresh``, what is said of how fresh that is, by label."""

    spend: Rows
    ratios: Rows
    high_risk: Rows
    rules: Rows
    quarantined_rows: int
    fresh: dict[str, str]


def report_numbers(reader: Published, lake: Lake, limits: Limits) -> ReportNumbers:
    """Raises ``UserError`` where a table cannot be read."""
    questions = Questions(reader)

    def rows(sql: str) -> Rows:
        return list(questions.answer(sql).rows)

    return ReportNumbers(
        spend=rows(SPEND_BY_DAY),
        ratios=rows(RATIOS),
        high_risk=rows(HIGH_RISK_BY_DAY),
        rules=rows(QUARANTINED_BY_RULE),
        quarantined_rows=rows(QUARANTINED)[0][0],
        fresh=_fresh(reader, lake, limits),
    )


def _fresh(reader: Published, lake: Lake, limits: Limits) -> dict[str, str]:
    publication = reader.publication
    version = publication.silver_version
    now = dt.datetime.now(dt.timezone.utc)
    return {
        "Published": f"{publication.at:%Y-%m-%d %H:%M} UTC",
        "Silver version": str(version) if version is not None else f"none: {publication.reason}",
        "Lag": _lag(reader, lake, limits, now),
        "Written": f"{now:%Y-%m-%d %H:%M} UTC",
        "Read again with": f"at={text_of(publication.at)}",
    }


def _lag(reader: Published, lake: Lake, limits: Limits, now: dt.datetime) -> str:
    publication = reader.publication
    try:
        silver = lake.pin()
        same = publication.silver_version is not None and publication.silver_table_id == silver.table_id
        behind = lag(
            [reader.delta(name) for name in reader.names],
            silver,
            after=publication.silver_version if same and publication.silver_version is not None else -1,
            first=limits.first_date,
            last=limits.end,
        )
    except UserError as error:
        return f"not known, for Silver cannot be read: {error}"
    if behind is None:
        return "none: Silver had nothing newer"
    minutes = "" if behind.committed is None else f"{(now - behind.committed).total_seconds() / 60:,.0f} min, "
    return f"{minutes}{count_of(len(behind.dates), 'date')}: {dates_text(behind.dates, 2)}"
