"""The upload half of the registry in this process: sessions, chunks, mounts and manifests that are put."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from builder.core.digest import Digest


class Request(NamedTuple):
    """What an upload needs to know of a request."""

    method: str
    path: str  # with the query
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str | None] = {}
    body: bytes = b""


class Uploads:
    """Takes blobs in; ``blobs`` is where complete ones go, by repository and digest."""

    def __init__(self, blobs: MutableMapping[tuple[str, str], bytes]) -> None:
        self._blobs = blobs
        self._numbers = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Nothing is open, and all is as it should be."""
        self._open: dict[str, bytearray] = {}
        self.base = ""  # of Location: "" for a relative one, else an address without a slash at its end
        self.query = "_state=a%2Fb&n=1"  # what Location has behind the "?"
        self.checks_ranges = True  # False: appends whatever it is sent, as docker-registry 2.8 does
        self.takes_chunks = True
        self.mounts = True
        self.largest_body: int | None = None
        self.chunk_min = ""

    def answer(self, request: Request, name: str, session: str) -> Reply:
        if self.largest_body is not None and len(request.body) > self.largest_body:
            return Reply(413, {"Content-Type": "text/html"}, b"<html>413 Request Entity Too Large</html>")
        query = parse_qs(urlsplit(request.path).query)
        if request.method == "POST":
            return self._begin(name, query)
        have = self._open.get(session)
        if have is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        match request.method:
            case "GET":
                return self._state(204, name, session)
            case "PATCH" if not self.takes_chunks:
                return _error(405, "UNSUPPORTED", "no chunks here")
            case "PATCH":
                start = request.headers.get("content-range", "").partition("-")[0]
                if self.checks_ranges and start != str(len(have)):
                    return self._state(416, name, session)
                have += request.body
                return self._state(202, name, session)
            case "PUT":
                data, digest = bytes(have) + request.body, query.get("digest", [""])[0]
                if str(Digest.of(data)) != digest:
                    return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
                del self._open[session]
                return self._placed(name, digest, data)
            case _:
                return Reply(405)

    def keep(self, session: str, body: bytes) -> None:
        """A part of a body whose connection broke."""
        if session in self._open:
            self._open[session] += body

    def forget(self) -> None:
        """All open uploads are gone."""
        self._open.clear()

    def _begin(self, name: str, query: Mapping[str, list[str]]) -> Reply:
        mounted = self._blobs.get((query.get("from", [""])[0], query.get("mount", [""])[0]))
        if self.mounts and mounted is not None:
            return self._placed(name, query["mount"][0], mounted)
        session = f"session-{next(self._numbers)}"
        self._open[session] = bytearray()
        return self._state(202, name, session)

    def _state(self, status: int, name: str, session: str) -> Reply:
        query = f"?{self.query}" if self.query else ""
        headers = {
            "Location": f"{self.base}/v2/{name}/blobs/uploads/{session}{query}",
            # As docker-registry says it: the same for nothing and for one byte.
            "Range": f"0-{max(len(self._open[session]) - 1, 0)}",
            "OCI-Chunk-Min-Length": self.chunk_min or None,
        }
        return Reply(status, headers)

    def _placed(self, name: str, digest: str, data: bytes) -> Reply:
        self._blobs[name, digest] = data
        headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
        return Reply(201, headers)


def missing_of(raw: bytes, name: str, known: Mapping[tuple[str, str], object]) -> str | None:
    """A digest that a manifest names and that is not there."""
    document = json.loads(raw)
    named = [document.get("config"), *document.get("layers", ()), *document.get("manifests", ())]
    digests = [entry["digest"] for entry in named if entry is not None]
    return next((digest for digest in digests if (name, digest) not in known), None)


def session_of(path: str) -> str:
    """The upload that a path speaks of; "" if none."""
    match = re.fullmatch(r"/v2/.+/blobs/uploads/([^/?]+)", urlsplit(path).path)
    return match[1] if match else ""


def _error(status: int, code: str, message: str) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Reply(status, {"Content-Type": "application/json"}, body)
