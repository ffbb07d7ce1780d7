"""Two tars of a layer, entry by entry: what differs, and in what."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from builder.fs.blocks import Readable
from builder.fs.tar import TarMember, TarReader

_PIECE = 1 << 20


class EntryDifference(NamedTuple):
    """One path that two layers do not have alike."""

    path: str  # whiteouts and opaque markers are paths like others
    what: tuple[str, ...]  # of: missing, kind, content, target, device, mode, owner, mtime, xattr
    missing_from: int | None = None  # 0: the first layer lacks it, 1: the second

    @property
    def is_of_time_alone(self) -> bool:
        """Whether nothing but a date differs."""
        return self.what == ("mtime",)


class _Entry(NamedTuple):
    member: TarMember
    content: bytes  # digest of the data


def compare_layers(first: Readable, second: Readable) -> Iterator[EntryDifference]:
    """Read both tars side by side. Nothing: they hold the same, if perhaps in another order.

    What is kept in memory is what one has told of and the other has not yet: next to nothing where both are
    in the same order. Raises BadArchive, ArchiveLimit.
    """
    sides = (_entries(first), _entries(second))
    pending: tuple[dict[str, _Entry], dict[str, _Entry]] = ({}, {})
    open_sides = [0, 1]
    while open_sides:
        for side in tuple(open_sides):
            entry = next(sides[side], None)
            if entry is None:
                open_sides.remove(side)
                continue
            path = _path(entry.member)
            other = pending[1 - side].pop(path, None)
            if other is None:
                pending[side][path] = entry
                continue
            what = _differing((entry, other) if side == 0 else (other, entry))
            if what:
                yield EntryDifference(path, what)
    for side in (0, 1):
        for path in pending[side]:
            yield EntryDifference(path, ("missing",), 1 - side)


def _entries(stream: Readable) -> Iterator[_Entry]:
    reader = TarReader(stream)
    for member in reader:
        digest = hashlib.sha256()
        while data := reader.read(_PIECE):
            digest.update(data)
        yield _Entry(member, digest.digest())


def _path(member: TarMember) -> str:
    """As in the tree, whether the archiver wrote ``./etc/`` or ``etc``."""
    return "/" + member.name.removeprefix("./").strip("/")


def _differing(pair: Sequence[_Entry]) -> tuple[str, ...]:
    (one, one_content), (two, two_content) = pair
    facts = {
        "kind": one.kind != two.kind,
        "content": one.kind == two.kind and one_content != two_content,
        "target": one.kind == two.kind and one.link != two.link,
        "device": one.kind == two.kind and one.device != two.device,
        "mode": one.mode != two.mode,
        "owner": (one.uid, one.gid) != (two.uid, two.gid),
        "mtime": one.mtime_ns != two.mtime_ns,
        "xattr": dict(one.xattrs) != dict(two.xattrs),
    }
    return tuple(name for name, differs in facts.items() if differs)
