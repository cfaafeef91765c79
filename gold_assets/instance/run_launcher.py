"""Dagster's launcher of runs, which also sees that a run's process is gone."""

import json

import dagster as dg
import psutil

from gold_assets.instance.dagster_internals import GRPC_INFO_TAG, CheckRunHealthResult, WorkerStatus

_CLOCK_IS_SET = 60
"""Seconds by which a process may seem to have begun later than it did: that is reckoned from a clock that may be set meanwhile."""


class HealthCheckedRunLauncher(dg.DefaultRunLauncher):
    """``DefaultRunLauncher``, which run monitoring can ask whether a run's process is still there.

    A code server tells of the processes of its runs that end. Where it is gone together with them, as after a restart of the machine,
    nobody does: the run counts as started for ever, the sensor waits for it, and so does every writer once it is given the pool's slot.
    Run monitoring marks a run as failed whose process is not found.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        # Behind a socket the code server is on this machine, and its runs are. Behind a port they may be anywhere.
        if "socket" not in json.loads(run.tags.get(GRPC_INFO_TAG, "{}")):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "not to be seen from here")
        for entry in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            told = entry.dagster_event and entry.dagster_event.engine_event_data.metadata.get("pid")
            if told and not _is_there(int(str(told.value)), entry.timestamp):
                return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"There is no process {told.value} any more")
            if told:
                break
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def _is_there(pid: int, since: float) -> bool:
    """Whether the process is still there that was by then, in seconds since 1970, and not another that has got its number."""
    try:
        return bool(psutil.Process(pid).create_time() <= since + _CLOCK_IS_SET)
    except psutil.NoSuchProcess:
        return False
