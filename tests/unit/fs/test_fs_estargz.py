"""eStargz layers, read again by the format's own rules with nothing but gzip, tar and JSON."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import random
import struct
import tarfile
import zlib
from typing import Any, NamedTuple

import pytest

from builder.fs.compression import open_decompressed
from builder.fs.estargz import CHUNK_SIZE, EstargzLayer, write_estargz
from builder.fs.limits import BadArchive
from builder.fs.pipe import piped

LARGE = random.Random(7).randbytes(CHUNK_SIZE + 5) + bytes(2 * CHUNK_SIZE)
LANDMARK = ".no.prefetch.landmark"


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


ALL_KINDS = tar_of(
    (member("etc/", tarfile.DIRTYPE, mode=0o755, mtime=1_600_000_000), b""),
    (member("etc/passwd", mode=0o4644, uid=33, gid=50, mtime=1_600_000_001), b"root:x:0:0\n"),
    (member("etc/empty", mode=0o600), b""),
    (member("large"), LARGE),
    (member("whole"), LARGE[:CHUNK_SIZE]),
    (member("hard", tarfile.LNKTYPE, linkname="etc/passwd"), b""),
    (member("soft", tarfile.SYMTYPE, linkname="/etc/é"), b""),
    (member("null", tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
    (member("pipe", tarfile.FIFOTYPE), b""),
    (member("x", pax_headers={"SCHILY.xattr.user.k": "v"}), b"x"),
    (member("n" * 150 + "/é"), b"last"),
)


class Read(NamedTuple):
    toc: dict[str, Any]
    raw_toc: bytes
    toc_offset: int


def written(tar: bytes, threads: int = 1, level: int = 1) -> tuple[bytes, EstargzLayer]:
    parts: list[bytes] = []
    made = write_estargz(io.BytesIO(tar), parts.append, level, threads=threads)
    return b"".join(parts), made


def toc_of(blob: bytes) -> Read:
    """By the footer, as a reader does that has only the end of the blob."""
    footer = blob[-51:]
    assert footer[:4] == b"\x1f\x8b\x08\x04"
    assert struct.unpack("<H2sH", footer[10:16]) == (26, b"SG", 22)
    assert footer[32:38] == b"STARGZ"
    assert gzip.decompress(footer) == b""
    offset = int(footer[16:32], 16)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob[offset:-51]))) as tar:
        (info,) = tar.getmembers()
        file = tar.extractfile(info)
        assert info.name == "stargz.index.json"
        assert file is not None
        raw = file.read()
    return Read(json.loads(raw), raw, offset)


def chunk_at(blob: bytes, offset: int, size: int) -> bytes:
    """The first bytes of the member that begins there."""
    data = zlib.decompressobj(31).decompress(blob[offset:])
    return data[:size]


def bytes_of(blob: bytes, entries: list[dict[str, Any]], name: str) -> bytes:
    """A file put together from its chunks, each checked."""
    parts = [entry for entry in entries if entry["name"] == name and "offset" in entry]
    whole, size = b"", parts[0]["size"]
    for part in parts:
        assert part.get("chunkOffset", 0) == len(whole)
        data = chunk_at(blob, part["offset"], part.get("chunkSize") or size - len(whole))
        assert part["chunkDigest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        whole += data
    assert parts[0]["digest"] == f"sha256:{hashlib.sha256(whole).hexdigest()}"
    return whole


def test_every_file_is_found_by_the_index() -> None:
    """Each chunk is a member of its own, at its offset, with the digest that the index gives."""
    blob, made = written(ALL_KINDS)
    toc, raw, _ = toc_of(blob)
    entries = toc["entries"]

    assert toc["version"] == 1
    assert made.toc_digest == hashlib.sha256(raw).hexdigest()
    assert bytes_of(blob, entries, "etc/passwd") == b"root:x:0:0\n"
    assert bytes_of(blob, entries, "large") == LARGE
    assert bytes_of(blob, entries, "whole") == LARGE[:CHUNK_SIZE]
    assert bytes_of(blob, entries, "n" * 150 + "/é") == b"last"
    assert bytes_of(blob, entries, LANDMARK) == b"\x0f"
    assert [e["type"] for e in entries if e["name"] == "large"] == ["reg", "chunk", "chunk", "chunk"]
    assert [e.get("chunkSize") for e in entries if e["name"] == "large"] == [CHUNK_SIZE] * 3 + [None]


def test_index_says_what_the_tar_says() -> None:
    """Kinds, modes, owners, times, links, devices and attributes; the landmark is the first of all."""
    entries = toc_of(written(ALL_KINDS)[0]).toc["entries"]
    by_name = {entry["name"]: entry for entry in entries if entry["type"] != "chunk"}

    assert entries[0]["name"] == LANDMARK
    assert by_name["etc/"] == {
        "name": "etc/", "type": "dir", "mode": 0o755, "uid": 0, "gid": 0, "modtime": "2020-09-13T12:26:40Z",
    }  # fmt: skip
    passwd = by_name["etc/passwd"]
    assert (passwd["mode"], passwd["uid"], passwd["gid"]) == (0o4644, 33, 50)
    assert by_name["etc/empty"] == {"name": "etc/empty", "type": "reg", "mode": 0o600, "uid": 0, "gid": 0}
    assert by_name["hard"]["linkName"] == "etc/passwd"
    assert by_name["soft"]["linkName"] == "/etc/é"
    assert (by_name["null"]["type"], by_name["null"]["devMajor"], by_name["null"]["devMinor"]) == (
        "char",
        1,
        3,
    )
    assert by_name["pipe"]["type"] == "fifo"
    assert base64.b64decode(by_name["x"]["xattrs"]["user.k"]) == b"v"


def test_it_is_a_gzip_layer_to_everyone() -> None:
    """Plain gzip gives the tar of the digest and size that are told, with all members and two more."""
    blob, made = written(ALL_KINDS)
    plain = gzip.decompress(blob)
    ours = open_decompressed(io.BytesIO(blob)).read()

    assert plain == ours
    assert made.plain == hashlib.sha256(plain).hexdigest()
    assert made.plain_size == len(plain)
    with (
        tarfile.open(fileobj=io.BytesIO(ALL_KINDS)) as before,
        tarfile.open(fileobj=io.BytesIO(plain)) as after,
    ):
        names = [info.name for info in before]
        assert after.getnames() == [LANDMARK, *names, "stargz.index.json"]
        for info in before:
            other = after.getmember(info.name)
            assert (other.type, other.mode, other.uid, other.mtime, other.linkname) == (
                info.type, info.mode, info.uid, info.mtime, info.linkname,
            )  # fmt: skip
            if info.isreg():
                assert after.extractfile(other).read() == before.extractfile(info).read()  # type: ignore[union-attr]  # regular files have one


def test_bytes_do_not_depend_on_threads() -> None:
    """Nor on the run."""
    first = written(ALL_KINDS, threads=1)

    assert written(ALL_KINDS, threads=2) == first
    assert written(ALL_KINDS, threads=5) == first


def test_made_twice_it_is_the_same() -> None:
    """The index and the landmarks of a layer that was one already are made anew."""
    blob, made = written(ALL_KINDS)

    assert written(gzip.decompress(blob)) == (blob, made)


def test_thousands_of_directories_are_several_members() -> None:
    """A member is held in memory, so that it ends even where no file does."""
    many = tar_of(*((member(f"{n:07}", tarfile.DIRTYPE), b"") for n in range(9000)))
    blob, _ = written(many)

    first = zlib.decompressobj(31)
    first.decompress(blob)
    assert len(first.unused_data) > 51
    assert len(toc_of(blob).toc["entries"]) == 9001


def test_broken_tar_is_an_error() -> None:
    """What breaks off in a file does not become a layer."""
    with pytest.raises(BadArchive):
        written(ALL_KINDS[:100_000], threads=2)


def test_pipe_gives_the_writers_error() -> None:
    """The reader saw only a stream that ended early; and a reader that gives up does not hang the writer."""

    def breaks(sink: Any) -> None:
        sink(ALL_KINDS[:100_000])
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"), piped(breaks) as tar:
        write_estargz(tar, lambda data: None, 1)
    with pytest.raises(ValueError, match="enough"), piped(lambda sink: sink(LARGE)):
        raise ValueError("enough")
    with piped(lambda sink: sink(LARGE)) as stream:
        assert stream.read(10) == LARGE[:10]
