"""The socket that a step gets: keys can be used through it, and not changed."""

from __future__ import annotations

import socket
import stat
import threading
from pathlib import Path

import pytest

from builder.core.errors import PybuildError
from builder.ops.ssh import forwarded


class Agent:
    """Answers each request with its number and its text, and remembers it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return ours

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            while head := stream.read(4):
                request = stream.read(int.from_bytes(head, "big"))
                self.requests.append(request)
                answer = b"\x0c" + request
                stream.write(len(answer).to_bytes(4, "big") + answer)
                stream.flush()


class NoAgent:
    def connect(self) -> socket.socket:
        raise PybuildError("gone")


def ask(path: Path, *requests: bytes) -> list[bytes]:
    answers = []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        with client.makefile("rwb") as stream:
            for request in requests:
                stream.write(len(request).to_bytes(4, "big") + request)
                stream.flush()
                answers.append(stream.read(int.from_bytes(stream.read(4), "big")))
    return answers


def test_keys_are_listed_and_used(tmp_path: Path) -> None:
    """Requests for the list, for a signature, and the binding of a session, in turn."""
    agent = Agent()
    bind = b"\x1b\x00\x00\x00\x18session-bind@openssh.com!"
    with forwarded(agent, tmp_path, mode=0o600, uid=0, gid=0) as path:
        answers = ask(path, b"\x0b", b"\x0dkey", bind)

    assert [b"\x0c\x0b", b"\x0c\x0dkey", b"\x0c" + bind] == answers


@pytest.mark.parametrize(
    "request_", [b"\x11key", b"\x12", b"\x13", b"\x16", b"\x1b\x00\x00\x00\x01x", b"\x01"]
)
def test_keys_are_not_changed(request_: bytes, tmp_path: Path) -> None:
    """Adding, removing, locking and what is unknown never reach the agent."""
    agent = Agent()
    with forwarded(agent, tmp_path, mode=0o600, uid=0, gid=0) as path:
        answers = ask(path, request_, b"\x0b")

    assert [b"\x05", b"\x0c\x0b"] == answers
    assert [b"\x0b"] == agent.requests


def test_socket_has_mode_and_owner_and_goes(tmp_path: Path) -> None:
    """As the mount asks; a path longer than an address is fine."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    with forwarded(Agent(), directory, mode=0o620, uid=7, gid=8) as path:
        status = path.stat()

        assert stat.S_ISSOCK(status.st_mode)
        assert (0o620, 7, 8) == (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def test_too_long_a_message_ends_the_connection(tmp_path: Path) -> None:
    """A step cannot fill the memory."""
    with (
        forwarded(Agent(), tmp_path, mode=0o600, uid=0, gid=0) as path,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(str(path))
        client.sendall(b"\xff\xff\xff\xff")

        assert b"" == client.recv(1)


def test_agent_that_is_gone(tmp_path: Path) -> None:
    """The connection ends."""
    with (
        forwarded(NoAgent(), tmp_path, mode=0o600, uid=0, gid=0) as path,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(str(path))

        assert b"" == client.recv(1)


def test_open_connections_end_with_the_step(tmp_path: Path) -> None:
    """Nobody who kept one reaches the agent afterwards."""
    with socket.socket(socket.AF_UNIX) as client:
        with forwarded(Agent(), tmp_path, mode=0o600, uid=0, gid=0) as path:
            client.connect(str(path))
            client.sendall(b"\x00\x00\x00\x01\x0b")
            assert client.recv(100)

        assert b"" == client.recv(1)
