"""eStargz: a layer that is a gzip file to everyone, and whose files can be fetched one by one.

    member of gzip: the first headers | member: a file's bytes and the headers behind it | … | member: the
    entry stargz.index.json, a JSON of all entries with their places and digests | footer: an empty member
    that says where the last one begins

The format is that of containerd's stargz-snapshotter, docs/estargz.md. A layer that was one already is made
anew: its index and its landmarks are left out first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from builder.core.times import rfc3339
from builder.fs.blocks import BLOCK, Readable
from builder.fs.compression import HashingWriter
from builder.fs.members import GzipMembers, Place
from builder.fs.tar import ENCODING, TarMember, TarReader
from builder.fs.tarwrite import header

ESTARGZ_VERSION = 1  # goes into records that say a layer can be made again byte for byte

TOC_NAME = "stargz.index.json"
# No file is marked to be fetched first: nobody knows what the image will read.
LANDMARK = ".no.prefetch.landmark"
_OWN_NAMES = frozenset({TOC_NAME, LANDMARK, ".prefetch.landmark"})
# Larger files are cut into chunks that can be fetched apart (stargz-snapshotter's own size).
CHUNK_SIZE = 4 << 20
_TYPES = {
    "file": "reg", "dir": "dir", "symlink": "symlink", "hardlink": "hardlink", "char": "char",
    "block": "block", "fifo": "fifo",
}  # fmt: skip
# Flag 4 is an extra field: subfield "SG" with 16 hex digits and "STARGZ"; then a stored block of nothing.
_FOOTER_HEAD = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H2sH", 26, b"SG", 22)
_FOOTER_TAIL = b"\x01\0\0\xff\xff" + bytes(8)


class EstargzLayer(NamedTuple):
    """What was written: the digest of its JSON, and the tar that it unpacks to."""

    toc_digest: str  # 64 hex digits, like the next
    plain: str
    plain_size: int


def write_estargz(
    tar: Readable, sink: Callable[[bytes], object], level: int, *, threads: int = 1
) -> EstargzLayer:
    """The layer of an uncompressed ``tar``; the same bytes for any number of threads.

    Raises BadArchive, ArchiveLimit.
    """
    with GzipMembers(sink, level, threads) as members:
        writer = _Writer(members)
        writer.add(TarMember(LANDMARK, "file", 0o644, size=1), [b"\x0f"])
        reader = TarReader(tar)
        for member in reader:
            if member.name.removeprefix("./") not in _OWN_NAMES:
                writer.add(member, _chunks(reader, member.size))
        toc_digest, place = writer.finish()
        sink(b"%b%016xSTARGZ%b" % (_FOOTER_HEAD, place.offset, _FOOTER_TAIL))
    return EstargzLayer(toc_digest, writer.plain.hex, writer.plain.size)


def _chunks(reader: TarReader, size: int) -> Iterator[bytes]:
    """The bytes of the member that was iterated to."""
    while size:
        parts, wanted = [], min(size, CHUNK_SIZE)
        while wanted:
            parts.append(reader.read(wanted))  # of a tar that ends too early, it raises
            wanted -= len(parts[-1])
            size -= len(parts[-1])
        yield b"".join(parts)


class _Writer:
    """Entries into the tar and the index."""

    def __init__(self, members: GzipMembers) -> None:
        self._members = members
        self.plain = HashingWriter(members.write)
        # Encoded at once, less the offset: a layer may have some hundred thousand.
        self._entries: list[tuple[str, Place | None]] = []

    def add(self, member: TarMember, pieces: Iterable[bytes]) -> None:
        self._put_head(header(member))
        entry = _entry(member)
        if member.kind != "file" or not member.size:
            self._entries.append((_encoded(entry), None))
            return
        whole = hashlib.sha256()
        at, first = 0, len(self._entries)
        for data in pieces:
            place = self._members.cut()
            self.plain.write(data)
            whole.update(data)
            chunk = entry if at == 0 else {"name": entry["name"], "type": "chunk", "chunkOffset": at}
            if at + len(data) < member.size:  # the last one has none
                chunk["chunkSize"] = len(data)
            chunk["chunkDigest"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
            self._entries.append((_encoded(chunk), place))
            at += len(data)
        entry["digest"] = f"sha256:{whole.hexdigest()}"
        self._entries[first] = (_encoded(entry), self._entries[first][1])
        self.plain.write(bytes(-member.size % BLOCK))

    def finish(self) -> tuple[str, Place]:
        """The index and the end of the tar; the index' digest, and its place."""
        place = self._members.cut()
        self._members.drain()
        entries = ",".join(_placed(text, place) for text, place in self._entries)
        toc = f'{{"version":1,"entries":[{entries}]}}'.encode()
        self.plain.write(header(TarMember(TOC_NAME, "file", 0o444, size=len(toc))))
        self.plain.write(toc)
        self.plain.write(bytes(-len(toc) % BLOCK + 2 * BLOCK))
        self._members.drain()
        return hashlib.sha256(toc).hexdigest(), place

    def _put_head(self, head: bytes) -> None:
        # Nothing but headers for long: a member must end all the same, for it is held in memory.
        if self._members.pending > CHUNK_SIZE:
            self._members.cut()
        self.plain.write(head)


def _entry(member: TarMember) -> dict[str, Any]:
    """What the index says of a member, less what it says of its bytes."""
    name = _text(member.name)
    entry: dict[str, Any] = {
        "name": name + "/" if member.kind == "dir" and not name.endswith("/") else name,
        "type": _TYPES[member.kind],
        "mode": member.mode,
        "uid": member.uid,
        "gid": member.gid,
    }
    if member.kind == "file" and member.size:
        entry["size"] = member.size
    seconds = member.mtime_ns // 1_000_000_000
    if seconds:
        entry["modtime"] = rfc3339(seconds)
    if member.link:
        entry["linkName"] = _text(member.link)
    if member.kind in ("char", "block"):
        entry["devMajor"], entry["devMinor"] = member.device
    if member.xattrs:
        entry["xattrs"] = {
            _text(key): base64.b64encode(value).decode() for key, value in sorted(member.xattrs.items())
        }
    return entry


def _encoded(entry: dict[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False)


def _placed(text: str, place: Place | None) -> str:
    return text if place is None else f'{text[:-1]},"offset":{place.offset}}}'


def _text(name: str) -> str:
    """JSON has no bytes that are not UTF-8; Go's encoder puts the same letter there."""
    return name.encode(ENCODING, "surrogateescape").decode("utf-8", "replace")
