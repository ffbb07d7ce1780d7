"""Faults of registries, as functions that switch them on, and what is said on a bad connection."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

from tests.support.registry import Answer, FakeRegistry

Fault = Callable[[FakeRegistry], object]
Speaker = Callable[[socket.socket], object]

# More than anybody may take of what has no end.
_ENDLESS = 64 << 20


def all_of(*faults: Fault) -> Fault:
    """One after another."""

    def set_all(registry: FakeRegistry) -> None:
        for fault in faults:
            fault(registry)

    return set_all


def spoken(pattern: str, speak: Speaker, *, times: int | None = None) -> Fault:
    """The answers to what matches are said by ``speak``."""
    return lambda registry: registry.change(pattern, lambda _: Answer(200, speak=speak), times=times)


def raw(*parts: bytes) -> Speaker:
    """Just these bytes, and the end of the connection."""
    return lambda connection: connection.sendall(b"".join(parts))


def reset(*parts: bytes) -> Speaker:
    """These bytes, and then the connection is torn down (RST)."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"".join(parts))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return speak


class Endless:
    """``head``, and ``piece`` again and again until the client has had enough; ``sent`` counts."""

    def __init__(self, head: bytes, piece: bytes) -> None:
        self.head = head
        self.piece = piece
        self.sent = 0

    def __call__(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(self.head)
            while self.sent < _ENDLESS:
                connection.sendall(self.piece)
                self.sent += len(self.piece)

    @property
    def was_left(self) -> bool:
        """The client hung up."""
        return self.sent < _ENDLESS


class Trickle:
    """``head``, and then a byte from time to time, or none at all, until the client has had enough."""

    def __init__(self, head: bytes, piece: bytes = b" ", *, every_s: float = 0.02) -> None:
        self.head = head
        self.piece = piece
        self.every_s = every_s
        self.over = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(self.head)
            connection.settimeout(self.every_s)
            while not self.over.is_set():
                if self.piece:
                    connection.sendall(self.piece)
                # The client sends nothing more: this ends when it hangs up, or it is time for the next byte.
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(1):
                        return


def head(status: str = "200 OK", **headers: str) -> bytes:
    """A status line and headers, ``Content_Length="1"``."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")
