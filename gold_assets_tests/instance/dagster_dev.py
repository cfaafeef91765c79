"""A real ``dagster dev`` on the project, with a DAGSTER_HOME and a lake of its own, on a loopback port."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psutil

from gold_assets.gold.lake import Lake
from gold_assets_tests.end_to_end.command_line import REPOSITORY, environment, instance_of
from gold_assets_tests.project import lake_at


class DagsterDev:
    """Webserver, daemon and code server, started and stopped together. Use as a context manager."""

    def __init__(self, folder: Path, *, module: str = "", **settings: str) -> None:
        """With the definitions of a ``module``, by default the project's own."""
        self._workspace = folder / "workspace.yaml" if module else REPOSITORY / "workspace.yaml"
        if module:
            of_project = (REPOSITORY / "workspace.yaml").read_text()
            self._workspace.write_text(of_project.replace("gold_assets.transactions.definitions", module))
        self.env = environment(folder, **settings)
        self.home = Path(self.env["DAGSTER_HOME"])
        self.lake: Lake = lake_at(self.env["GOLD_LAKE_ROOT"])
        self.url = ""
        """Where its user interface is, while it runs."""
        self._output = (folder / "dagster_dev.log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "DagsterDev":
        with self.instance() as instance:
            # Two processes that create the same SQLite files at once get in each other's way.
            instance.get_runs(limit=1)
            instance.all_instigator_state()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._output.close()

    @property
    def output(self) -> str:
        return Path(self._output.name).read_text(errors="replace")

    def start(self) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
        command += ["-w", str(self._workspace)]
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=self.env,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A process started in the background of a shell inherits that it ignores SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def stop(self) -> None:
        """End it as Ctrl-C does, then whatever of it is still there."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
                try:
                    self._process.wait(30)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._process = None
        deadline = time.monotonic() + 20
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.2)
        for process in self.processes():
            process.kill()

    def processes(self) -> list[psutil.Process]:
        """All processes of this instance, known by their DAGSTER_HOME: code servers and runs leave the process group."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("DAGSTER_HOME") == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def daemon(self) -> psutil.Process:
        """The process of the sensor daemon."""
        [found] = self.daemons()
        return found

    def daemons(self) -> list[psutil.Process]:
        return self._processes_with("dagster._daemon", "run")

    def code_servers(self) -> list[psutil.Process]:
        """The process that holds the definitions, once it is there, and none where it was killed: Dagster starts no other by itself."""
        return self._processes_with("dagster", "api", "grpc")

    def run_processes(self) -> list[psutil.Process]:
        """The processes of runs, which are all that a code server spawns."""
        return self._processes_with("--multiprocessing-fork")

    def has_ended(self) -> bool:
        """Whether it was started and ended by itself, as it does when its daemon or its webserver goes."""
        return self._process is not None and self._process.poll() is not None

    def _processes_with(self, *words: str) -> list[psutil.Process]:
        return [process for process in self.processes() if set(words) <= set(command_line_of(process))]

    def wait_for(self, what: str, seconds: float, is_true: Callable[[], object]) -> None:
        """Poll until ``is_true()`` is; fail after ``seconds``, and at once where it has ended."""
        deadline = time.monotonic() + seconds
        while not is_true():
            if self.has_ended() or time.monotonic() > deadline:
                how = "dagster dev has ended" if self.has_ended() else f"not within {seconds:.0f} s"
                raise AssertionError(f"{what}: {how}\n{self.output[-5000:]}")
            time.sleep(0.2)

    def instance(self) -> dg.DagsterInstance:
        return instance_of(self.home)

    def run_process(self, instance: dg.DagsterInstance, run_id: str) -> psutil.Process | None:
        """The process of a run, once it has told its id."""
        for entry in instance.all_logs(run_id):
            if told := re.search(r"Started process for run \(pid: (\d+)\)", entry.message):
                return psutil.Process(int(told[1]))
        return None


def command_line_of(process: psutil.Process) -> list[str]:
    """Its command and arguments, none where it is gone."""
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
