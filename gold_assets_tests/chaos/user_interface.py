"""What a person asks of Dagster in its user interface, asked as the interface itself asks."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import requests

_LAUNCH_RUN = """
    mutation($asked: ExecutionParams!) { launchRun(executionParams: $asked) {
        __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
_LAUNCH_BACKFILL = """
    mutation($asked: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $asked) {
        __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
_RELOAD = """
    mutation { reloadRepositoryLocation(repositoryLocationName: "gold_assets") {
        __typename ... on WorkspaceLocationEntry { loadStatus } ... on PythonError { message } } }
"""
_OPEN_BACKFILLS = """
    { partitionBackfillsOrError(filters: {statuses: [REQUESTED, CANCELING]}) {
        __typename ... on PartitionBackfills { results { id } } ... on PythonError { message } } }
"""


class Refused(Exception):
    """The interface is not there, or does not do what is asked."""


class UserInterface:
    def __init__(self, url: str) -> None:
        self._url = url

    def materialize(self, table: str, date: dt.date) -> None:
        self._launch("__ASSET_JOB", tables=[table], tags={"dagster/partition": str(date)})

    def run(self, job: str) -> None:
        self._launch(job)

    def backfill(self, tables: Sequence[str], dates: Sequence[dt.date]) -> None:
        asked = {"assetSelection": _keys(tables), "partitionNames": [str(date) for date in dates]}
        _expect("LaunchBackfillSuccess", self._ask(_LAUNCH_BACKFILL, asked)["launchPartitionBackfill"])

    def reload_definitions(self) -> None:
        _expect("WorkspaceLocationEntry", self._ask(_RELOAD)["reloadRepositoryLocation"])

    def open_backfills(self) -> int:
        answer = self._ask(_OPEN_BACKFILLS)["partitionBackfillsOrError"]
        _expect("PartitionBackfills", answer)
        return len(answer["results"])

    def _launch(self, job: str, tables: Sequence[str] = (), tags: Mapping[str, str] | None = None) -> None:
        selector = {
            "repositoryLocationName": "gold_assets",
            "repositoryName": "__repository__",
            "jobName": job,
            "assetSelection": _keys(tables) or None,
        }
        metadata = {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}
        asked = {"selector": selector, "runConfigData": {}, "executionMetadata": metadata}
        _expect("LaunchRunSuccess", self._ask(_LAUNCH_RUN, asked)["launchRun"])

    def _ask(self, query: str, asked: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = requests.post(
                f"{self._url}/graphql", json={"query": query, "variables": {"asked": asked}}, timeout=60
            ).json()
        except (requests.RequestException, ValueError) as error:
            raise Refused(type(error).__name__) from None
        if answer.get("errors") or not answer.get("data"):
            raise Refused(str(answer.get("errors"))[:200])
        return answer["data"]


def _keys(tables: Sequence[str]) -> list[dict[str, list[str]]]:
    return [{"path": [table]} for table in tables]


def _expect(kind: str, answer: Mapping[str, Any]) -> None:
    if answer["__typename"] != kind:
        raise Refused(f"{answer['__typename']} {answer.get('message', '')[:200]}")
