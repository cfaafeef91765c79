"""Other processes: an engine of our own in a Python of its own, and Spark's servers on loopback."""

import datetime as dt
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
QUICK_COMPILER = "-XX:TieredStopAtLevel=1"
"""For a JVM that lives for a test: half of what it takes goes into the optimizing compiler."""
_OF_SERVERS = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "SPARK_PUBLIC_DNS": "127.0.0.1",
    "SPARK_DAEMON_JAVA_OPTS": QUICK_COMPILER,
}

_WORKER = """
import dataclasses, datetime as dt, json, pathlib, sys
from gold_assets.engines.sail import SailEngine
from gold_assets.engines.spark import SparkEngine
from gold_assets.delta.errors import UserError
from gold_assets.gold.refresh import refresh
from gold_assets_tests.conftest import lake_in

name, options = sys.argv[1], json.loads(sys.argv[2])
engine = SailEngine() if name == "sail" else SparkEngine(**options)
answers = sys.stdout
sys.stdout = sys.stderr
for line in sys.stdin:
    asked = json.loads(line)
    lake = lake_in(pathlib.Path(asked["lake"]))
    if "silver" in asked:
        lake = dataclasses.replace(lake, silver=asked["silver"], silver_columns=asked["silver_columns"])
    try:
        refresh(lake, engine, map(dt.date.fromisoformat, asked["dates"]))
        answer = {"done": True}
    except UserError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), file=answers, flush=True)
engine.close()
"""


class OtherProcess:
    """An engine in a process of its own, which refreshes what it is asked to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def refresh(
        self,
        lake: Path,
        dates: Iterable[dt.date],
        silver: str | None = None,
        silver_columns: Mapping[str, str] = MappingProxyType({}),
    ) -> str | None:
        """Refresh the lake in a folder. Return the sentence of the failure, None where there is none."""
        asked: dict[str, Any] = {"lake": str(lake), "dates": [str(date) for date in dates]}
        if silver:
            asked |= {"silver": silver, "silver_columns": dict(silver_columns)}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process ended without an answer"
        said: dict[str, Any] = json.loads(answer)
        return said.get("error")


def clean_environment() -> dict[str, str]:
    """This process's environment, without what pyspark left there to say that it runs on Connect."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}


@contextmanager
def engine_process(name: str, env: Mapping[str, str] | None = None, **options: str) -> Iterator[OtherProcess]:
    """An engine, ``sail`` or ``spark`` with the arguments of ``SparkEngine``, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _WORKER, name, json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**clean_environment(), **(env or {})},
    )
    try:
        yield OtherProcess(process)
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


@contextmanager
def spark_process(program: str, *arguments: str, port: int) -> Iterator[None]:
    """A program of Spark's ``bin`` folder that listens on a loopback port, until the block ends."""
    process = subprocess.Popen(
        [str(SPARK_HOME / "bin" / program), *arguments], env={**clean_environment(), **_OF_SERVERS}
    )
    try:
        _wait_until_it_listens(process, port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()


@contextmanager
def connect_server(*settings: str) -> Iterator[str]:
    """A Spark Connect server with these settings, ``name=value`` each, until the block ends: its address."""
    port = free_port()
    arguments = [f"spark.connect.grpc.binding.port={port}", "spark.connect.grpc.binding.address=127.0.0.1", *settings]
    with spark_process(
        "spark-submit",
        *(part for setting in arguments for part in ("--conf", setting)),
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        "spark-internal",
        port=port,
    ):
        yield f"sc://127.0.0.1:{port}"
    assert not listens(port)


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + 180
    while not listens(port):
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < until, "the server does not listen"
        time.sleep(0.2)
