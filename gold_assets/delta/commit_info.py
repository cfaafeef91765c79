"""What the writer of a commit said of itself: when, what, and by whom."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PERSONS = ("userName", "userEmail", "userId")
_JOBS = {"job": ("jobName", "jobId", "runId", "jobRunId"), "notebook": ("notebookPath", "notebookId")}
_PROGRAMS = ("engineInfo", "clientVersion")


@dataclass(frozen=True)
class CommitInfo:
    """What the commit of a version says: when, which operation, and by whom, as far as it says so.

    Attributes:
        at: UTC, None where it does not say.
        by: a person, a job or a notebook, and else the program that wrote it; empty where it names none.
    """

    version: int
    at: dt.datetime | None
    operation: str
    by: str

    @classmethod
    def of(cls, version: int, info: Mapping[str, Any]) -> "CommitInfo":
        """From the action ``commitInfo`` of a log, which is empty where there is none."""
        milliseconds = info.get("timestamp", info.get("inCommitTimestamp"))
        at = None if milliseconds is None else dt.datetime.fromtimestamp(milliseconds / 1000, dt.timezone.utc)
        return cls(version, at, str(info.get("operation") or "unknown operation"), _by(info))


def _by(info: Mapping[str, Any]) -> str:
    who = [str(info[name]) for name in _PERSONS if info.get(name)][:1]
    for kind, names in _JOBS.items():
        said = info.get(kind) or {}
        if told := [f"{name} {said[name]}" for name in names if isinstance(said, Mapping) and said.get(name)]:
            who.append(f"{kind} {', '.join(told)}")
    if not who:
        who = [str(info[name]) for name in _PROGRAMS if info.get(name)][:1]
    return ", ".join(who)
