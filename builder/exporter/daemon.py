"""Images into a Docker daemon, over its Engine API."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path

from builder.core.errors import Kind, PybuildError, Unsupported

DEFAULT_HOST = "unix:///var/run/docker.sock"
# A daemon that is there answers at once; unpacking what it was sent may take long.
_CONNECT_S = 10
_ANSWER_LIMIT = 1 << 20

Sink = Callable[[bytes], object]


class DaemonUnavailable(PybuildError):
    """No Docker daemon answers."""

    kind = Kind.UNAVAILABLE
    code = "daemon-unavailable"

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(
            f'no Docker daemon answers at "{host}": {reason}',
            hint="start it, or set DOCKER_HOST; --output type=docker,dest=FILE writes an archive",
        )


class DaemonRefused(PybuildError):
    """The daemon did not take the image."""

    kind = Kind.FAILED
    code = "daemon-refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the Docker daemon did not load the image: {reason}")


def load_into_daemon(host: str, write: Callable[[Sink], object]) -> None:
    """Stream a docker-archive into `docker load`. ``host`` is a DOCKER_HOST.

    Raises DaemonUnavailable, DaemonRefused, Unsupported, and what ``write`` raises.
    """
    connection = _connection(host)
    try:
        try:
            connection.connect()
            if connection.sock is not None:
                connection.sock.settimeout(None)
            connection.putrequest("POST", "/images/load?quiet=1")
            connection.putheader("Content-Type", "application/x-tar")
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
        except OSError as error:
            raise DaemonUnavailable(host, _reason(error)) from error
        try:
            _send(connection, write)
            answer = connection.getresponse()
            text = answer.read(_ANSWER_LIMIT).decode("utf-8", "replace")
        except (http.client.HTTPException, ConnectionError) as error:
            raise DaemonUnavailable(host, f"it hung up ({_reason(error)})") from error
        _check(answer.status, text)
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_CONNECT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_CONNECT_S)
        self.sock.connect(self._path)


def _connection(host: str) -> http.client.HTTPConnection:
    scheme, _, address = host.partition("://")
    match scheme:
        case "unix" if address:
            return _UnixConnection(str(Path("/") / address))
        case "tcp" | "http" if address:
            try:
                return http.client.HTTPConnection(address.rstrip("/"), timeout=_CONNECT_S)
            except http.client.InvalidURL as error:
                raise DaemonUnavailable(host, str(error)) from error
        case _:
            raise Unsupported(
                f'a Docker daemon at "{host}" cannot be reached',
                hint="unix:///PATH and tcp://HOST:PORT can",
            )


def _send(connection: http.client.HTTPConnection, write: Callable[[Sink], object]) -> None:
    def chunk(data: bytes) -> None:
        if data:  # an empty chunk would be the end
            connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    try:
        write(chunk)
        connection.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        # A daemon that refuses may stop reading: its answer says why.
        return


def _check(status: int, text: str) -> None:
    """An error of the daemon comes as a status, or in the stream of an answer that began well."""
    documents = []
    for line in text.splitlines():
        try:
            documents.append(json.loads(line))
        except ValueError:
            continue
    for document in documents:
        if isinstance(document, dict) and (
            document.get("error") or (status >= 300 and "message" in document)
        ):
            raise DaemonRefused(str(document.get("error") or document["message"])[:1000])
    if status >= 300:
        raise DaemonRefused(f"it answered {status}")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
