"""Other processes of the machine and the embedded engine's port."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gold_assets.delta.errors import UserError
from gold_assets.engines import sail
from gold_assets.engines.sail import SailEngine
from gold_assets.engines.socket_filter import connections_to, end_connections, refuse_new_connections

pytestmark = [
    pytest.mark.sail,
    pytest.mark.skipif(sys.platform != "linux", reason="Only Linux has socket filters."),
]

_NOBODY = 65534


@contextmanager
def intruder(monkeypatch: pytest.MonkeyPatch, times: int) -> Iterator[list[int]]:
    """Connects to the engine's port right before it refuses connections, the first ``times``, and stays; yields the ports."""
    entered: list[int] = []
    with ExitStack() as stack:

        def refuse_a_moment_too_late(port: int) -> bool:
            if len(entered) < times:
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                entered.append(port)
            return refuse_new_connections(port)

        monkeypatch.setattr(sail, "refuse_new_connections", refuse_a_moment_too_late)
        yield entered


def connects_as_nobody(port: int) -> bool:
    program = f"""
import encodings.idna, os, socket

if os.getuid() == 0:
    os.setgroups([])
    os.setgid({_NOBODY})
    os.setuid({_NOBODY})
socket.create_connection(("127.0.0.1", {port}), timeout=1)
"""
    return subprocess.run([sys.executable, "-c", program], stderr=subprocess.DEVNULL).returncode == 0


def port_of(engine: SailEngine) -> int:
    assert engine.session
    return int(engine._server.listening_address[1])  # noqa: SLF001


def test_nobody_else_connects_while_the_engine_works() -> None:
    engine = SailEngine()
    try:
        port = port_of(engine)
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        assert engine.session.range(5).count() == 5
        assert connections_to(port) == 1
    finally:
        engine.close()


def test_another_user_of_the_machine_does_not_get_in() -> None:
    engine = SailEngine()
    try:
        with socket.create_server(("127.0.0.1", 0)) as open_port:
            assert connects_as_nobody(open_port.getsockname()[1])
            assert not connects_as_nobody(port_of(engine))
    finally:
        engine.close()


def test_whoever_got_in_before_the_port_was_closed_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SailEngine()
    with intruder(monkeypatch, times=1) as entered:
        try:
            assert engine.session.range(5).count() == 5
            assert entered and port_of(engine) not in entered
        finally:
            engine.close()


def test_an_engine_that_is_never_alone_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        intruder(monkeypatch, times=100) as entered,
        pytest.raises(UserError, match=r"another process connected to its port, .*: find what connects"),
    ):
        SailEngine().session  # noqa: B018
    assert len(entered) >= 5


def test_who_is_accepted_only_while_the_engine_stops_does_not_keep_it_from_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []

    def finds_nobody_the_first_time(port: int) -> None:
        looked.append(port)
        if len(looked) > 1:
            end_connections(port)

    monkeypatch.setattr(sail, "end_connections", finds_nobody_the_first_time)
    engine = SailEngine()
    with intruder(monkeypatch, times=1) as entered:
        assert engine.session
    engine.close()
    assert looked.count(*entered) > 1


def test_who_is_connected_stays_and_all_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as first, socket.create_connection(address) as second:
            assert refuse_new_connections(address[1])
            assert connections_to(address[1]) == 2
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=1)
            for client in (first, second):
                with server.accept()[0] as accepted:
                    client.sendall(b"still there")
                    assert accepted.recv(100) == b"still there"
