"""Compression: any stream in, the same bytes out every time, and bombs that do not go off."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import itertools
import lzma
import random
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.core.errors import Unsupported
from builder.fs.compression import Compressor, HashingReader, HashingWriter, open_decompressed, sniff
from builder.fs.limits import ArchiveLimit, BadArchive

RANDOM = random.Random(3).randbytes(300_000)
# Both what compresses well and what does not, over several blocks of every format.
DATA = RANDOM + bytes(2_000_000) + b"text " * 50_000

FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "none": bytes,
}
PACKED = {name: pack(DATA) for name, pack in FORMATS.items()}
COMPRESSED = [name for name in FORMATS if name != "none"]


def unpack(data: bytes, limit: int | None = None) -> bytes:
    return open_decompressed(io.BytesIO(data), limit).read()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_recognised(name: str) -> None:
    """By its first bytes, alone or several streams in a row."""
    assert name == sniff(PACKED[name][:10])
    assert unpack(PACKED[name]) == DATA
    assert unpack(PACKED[name] + FORMATS[name](b"more")) == DATA + b"more"
    assert unpack(FORMATS[name](b"")) == b""


class Trickle:
    """A stream that gives at most three bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, n: int, /) -> bytes:
        return self._inner.read(min(n, 3))


@pytest.mark.parametrize("name", FORMATS)
def test_streams_that_give_little(name: str) -> None:
    """A pipe may give three bytes at a time, and the reader of the result may take seven."""
    packed = FORMATS[name](RANDOM[:20_000])
    plain = open_decompressed(Trickle(packed))
    pieces = []
    while piece := plain.read(7):
        pieces.append(piece)

    assert b"".join(pieces) == RANDOM[:20_000]


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_zeros_behind_the_end_are_padding(name: str) -> None:
    """As tape drives and some registries leave them."""
    assert unpack(PACKED[name] + bytes(700_000)) == DATA


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("junk", [b"junk", b"\0\0junk that is longer than a magic", b"\x1f"])
def test_anything_else_behind_the_end_is_an_error(name: str, junk: bytes) -> None:
    """What Docker would refuse is not passed over."""
    with pytest.raises(BadArchive):
        unpack(PACKED[name] + junk)


@pytest.mark.parametrize("name", COMPRESSED)
def test_truncation_is_found(name: str) -> None:
    """Cut anywhere behind its magic, a stream is an error and never a shorter stream."""
    packed = PACKED[name]
    cuts = [*range(10, 60), *range(60, len(packed), len(packed) // 50), *range(len(packed) - 30, len(packed))]
    for cut in cuts:
        with pytest.raises(BadArchive):
            unpack(packed[:cut])


@pytest.mark.parametrize("name", COMPRESSED)
def test_damage_ends_cleanly(name: str) -> None:
    """A changed byte gives other bytes or BadArchive, and never anything else."""
    rng = random.Random(5)
    data = RANDOM[:5_000] + bytes(5_000)
    # zstd has a checksum only if asked for one.
    checked = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    packed = checked if name == "zstd" else FORMATS[name](data)
    refused = 0
    for _ in range(200):
        broken = bytearray(packed)
        broken[rng.randrange(10, len(broken))] ^= 1 << rng.randrange(8)
        try:
            unpack(bytes(broken), 10_000_000)
        except BadArchive:
            refused += 1

    assert refused >= 195


@pytest.mark.parametrize("name", FORMATS)
def test_the_limit_holds(name: str) -> None:
    """One byte over the limit is an error; the limit itself is not."""
    assert unpack(PACKED[name], len(DATA)) == DATA
    with pytest.raises(ArchiveLimit):
        unpack(PACKED[name], len(DATA) - 1)


BOMB = """
import io, resource, sys
from builder.fs.compression import open_decompressed
from builder.fs.limits import ArchiveLimit
packed = sys.stdin.buffer.read()
open_decompressed(io.BytesIO(packed)).read(100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
plain = open_decompressed(io.BytesIO(packed), 60_000_000)
try:
    while plain.read(1 << 20):
        pass
except ArchiveLimit:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("name", COMPRESSED)
def test_bombs_cost_no_memory(name: str) -> None:
    """A few bytes that stand for 64 MB are read in pieces until the limit."""
    bomb = FORMATS[name](bytes(64_000_000))
    answer = subprocess.run([sys.executable, "-c", BOMB], input=bomb, check=True, capture_output=True)

    assert int(answer.stdout) < 24_000  # KiB; the bomb whole would be 62,500


def test_skippable_frames_are_skipped() -> None:
    """Before, between and behind zstd frames, as zstd:chunked writes them."""
    frame = b"\x5e\x2a\x4d\x18\x04\0\0\0abcd"
    packed = frame + zstandard.compress(b"one") + frame + zstandard.compress(b"two") + frame

    assert unpack(packed) == b"onetwo"


def test_zstd_windows_are_bounded() -> None:
    """A frame that wants more memory than zstd itself would give is refused."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=0)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = compressor.compress(b"x") + compressor.flush()

    with pytest.raises(BadArchive):
        unpack(packed)


def test_without_isal_gzip_is_read_and_written_by_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines without a wheel get the same data, under another name."""
    monkeypatch.setitem(sys.modules, "isal", None)
    packed, name = pack("gzip", [DATA])

    assert name.startswith("gzip/zlib-")
    assert unpack(packed) == DATA
    assert unpack(packed * 2 + bytes(9), 2 * len(DATA)) == DATA * 2
    with pytest.raises(BadArchive):
        unpack(packed[:-1])
    with pytest.raises(BadArchive):
        unpack(packed[:-8] + bytes(8))


def pack(kind: str, writes: list[bytes], level: int | None = None, *, threads: int = 1) -> tuple[bytes, str]:
    parts: list[bytes] = []
    compressor = Compressor(parts.append, kind, level, threads=threads)
    for data in writes:
        compressor.write(data)
    compressor.close()
    return b"".join(parts), compressor.name


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=6))
def test_output_does_not_depend_on_the_writes(kind: str, cuts: list[int]) -> None:
    """However the data is cut into writes, the same bytes come out."""
    edges = [0, *sorted(cuts), len(DATA)]
    writes = [DATA[a:b] for a, b in itertools.pairwise(edges)]

    assert pack(kind, [DATA])[0] == pack(kind, writes)[0]


@pytest.mark.parametrize(
    ("kind", "level"), [("gzip", level) for level in range(10)] + [("zstd", level) for level in (0, 1, 3, 19)]
)
def test_every_level_comes_back(kind: str, level: int) -> None:
    """Compressed at any level, data decompresses to itself."""
    packed, name = pack(kind, [DATA[:1_200_000]], level)

    assert unpack(packed) == DATA[:1_200_000]
    assert name.startswith(f"{kind}/")
    assert name.endswith(f"/{level}")


@pytest.mark.parametrize(("kind", "level"), [("gzip", 1), ("gzip", 6), ("zstd", 3)])
def test_threads_do_not_change_the_bytes(kind: str, level: int) -> None:
    """One thread, three or four: the same bytes."""
    alone = pack(kind, [DATA * 5], level)[0]

    assert [alone] * 2 == [pack(kind, [DATA * 5], level, threads=threads)[0] for threads in (3, 4)]


def test_abandoned_compression_leaves_no_thread() -> None:
    """An error between the first write and the end does not leave workers behind."""
    before = threading.active_count()
    with Compressor(bytearray().extend, "gzip", threads=4) as compressor:
        compressor.write(DATA * 5)

        assert threading.active_count() > before

    assert threading.active_count() == before


def test_gzip_says_neither_when_nor_who() -> None:
    """No time, no name, unknown system; and gzip itself agrees with the rest."""
    packed, _ = pack("gzip", [DATA])

    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert gzip.decompress(packed) == DATA
    assert zlib.decompress(pack("gzip", [])[0], 31) == b""


@pytest.mark.parametrize(("kind", "level"), [("gzip", 10), ("gzip", -1), ("zstd", 23), ("lz4", None)])
def test_unknown_kinds_and_levels(kind: str, level: int | None) -> None:
    """They are refused by name."""
    with pytest.raises(Unsupported, match=str(level) if level is not None else kind):
        Compressor(bytearray().extend, kind, level)


def test_digests_on_the_way() -> None:
    """Readers and writers count and digest what goes by."""
    out = io.BytesIO()
    writer = HashingWriter(out.write)
    reader = HashingReader(io.BytesIO(DATA))
    while data := reader.read(100_000):
        writer.write(data)

    assert out.getvalue() == DATA
    assert writer.size == reader.size == len(DATA)
    assert writer.hex == reader.hex == hashlib.sha256(DATA).hexdigest()
