"""A gzip file of many members, each of which can be read alone, compressed on every core."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from builder.fs.blockgzip import deflater

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

# deflate, no flags, no time, no extra flags, unknown system: what does not say who made it or when.
GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
# What waits beside what the threads have in hand.
_AHEAD = 2


class Place:
    """Where a member begins in the file; known once the members before it are compressed."""

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = -1


class GzipMembers:
    """Takes bytes and ends of members. A context manager: it owns its threads.

    Each member is compressed by itself, so that any number of threads gives the same bytes. Memory holds the
    members in hand: ``cut`` often.
    """

    def __init__(self, sink: Callable[[bytes], object], level: int, threads: int) -> None:
        self._sink = sink
        self._open, self._crc32, _ = deflater(level)
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._running: deque[tuple[Place, Future[bytes]]] = deque()
        self._parts: list[bytes] = []
        self._place = Place()
        self.pending = 0  # bytes in the member that is open
        self._written = 0

    def __enter__(self) -> GzipMembers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def write(self, data: bytes) -> None:
        """Into the open member."""
        self._parts.append(data)
        self.pending += len(data)

    def cut(self) -> Place:
        """End the open member, if there is anything in it, and begin one; where that will be."""
        if self._parts:
            parts, self._parts, self.pending = self._parts, [], 0
            place, self._place = self._place, Place()
            if self._threads == 1:
                self._emit(place, self._member(parts))
            else:
                self._submit(place, parts)
        return self._place

    def drain(self) -> int:
        """End the open member and wait for all of them; the size of the file so far."""
        self.cut()
        while self._running:
            place, future = self._running.popleft()
            self._emit(place, future.result())
        return self._written

    def _submit(self, place: Place, parts: list[bytes]) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="deflate")
        self._running.append((place, self._pool.submit(self._member, parts)))
        while self._running[0][1].done() or len(self._running) > self._threads + _AHEAD:
            first, future = self._running.popleft()
            self._emit(first, future.result())
            if not self._running:
                break

    def _emit(self, place: Place, data: bytes) -> None:
        place.offset = self._written
        self._written += len(data)
        self._sink(data)

    def _member(self, parts: list[bytes]) -> bytes:
        stream = self._open()
        data = b"".join(parts)
        body = stream.compress(data) + stream.flush(zlib.Z_FINISH)
        return b"".join((GZIP_HEADER, body, struct.pack("<II", self._crc32(data, 0), len(data))))
