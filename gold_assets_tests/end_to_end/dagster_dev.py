"""``dagster dev`` as a user starts it: the real web server and daemons, on a loopback port, stopped with all they started."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gold_assets_tests.end_to_end.command_line import BIN, REPOSITORY, run

_READY_SECONDS = 180
_STOP_SECONDS = 60

_CODE_LOCATION = """query { workspaceOrError { __typename ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
_RUNS = """query Runs($tags: [ExecutionTag!]) { runsOrError(filter: {tags: $tags}) { ... on Runs { results {
    runId status jobName tags { key value } } } } }"""

Answer = TypeVar("Answer")


class DagsterDev:
    """A running ``dagster dev``. ``url`` is its user interface; ``env`` is what its processes see."""

    def __init__(self, url: str, env: Mapping[str, str], process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.url = url
        self.env = env
        self._process = process
        self._log = log

    @property
    def log(self) -> str:
        """All that its processes have printed."""
        return self._log.read_text(errors="replace")

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """The answer's data. Raises ``OSError`` while the server does not answer."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """The runs with these tags, newest first: runId, status, jobName and tags."""
        wanted = [{"key": key, "value": value} for key, value in tags.items()]
        return self.graphql(_RUNS, tags=wanted)["runsOrError"]["results"]

    def wait_for(self, what: str, look: Callable[[], Answer | None], seconds: float = 120) -> Answer:
        """What ``look`` returns once that is true. Fails with the processes' output after ``seconds``."""
        until = time.monotonic() + seconds
        while True:
            if found := look():
                return found
            assert self._process.poll() is None, f"dagster dev ended while waiting for {what}:\n{self.log[-5000:]}"
            assert time.monotonic() < until, f"no {what} within {seconds} s:\n{self.log[-5000:]}"
            time.sleep(0.2)

    def wait_until_loaded(self) -> None:
        """Until the server answers and has loaded the project."""

        def location() -> str | None:
            try:
                [entry] = self.graphql(_CODE_LOCATION)["workspaceOrError"]["locationEntries"]
            except (OSError, ValueError, AssertionError):
                return None
            loaded = entry["locationOrLoadError"]
            assert loaded is None or loaded["__typename"] != "PythonError", loaded["message"]
            return entry["name"] if entry["loadStatus"] == "LOADED" and loaded else None

        self.wait_for("code location", location, _READY_SECONDS)

    def wait_for_run(self, run_id: str, seconds: float = 180) -> str:
        """How the run ended: SUCCESS, FAILURE or CANCELED."""

        def ended() -> str | None:
            [status] = [found["status"] for found in self.runs() if found["runId"] == run_id]
            return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

        return self.wait_for(f"end of run {run_id}", ended, seconds)


@contextmanager
def dagster_dev(env: Mapping[str, str], *, sensor: bool = False) -> Iterator[DagsterDev]:
    """``dagster dev`` on the lake and the instance of ``env``, from when the project is loaded until the block ends.

    The micro-batch sensor would materialize everything at once: it is off unless ``sensor``.
    """
    if not sensor:
        stopped = run("dagster", "sensor", "stop", "micro_batch_sensor", "-w", "workspace.yaml", env=dict(env))
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    port = _free_port()
    log = Path(env["DAGSTER_HOME"]) / "dagster_dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(BIN / "dagster"), "dev", "--host", "127.0.0.1", "--port", str(port)],
            env=dict(env),
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A process that a shell started in the background ignores SIGINT, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        dev = DagsterDev(f"http://127.0.0.1:{port}", env, process, log)
        dev.wait_until_loaded()
        yield dev
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to stop, as Ctrl-C does; then end what is left of its session."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
