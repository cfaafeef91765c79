"""A loopback port of this process, closed to whoever else is on the machine once its one client is connected."""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LOOPBACK = "127.0.0.1"
_ESTABLISHED = "01"

# From Linux's asm-generic/socket.h and linux/filter.h; Python has no names for them.
_SO_ATTACH_FILTER = 26
_RETURN_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)


def refuse_new_connections(port: int) -> bool:
    """Attach a filter that drops every packet to the socket that listens at ``port``. Who is connected stays.

    False where that cannot be done: on another system than Linux, or in a sandbox that has no socket filters.
    """
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(_RETURN_NOTHING)
    filter_program = struct.pack("HP", 1, ctypes.addressof(program))
    filtered = False
    for ours in _sockets_at(port, listening=True):
        with suppress(OSError):
            ours.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)
            filtered = True
    return filtered


def end_connections(port: int) -> None:
    """End all connections to ``port`` that its server has accepted by now. On Linux; elsewhere they stay."""
    for ours in _sockets_at(port, listening=False):
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)


def connections_to(port: int) -> int:
    """How many connections to ``port`` there are, those not yet accepted too. On Linux."""
    [address] = struct.unpack("=I", socket.inet_aton(_LOOPBACK))
    there = f"{address:08X}:{port:04X}"
    entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(entry[1] == there and entry[3] == _ESTABLISHED for entry in entries)


def _sockets_at(port: int, *, listening: bool) -> Iterator[socket.socket]:
    """This process's sockets at the port, the one that listens or those that it has accepted, by a further handle each."""
    descriptors = Path("/proc/self/fd")
    for descriptor in descriptors.iterdir() if descriptors.is_dir() else ():
        with suppress(OSError):  # closed meanwhile
            if str(descriptor.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(descriptor.name))) as found:
                    here = found.family == socket.AF_INET and found.getsockname() == (_LOOPBACK, port)
                    if here and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is listening:
                        yield found
