"""A deterministic tar writer: the same members give the same bytes, whoever calls it and wherever."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator

from builder.core.errors import Kind, PybuildError
from builder.fs.blocks import BLOCK
from builder.fs.tar import ENCODING, TarMember

WRITER_VERSION = 1  # goes into records that say a layer can be made again byte for byte

_FLAGS = {
    "file": b"0",
    "hardlink": b"1",
    "symlink": b"2",
    "char": b"3",
    "block": b"4",
    "dir": b"5",
    "fifo": b"6",
}
_COPY_SIZE = 1 << 20
_FLUSH_SIZE = 1 << 18
_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777
_ZEROS = bytes(BLOCK)
# What follows the checksum and type of an entry with neither link nor prefix; device numbers are 0.
_AFTER_LINK = b"ustar\00000" + bytes(64) + b"0000000\0" + b"0000000\0"
_PLAIN_TAIL = bytes(100) + _AFTER_LINK + bytes(167)


class ChangedWhileRead(PybuildError):
    """A file got shorter between its stat and its bytes."""

    kind = Kind.CONFLICT
    code = "changed-while-read"

    def __init__(self, name: str) -> None:
        super().__init__(f'"{name}" changed while it was read', hint="build again when nothing writes to it")


class TarWriter:
    """Writes members to ``sink`` in the order given; ``finish`` writes the end mark.

    Headers are ustar where that can say it and PAX otherwise; times are whole seconds (rounded down), ids
    numeric, user and group names empty. Small writes are gathered, so ``sink`` sees about 256 KiB a call.
    """

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._parts: list[bytes] = []
        self._pending = 0
        self.size = 0  # bytes of the archive so far

    def add(self, member: TarMember, data: bytes | Iterable[bytes] | int | None = None) -> None:
        """One member; ``data`` (bytes, pieces of bytes, or an open file) is ``member.size`` bytes in all."""
        head = header(member)
        size = member.size if member.kind == "file" else 0
        if not size:
            self._put(head)
            return
        padding = _ZEROS[: -size % BLOCK]
        if isinstance(data, bytes):
            if len(data) != size:
                raise ChangedWhileRead(member.name)
            if size < _FLUSH_SIZE:
                self._put(b"".join((head, data, padding)))
                return
            self._put(head)
            self._put(data)
            self._put(padding)
            return
        self._put(head)
        if isinstance(data, int):
            self._copy(member.name, data, size)
        else:
            written = 0
            for piece in data or ():
                self._put(piece)
                written += len(piece)
            if written != size:
                raise ChangedWhileRead(member.name)
        self._put(padding)

    @contextlib.contextmanager
    def streaming(self, member: TarMember) -> Iterator[Callable[[bytes], object]]:
        """A file whose ``member.size`` bytes are pushed into the sink that the block is given."""
        self._put(header(member))
        start = self.size
        yield self._put
        if self.size - start != member.size:
            raise ChangedWhileRead(member.name)
        padding = -member.size % BLOCK
        if padding:
            self._put(_ZEROS[:padding])

    def finish(self) -> int:
        """Write the end mark and give the size of the archive; the writer is of no use afterwards."""
        self._put(_ZEROS + _ZEROS)
        self._flush()
        return self.size

    def _copy(self, name: str, fd: int, size: int) -> None:
        left = size
        while left:
            data = os.read(fd, min(left, _COPY_SIZE))
            if not data:
                raise ChangedWhileRead(name)
            left -= len(data)
            self._put(data)

    def _put(self, data: bytes) -> None:
        self.size += len(data)
        self._pending += len(data)
        self._parts.append(data)
        if self._pending >= _FLUSH_SIZE:
            self._flush()

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts, self._pending = self._parts, [], 0
            self._sink(parts[0] if len(parts) == 1 else b"".join(parts))


def header(member: TarMember) -> bytes:
    """The header blocks of one member."""
    name, kind, mode, uid, gid, size, mtime_ns, link, device, xattrs = member
    raw = name.encode(ENCODING, "surrogateescape")
    if kind == "dir" and not raw.endswith(b"/"):
        raw += b"/"
    raw_link = link.encode(ENCODING, "surrogateescape") if link else b""
    mtime = mtime_ns // 1_000_000_000
    if kind != "file":
        size = 0
    prefix = b""
    if len(raw) > 100:
        prefix, short = _split(raw)
    else:
        short = raw
    if (
        short is None
        or len(raw_link) > 100
        or not raw.isascii()
        or not raw_link.isascii()
        or xattrs
        or uid > _MAX_ID
        or gid > _MAX_ID
        or size > _MAX_SIZE
        or not 0 <= mtime <= _MAX_SIZE
    ):
        return _pax_header(member, raw, raw_link, size, mtime)
    return _ustar(short, prefix, _FLAGS[kind], mode, uid, gid, size, mtime, raw_link, device)


def _ustar(
    name: bytes,
    prefix: bytes,
    flag: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    link: bytes,
    device: tuple[int, int],
) -> bytes:
    start = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, mtime)
    if link or prefix or device != (0, 0):
        tail = b"%b%b%07o\0%07o\0%b" % (
            link.ljust(100, b"\0"), _AFTER_LINK[:-16], device[0], device[1], prefix.ljust(167, b"\0"),
        )  # fmt: skip
    else:
        tail = _PLAIN_TAIL
    # The low half of Adler-32 is one more than the sum of the bytes as long as that stays below 65521:
    # true of 512 bytes of ASCII. The checksum field itself counts as eight spaces.
    total = (zlib.adler32(start) & 0xFFFF) + (zlib.adler32(flag + tail) & 0xFFFF) - 2 + 256
    return b"%b%06o\0 %b%b" % (start, total, flag, tail)


def _split(raw: bytes) -> tuple[bytes, bytes | None]:
    """A long name as ustar prefix and name, (b"", None) if no slash is in the right place."""
    if len(raw) > 256:
        return b"", None
    # The name keeps at least one character beside the slash that ends a directory.
    at = raw.rfind(b"/", 0, min(156, len(raw) - 1))
    if at < 1 or len(raw) - at - 1 > 100:
        return b"", None
    return raw[:at], raw[at + 1 :]


def _pax_header(member: TarMember, raw: bytes, link: bytes, size: int, mtime: int) -> bytes:
    """An extended header with what ustar cannot say, and a ustar header with as much as it can."""
    records = []
    short = raw
    if len(raw) > 100 or not raw.isascii():
        records.append(_record(b"path", raw))
        short = _ascii(raw)
    if len(link) > 100 or not link.isascii():
        records.append(_record(b"linkpath", link))
        link = _ascii(link)
    numbers = {b"gid": member.gid, b"mtime": mtime, b"size": size, b"uid": member.uid}
    for key, value in numbers.items():
        if not 0 <= value <= (_MAX_ID if key in (b"uid", b"gid") else _MAX_SIZE):
            records.append(_record(key, b"%d" % value))
            numbers[key] = 0
    for xattr in sorted(member.xattrs):
        key = b"SCHILY.xattr." + xattr.encode(ENCODING, "surrogateescape")
        records.append(_record(key, member.xattrs[xattr]))
    records.sort(key=_key_of)
    data = b"".join(records)
    return b"".join(
        (
            _ustar(b"PaxHeaders.0/x", b"", b"x", 0o644, 0, 0, len(data), 0, b"", (0, 0)),
            data,
            _ZEROS[: -len(data) % BLOCK],
            _ustar(
                short,
                b"",
                _FLAGS[member.kind],
                member.mode,
                numbers[b"uid"],
                numbers[b"gid"],
                numbers[b"size"],
                numbers[b"mtime"],
                link,
                member.device,
            ),
        )
    )


def _ascii(raw: bytes) -> bytes:
    """What a reader without PAX may show of a name; a cut at a slash must not make a directory of it."""
    return bytes(byte for byte in raw if byte < 0x80)[:100].rstrip(b"/")


def _record(key: bytes, value: bytes) -> bytes:
    """``<length> <key>=<value>\\n`` where the length counts its own digits."""
    body = len(key) + len(value) + 3
    length = body + len(b"%d" % body)
    if len(b"%d" % length) != len(b"%d" % body):
        length = body + len(b"%d" % length)
    return b"%d %b=%b\n" % (length, key, value)


def _key_of(record: bytes) -> bytes:
    return record.split(b" ", 1)[1]
