"""A registry in this process, for all who pull and push: in memory, on 127.0.0.1, and as hostile as asked.

with FakeRegistry() as registry:
    registry.push_image("app", "1", [layer_tar], {"config": {"Cmd": ["/bin/sh"]}})
    registry.fail("/blobs/", 503, times=2)
    …  # pull f"{registry.host}/app:1"
    assert ["GET /v2/app/manifests/1", …] == registry.requests
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from builder.core.descriptor import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)
from builder.core.digest import Digest
from tests.support.uploads import Request, Uploads, missing_of, session_of

# A certificate for 127.0.0.1 and localhost that signs itself, with its key: worthless outside these tests.
TLS_PEM = Path(__file__).with_name("registry_tls.pem")


class LoggedRequest(NamedTuple):
    """What a client sent; header names are in lower case."""

    method: str
    path: str  # with the query
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What the registry sends. ``cut``: the connection ends after so many bytes of the body.

    A header that is None is left out, which only Content-Length could need.
    """

    status: int
    headers: Mapping[str, str | None] = {}
    body: bytes = b""
    cut: int | None = None
    reason: str | None = None
    is_dropped: bool = False  # the connection ends instead
    hold: threading.Event | None = None  # the connection stays open after the body until this is set
    speak: Callable[[socket.socket], object] | None = None  # says it all, and then the connection ends


class _Stored(NamedTuple):
    media_type: str
    raw: bytes
    headers: Mapping[str, str]


class _Rule:
    """Meddles with the next ``times`` answers (None: with all) to paths that match."""

    def __init__(
        self,
        pattern: str,
        times: int | None,
        change: Callable[[Answer], Answer],
        when: Callable[[LoggedRequest], bool] = lambda _: True,
    ) -> None:
        self.when = when
        self.pattern = re.compile(pattern)
        self.times = times
        self.change = change


class FakeRegistry:
    """Serves what was pushed into it; faults and logins are switched on by methods."""

    def __init__(self, *, tls: bool = False, knows_clients: bool = False) -> None:
        """``knows_clients``: who has not the certificate of these tests is not talked to."""
        self.log: list[LoggedRequest] = []
        self.spoken: list[Answer] = []  # that were said by ``speak``
        self.serves_ranges = True
        self.sends_digest_header = True
        self.token_lifetime_s = 300
        self.tags_on_a_page = 100
        self._blobs: dict[tuple[str, str], bytes] = {}
        self._manifests: dict[tuple[str, str], _Stored] = {}
        self.uploads = Uploads(self._blobs)
        self._rules: list[_Rule] = []
        self._early: list[_Rule] = []
        self._cuts: list[tuple[re.Pattern[str], int]] = []
        self._basic: str | None = None
        self._realm: str | None = None
        self._token_login: str | None = None
        self._refresh_token: str | None = None
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self._tls = tls
        self._server = _server(self, tls=tls, knows_clients=knows_clients)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        """``127.0.0.1:port``, as it goes into a reference."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}"

    @property
    def requests(self) -> list[str]:
        """``METHOD path`` of everything that was asked, in order."""
        return [f"{r.method} {r.path}" for r in self.log]

    # What it holds

    def push_blob(self, name: str, data: bytes) -> Digest:
        digest = Digest.of(data)
        self._blobs[name, str(digest)] = data
        return digest

    def push_manifest(
        self,
        name: str,
        tag: str | None,
        document: bytes | Mapping[str, object],
        media_type: str,
        headers: Mapping[str, str] = {},
    ) -> Digest:
        """Whatever bytes under whatever type; ``headers`` are sent with them."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = Digest.of(raw)
        for key in (str(digest), "sha512:" + hashlib.sha512(raw).hexdigest(), *([tag] if tag else [])):
            self._manifests[name, key] = _Stored(media_type, raw, headers)
        return digest

    def push_image(
        self,
        name: str,
        tag: str | None,
        layers: Sequence[bytes],
        config: Mapping[str, object],
        *,
        docker_media_types: bool = False,
    ) -> Digest:
        """Layers are tars, plain or compressed; ``config`` lacks only what can be derived."""
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(_plain(layer))) for layer in layers]},
            **config,
        }
        raw = json.dumps(document).encode()
        entries = [
            {
                "mediaType": _layer_type(layer, docker=docker_media_types),
                "digest": str(self.push_blob(name, layer)),
                "size": len(layer),
            }
            for layer in layers
        ]
        media_type = DOCKER_MANIFEST if docker_media_types else OCI_MANIFEST
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {
                "mediaType": DOCKER_CONFIG if docker_media_types else OCI_CONFIG,
                "digest": str(self.push_blob(name, raw)),
                "size": len(raw),
            },
            "layers": entries,
        }
        return self.push_manifest(name, tag, manifest, media_type)

    def push_index(
        self,
        name: str,
        tag: str | None,
        manifests: Sequence[tuple[Digest, str]],
        *,
        docker_media_types: bool = False,
    ) -> Digest:
        """``manifests`` are pushed ones, each with its platform as ``os/architecture[/variant]``."""
        entries = []
        for digest, platform in manifests:
            stored = self._manifests[name, str(digest)]
            names = ("os", "architecture", "variant")
            entries.append(
                {
                    "mediaType": stored.media_type,
                    "digest": str(digest),
                    "size": len(stored.raw),
                    "platform": dict(zip(names, platform.split("/"), strict=False)),
                }
            )
        media_type = DOCKER_INDEX if docker_media_types else OCI_INDEX
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
        return self.push_manifest(name, tag, index, media_type)

    def manifest(self, name: str, key: str | Digest) -> bytes:
        return self._manifests[name, str(key)].raw

    def blob(self, name: str, digest: str | Digest) -> bytes:
        return self._blobs[name, str(digest)]

    def has(self, name: str, key: str | Digest) -> bool:
        """A manifest or a blob."""
        return (name, str(key)) in self._manifests or (name, str(key)) in self._blobs

    def forget(self, name: str, key: str | Digest) -> None:
        """A manifest or a blob is not there any more."""
        self._manifests.pop((name, str(key)), None)
        self._blobs.pop((name, str(key)), None)

    def empty(self, name: str) -> None:
        """A repository has nothing in it any more."""
        for held in (self._manifests, self._blobs):
            for key in [key for key in held if key[0] == name]:
                del held[key]

    # What goes wrong; ``pattern`` is searched in "METHOD path?query"

    def change(self, pattern: str, change: Callable[[Answer], Answer], *, times: int | None = None) -> None:
        self._rules.append(_Rule(pattern, times, change))

    def fail(
        self,
        pattern: str,
        status: int,
        *,
        times: int | None = None,
        headers: Mapping[str, str] = {},
        body: bytes = b"",
    ) -> None:
        self.change(pattern, lambda _: Answer(status, headers, body), times=times)

    def refuse(
        self,
        pattern: str,
        status: int,
        *,
        times: int | None = None,
        headers: Mapping[str, str] = {},
        body: bytes = b"",
        when: Callable[[LoggedRequest], bool] = lambda _: True,
    ) -> None:
        """As ``fail``, and what was sent is not taken."""
        self._early.append(_Rule(pattern, times, lambda _: Answer(status, headers, body), when))

    def cut_body(self, pattern: str, after: int) -> None:
        """Once: the connection ends after so many bytes of what a client sends; an upload keeps them."""
        self._cuts.append((re.compile(pattern), after))

    def heal(self) -> None:
        """Nothing goes wrong any more, anybody may read, and what was asked is forgotten."""
        self._rules.clear()
        self._early.clear()
        self._cuts.clear()
        self.log.clear()
        self._basic = self._realm = None

    def cut_of(self, line: str) -> int | None:
        for cut in self._cuts:
            if cut[0].search(line):
                self._cuts.remove(cut)
                return cut[1]
        return None

    def take_part(self, request: LoggedRequest) -> None:
        """Some of a body whose connection then breaks."""
        with self._lock:
            self.log.append(request)
            self.uploads.keep(session_of(request.path), request.body)

    def truncate(self, pattern: str, after: int, *, times: int | None = 1) -> None:
        """The connection ends after so many bytes of the body, whose length promises more."""
        self.change(pattern, lambda a: a._replace(cut=after), times=times)

    def drop(self, pattern: str, *, times: int | None = 1) -> None:
        """The connection ends without an answer."""
        self.change(pattern, lambda a: a._replace(is_dropped=True), times=times)

    def corrupt(self, pattern: str, *, times: int | None = None) -> None:
        """The last byte is another one."""
        self.change(pattern, lambda a: a._replace(body=a.body[:-1] + bytes([a.body[-1] ^ 1])), times=times)

    def redirect(
        self, pattern: str, to: str, *, status: int = 307, times: int | None = None, is_early: bool = False
    ) -> None:
        """To an address, or to another server if it ends with ``*``, which stands for the path.

        ``is_early``: what was sent is not taken.
        """

        def change(answer: Answer) -> Answer:
            path = answer.headers.get("X-Path") or ""
            return Answer(status, {"Location": to[:-1] + path if to.endswith("*") else to})

        (self._early if is_early else self._rules).append(_Rule(pattern, times, change))

    # Who may read

    def require_basic(self, username: str, password: str) -> None:
        self._basic = _basic(username, password)

    def require_token(
        self,
        username: str | None = None,
        password: str = "",
        *,
        realm: str | None = None,
        refresh_token: str | None = None,
    ) -> None:
        """Bearer tokens from ``/token`` here, or at ``realm``; the login, if any, is what that wants."""
        self._realm = realm or f"{self.url}/token"
        self._token_login = None if username is None else _basic(username, password)
        self._refresh_token = refresh_token

    def accept_token(self, token: str) -> None:
        self._tokens.add(token)

    def revoke_tokens(self) -> None:
        self._tokens.clear()

    # The protocol

    def answer(self, request: LoggedRequest) -> Answer:
        with self._lock:
            self.log.append(request)
            line = f"{request.method} {request.path}"
            for rule in self._early:
                if rule.pattern.search(line) and rule.times != 0 and rule.when(request):
                    rule.times = None if rule.times is None else rule.times - 1
                    return rule.change(Answer(200, {"X-Path": request.path}))
            answer = self._answer(request)
            answer = answer._replace(headers={"X-Path": request.path, **answer.headers})
            for rule in self._rules:
                if rule.pattern.search(line) and rule.times != 0:
                    rule.times = None if rule.times is None else rule.times - 1
                    return rule.change(answer)
            return answer

    def _answer(self, request: LoggedRequest) -> Answer:
        path = urlsplit(request.path).path
        if path == "/token":
            return self._token(request)
        challenge = self._challenge(request, path)
        if challenge is not None:
            return _error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})
        upload = re.fullmatch(r"/v2/(.+)/blobs/uploads/([^/]*)", path)
        if upload is not None:
            return Answer(*self.uploads.answer(Request(*request), upload[1], upload[2]))
        listed = re.fullmatch(r"/v2/(.+)/tags/list", path)
        if listed is not None:
            return self._tags(listed[1], parse_qs(urlsplit(request.path).query))
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if match is None:
            return (
                Answer(200)
                if path == "/v2/"
                else Answer(404, {"Content-Type": "text/plain"}, b"no such page")
            )
        name, kind, key = match.groups()
        if kind == "manifests" and request.method == "PUT":
            return self._put_manifest(name, key, request)
        return self._manifest(name, key) if kind == "manifests" else self._blob(name, key, request)

    def _tags(self, name: str, query: Mapping[str, list[str]]) -> Answer:
        """At most ``tags_on_a_page``, and where the next ones are."""
        tags = sorted(key for where, key in self._manifests if where == name and ":" not in key)
        if not tags:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        rest = [tag for tag in tags if tag > query.get("last", [""])[0]]
        page, headers = rest[: self.tags_on_a_page], {"Content-Type": "application/json"}
        if len(page) < len(rest):
            headers["Link"] = f'</v2/{name}/tags/list?last={page[-1]}>; rel="next"'
        return Answer(200, headers, json.dumps({"name": name, "tags": page}).encode())

    def _put_manifest(self, name: str, key: str, request: LoggedRequest) -> Answer:
        missing = missing_of(request.body, name, {**self._blobs, **self._manifests})
        if missing is not None:
            return _error(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {missing}")
        digest = self.push_manifest(name, key, request.body, request.headers["content-type"])
        return Answer(201, {"Docker-Content-Digest": str(digest)})

    def _manifest(self, name: str, key: str) -> Answer:
        stored = self._manifests.get((name, key))
        if stored is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        headers = {"Content-Type": stored.media_type}
        if self.sends_digest_header:
            headers["Docker-Content-Digest"] = str(Digest.of(stored.raw))
        return Answer(200, {**headers, **stored.headers}, stored.raw)

    def _blob(self, name: str, key: str, request: LoggedRequest) -> Answer:
        data = self._blobs.get((name, key))
        if data is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if match is None or not self.serves_ranges:
            return Answer(200, {"Content-Type": "application/octet-stream"}, data)
        start = int(match[1])
        if start >= len(data):
            return Answer(416)
        return Answer(206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:])

    def _challenge(self, request: LoggedRequest, path: str) -> str | None:
        sent = request.headers.get("authorization", "")
        if self._basic is not None and sent != self._basic:
            return 'Basic realm="fake registry"'
        if self._realm is not None and sent.removeprefix("Bearer ") not in self._tokens:
            repository = path.removeprefix("/v2/").partition("/blobs/")[0].partition("/manifests/")[0]
            repository = repository.removesuffix("/tags/list")
            actions = "pull" if request.method in ("GET", "HEAD") else "pull,push"
            scope = f',scope="repository:{repository}:{actions}"' if repository else ""
            return f'Bearer realm="{self._realm}",service="fake"{scope}'
        return None

    def _token(self, request: LoggedRequest) -> Answer:
        if request.method == "POST":
            is_welcome = parse_qs(request.body.decode()).get("refresh_token") == [self._refresh_token]
        else:
            is_welcome = self._token_login in (None, request.headers.get("authorization"))
        if not is_welcome:
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        token = f"token-{len(self._tokens)}-{len(self.log)}"
        self._tokens.add(token)
        body = {
            "access_token" if request.method == "POST" else "token": token,
            "expires_in": self.token_lifetime_s,
        }
        if self._refresh_token is not None and "offline_token=true" in request.path:
            body["refresh_token"] = self._refresh_token
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _server(registry: FakeRegistry, *, tls: bool, knows_clients: bool) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {k.lower(): v for k, v in self.headers.items()}
            cut = registry.cut_of(f"{self.command} {self.path}")
            if cut is not None:
                registry.take_part(
                    LoggedRequest(self.command, self.path, headers, self.rfile.read(min(cut, length)))
                )
                self.close_connection = True
                return
            self._send(
                registry.answer(LoggedRequest(self.command, self.path, headers, self.rfile.read(length)))
            )

        do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815  # the names that http.server looks for

        def _send(self, answer: Answer) -> None:
            if answer.is_dropped:
                self.close_connection = True
                return
            if answer.speak is not None:
                self.close_connection = True
                registry.spoken.append(answer)
                answer.speak(self.connection)
                return
            self.send_response(answer.status, answer.reason)
            for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                if value is not None:
                    self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(answer.body[: answer.cut])
            if answer.hold is not None:
                self.wfile.flush()
                answer.hold.wait(60)
            if answer.cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """The log is ``registry.log``."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up in the middle are what many tests are about."""
            if not isinstance(sys.exception(), OSError):
                super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed: a socket

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS_PEM)
        if knows_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(TLS_PEM)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def _error(status: int, code: str, message: str, headers: Mapping[str, str] = {}) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, {"Content-Type": "application/json", **headers}, body)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _plain(layer: bytes) -> bytes:
    if layer[:4] == b"\x28\xb5\x2f\xfd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(layer)
    return gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer


def _layer_type(layer: bytes, *, docker: bool) -> str:
    if layer[:4] == b"\x28\xb5\x2f\xfd":
        return OCI_LAYER_ZSTD
    if layer[:2] == b"\x1f\x8b":
        return DOCKER_LAYER_GZIP if docker else OCI_LAYER_GZIP
    return DOCKER_LAYER if docker else OCI_LAYER
