"""Run monitoring, as the project's instance has it, and runs whose processes are there or not."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType, EngineEventData
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring import execute_run_monitoring_iteration

from gold_assets_tests.end_to_end.command_line import environment, instance_of
from gold_assets_tests.micro_batches.daemon import micro_batch

pytestmark = pytest.mark.sail


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_of(environment(tmp_path)["DAGSTER_HOME"]) as instance:
        yield instance


def status_once_monitored(
    instance: dg.DagsterInstance, pid: int, code_server: Mapping[str, object], told_at: float | None = None
) -> str:
    """Of a run that has told, just now or in that second, that it is the process ``pid``."""
    tags = {".dagster/grpc_info": json.dumps(code_server)}
    run = instance.create_run_for_job(micro_batch, tags=tags, status=dg.DagsterRunStatus.STARTED)
    event = DagsterEvent(
        DagsterEventType.ENGINE_EVENT.value, run.job_name, event_specific_data=EngineEventData.in_process(pid)
    )
    told_at = time.time() if told_at is None else told_at
    instance.store_event(
        dg.EventLogEntry(None, "info", "", run.run_id, told_at, job_name=run.job_name, dagster_event=event)
    )
    with create_test_daemon_workspace_context(EmptyWorkspaceTarget(), instance) as workspace:
        assert not any(execute_run_monitoring_iteration(workspace, logging.getLogger("monitoring")))
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found.status.value


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


ON_THIS_MACHINE = {"host": "localhost", "socket": "/tmp/code-server"}


def test_a_run_whose_process_is_gone_with_its_code_server_fails(instance: dg.DagsterInstance) -> None:
    assert status_once_monitored(instance, ended_process(), ON_THIS_MACHINE) == "FAILURE"


def test_a_run_whose_process_is_there_goes_on(instance: dg.DagsterInstance) -> None:
    assert status_once_monitored(instance, os.getpid(), ON_THIS_MACHINE) == "STARTED"


def test_a_run_of_a_code_server_that_may_be_elsewhere_goes_on(instance: dg.DagsterInstance) -> None:
    assert status_once_monitored(instance, ended_process(), {"host": "code-server", "port": 4000}) == "STARTED"


def test_a_process_that_has_the_number_of_one_before_it_is_not_the_run(instance: dg.DagsterInstance) -> None:
    assert status_once_monitored(instance, os.getpid(), ON_THIS_MACHINE, told_at=0.0) == "FAILURE"
