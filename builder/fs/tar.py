"""A streaming tar reader for archives that nobody vouches for: ustar, PAX and GNU, from any ``read(n)``."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from builder.fs.blocks import BLOCK, Blocks, Readable
from builder.fs.limits import ArchiveLimit, BadArchive, Limits
from builder.fs.pax import Chunk, Pax, check_sparse, pair_up, parse_decimal, parse_number, parse_time_ns

_ZERO_BLOCK = bytes(BLOCK)
_COPY_SIZE = 1 << 20
# name mode uid gid size mtime checksum type link magic+version (uname gname) major minor prefix rest
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s155s12s")
_SPACES = 8 * 0x20
# Names are bytes to the kernel; whatever encoding the interpreter uses for them gives them back unchanged.
ENCODING = sys.getfilesystemencoding()

_KINDS = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"S": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "char",
    b"4": "block",
    b"5": "dir",
    b"6": "fifo",
}
_NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})
_cached_number = lru_cache(maxsize=1024)(parse_number)


class TarMember(NamedTuple):
    """One entry of an archive; names are str with surrogateescape, exactly as in the archive."""

    name: str
    kind: str  # file dir symlink hardlink char block fifo
    mode: int  # permission bits, 0 to 0o7777
    uid: int = 0
    gid: int = 0
    size: int = 0  # bytes of data, holes included
    mtime_ns: int = 0
    link: str = ""
    device: tuple[int, int] = (0, 0)  # major, minor
    xattrs: Mapping[str, bytes] = _NO_XATTRS


class TarReader:
    """Iterates over the members of an archive; ``read`` gives the data of the one iterated to last.

    Every size is checked before it is used and nothing seeks, so that no archive can make the reader
    hang, run backwards or keep more than one header and one buffer in memory. What Go's archive/tar
    accepts is accepted (a missing end mark, for one), because images are made and read with it.
    """

    def __init__(self, stream: Readable, limits: Limits | None = None) -> None:
        self._blocks = Blocks(stream)
        self._limits = limits or Limits()
        self._left = 0  # stored bytes of the current member that were not read yet
        self._padding = 0
        self._chunks: deque[Chunk] | None = None  # what is left of a sparse file
        self._position = 0
        self._logical = 0
        self._globals = Pax()
        self._entries = 0
        self._total = 0
        self._ended = False

    def __iter__(self) -> Iterator[TarMember]:
        return self

    def __next__(self) -> TarMember:
        if self._ended:
            raise StopIteration
        self._skip_rest()
        pax: Pax | None = None
        long_name: bytes | None = None
        long_link: bytes | None = None
        for _ in range(16):
            block = self._header()
            if block is None:
                self._ended = True
                if pax is not None or long_name is not None or long_link is not None:
                    raise BadArchive("the archive ends after an extended header")
                raise StopIteration
            flag = block[156:157]
            if flag in _KINDS:
                return self._member(block, flag, pax, long_name, long_link)
            data = self._extension(block, flag)
            if flag == b"x":
                pax = self._globals.copy()
                pax.parse(data)
            elif flag == b"g":
                self._globals.parse(data)
            elif flag == b"L":
                long_name = data.partition(b"\0")[0]
            else:
                long_link = data.partition(b"\0")[0]
        raise BadArchive("the archive has a chain of extended headers without an entry")

    def read(self, n: int = -1) -> bytes:
        """The next ``n`` bytes of the current member (all that is left if negative); b"" at its end."""
        left = self._left if self._chunks is None else self._logical - self._position
        if n < 0 or n > left:
            n = left
        if self._chunks is not None:
            return self._read_sparse(n)
        self._left = left - n
        return self._blocks.take(n)

    def copy_to(self, fd: int) -> None:
        """Write the current member's data to an open, empty file; holes stay holes."""
        chunks = self._chunks
        if chunks is None:
            take = self._blocks.take
            while self._left:
                data = take(min(self._left, _COPY_SIZE))
                self._left -= len(data)
                write_all(fd, data)
            return
        for chunk in chunks:
            os.lseek(fd, chunk.offset, os.SEEK_SET)
            left = chunk.size
            while left:
                data = self._blocks.take(min(left, _COPY_SIZE))
                self._left -= len(data)
                left -= len(data)
                write_all(fd, data)
        os.ftruncate(fd, self._logical)
        self._chunks, self._position = deque(), self._logical

    def drain(self) -> None:
        """Read the stream to its very end, so that a digest over its bytes covers all of them."""
        self._ended = True
        self._blocks.drain()

    # Headers.

    def _header(self) -> bytes | None:
        """The next header block, checked; None where the archive ends."""
        block = self._blocks.block()
        if block is None:
            return None
        if block == _ZERO_BLOCK:
            following = self._blocks.block()
            if following is not None and following != _ZERO_BLOCK:
                raise BadArchive("the archive goes on after a block of zeros")
            return None
        field = block[148:156]
        try:
            stored = int(field.strip(b" \0"), 8)
        except ValueError:
            raise BadArchive("a tar header has no checksum") from None
        # The low half of Adler-32 is one more than the sum of the bytes, modulo 65521, at C speed.
        wanted = stored + sum(field) - _SPACES + 1
        if zlib.adler32(block) & 0xFFFF != wanted % 65521 and _signed_sum(block) != stored:
            raise BadArchive("a tar header has a wrong checksum")
        return block

    def _extension(self, block: bytes, flag: bytes) -> bytes:
        if flag not in (b"x", b"g", b"L", b"K"):
            raise BadArchive(f'the archive holds an entry of the unknown type "{flag.decode("latin-1")}"')
        size = parse_number(block[124:136])
        if size < 0:
            raise BadArchive("an extended tar header has a negative size")
        if size > self._limits.header_size:
            raise ArchiveLimit("bytes in one extended header", self._limits.header_size)
        data = self._blocks.take(size)
        self._blocks.take(-size % BLOCK)
        return data

    def _member(
        self, block: bytes, flag: bytes, pax: Pax | None, long_name: bytes | None, long_link: bytes | None
    ) -> TarMember:
        fields = _HEADER.unpack(block)
        name, mode_field, uid_field, gid_field, size_field, mtime_field = fields[:6]
        link, magic, major, minor, prefix, rest = fields[8:]
        name = name.partition(b"\0")[0]
        link = link.partition(b"\0")[0]
        if magic[:6] == b"ustar\0" and prefix[0]:
            # star keeps two times in the last 24 bytes of the prefix, and says so at the very end.
            before = (prefix[:131] if rest[-4:] == b"tar\0" else prefix).partition(b"\0")[0]
            name = before + b"/" + name
        kind = _KINDS[flag]
        mode = _cached_number(mode_field) & 0o7777
        uid = _cached_number(uid_field)
        gid = _cached_number(gid_field)
        mtime_ns = parse_number(mtime_field) * 1_000_000_000
        device = (_cached_number(major), _cached_number(minor)) if kind in ("char", "block") else (0, 0)
        xattrs: Mapping[str, bytes] = _NO_XATTRS
        if pax is None and self._globals.records:
            pax = self._globals
        size = -1
        if pax is not None:
            records = pax.records
            name = records.get(b"path", name)
            link = records.get(b"linkpath", link)
            uid = _override(records, b"uid", uid)
            gid = _override(records, b"gid", gid)
            size = _override(records, b"size", size)
            if b"mtime" in records:
                mtime_ns = parse_time_ns(records[b"mtime"])
            xattrs = {os.fsdecode(os.fsencode(key)): value for key, value in pax.xattrs().items()}
        if size < 0:
            size = parse_number(size_field)
        name = name if long_name is None else long_name
        link = link if long_link is None else long_link
        # Before POSIX a directory was a file whose name ends in a slash.
        if flag == b"\0" and name.endswith(b"/"):
            kind = "dir"
        if uid < 0 or gid < 0 or size < 0 or min(device) < 0:
            raise BadArchive("a tar header holds a negative number")
        self._open(size if kind == "file" else 0)
        if flag == b"S":
            self._open_old_sparse(block)
        elif pax is not None and kind == "file":
            name = self._open_pax_sparse(pax, name)
        self._count(name, link)
        target = link.decode(ENCODING, "surrogateescape") if kind in ("hardlink", "symlink") else ""
        shown = name.decode(ENCODING, "surrogateescape")
        return TarMember(shown, kind, mode, uid, gid, self._logical, mtime_ns, target, device, xattrs)

    def _open(self, stored: int) -> None:
        self._left = self._logical = stored
        self._padding = -stored % BLOCK
        self._chunks = None
        self._position = 0

    def _count(self, name: bytes, link: bytes) -> None:
        limits = self._limits
        self._entries += 1
        self._total += self._logical
        if self._entries > limits.entries:
            raise ArchiveLimit("entries", limits.entries)
        if self._total > limits.total_size:
            raise ArchiveLimit("bytes of file data", limits.total_size)
        if len(name) > limits.path_length or len(link) > limits.path_length:
            raise ArchiveLimit("bytes in one path", limits.path_length)

    # Sparse files.

    def _open_old_sparse(self, block: bytes) -> None:
        """The map that GNU tar keeps in the header itself and in blocks behind it."""
        numbers: list[int] = []
        table, slots, more = block[386:482], 4, block[482]
        while True:
            for at in range(0, slots * 24, 24):
                if not table[at]:
                    break
                numbers += parse_number(table[at : at + 12]), parse_number(table[at + 12 : at + 24])
            if len(numbers) > 2 * self._limits.sparse_chunks:
                raise ArchiveLimit("sparse chunks in one file", self._limits.sparse_chunks)
            if not more:
                break
            table, slots = self._blocks.take(BLOCK), 21
            more = table[504]
        self._set_chunks(pair_up(numbers), parse_number(block[483:495]))

    def _open_pax_sparse(self, pax: Pax, name: bytes) -> bytes:
        """Set up formats 0.0, 0.1 and 1.0; the answer is the name, which they keep elsewhere."""
        records = pax.records
        if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
            chunks: list[Chunk] | None = self._read_map()
        else:
            chunks = pax.sparse_map(self._limits.sparse_chunks)
        if chunks is None:
            return name
        size = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
        if size is None:
            raise BadArchive("a sparse file in the archive does not say its size")
        self._set_chunks(chunks, parse_decimal(size, "GNU.sparse.size"))
        return records.get(b"GNU.sparse.name", name)

    def _read_map(self) -> list[Chunk]:
        """Format 1.0: decimal lines at the start of the data, in whole blocks."""
        text = self._map_block()
        lines = text.split(b"\n")
        most = self._limits.sparse_chunks
        count = parse_decimal(lines[0], "GNU.sparse") if len(lines) > 1 else most + 1
        if count > most:
            raise ArchiveLimit("sparse chunks in one file", most)
        parts, seen = [text], len(lines) - 1
        while seen < 2 * count + 1:
            more = self._map_block()
            seen += more.count(b"\n")
            parts.append(more)
        lines = b"".join(parts).split(b"\n")
        return pair_up([parse_decimal(line, "GNU.sparse") for line in lines[1 : 2 * count + 1]])

    def _map_block(self) -> bytes:
        if self._left < BLOCK:
            raise BadArchive("the sparse map of the archive is cut off")
        self._left -= BLOCK
        return self._blocks.take(BLOCK)

    def _set_chunks(self, chunks: list[Chunk], size: int) -> None:
        if size < 0:
            raise BadArchive("a tar header holds a negative number")
        self._chunks = deque(check_sparse(chunks, size, self._left))
        self._logical = size

    def _read_sparse(self, n: int) -> bytes:
        parts: list[bytes] = []
        chunks = self._chunks
        assert chunks is not None
        while n:
            if not chunks or self._position < chunks[0].offset:
                run = min(n, (chunks[0].offset if chunks else self._logical) - self._position)
                parts.append(bytes(run))
            else:
                first = chunks[0]
                run = min(n, first.offset + first.size - self._position)
                parts.append(self._blocks.take(run))
                self._left -= run
                if self._position + run == first.offset + first.size:
                    chunks.popleft()
            self._position += run
            n -= run
        return b"".join(parts)

    def _skip_rest(self) -> None:
        take = self._blocks.take
        while self._left:
            self._left -= len(take(min(self._left, _COPY_SIZE)))
        if self._padding:
            # Nobody misses the padding of the last file; archive/tar does not either.
            self._blocks.skip(self._padding)
            self._padding = 0


def _override(records: dict[bytes, bytes], key: bytes, value: int) -> int:
    text = records.get(key)
    return value if text is None else parse_decimal(text, key.decode())


def _signed_sum(block: bytes) -> int:
    """The sum as some old archivers took it, with chars that are signed."""
    return sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + _SPACES


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``, however little a call takes."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])
