"""A socket in a step that leads to an agent of the client, and lets the step use its keys, no more.

Connections are carried message by message (draft-ietf-sshm-ssh-agent): what asks for the list of keys or for
a signature is passed on; what would add, remove or lock keys is answered with a failure.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from builder.core.errors import PybuildError
from builder.core.job import SshAgent

_FAILURE = b"\x05"
# SSH_AGENTC_REQUEST_IDENTITIES, SSH_AGENTC_SIGN_REQUEST, and SSH_AGENTC_EXTENSION if it only binds a session.
_LIST, _SIGN, _EXTENSION = 11, 13, 27
_SESSION_BIND = b"\x00\x00\x00\x18session-bind@openssh.com"
_LARGEST = 256 << 10  # AGENT_MAX_LEN of OpenSSH


@contextlib.contextmanager
def forwarded(agent: SshAgent, directory: Path, *, mode: int, uid: int, gid: int) -> Iterator[Path]:
    """Serve a socket in ``directory`` for as long as the block lasts."""
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Through a descriptor: the path itself may be longer than the 108 bytes of an address.
        listener.bind(f"/proc/self/fd/{place}/agent")
        path = directory / "agent"
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        listener.listen()
        server = _Server(listener, agent)
        server.start()
        try:
            yield path
        finally:
            server.stop()
    finally:
        listener.close()
        os.close(place)


class _Server:
    def __init__(self, listener: socket.socket, agent: SshAgent) -> None:
        self._listener = listener
        self._agent = agent
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_over = False
        self._thread = threading.Thread(target=self._accept, name="ssh-agent", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._lock:
            self._is_over = True
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="ssh-agent", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                agent = self._agent.connect()
            except (PybuildError, OSError):
                return  # the step hears that the connection was closed
            with agent, self._watched(client, agent) as is_open, contextlib.suppress(OSError):
                while is_open and _exchange(client, agent):
                    pass

    @contextlib.contextmanager
    def _watched(self, *sockets: socket.socket) -> Iterator[bool]:
        with self._lock:
            self._open.update(sockets)
            is_open = not self._is_over
        try:
            yield is_open
        finally:
            with self._lock:
                self._open.difference_update(sockets)


def _exchange(client: socket.socket, agent: socket.socket) -> bool:
    """One request and its answer; False at the end."""
    request = _receive(client)
    if not request:
        return False
    answer: bytes | None = _FAILURE
    if _is_allowed(request):
        _send(agent, request)
        answer = _receive(agent)
    if not answer:
        return False
    _send(client, answer)
    return True


def _is_allowed(request: bytes) -> bool:
    if request[0] == _EXTENSION:
        return request[1:].startswith(_SESSION_BIND)
    return request[0] in (_LIST, _SIGN)


def _receive(source: socket.socket) -> bytes | None:
    head = _read(source, 4)
    size = int.from_bytes(head, "big")
    if len(head) < 4 or not 0 < size <= _LARGEST:
        return None
    body = _read(source, size)
    return body if len(body) == size else None


def _read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = source.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data


def _send(target: socket.socket, message: bytes) -> None:
    target.sendall(len(message).to_bytes(4, "big") + message)
