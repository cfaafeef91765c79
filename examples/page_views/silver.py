"""Silver of the page views: a month of made-up ones. ``python -m examples.page_views.silver`` writes it to where the settings say."""

import datetime as dt
import random

import pyarrow as pa
from deltalake import write_deltalake

FIRST, DAYS = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), 31
_PAGES = ["/", "/", "/tea", "/coffee", "/about"]


def views(rows: int = 10_000, seed: int = 7) -> pa.Table:
    """So many views, the same for the same seed; one in five hundred breaks the rule."""
    chance = random.Random(seed)
    return pa.table(
        {
            "page": [chance.choice(_PAGES) for _ in range(rows)],
            "visitor": [chance.choice([None, *(f"visitor {n}" for n in range(200))]) for _ in range(rows)],
            "seconds": [chance.expovariate(1 / 120) if chance.random() > 0.002 else -1.0 for _ in range(rows)],
            "viewed_at": pa.array(
                [FIRST + dt.timedelta(seconds=chance.randrange(DAYS * 86_400)) for _ in range(rows)],
                pa.timestamp("us", "UTC"),
            ),
        }
    )


if __name__ == "__main__":
    from examples.page_views.project import project

    write_deltalake(project.lake().silver, views(), mode="overwrite")
