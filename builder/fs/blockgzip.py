"""Deflate on every core: blocks that are compressed apart, and one stream for whoever reads it."""

from __future__ import annotations

import importlib
import zlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from builder.core.errors import Unsupported

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

# A last block, empty, with fixed codes (RFC 1951, 3.2.6); each flush before it ended on a whole byte.
_LAST_BLOCK = b"\x03\x00"
# What waits beside what the threads have in hand: enough that none of them runs dry.
_AHEAD = 2


class Stream(Protocol):
    """As zlib has it."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int = ..., /) -> bytes: ...


class BlockDeflater:
    """A raw deflate stream. Each call of ``compress`` is one block: cut alike, input gives the same bytes.

    No block refers to the one before it, which costs less than 1 % in blocks of a MiB, and any number of
    threads gives the same stream.
    """

    def __init__(self, level: int, threads: int) -> None:
        self._open, self.crc32, self.name = deflater(level)
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._running: deque[Future[bytes]] = deque()

    @staticmethod
    def name_of(level: int) -> str:
        """Which library, version and level it is. Raises Unsupported."""
        return deflater(level)[2]

    def compress(self, data: bytes) -> bytes:
        """Begin a block; what has been finished so far, in order."""
        if self._threads == 1:
            return self._block(data)
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="deflate")
        self._running.append(self._pool.submit(self._block, data))
        done = []
        while self._running and (self._running[0].done() or len(self._running) > self._threads + _AHEAD):
            done.append(self._running.popleft().result())
        return b"".join(done)

    def flush(self) -> bytes:
        """The rest and the end."""
        rest = [future.result() for future in self._running]
        self._running.clear()
        self.abandon()
        return b"".join((*rest, _LAST_BLOCK))

    def abandon(self) -> None:
        """Let the threads go, whatever they have in hand; idempotent."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _block(self, data: bytes) -> bytes:
        stream = self._open()
        return stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)


def deflater(level: int) -> tuple[Callable[[], Stream], Callable[[bytes, int], int], str]:
    """What opens a raw deflate stream, the CRC that goes with it, and the name of both.

    isal for the levels it has (0 to 3), ten times as fast as zlib, and zlib for the others. Raises
    Unsupported.
    """
    if not 0 <= level <= 9:
        raise Unsupported(f'gzip has no compression level "{level}"', hint="use 0 to 9")
    if level <= 3:
        try:
            from isal import isal_zlib
        except ImportError:  # no wheel for this machine
            pass
        else:
            version = importlib.import_module("isal").__version__
            name = f"gzip/isal-{version}/{level}"
            return lambda: isal_zlib.compressobj(level, isal_zlib.DEFLATED, -15), isal_zlib.crc32, name
    name = f"gzip/zlib-{zlib.ZLIB_RUNTIME_VERSION}/{level}"
    return lambda: zlib.compressobj(level, zlib.DEFLATED, -15), zlib.crc32, name
