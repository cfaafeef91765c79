"""The nightly report on a real instance: it is there where it is asked for, and takes the place of the one before as a whole."""

from pathlib import Path

import dagster as dg
import pytest

from gold_assets.config import load_settings
from gold_assets.definitions import build
from gold_assets.gold.lake import Lake
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.project import resources_on
from gold_assets_tests.reading.lakes import publish_in, published_lake

pytestmark = pytest.mark.sail


def write(lake: Lake, path: str, monkeypatch: pytest.MonkeyPatch) -> dg.ExecuteInProcessResult:
    monkeypatch.setenv("GOLD_REPORT_PATH", path)
    job = build(load_settings()).resolve_job_def("report")
    return job.execute_in_process(resources=resources_on(lake), raise_on_error=False)


def test_the_report_takes_the_place_of_the_one_before_and_a_place_that_is_none_is_one_sentence(
    copy_of: CopyOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = copy_of(published_lake)
    publish_in(lake)
    page = tmp_path / "reports" / "gold.html"
    assert write(lake, str(page), monkeypatch).success
    assert "<dt>Silver version</dt>" in page.read_text()
    page.write_text("of yesterday")
    assert write(lake, str(page), monkeypatch).success
    assert "<dt>Silver version</dt>" in page.read_text()
    assert [file.name for file in page.parent.iterdir()] == ["gold.html"]
    failed = write(lake, str(page / "below" / "a_file.html"), monkeypatch)
    [failure] = failed.get_step_failure_events()
    assert "The report cannot be written to" in str(failure.step_failure_data.user_failure_data)
