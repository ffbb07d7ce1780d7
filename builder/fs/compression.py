"""gzip, zstd, bzip2 and xz: streams in, streams out, in bounded memory and with the same bytes every time."""

from __future__ import annotations

import hashlib
import importlib
import io
import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

from builder.core.errors import Unsupported
from builder.fs.blocks import Readable
from builder.fs.decoders import PIECE_SIZE, SNIFF_SIZE, Decoder, decoder_of, sniff
from builder.fs.limits import ArchiveLimit

__all__ = ["Compressor", "HashingReader", "HashingWriter", "open_decompressed", "sniff"]

# The output of isal depends on how its input is cut, so everyone's input is cut the same way.
_CHUNK = 1 << 20

# deflate, no flags, no time, no extra flags, unknown system: what does not say who made it or when.
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def open_decompressed(stream: Readable, limit: int | None = None) -> BinaryIO:
    """A reader of what ``stream`` holds, whatever it is compressed with.

    Reading raises BadArchive for broken or truncated data and for anything but zeros behind its end,
    and ArchiveLimit once more than ``limit`` bytes came out. Its end comes only after the end of ``stream``,
    so a digest of what is read from that covers all of it. Closing it leaves ``stream`` open.
    """
    head = b""
    while len(head) < SNIFF_SIZE:
        more = stream.read(SNIFF_SIZE - len(head))
        if not more:
            break
        head += more
    return io.BufferedReader(_Stream(decoder_of(head, stream), limit), PIECE_SIZE)


class _Stream(io.RawIOBase):
    def __init__(self, decoder: Decoder, limit: int | None) -> None:
        self._decoder = decoder
        self._limit = limit
        self._total = 0
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed: any buffer
        if not self._rest:
            data = self._decoder.next()
            self._total += len(data)
            if self._limit is not None and self._total > self._limit:
                raise ArchiveLimit("bytes once decompressed", self._limit)
            self._rest = memoryview(data)
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


class _Deflater(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Compressor:
    """Compresses what is written to it into ``sink``.

    The output depends on the bytes, the kind, the level and ``name`` only: not on how the bytes are cut
    into writes, nor on threads. ``name`` says which library made it and belongs into every record that
    expects to make the same bytes again.
    """

    def __init__(
        self,
        sink: Callable[[bytes], object],
        kind: str = "gzip",
        level: int | None = None,
        *,
        threads: int = 1,
    ) -> None:
        self._sink = sink
        self._parts: list[bytes] = []
        self._pending = 0
        self._deflater: _Deflater
        self._crc: Callable[[bytes, int], int] | None = None
        self._checksum = self._size = 0
        match kind:
            case "gzip":
                self._deflater, self._crc, self.name = _gzip_deflater(1 if level is None else level)
                sink(_GZIP_HEADER)
            case "zstd":
                self._deflater, self.name = _zstd_deflater(3 if level is None else level, max(1, threads))
            case _:
                raise Unsupported(f'compression "{kind}" is not known', hint="use gzip or zstd")

    def write(self, data: bytes) -> int:
        """Take some bytes; they may come out later."""
        self._parts.append(data)
        self._pending += len(data)
        if self._pending >= _CHUNK:
            whole = b"".join(self._parts)
            end = len(whole) - len(whole) % _CHUNK
            for at in range(0, end, _CHUNK):
                self._feed(whole[at : at + _CHUNK])
            self._parts, self._pending = [whole[end:]], len(whole) - end
        return len(data)

    def close(self) -> None:
        """Write what is left and the end; once, and nothing after it."""
        rest = b"".join(self._parts)
        if rest:
            self._feed(rest)
        self._emit(self._deflater.flush())
        if self._crc is not None:
            self._sink(struct.pack("<II", self._checksum, self._size & 0xFFFFFFFF))

    def _feed(self, data: bytes) -> None:
        if self._crc is not None:
            self._checksum = self._crc(data, self._checksum)
            self._size += len(data)
        self._emit(self._deflater.compress(data))

    def _emit(self, data: bytes) -> None:
        if data:
            self._sink(data)


def _gzip_deflater(level: int) -> tuple[_Deflater, Callable[[bytes, int], int], str]:
    """isal for the levels it has (0 to 3), ten times as fast as zlib, and zlib for the others."""
    if not 0 <= level <= 9:
        raise Unsupported(f'gzip has no compression level "{level}"', hint="use 0 to 9")
    if level <= 3:
        try:
            from isal import isal_zlib
        except ImportError:  # no wheel for this machine
            pass
        else:
            version = importlib.import_module("isal").__version__
            deflater = isal_zlib.compressobj(level, isal_zlib.DEFLATED, -15)
            return deflater, isal_zlib.crc32, f"gzip/isal-{version}/{level}"
    name = f"gzip/zlib-{zlib.ZLIB_RUNTIME_VERSION}/{level}"
    return zlib.compressobj(level, zlib.DEFLATED, -15), zlib.crc32, name


def _zstd_deflater(level: int, threads: int) -> tuple[_Deflater, str]:
    import zstandard

    if not 0 <= level <= 22:
        raise Unsupported(f'zstd has no compression level "{level}"', hint="use 0 to 22")
    # One thread gives other bytes than none, but the same as any other number of threads.
    compressor = zstandard.ZstdCompressor(level=level, threads=threads, write_content_size=False)
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    return compressor.compressobj(), f"zstd/libzstd-{version}/{level}"


class HashingWriter:
    """Counts and digests (sha256) the bytes on their way to ``sink``."""

    def __init__(self, sink: Callable[[bytes], object] | None = None) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Take some bytes and pass them on."""
        self._hash.update(data)
        self.size += len(data)
        if self._sink is not None:
            self._sink(data)
        return len(data)

    @property
    def hex(self) -> str:
        """The sha256 of everything so far."""
        return self._hash.hexdigest()


class HashingReader:
    """Counts and digests (sha256) the bytes that are read from ``stream``."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, n: int = -1, /) -> bytes:
        """See io.RawIOBase."""
        data = self._stream.read(n)
        self._hash.update(data)
        self.size += len(data)
        return data

    @property
    def hex(self) -> str:
        """The sha256 of everything so far."""
        return self._hash.hexdigest()
