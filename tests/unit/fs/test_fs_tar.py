"""The tar reader against what others write and what nobody should; the writer against other readers."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.fs.limits import ArchiveLimit, BadArchive, Limits
from builder.fs.tar import TarMember, TarReader
from builder.fs.tarwrite import ChangedWhileRead, TarWriter, header

LONG = "long/" * 30 + "name"


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a pipe may, and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, n: int = -1, /) -> bytes:
        return self._inner.read(min(n, 333) if n > 0 else 333)


def read_all(data: bytes, limits: Limits | None = None) -> list[tuple[TarMember, bytes]]:
    reader = TarReader(io.BytesIO(data), limits)
    return [(member, reader.read()) for member in reader]


def raw_header(name: bytes = b"x", flag: bytes = b"0", **fields: bytes) -> bytes:
    """A ustar header with any field replaced by what is asked for, and a right checksum."""
    layout = {
        "name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12),
        "mtime": (136, 12), "flag": (156, 1), "link": (157, 100), "magic": (257, 8),
        "prefix": (345, 155), "sparse": (386, 97), "realsize": (483, 12),
    }  # fmt: skip
    values = {
        "mode": b"0000644",
        "uid": b"0",
        "gid": b"0",
        "size": b"0",
        "mtime": b"0",
        "magic": b"ustar\x0000",
    }
    block = bytearray(512)
    for key, value in {**values, "name": name, "flag": flag, **fields}.items():
        at, length = layout[key]
        block[at : at + length] = value.ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(*records: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    data = b""
    for key, value in records:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        while len(b"%d" % length) + len(body) != length:
            length += 1
        data += b"%d" % length + body
    return raw_header(b"pax", flag, size=b"%o" % len(data)) + data + bytes(-len(data) % 512)


END = bytes(1024)


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("wrap", [io.BytesIO, Trickle])
def test_members_written_by_the_standard_library(layout: int, wrap: Callable[[bytes], io.RawIOBase]) -> None:
    """Names, links, numbers, times and data are as tarfile wrote them, in each of its formats."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for index, name in enumerate(
            ["plain", LONG, "dir", "é" * 20, "link", "hard", "dev", "fifo", "empty"]
        ):
            info = tarfile.TarInfo(name)
            info.mtime, info.mode, info.uid, info.gid = 1_700_000_000 + index, 0o4750, index, 100 + index
            if layout != tarfile.USTAR_FORMAT:
                info.uid = 5_000_000
                info.mtime = -5
            data = None
            match name:
                case "dir":
                    info.type = tarfile.DIRTYPE
                case "link":
                    info.type, info.linkname = tarfile.SYMTYPE, "t" * 99
                case "hard":
                    info.type, info.linkname = tarfile.LNKTYPE, LONG[:100]
                case "dev":
                    info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 4, 64
                case "fifo":
                    info.type = tarfile.FIFOTYPE
                case "empty":
                    pass
                case _:
                    data, info.size = io.BytesIO(name.encode() * 99), len(name.encode() * 99)
            archive.addfile(info, data)
    reader = TarReader(wrap(buffer.getvalue()))
    ours = [(member, reader.read()) for member in reader]
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        theirs = archive.getmembers()

        assert [t.name for t in theirs] == [member.name.rstrip("/") for member, _ in ours]
        for info, (member, content) in zip(theirs, ours, strict=True):
            extracted = archive.extractfile(info) if info.isreg() else None
            assert (extracted.read() if extracted else b"") == content
            assert (info.mode, info.uid, info.gid) == (member.mode, member.uid, member.gid)
            assert (info.mtime * 10**9, info.linkname) == (member.mtime_ns, member.link)
            assert (info.devmajor, info.devminor) == member.device or member.kind != "char"
    assert {member.kind for member, _ in ours} == {"file", "dir", "symlink", "hardlink", "char", "fifo"}


def sparse_file(path: Path) -> bytes:
    with path.open("wb") as file:
        for at in range(0, 40 * 65536, 65536):
            file.seek(at)
            file.write(b"%06d" % at + os.urandom(4090))
        file.truncate(50 * 65536)
    return path.read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu", "--sparse"],
        ["--format=pax", "--sparse", "--sparse-version=0.0"],
        ["--format=pax", "--sparse", "--sparse-version=0.1"],
        ["--format=pax", "--sparse", "--sparse-version=1.0"],
        ["--format=v7"],
        ["--format=oldgnu"],
    ],
)
def test_members_written_by_gnu_tar(tmp_path: Path, options: list[str]) -> None:
    """Sparse files in all four formats, long names and large ids come out as they went in."""
    source = tmp_path / "source"
    source.mkdir()
    content = sparse_file(source / "sparse")
    (source / "after").write_bytes(b"after")
    command = ["tar", "-c", "-C", str(source), *options, "--owner=:2000", "sparse", "after"]
    if "v7" not in options[0]:
        (source / LONG).parent.mkdir(parents=True)
        (source / LONG).write_bytes(b"long")
        command[-3] = "--owner=:2147483647"
        command.append(LONG)
    data = subprocess.run(command, check=True, capture_output=True).stdout
    found = {member.name: (member.size, member.uid, content) for member, content in read_all(data)}
    uid = 2000 if "v7" in options[0] else 2147483647

    assert found["sparse"] == (len(content), uid, content)
    assert found["after"] == (5, uid, b"after")
    assert found.get(LONG, (4, uid, b"long")) == (4, uid, b"long")


def test_holes_stay_holes_on_disk(tmp_path: Path) -> None:
    """copy_to writes what is stored and skips what is not."""
    content = sparse_file(tmp_path / "sparse")
    data = subprocess.run(
        ["tar", "-cS", "-C", str(tmp_path), "sparse"], check=True, capture_output=True
    ).stdout
    reader = TarReader(io.BytesIO(data))
    next(reader)
    with (tmp_path / "copy").open("wb") as copy:
        reader.copy_to(copy.fileno())

    assert content == (tmp_path / "copy").read_bytes()
    assert (tmp_path / "copy").stat().st_blocks <= (tmp_path / "sparse").stat().st_blocks
    assert list(reader) == []


def test_sparse_data_in_pieces_is_the_same(tmp_path: Path) -> None:
    """Reading a sparse member a few bytes at a time gives the same as reading it at once."""
    content = sparse_file(tmp_path / "sparse")
    data = subprocess.run(
        ["tar", "-cS", "-C", str(tmp_path), "sparse"], check=True, capture_output=True
    ).stdout
    reader = TarReader(Trickle(data))
    next(reader)
    pieces = []
    while piece := reader.read(12_345):
        pieces.append(piece)

    assert content == b"".join(pieces)


def test_extended_headers_override() -> None:
    """PAX records stand above the header, GNU long names above PAX, and a global record above neither."""
    data = (
        pax((b"mtime", b"12.5"), (b"uid", b"7"), flag=b"g")
        + pax((b"path", b"from/pax"), (b"uid", b"9"), (b"size", b"3"), (b"SCHILY.xattr.user.a", b"x=\0\n"))
        + raw_header(b"short", size=b"77777777777")
        + b"abc".ljust(512, b"\0")
        + raw_header(b"L", b"L", size=b"10")
        + b"from/gnu".ljust(512, b"\0")
        + raw_header(b"short")
        + END
    )
    (first, content), (second, _) = read_all(data)

    assert (first.name, first.uid, first.size, content) == ("from/pax", 9, 3, b"abc")
    assert (first.mtime_ns, dict(first.xattrs)) == (12_500_000_000, {"user.a": b"x=\0\n"})
    assert (second.name, second.uid) == ("from/gnu", 7)


def test_old_directories_and_contiguous_files() -> None:
    """A V7 file whose name ends in a slash is a directory; type 7 is a file; a link has no data."""
    data = (
        raw_header(b"d/", b"\0")
        + raw_header(b"c", b"7")
        + raw_header(b"l", b"1", link=b"c", size=b"700")
        + END
    )

    assert [member.kind for member, _ in read_all(data)] == ["dir", "file", "hardlink"]


def test_a_missing_end_mark_is_the_end() -> None:
    """As with archive/tar of Go, an archive may simply stop between members."""
    data = raw_header(b"a", size=b"3") + b"abc"

    assert [content for _, content in read_all(data)] == [b"abc"]
    assert len(read_all(raw_header() + bytes(512))) == 1
    assert read_all(b"") == []


NEGATIVE = b"\xff" * 12
HUGE = b"\x80" + b"\xff" * 11


@pytest.mark.parametrize(
    "data",
    [
        raw_header(size=NEGATIVE),
        raw_header(size=HUGE),
        raw_header(size=b"8"),
        raw_header(size=b"-1"),
        raw_header(size=b"0o17"),
        raw_header(size=b"1_0"),
        raw_header(uid=b"\xff" * 8),
        raw_header(flag=b"Z"),
        raw_header(flag=b"x", size=NEGATIVE),
        raw_header(flag=b"L", size=b"100"),
        raw_header()[:-1] + b"x",
        raw_header()[:200],
        raw_header(size=b"1000") + bytes(511),
        bytes(512) + raw_header(),
        pax((b"path", b"a")),
        pax((b"path", b"a\0b")) + raw_header(),
        pax((b"size", b"-1")) + raw_header(),
        pax((b"size", b"99999999999999999999")) + raw_header(),
        pax((b"size", b"1e3")) + raw_header(),
        pax((b"mtime", b"yesterday")) + raw_header(),
        pax((b"uid", b"")) * 20 + raw_header(),
        raw_header(flag=b"x", size=b"4") + b"nope".ljust(512, b"\0") + raw_header(),
        raw_header(flag=b"x", size=b"7") + b"99 a=b\n".ljust(512, b"\0") + raw_header(),
        raw_header(flag=b"x", size=b"6") + b"0 a=b\n".ljust(512, b"\0") + raw_header(),
        raw_header(flag=b"x", size=b"6") + b"6 aab\n".ljust(512, b"\0") + raw_header(),
        pax((b"GNU.sparse.map", b"0,5,3,5"), (b"GNU.sparse.size", b"9")) + raw_header(size=b"12"),
        pax((b"GNU.sparse.map", b"0,5"), (b"GNU.sparse.size", b"9")) + raw_header(size=b"6"),
        pax((b"GNU.sparse.map", b"0,5"), (b"GNU.sparse.size", b"4")) + raw_header(size=b"5"),
        pax((b"GNU.sparse.map", b"0,5,1"), (b"GNU.sparse.size", b"9")) + raw_header(size=b"5"),
        pax((b"GNU.sparse.map", b"0,-5"), (b"GNU.sparse.size", b"9")) + raw_header(size=b"5"),
        pax((b"GNU.sparse.map", b"0,5")) + raw_header(size=b"5"),
        pax((b"GNU.sparse.numbytes", b"5"), (b"GNU.sparse.offset", b"0")) + raw_header(size=b"5"),
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9"))
        + raw_header(size=b"1000") + b"2\n0\n5\n".ljust(512, b"x"),
        raw_header(flag=b"S", size=b"0", realsize=NEGATIVE),
        raw_header(flag=b"S", size=b"0", sparse=b"\0" * 96 + b"\1"),
        raw_header(flag=b"S", size=b"5", sparse=NEGATIVE + b"00000000005", realsize=b"5") + bytes(512),
    ],
)  # fmt: skip
def test_bad_archives_are_named_so(data: bytes) -> None:
    """Negative, huge and malformed numbers, lying maps, unknown types and cut-off data end in BadArchive."""
    with pytest.raises(BadArchive):
        read_all(data)


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (raw_header() * 3, Limits(entries=2)),
        (raw_header(b"x" * 90), Limits(path_length=80)),
        (raw_header(flag=b"x", size=b"77777777"), Limits()),
        (pax((b"path", b"x" * 5000)) + raw_header(), Limits()),
        (raw_header(size=b"\x80" + b"\0" * 4 + b"\x7f" + b"\xff" * 6), Limits()),
        (pax((b"GNU.sparse.map", b""), (b"GNU.sparse.numblocks", b"0"), (b"GNU.sparse.size", b"9" * 18))
         + raw_header(), Limits()),
        (pax((b"GNU.sparse.map", b"0,0," * 10 + b"0,0"), (b"GNU.sparse.size", b"9")) + raw_header(),
         Limits(sparse_chunks=5)),
        (pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")) + raw_header(size=b"1000")
         + b"999999999\n".ljust(512, b"0"), Limits()),
    ],
)  # fmt: skip
def test_limits(data: bytes, limits: Limits) -> None:
    """Too many entries, too long paths, and sizes that nothing backs are refused before they cost."""
    with pytest.raises(ArchiveLimit):
        read_all(data, limits)


def sample() -> bytes:
    parts: list[bytes] = []
    writer = TarWriter(parts.append)
    writer.add(TarMember("dir", "dir", 0o755))
    writer.add(TarMember(LONG, "file", 0o644, size=1500), b"y" * 1500)
    writer.add(TarMember("é", "symlink", 0o777, link=LONG))
    writer.finish()
    return b"".join(parts)


def test_every_truncation_ends_cleanly() -> None:
    """Cut anywhere, an archive gives fewer members or BadArchive, and never anything else."""
    data = sample()
    whole = read_all(data)
    for cut in [*range(0, len(data), 512), *range(1, len(data), 97)]:
        try:
            found = read_all(data[:cut])
        except BadArchive:
            continue

        assert whole[: len(found)] == found


def test_random_damage_ends_cleanly() -> None:
    """Bytes changed at random give members or BadArchive, and never anything else."""
    rng = random.Random(7)
    data = sample()
    for _ in range(1_000):
        broken = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            found = read_all(bytes(broken))
        except BadArchive:
            continue

        assert len(found) <= 3


def test_drain_reads_to_the_end() -> None:
    """A digest over the stream covers what lies behind the end mark."""
    stream = io.BytesIO(sample() + b"trailing" * 100_000)
    reader = TarReader(stream)
    list(reader)
    reader.drain()

    assert stream.read() == b""


@settings(deadline=None)
@given(
    name=st.text(
        st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=300
    ),
    depth=st.integers(0, 4),
    kind=st.sampled_from(["file", "dir", "symlink", "hardlink", "fifo", "char"]),
    ids=st.integers(0, 2**32 - 2),
    seconds=st.integers(-(10**10), 10**11),
    data=st.binary(max_size=1100),
    xattr=st.binary(max_size=200),
)
def test_what_is_written_is_read(
    name: str, depth: int, kind: str, ids: int, seconds: int, data: bytes, xattr: bytes
) -> None:
    """Reading gives back every member that can be written, and tarfile agrees."""
    path = f"{name}/" * depth + name + ("/" if kind == "dir" else "")
    member = TarMember(
        path, kind, 0o7777, ids, ids, len(data) if kind == "file" else 0, seconds * 10**9,
        path if kind in ("symlink", "hardlink") else "", (7, 70_000) if kind == "char" else (0, 0),
        {"security.capability": xattr} if xattr else {},
    )  # fmt: skip
    parts: list[bytes] = []
    writer = TarWriter(parts.append)
    writer.add(member, data)
    size = writer.finish()
    archive = b"".join(parts)

    assert [(member, (member.size and data) or b"")] == read_all(archive, Limits(path_length=10**6))
    assert size == len(archive)
    with tarfile.open(fileobj=io.BytesIO(archive)) as other:
        (info,) = other.getmembers()
        assert (info.name, info.mtime, info.uid) == (path.rstrip("/"), seconds, ids)


def test_headers_are_ustar_where_that_is_enough() -> None:
    """A name that fits in name and prefix takes one block; times lose their fraction, never upwards."""
    assert len(header(TarMember(LONG, "file", 0o644))) == 512
    assert len(header(TarMember("x" * 101, "file", 0o644))) == 3 * 512
    assert header(TarMember("x", "file", 0o644, mtime_ns=1_999_999_999)) == header(
        TarMember("x", "file", 0o644, mtime_ns=1_000_000_000)
    )
    assert header(TarMember("x", "file", 0o644, mtime_ns=-1)) == header(
        TarMember("x", "file", 0o644, mtime_ns=-(10**9))
    )


def test_the_writer_takes_bytes_pieces_and_files(tmp_path: Path) -> None:
    """The same data gives the same archive, however it is handed over."""
    data = b"0123456789" * 300_000
    (tmp_path / "file").write_bytes(data)
    archives = []
    parts: list[bytes] = []
    with (tmp_path / "file").open("rb") as file:
        for source in (data, [data[:7], data[7:]], file.fileno()):
            parts = []
            writer = TarWriter(parts.append)
            writer.add(TarMember("x", "file", 0o644, size=len(data)), source)
            writer.finish()
            archives.append(b"".join(parts))

        assert archives[0] == archives[1] == archives[2]
        for short in (data[:-1], [data[:-1]], file.fileno()):
            with pytest.raises(ChangedWhileRead):
                TarWriter(parts.append).add(TarMember("x", "file", 0o644, size=len(data)), short)
