"""A Docker daemon that only loads images: as much of the Engine API as `--load` speaks."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class FakeDaemon:
    """What it was sent, and what it answers."""

    def __init__(self, status: int = 200, answer: bytes = b'{"stream":"Loaded image"}\n') -> None:
        self.status = status
        self.answer = answer
        self.loaded: list[bytes] = []
        self.requests: list[str] = []


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    daemon: FakeDaemon


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        daemon = self.server.daemon
        daemon.requests.append(self.requestline)
        assert self.headers["Transfer-Encoding"] == "chunked"
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        daemon.loaded.append(body)
        self.send_response(daemon.status)
        self.send_header("Content-Length", str(len(daemon.answer)))
        self.end_headers()
        self.wfile.write(daemon.answer)

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(daemon: FakeDaemon, path: Path) -> Iterator[str]:
    """The daemon on a socket; its DOCKER_HOST."""
    with _Server(str(path), _Handler) as server:
        server.daemon = daemon
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()
