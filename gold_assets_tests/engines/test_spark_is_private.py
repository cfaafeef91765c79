"""Other processes of the machine and a local Spark: its ports, and what it spills to the disk."""

import socket
import struct
from pathlib import Path

import psutil
import pytest
from pyspark.sql import functions as F

from gold_assets.engines.spark import SparkEngine

pytestmark = pytest.mark.spark


def text(words: str) -> bytes:
    return struct.pack(">i", len(words)) + words.encode()


OPEN_BLOCKS = b"\x00" + text("any application") + text("any executor") + struct.pack(">i", 1) + text("rdd_0_0")
RPC_REQUEST = b"\x03" + struct.pack(">qi", 7, len(OPEN_BLOCKS)) + OPEN_BLOCKS
SPARK_MESSAGE = struct.pack(">q", 8 + len(RPC_REQUEST)) + RPC_REQUEST
"""What an executor of Spark sends to another one to read its rows, in Spark's own protocol."""
PY4J_MESSAGE = b"r\nu\norg.apache.spark.SparkContext\ne\n"
"""What Python sends to its JVM to find a class."""


def answer(port: int, message: bytes) -> str:
    """What a stranger is told at the port; nothing where he is not heard."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as stranger:
        stranger.sendall(message)
        try:
            return stranger.recv(4096).decode(errors="replace")
        except OSError:
            return ""


def test_a_local_spark_does_nothing_for_a_stranger(engine: SparkEngine) -> None:
    assert engine.session.range(5).count() == 5
    ports = [
        connection.laddr.port
        for child in psutil.Process().children(recursive=True)
        if child.name() == "java"
        for connection in child.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    as_spark = {port: answer(port, SPARK_MESSAGE) for port in ports}
    refused = [port for port, told in as_spark.items() if "Expected SaslMessage" in told]
    assert len(refused) == 2, f"the driver's and the block manager's: {as_spark}"
    others = {port: as_spark[port] for port in ports if port not in refused}
    assert set(others.values()) == {""}, f"Python's ways to the JVM: {others}"
    as_python = {port: answer(port, PY4J_MESSAGE) for port in others}
    assert len([port for port, told in as_python.items() if "Authentication error" in told]) == 1, as_python
    assert {told for told in as_python.values() if "Authentication error" not in told} <= {""}, as_python


def test_what_spark_spills_is_for_its_own_user(engine: SparkEngine) -> None:
    engine.session.range(1000).groupBy((F.col("id") % 7).alias("key")).count().collect()
    folder = Path(engine.session.conf.get("spark.local.dir") or "")
    assert list(folder.glob("blockmgr-*/*/shuffle_*.data"))
    assert folder.stat().st_mode & 0o077 == 0
