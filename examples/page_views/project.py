"""Gold tables of a web site's page views, each declared by one SELECT. ``dagster dev -f examples/page_views/project.py`` shows them."""

from gold_assets import Column, Project, Rule, Source, Table, definitions

page_views = Source(
    "page_views",
    date="viewed_at",  # a date, or a timestamp whose date in UTC counts
    columns=[
        Column("page", "string", "What was looked at."),
        Column("visitor", "string", "Who looked; NULL without a cookie."),
        Column("seconds", "double", "For how long."),
    ],
    rules=[Rule("seconds_are_negative", condition="seconds >= 0")],
)

views_by_page = Table(
    "views_by_page",
    sql="""
        SELECT page, event_date, count(*) AS views, sum(seconds) AS seconds, max(visitor) AS last_visitor
        FROM page_views GROUP BY page, event_date""",
    key=["page"],
)

visitors_by_page = Table(
    "visitors_by_page",
    sql="""
        SELECT page, event_date, count(DISTINCT visitor) AS visitors, avg(seconds) AS mean_seconds
        FROM page_views GROUP BY page, event_date""",
    key=["page"],
)

long_views = Table(
    "long_views",
    sql="SELECT page, visitor, seconds / 60 AS minutes, event_date FROM page_views WHERE seconds > 600",
)

project = Project("web", source=page_views, tables=[views_by_page, visitors_by_page, long_views])
defs = definitions(project)
