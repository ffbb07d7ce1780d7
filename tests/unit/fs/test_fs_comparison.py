"""Two tars of a layer: every way in which an entry can differ is told, and by its name."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest

from builder.fs.comparison import EntryDifference, compare_layers
from builder.fs.tar import TarMember
from builder.fs.tarwrite import TarWriter

_FILE = TarMember("a/file", "file", 0o644, 0, 0, 3, 5_000_000_000)
_LINK = TarMember("a/link", "symlink", 0o777, link="file")
_NODE = TarMember("a/node", "char", 0o600, device=(1, 3))


def _tar(members: Iterable[tuple[TarMember, bytes]]) -> io.BytesIO:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for member, data in members:
        if member.kind == "file":
            with writer.streaming(member) as sink:
                sink(data)
        else:
            writer.add(member)
    writer.finish()
    out.seek(0)
    return out


def _differing(one: TarMember, two: TarMember, data: bytes = b"abc") -> list[EntryDifference]:
    return list(compare_layers(_tar([(one, b"abc"[: one.size])]), _tar([(two, data[: two.size])])))


@pytest.mark.parametrize(
    ("member", "changed", "what"),
    [
        (_FILE, {"mode": 0o600}, "mode"),
        (_FILE, {"mode": 0o4644}, "mode"),
        (_FILE, {"uid": 1}, "owner"),
        (_FILE, {"gid": 1}, "owner"),
        (_FILE, {"mtime_ns": 6_000_000_000}, "mtime"),
        (_FILE, {"xattrs": {"user.a": b"1"}}, "xattr"),
        (_FILE, {"size": 2}, "content"),
        (_LINK, {"link": "other"}, "target"),
        (_NODE, {"device": (1, 5)}, "device"),
        (_NODE, {"kind": "block"}, "kind"),
    ],
)
def test_each_difference_has_its_name(member: TarMember, changed: dict[str, Any], what: str) -> None:
    """One fact is another, and nothing else is told."""
    assert [EntryDifference(f"/{member.name}", (what,))] == _differing(member, member._replace(**changed))


def test_content_of_the_same_size() -> None:
    """It is the bytes that count."""
    assert [EntryDifference("/a/file", ("content",))] == _differing(_FILE, _FILE, b"abd")


def test_several_at_once() -> None:
    """All that differs in a path is told together."""
    other = _FILE._replace(mode=0o600, mtime_ns=0)

    assert [EntryDifference("/a/file", ("content", "mode", "mtime"))] == _differing(_FILE, other, b"xyz")


def test_missing_entries_and_their_sides() -> None:
    """What one lacks is told, and does not put the rest out of step."""
    names = [f"f{number}" for number in range(9)]
    first = [(_FILE._replace(name=name), b"abc") for name in names if name != "f2"]
    second = [(_FILE._replace(name=name), b"abc") for name in names if name != "f6"]

    found = set(compare_layers(_tar(first), _tar(second)))

    assert {EntryDifference("/f2", ("missing",), 0), EntryDifference("/f6", ("missing",), 1)} == found


def test_order_and_spelling_of_names_are_no_difference() -> None:
    """Archivers walk as they like, and some begin names with ``./``."""
    directory = TarMember("d/", "dir", 0o755)
    first = [(directory, b""), (_FILE, b"abc"), (_LINK, b"")]
    second = [(_LINK, b""), (_FILE._replace(name="./a/file"), b"abc"), (directory._replace(name="./d"), b"")]

    assert [] == list(compare_layers(_tar(first), _tar(second)))
