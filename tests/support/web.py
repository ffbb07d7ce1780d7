"""A web server of this machine that says what a test wants, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple


class Reply(NamedTuple):
    """``length`` other than that of the body lies about it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    length: int | None = None


class Asked(NamedTuple):
    method: str
    path: str
    headers: Message
    body: bytes = b""


Answer = Callable[[Asked], Reply]


class WebServer:
    """Answers by path, without the query; what has no answer is 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Reply] = {}
        self.asked: list[Asked] = []
        self.root: Path | None = None  # files below it are served too
        self.backend: Path | None = None  # repositories below it, by git's own program
        self.port = 0

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[WebServer]:
        server = cls()
        with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
            server.port = http.server_address[1]
            thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            try:
                yield server
            finally:
                http.shutdown()
                thread.join()

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    @property
    def requests(self) -> list[str]:
        """``METHOD PATH``, in order."""
        return [f"{each.method} {each.path}" for each in self.asked]

    def answer(self, asked: Asked) -> Reply:
        path = asked.path.partition("?")[0]
        known = self.answers.get(path)
        if isinstance(known, Reply):
            return known
        if known is not None:
            return known(asked)
        if self.backend is not None:
            return _run_backend(self.backend, asked)
        if self.root is not None and (self.root / path.lstrip("/")).is_file():
            return Reply(200, (self.root / path.lstrip("/")).read_bytes())
        return Reply(404)


def _handler(server: WebServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, self.path, self.headers, body)
            server.asked.append(asked)
            reply = server.answer(asked)
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 304 and "Transfer-Encoding" not in reply.headers:
                self.send_header(
                    "Content-Length", str(len(reply.body) if reply.length is None else reply.length)
                )
            if reply.length is not None:
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD" and reply.status != 304:
                self.wfile.write(reply.body)

        do_HEAD = do_GET  # noqa: N815 (the name that http.server looks for)
        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *values: object) -> None:
            """Quiet."""

    return Handler


def _run_backend(root: Path, asked: Asked) -> Reply:
    path, _, query = asked.path.partition("?")
    done = subprocess.run(
        ["git", "http-backend"],
        input=asked.body,
        capture_output=True,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": asked.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "REQUEST_METHOD": asked.method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": asked.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(asked.body)),
            "HTTP_CONTENT_ENCODING": asked.headers.get("Content-Encoding", ""),
        },
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    return Reply(int(headers.pop("Status", "200").split()[0]), body, headers)
