"""The example of page views, tested as its users would."""

import datetime as dt
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from gold_assets import Project
from gold_assets.testing import project_lake

pytestmark = pytest.mark.sail

PROJECT = Path(__file__).parents[1] / "examples" / "page_views" / "project.py"
MONDAY, TUESDAY = dt.date(2024, 1, 1), dt.date(2024, 1, 2)


@pytest.fixture(scope="module")
def project() -> Project:
    spec = importlib.util.spec_from_file_location("example_page_views", PROJECT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Project = module.project
    return found


def view(page: str, visitor: str | None, seconds: float | None, hour: int = 9) -> dict[str, Any]:
    at = dt.datetime.combine(MONDAY, dt.time(hour), dt.timezone.utc)
    return {"page": page, "visitor": visitor, "seconds": seconds, "viewed_at": at}


def test_views_that_are_added_changed_moved_and_deleted(project: Project) -> None:
    with project_lake(project) as case:
        case.append(
            [view("/", "ann", 0.1), view("/", "bob", 0.2), view("/tea", "ann", 660.0), view("/tea", None, -1.0)]
        )
        case.expect(
            "views_by_page",
            [
                {"page": "/", "event_date": MONDAY, "views": 2, "seconds": 0.3, "last_visitor": "bob"},
                {"page": "/tea", "event_date": MONDAY, "views": 1, "seconds": 660.0, "last_visitor": "ann"},
            ],
        )
        case.expect("long_views", [{"page": "/tea", "visitor": "ann", "minutes": 11.0, "event_date": MONDAY}])
        case.expect("quarantined_page_views", [{"page": "/tea", "violations": ["seconds_are_negative"]}])
        case.append([view("/", "ann", 0.3, hour=23)])
        case.expect(
            "visitors_by_page",
            [{"page": "/", "visitors": 2, "mean_seconds": 0.2}, {"page": "/tea", "visitors": 1, "mean_seconds": 660.0}],
        )
        case.change("seconds < 0", seconds="1.0")
        case.move("visitor = 'bob'", TUESDAY)
        case.delete("seconds > 600")
        case.expect("long_views", [])
        case.expect("quarantined_page_views", [])
        case.expect(
            "views_by_page",
            [
                {"page": "/", "event_date": MONDAY, "views": 2, "last_visitor": "ann"},
                {"page": "/", "event_date": TUESDAY, "views": 1, "last_visitor": "bob"},
                {"page": "/tea", "event_date": MONDAY, "views": 1, "last_visitor": None},
            ],
        )
