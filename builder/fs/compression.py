"""gzip, zstd, bzip2 and xz: streams in, streams out, in bounded memory and with the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from builder.core.errors import Unsupported
from builder.fs.blockgzip import BlockDeflater
from builder.fs.blocks import Readable
from builder.fs.decoders import PIECE_SIZE, SNIFF_SIZE, Decoder, decoder_of, sniff
from builder.fs.limits import ArchiveLimit
from builder.fs.members import GZIP_HEADER

__all__ = [
    "Compressor",
    "HashingReader",
    "HashingWriter",
    "compressor_name",
    "open_decompressed",
    "sniff",
]

# A block of gzip, and what zstd is given at once: everyone's input is cut the same way.
_CHUNK = 1 << 20
_ZSTD_JOB = 4 << 20
# isal's level 1 is ten times as fast as zlib's 6, for an eighth more bytes.
GZIP_LEVEL = 1
_ZSTD_LEVEL = 3


def open_decompressed(stream: Readable, limit: int | None = None) -> io.BufferedReader:
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


def compressor_name(kind: str, level: int | None = None) -> str:
    """Which library compresses, and how: what a record must name that expects the same bytes again.

    Raises Unsupported for a kind or a level that there is not.
    """
    match kind:
        case "gzip":
            return BlockDeflater.name_of(GZIP_LEVEL if level is None else level)
        case "zstd":
            return _zstd_name(_ZSTD_LEVEL if level is None else level)
        case "estargz":
            from builder.fs.estargz import ESTARGZ_VERSION

            return f"estargz-{ESTARGZ_VERSION}/{compressor_name('gzip', level)}"
        case _:
            raise Unsupported(f'compression "{kind}" is not known', hint="use gzip or zstd")


class Compressor:
    """Compresses what is written to it into ``sink``.

    The output depends on the bytes and ``compressor_name`` only: not on how the bytes are cut into writes,
    nor on the number of threads. A context manager: an end without ``close`` gives its threads up.
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
        self.name = compressor_name(kind, level)
        self._blocks: BlockDeflater | None = None
        if kind == "gzip":
            self._blocks = BlockDeflater(GZIP_LEVEL if level is None else level, max(1, threads))
            self._deflater, self._crc = self._blocks, self._blocks.crc32
            sink(GZIP_HEADER)
        else:
            self._deflater = _zstd_deflater(_ZSTD_LEVEL if level is None else level, max(1, threads))

    def __enter__(self) -> Compressor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._blocks is not None:
            self._blocks.abandon()

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


def _zstd_name(level: int) -> str:
    import zstandard

    if not 0 <= level <= 22:
        raise Unsupported(f'zstd has no compression level "{level}"', hint="use 0 to 22")
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    return f"zstd/libzstd-{version}/{level}"


def _zstd_deflater(level: int, threads: int) -> _Deflater:
    import zstandard

    # One thread gives other bytes than none, but the same as any other number of threads. The size of a
    # job is part of the bytes, and bounds the memory that high levels take.
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, threads=threads, job_size=_ZSTD_JOB, write_content_size=0
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compressobj()


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
