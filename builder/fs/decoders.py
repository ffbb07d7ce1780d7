"""What turns compressed bytes back: one decoder a format, each giving a bounded piece at a time."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

from builder.fs.blocks import Readable
from builder.fs.limits import BadArchive

SNIFF_SIZE = 10
PIECE_SIZE = 1 << 20
_INPUT_SIZE = 1 << 17
# 128 MiB, what zstd itself takes without --long (ZSTD_WINDOWLOG_LIMIT_DEFAULT is 27).
_MAX_WINDOW = 1 << 27
_MAX_XZ_MEMORY = 1 << 28
_GZIP_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Decoder(Protocol):
    """A stream of plain bytes."""

    def next(self) -> bytes:
        """Some bytes, at most a MiB or so; b"" at the end."""


def sniff(head: bytes) -> str:
    """What the first bytes (ten are enough) say of the compression: gzip, zstd, bzip2, xz or none."""
    if head.startswith(_GZIP_MAGIC):
        return "gzip"
    # Skippable frames have 16 magics, of which zstd:chunked uses one at the end and others at the start.
    if head.startswith(_ZSTD_MAGIC) or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
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


def decoder_of(head: bytes, stream: Readable) -> Decoder:
    """The decoder for a stream of which ``head`` was read already."""
    source = _Source(head, stream)
    match sniff(head):
        case "gzip":
            return _Members(source, "gzip", _gzip_decoder)
        case "bzip2":
            return _Members(source, "bzip2", _bzip2_decoder)
        case "xz":
            return _Members(source, "xz", _xz_decoder)
        case "zstd":
            return _Zstd(source)
        case _:
            return _Plain(source)


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


class _Plain:
    def __init__(self, source: _Source) -> None:
        self._source = source

    def next(self) -> bytes:
        return self._source.read(PIECE_SIZE)


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
                out = member.decompress(data, PIECE_SIZE)
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
        while len(rest) < SNIFF_SIZE and (more := self._source.read(_INPUT_SIZE)):
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
    _LAST_FRAME = _ZSTD_MAGIC + bytes((0x20, len(_TOKEN), len(_TOKEN) << 3 | 0b011, 0, 0, _TOKEN[0]))

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
                data = self._reader.read(PIECE_SIZE)
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
