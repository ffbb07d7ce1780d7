"""A stream cut into the blocks of a tar: exact reads over a small buffer, forwards only."""

from __future__ import annotations

from typing import Protocol

from builder.fs.limits import BadArchive

BLOCK = 512
_READ_SIZE = 1 << 18


class Readable(Protocol):
    """What is needed of a stream; short answers are fine, an empty one is the end."""

    def read(self, n: int, /) -> bytes: ...


class Blocks:
    """Reads ahead by up to 256 KiB, so nobody else may read the stream meanwhile."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0

    def block(self) -> bytes | None:
        """The next 512 bytes, None at the end of the stream."""
        at = self._at
        block = self._buffer[at : at + BLOCK]
        if len(block) < BLOCK:
            self._fill(BLOCK)
            block = self._buffer[:BLOCK]
            at = 0
            if not block:
                return None
            if len(block) < BLOCK:
                raise BadArchive("the archive is cut off")
        self._at = at + BLOCK
        return block

    def take(self, n: int) -> bytes:
        """Exactly ``n`` bytes."""
        at = self._at
        data = self._buffer[at : at + n]
        if len(data) == n:
            self._at = at + n
            return data
        self._buffer, self._at = b"", 0
        parts, left = [data], n - len(data)
        while left:
            more = self._stream.read(max(left, _READ_SIZE))
            if not more:
                raise BadArchive("the archive is cut off")
            parts.append(more[:left])
            if len(more) > left:
                self._buffer, self._at = more, left
                break
            left -= len(more)
        return b"".join(parts)

    def skip(self, n: int) -> None:
        """Pass over ``n`` bytes, fewer where the stream ends."""
        if self._at + n > len(self._buffer):
            self._fill(n)
        self._at = min(self._at + n, len(self._buffer))

    def drain(self) -> None:
        """Read the stream to its very end."""
        self._buffer, self._at = b"", 0
        while self._stream.read(_READ_SIZE):
            pass

    def _fill(self, n: int) -> None:
        """Have the next ``n`` bytes, or all that is left, at the start of the buffer."""
        parts = [self._buffer[self._at :]]
        have = len(parts[0])
        while have < n:
            more = self._stream.read(_READ_SIZE)
            if not more:
                break
            parts.append(more)
            have += len(more)
        self._buffer, self._at = b"".join(parts), 0
