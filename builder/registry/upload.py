"""One blob on its way out: whole or in chunks, and taken up again where a transfer broke.

What the registry has of a blob is asked of it whenever an answer was lost, never guessed: some append
whatever they are sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from builder.core.descriptor import Descriptor
from builder.core.digest import DigestMismatch
from builder.core.job import Cancel
from builder.core.reference import Reference
from builder.registry.answer import Answer, finish
from builder.registry.config import Endpoint
from builder.registry.exchange import Call, Exchange, repository_url, scope_of
from builder.registry.interface import BlobPlaced, OpenAt
from builder.registry.retry import EndpointFailed, again
from builder.registry.transport import Body, Request, redirected

_LARGEST_CHUNK = 1 << 30
_PIECE = 256 << 10
# A try that brought this much does not count as failed.
_PROGRESS = 1 << 20
_RANGE = re.compile(r"(?:bytes[= ])?0-([0-9]{1,19})")
_TOO_LARGE = 413
# Said to a PATCH by registries that know none.
_NO_CHUNKS = frozenset({400, 405, 411, 415, 422, 501})


class Sizes(NamedTuple):
    """How much goes into one request, in bytes."""

    # A blob up to this is sent in one request: little is lost by sending it again.
    whole: int = 8 << 20
    # Few requests, and not much to send again where a registry keeps nothing of a chunk that broke.
    chunk: int = 64 << 20
    # Proxies that limit a body allow a mebibyte or more (nginx's client_max_body_size).
    smallest: int = 512 << 10


class BlobUpload:
    """What is known of one upload; ``attempt`` goes on with it until it is done."""

    def __init__(
        self,
        exchange: Exchange,
        reference: Reference,
        descriptor: Descriptor,
        open_at: OpenAt,
        *,
        mount_from: str,
        progress: Callable[[int, int], object] | None,
        sizes: Sizes,
    ) -> None:
        self._exchange = exchange
        self._reference = reference
        self._descriptor = descriptor
        self._open_at = open_at
        self._mount_from = mount_from
        self._progress = progress
        self._is_whole = descriptor.size <= sizes.whole
        self._chunk, self._smallest = sizes.chunk, sizes.smallest
        self._endpoint: Endpoint | None = None
        self._session = ""  # where to send to; "": nothing has begun
        self._offset = 0  # what the registry has
        self._most = 0  # what it had at the end of a try that failed
        self._is_doubtful = False  # the last answer was lost, or none
        self._is_resumed = False

    def attempt(self, endpoint: Endpoint, cancel: Cancel | None) -> BlobPlaced:
        """Raises EndpointFailed; the next call goes on from what the registry then has."""
        if endpoint != self._endpoint:
            self._endpoint, self._session = endpoint, ""
        try:
            return self._go_on(endpoint, cancel)
        except EndpointFailed as error:
            self._is_doubtful = True
            # More than there ever was: a registry that forgets could keep us for ever.
            error.made_progress = self._offset - self._most >= _PROGRESS
            self._most = max(self._most, self._offset)
            raise

    def _go_on(self, endpoint: Endpoint, cancel: Cancel | None) -> BlobPlaced:
        while True:
            if self._session and self._is_doubtful:
                self._ask_offset(endpoint, cancel)
            if not self._session:
                placed = self._begin(endpoint, cancel)
                if placed is not None:
                    return placed
            self._is_doubtful = False
            if self._is_whole or self._offset == self._descriptor.size:
                self._finish(endpoint, cancel)
                return BlobPlaced.UPLOADED
            self._send_chunk(endpoint, cancel)

    def _begin(self, endpoint: Endpoint, cancel: Cancel | None) -> BlobPlaced | None:
        """Open an upload, unless there is nothing to send."""
        self._offset, self._is_resumed = 0, False
        if has_blob(self._exchange, endpoint, self._reference, self._descriptor, cancel):
            self._tell(self._descriptor.size)
            return BlobPlaced.EXISTS
        if self._mount_from:
            source, self._mount_from = self._mount_from, ""
            try:
                self._session = self._post(endpoint, source, cancel)
            except EndpointFailed as error:
                # It may not let us read there, or know nothing of mounts; then the bytes are sent.
                if error.status is None or not 400 <= error.status < 500 or error.limit > 1:
                    raise
            else:
                if not self._session:
                    self._tell(self._descriptor.size)
                    return BlobPlaced.MOUNTED
                return None
        self._session = self._post(endpoint, "", cancel)
        return None

    def _post(self, endpoint: Endpoint, mount_from: str, cancel: Cancel | None) -> str:
        """Where the upload goes; "": it was mounted."""
        url = repository_url(endpoint, self._reference, "blobs/uploads/")
        scope, accepted = self._scope(endpoint), frozenset({202})
        if mount_from:
            url += f"?mount={quote(str(self._descriptor.digest))}&from={quote(mount_from, safe='')}"
            scope += f" {scope_of(endpoint, mount_from, 'pull')}"
            accepted = frozenset({201, 202})
        call = Call("POST", url, scope, accepted, {"Content-Length": "0"}, b"")
        answer = self._exchange.send(endpoint, call, cancel)
        finish(answer.response)
        if answer.response.status == 201:
            return ""
        smallest = answer.response.headers.get("OCI-Chunk-Min-Length", "")
        if smallest.isascii() and smallest.isdigit() and len(smallest) < 12:
            self._chunk = min(max(self._chunk, int(smallest)), _LARGEST_CHUNK)
        self._offset = 0
        session = self._following(endpoint, answer)
        if not session:
            raise EndpointFailed(endpoint, "it does not say where to upload to")
        return session

    def _send_chunk(self, endpoint: Endpoint, cancel: Cancel | None) -> None:
        size = min(self._chunk, self._descriptor.size - self._offset)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
            "Content-Range": f"{self._offset}-{self._offset + size - 1}",
        }
        body = partial(self._pieces, self._offset, size, cancel)
        try:
            answer = self._send(endpoint, "PATCH", self._session, headers, body, {202, 201, 204}, cancel)
        except EndpointFailed as error:
            if error.status == _TOO_LARGE and self._shrink(size):
                self._is_doubtful = True
                return
            if error.status in _NO_CHUNKS and not self._offset:
                self._is_whole, self._session = True, ""
                return
            raise
        finish(answer.response)
        self._session = self._following(endpoint, answer) or self._session
        end = self._offset + size
        self._take_offset(endpoint, answer, end)
        if self._offset < end:
            raise again(
                EndpointFailed(endpoint, f"it has {self._offset} bytes of the blob, and was sent {end}")
            )

    def _finish(self, endpoint: Endpoint, cancel: Cancel | None) -> None:
        size = self._descriptor.size - self._offset
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        body: Body = partial(self._pieces, self._offset, size, cancel) if size else b""
        separator = "&" if urlsplit(self._session).query else "?"
        url = f"{self._session}{separator}digest={quote(str(self._descriptor.digest), safe='')}"
        try:
            answer = self._send(endpoint, "PUT", url, headers, body, {201, 202, 204}, cancel)
        except EndpointFailed as error:
            if error.status == _TOO_LARGE and size and self._shrink(size):
                self._is_whole = False
                raise again(error) from error
            if error.status == 400 and self._is_resumed:
                # It has other bytes than it said: all of them once more.
                self._session = ""
                raise again(error) from error
            raise
        finish(answer.response)
        announced = answer.response.headers.get("Docker-Content-Digest", "").strip()
        if announced and announced != str(self._descriptor.digest) and announced.startswith("sha256:"):
            raise DigestMismatch(self._descriptor.digest, announced[:80], what="the blob at the registry")

    def _send(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body,
        accepted: set[int],
        cancel: Cancel | None,
    ) -> Answer:
        scope = self._scope(endpoint)
        call = Call(method, url, scope, frozenset(accepted), headers, body, is_stored=True)
        try:
            return self._exchange.send(endpoint, call, cancel)
        except EndpointFailed as error:
            if error.status == 404 or (error.status == 416 and not self._offset):
                # The upload is not known any more: perhaps it is complete, and the answer was lost.
                self._session = ""
                raise again(error) from error
            if error.status == 416:
                raise again(error) from error
            raise

    def _ask_offset(self, endpoint: Endpoint, cancel: Cancel | None) -> None:
        """What the registry has of the blob; where it does not say, it all begins again."""
        call = Call("GET", self._session, self._scope(endpoint), frozenset({200, 204}))
        try:
            answer = self._exchange.send(endpoint, call, cancel)
        except EndpointFailed as error:
            if error.status is None or error.limit > 1:
                raise
            self._session = ""
            return
        finish(answer.response)
        self._is_resumed = True
        self._session = self._following(endpoint, answer) or self._session
        self._take_offset(endpoint, answer, 0)
        if self._is_whole and self._offset:
            # What there is of it is of no use to a request that has it all.
            self._session = ""

    def _take_offset(self, endpoint: Endpoint, answer: Answer, otherwise: int) -> None:
        match = _RANGE.fullmatch(answer.response.headers.get("Range", "").strip())
        # "0-0" is said of nothing, too.
        has = otherwise if match is None else int(match[1]) + 1 if match[1] != "0" else min(otherwise, 1)
        if has > self._descriptor.size:
            self._session = ""
            raise again(EndpointFailed(endpoint, f"it has {has} bytes of a blob of {self._descriptor.size}"))
        self._offset = has
        self._tell(has)

    def _shrink(self, size: int) -> bool:
        """Whether smaller chunks are worth a try."""
        self._chunk = max(size // 4, self._smallest)
        return size > self._chunk

    def _following(self, endpoint: Endpoint, answer: Answer) -> str:
        """Where the answer says that the upload goes on; "" if it does not say."""
        location = answer.response.headers.get("Location", "").strip()
        if not location:
            return ""
        parts = urlsplit(location)
        own = urlsplit(f"{endpoint.scheme}://{endpoint.host}")
        if (parts.scheme, endpoint.scheme) == ("http", "https") and parts.hostname == own.hostname:
            # A registry behind a proxy that does TLS for it, and does not know of it.
            location = parts._replace(scheme="https", netloc=own.netloc).geturl()
        url = redirected(Request(endpoint, "PATCH", answer.url, {}), answer.url, location)
        return url.partition("#")[0]

    def _pieces(self, start: int, size: int, cancel: Cancel | None) -> Iterator[bytes]:
        with closing(self._open_at(start)) as file:
            left = size
            while left:
                if cancel is not None:
                    cancel.check()
                data = file.read(min(_PIECE, left))
                if not data:
                    cut = f"{start + size - left} bytes"
                    raise DigestMismatch(
                        f"{self._descriptor.size} bytes", cut, what=f"blob {self._descriptor.digest}"
                    )
                left -= len(data)
                yield data
                self._tell(start + size - left)

    def _tell(self, current: int) -> None:
        if self._progress is not None:
            self._progress(current, self._descriptor.size)

    def _scope(self, endpoint: Endpoint) -> str:
        return scope_of(endpoint, self._reference.path, "pull,push")


def has_blob(
    exchange: Exchange,
    endpoint: Endpoint,
    reference: Reference,
    descriptor: Descriptor,
    cancel: Cancel | None,
) -> bool:
    """Whether a repository has a blob of that size. Raises EndpointFailed."""
    url = repository_url(endpoint, reference, f"blobs/{descriptor.digest}")
    scope = scope_of(endpoint, reference.path, "pull,push")
    call = Call("HEAD", url, scope, frozenset({200, 404, 405}), is_verified=True)
    try:
        answer = exchange.send(endpoint, call, cancel)
    except EndpointFailed as error:
        if error.is_foreign:
            return False  # storage whose addresses are signed for GET
        raise
    finish(answer.response)
    length = answer.response.headers.get("Content-Length", "")
    return answer.response.status == 200 and length in ("", str(descriptor.size))
