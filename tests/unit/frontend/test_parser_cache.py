"""Remembered parses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.frontend.dockerfile.ast_cache import cache_key, pack, unpack
from builder.frontend.dockerfile.parser import parse
from builder.frontend.dockerfile.syntax_error import DockerfileSyntaxError

ROOT = Path(__file__).parents[3]
PARSE_CASES = ROOT / "testdata" / "parse"


class Memory:
    """A ParseCache that counts."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.puts = 0

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.puts += 1
        self.values[key] = value


@pytest.mark.parametrize("case", sorted(PARSE_CASES.iterdir()), ids=lambda path: path.name)
def test_a_packed_tree_is_the_tree(case: Path) -> None:
    """unpack(pack(tree)) is the tree, with the file name of the asker in its locations."""
    data = (case / "Dockerfile").read_bytes()

    assert parse(data, file="b") == unpack(pack(parse(data, file="a")), file="b")


def test_a_file_is_parsed_once() -> None:
    """The second parse of the same bytes comes from the cache, under whatever name."""
    cache = Memory()
    first = parse(b"FROM a\nRUN b\n", file="one", cache=cache)
    second = parse(b"FROM a\nRUN b\n", file="two", cache=cache)

    assert cache.puts == 1
    assert parse(b"FROM a\nRUN b\n", file="one") == first
    assert parse(b"FROM a\nRUN b\n", file="two") == second


def test_other_bytes_are_another_key() -> None:
    """The key depends on every byte of the file."""
    assert cache_key(b"FROM a\n") != cache_key(b"FROM a")


def test_errors_are_not_remembered() -> None:
    """A file that does not parse leaves nothing behind."""
    cache = Memory()
    with pytest.raises(DockerfileSyntaxError):
        parse(b"ENV a\n", cache=cache)

    assert cache.values == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: b"",
        lambda value: b"\x00" * 40,
        lambda value: value[:-1],
        lambda value: value[:40] + bytes([value[40] ^ 1]) + value[41:],
        lambda value: bytes([value[0] ^ 1]) + value[1:],
    ],
    ids=["empty", "zeros", "short", "payload", "checksum"],
)
def test_a_damaged_value_is_a_miss(damage: Callable[[bytes], bytes]) -> None:
    """Damaged bytes are parsed over, and replaced."""
    data = b"FROM a\nRUN <<E\nx\nE\n"
    cache = Memory()
    tree = parse(data, cache=cache)
    good = cache.values[cache_key(data)]
    cache.values[cache_key(data)] = damage(good)

    assert tree == parse(data, cache=cache)
    assert (2, good) == (cache.puts, cache.values[cache_key(data)])


WARM = """
import sys
from builder.frontend.dockerfile.parser import parse

class OneValue:
    def get(self, key):
        return bytes.fromhex(sys.argv[1])
    def put(self, key, value):
        raise AssertionError("parsed again")

tree = parse(b"FROM a\\nRUN b\\n", cache=OneValue())
print(len(tree.nodes), *sorted({"lark", "json", "logging", "dataclasses"} & sys.modules.keys()))
"""


def test_a_remembered_parse_imports_no_lark() -> None:
    """A parse that was seen before costs no parser: neither Lark nor what comes with it is imported."""
    value = pack(parse(b"FROM a\nRUN b\n"))
    done = subprocess.run(
        [sys.executable, "-c", WARM, value.hex()], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "2\n"
