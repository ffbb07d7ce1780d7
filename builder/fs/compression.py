"""gzip, zstd, bzip2 and xz: streams in, streams out, in bounded memory and with the same bytes every time."""

from __future__ import annotations

import hashlib
import importlib
import io
import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

from builder.core.errors import Unsupported
from builder.fs.blocks import Readable
from builder.fs.limits import ArchiveLimit, BadArchive

_INPUT_SIZE = 1 << 17
_OUTPUT_SIZE = 1 << 20
# The output of isal depends on how its input is cut, so everyone's input is cut the same way.
_CHUNK = 1 << 20
# 128 MiB, what zstd itself takes without --long (ZSTD_WINDOWLOG_LIMIT_DEFAULT is 27).
_MAX_WINDOW = 1 << 27
_MAX_XZ_MEMORY = 1 << 28
_SNIFF = 10

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# deflate, no flags, no time, no extra flags, unknown system: what does not say who made it or when.
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def sniff(head: bytes) -> str:
    """What the first bytes (ten are enough) say of the compression: gzip, zstd, bzip2, xz or none."""
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    # Skippable frames have 16 magics, of which zstd:chunked uses one at the end and others at the start.
    if head.startswith(ZSTD_MAGIC) or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    if (
        head[:3] == b"BZh"
        and head[3:4] in b"123456789"
        and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
    ):
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    return "none"


def open_decompressed(stream: Readable, limit: int | None = None) -> BinaryIO:
    """A reader of what ``stream`` holds, whatever it is compressed with.

    Reading raises BadArchive for broken or truncated data and for anything but zeros behind its end,
    and ArchiveLimit once more than ``limit`` bytes came out. Its end comes only after the end of ``stream``,
    so a digest of what is read from that covers all of it. Closing it leaves ``stream`` open.
    """
    head = b""
    while len(head) < _SNIFF:
        more = stream.read(_SNIFF - len(head))
        if not more:
            break
        head += more
    source = _Source(head, stream)
    match sniff(head):
        case "gzip":
            decoder: _Decoder = _Members(source, "gzip", _gzip_decoder)
        case "bzip2":
            decoder = _Members(source, "bzip2", _bzip2_decoder)
        case "xz":
            decoder = _Members(source, "xz", _xz_decoder)
        case "zstd":
            decoder = _Zstd(source)
        case _:
            decoder = _Plain(source)
    return io.BufferedReader(_Stream(decoder, limit), _OUTPUT_SIZE)


class _Decoder(Protocol):
    def next(self) -> bytes:
        """Some bytes, at most a MiB or so; b"" at the end."""


class _Source:
    """The compressed stream with the sniffed bytes put back."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, n: int, /) -> bytes:
        if self._head:
            head, self._head = self._head[:n], self._head[n:]
            return head
        return self._stream.read(n)


class _Stream(io.RawIOBase):
    def __init__(self, decoder: _Decoder, limit: int | None) -> None:
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


class _Plain:
    def __init__(self, source: _Source) -> None:
        self._source = source

    def next(self) -> bytes:
        return self._source.read(_OUTPUT_SIZE)


class _Member(Protocol):
    """The decompressor objects of bz2, lzma and isal: one compressed stream each."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _Members:
    """Compressed streams one after the other, as gzip, bzip2 and xz allow, then perhaps zeros."""

    def __init__(
        self, source: _Source, name: str, make: Callable[[], tuple[_Member, tuple[type[Exception], ...]]]
    ) -> None:
        self._source = source
        self._name = name
        self._make = make
        self._member, self._errors = make()
        self._waiting = b""  # input that came with the end of a member
        self._finished = False

    def next(self) -> bytes:
        while not self._finished:
            member = self._member
            if member.eof:
                self._start(member.unused_data)
                continue
            data = b""
            if member.needs_input:
                data, self._waiting = self._waiting or self._source.read(_INPUT_SIZE), b""
                if not data:
                    raise BadArchive(f"the {self._name} data is cut off")
            try:
                out = member.decompress(data, _OUTPUT_SIZE)
            except self._errors as error:
                raise BadArchive(f"the {self._name} data is broken: {str(error).lower()}") from error
            if out:
                return out
        return b""

    def _start(self, data: bytes) -> None:
        """Begin the next member, or find the end."""
        rest = data.lstrip(b"\0")
        while not rest:
            more = self._source.read(_INPUT_SIZE)
            if not more:
                self._finished = True
                return
            rest = more.lstrip(b"\0")
        while len(rest) < _SNIFF and (more := self._source.read(_INPUT_SIZE)):
            rest += more
        if sniff(rest) != self._name:
            raise BadArchive(f"the {self._name} data is followed by something else")
        self._member, self._errors = self._make()
        self._waiting = rest


def _bzip2_decoder() -> tuple[_Member, tuple[type[Exception], ...]]:
    import bz2

    return bz2.BZ2Decompressor(), (OSError, ValueError)


def _xz_decoder() -> tuple[_Member, tuple[type[Exception], ...]]:
    import lzma

    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MAX_XZ_MEMORY), (lzma.LZMAError, ValueError)


def _gzip_decoder() -> tuple[_Member, tuple[type[Exception], ...]]:
    try:
        from isal import igzip_lib
    except ImportError:  # no wheel for this machine
        return _ZlibMember(), (zlib.error,)
    # The stubs take the exception class for an exception.
    failure = cast("type[Exception]", igzip_lib.IsalError)
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), (failure, ValueError)


class _ZlibMember:
    """zlib's decompressor in the shape of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Zstd:
    """All frames of a stream, skippable ones passed over.

    The library's reader takes a cut-off frame for the end, and its other interface has no bound on
    what a few bytes may turn into. So a last frame of our own follows the input: only if everything
    before it was whole does its content come out.
    """

    _TOKEN = b"\x8f" * 16
    # Single segment, size in one byte; one last block, run-length encoded, so that the token is not in
    # the input as it is (RFC 8878, 3.1.1): a cut-off raw block would let that through.
    _LAST_FRAME = ZSTD_MAGIC + bytes((0x20, len(_TOKEN), len(_TOKEN) << 3 | 0b011, 0, 0, _TOKEN[0]))

    def __init__(self, source: _Source) -> None:
        import zstandard

        self._error: type[Exception] = zstandard.ZstdError
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._ends = io.BytesIO(self._LAST_FRAME)
        self._source = source
        self._reader = decompressor.stream_reader(
            cast("BinaryIO", self), read_size=_INPUT_SIZE, read_across_frames=True
        )
        self._held = b""

    def read(self, n: int, /) -> bytes:
        """What the library reads."""
        return self._source.read(n) or self._ends.read(n)

    def next(self) -> bytes:
        size = len(self._TOKEN)
        while True:
            try:
                data = self._reader.read(_OUTPUT_SIZE)
            except self._error as error:
                raise BadArchive(f"the zstd data is broken: {str(error).lower()}") from error
            if not data:
                if self._held != self._TOKEN:
                    raise BadArchive("the zstd data is cut off")
                return b""
            data = self._held + data
            self._held = data[-size:]
            if len(data) > size:
                return data[:-size]


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
