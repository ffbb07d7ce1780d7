"""One blob on its way in: counted, hashed, and taken up again where a transfer broke."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.job import Cancel
from builder.registry.answer import Answer, read_chunks
from builder.registry.config import Endpoint
from builder.registry.retry import TRANSIENT_LIMIT, EndpointFailed, again

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/(\*|[0-9]{1,19})")
# A try that brought this much does not count as failed; less, and a server could keep us for ever.
_PROGRESS = 1 << 20
_TOLD = 256 << 10  # so much more, and people are told


class BlobReceiver:
    """Passes each byte to ``sink`` once, over as many answers as it takes, from whichever endpoints."""

    def __init__(
        self,
        descriptor: Descriptor,
        sink: Callable[[bytes], object],
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self._descriptor = descriptor
        self._sink = sink
        self._progress = progress
        self._hash = hashlib.new(descriptor.digest.algorithm)
        self._received = 0
        self._told = 0
        self._has_no_parts = False

    def take_known(self, known: Iterable[bytes]) -> bool:
        """What was received before; whether it is all of it. Raises DigestMismatch if it is too much."""
        for data in known:
            self._count(data)
        return 0 < self._received == self._descriptor.size

    def request_headers(self) -> Mapping[str, str]:
        """Asks for what is missing."""
        return {"Range": f"bytes={self._received}-"} if self._received and not self._has_no_parts else {}

    def refuse_parts(self) -> None:
        """The server does not give what is missing: from now on it is asked for all."""
        self._has_no_parts = True

    def receive(self, endpoint: Endpoint, answer: Answer, cancel: Cancel | None) -> None:
        """Take what one answer has. Raises EndpointFailed if that is not all, DigestMismatch if too much."""
        before = self._received
        try:
            skip = self._offset_of(endpoint, answer)
            with closing(read_chunks(answer, endpoint, cancel)) as chunks:
                for chunk in chunks:
                    self._take(chunk[skip:])
                    skip = max(0, skip - len(chunk))
            if self._received < self._descriptor.size:
                cut = f"the transfer ended after {self._received} of {self._descriptor.size} bytes"
                raise EndpointFailed(endpoint, cut, limit=TRANSIENT_LIMIT)  # noqa: TRY301  # one place counts
        except EndpointFailed as error:
            if self._received == self._descriptor.size:
                return
            error.made_progress = self._received - before >= _PROGRESS
            raise
        finally:
            answer.response.close()

    def verify(self) -> None:
        """Raises DigestMismatch unless all bytes came and are the right ones."""
        actual = Digest(self._descriptor.digest.algorithm, self._hash.hexdigest())
        if actual != self._descriptor.digest:
            raise DigestMismatch(self._descriptor.digest, actual, what="a blob")

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self._count(data)
        self._sink(data)
        is_worth_telling = self._received - self._told >= _TOLD or self._received == self._descriptor.size
        if self._progress is not None and is_worth_telling:
            self._told = self._received
            self._progress(self._received, self._descriptor.size)

    def _count(self, data: bytes) -> None:
        if self._received + len(data) > self._descriptor.size:
            raise self._wrong_size("longer")
        self._hash.update(data)
        self._received += len(data)

    def _offset_of(self, endpoint: Endpoint, answer: Answer) -> int:
        """How many bytes of the answer are known already: a server need not do ranges."""
        length = answer.response.headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        if answer.response.status == 206:
            match = _CONTENT_RANGE.fullmatch(answer.response.headers.get("Content-Range", "").strip())
            if match is None or int(match[1]) != self._received:
                self.refuse_parts()
                raise again(EndpointFailed(endpoint, "it answered with another part of the blob"))
            if match[2] not in ("*", str(self._descriptor.size)):
                raise self._wrong_size(f"{match[2]} bytes")
            return 0
        if size is not None and size != self._descriptor.size:
            raise self._wrong_size(f"{size} bytes")
        return self._received

    def _wrong_size(self, actual: str) -> DigestMismatch:
        return DigestMismatch(
            f"{self._descriptor.size} bytes", actual, what=f"blob {self._descriptor.digest}"
        )
