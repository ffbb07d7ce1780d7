"""Two trees, path by path: what is in one alone, and what is not the same in both."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from builder.fs.layer import CAPABILITY
from builder.fs.tree import Entry, StackedTree

_PIECE = 1 << 20


class PathChange(NamedTuple):
    """One path; both entries are there only if it changed."""

    kind: Literal["added", "removed", "changed"]
    before: Entry | None
    after: Entry | None
    what: tuple[str, ...] = ()  # of: kind, mode, owner, size, content, link, device, capability

    @property
    def entry(self) -> Entry:
        """The one that there is, the later one of two."""
        entry = self.after or self.before
        assert entry is not None
        return entry

    @property
    def path(self) -> str:
        """Absolute."""
        return f"/{self.entry.path}"

    @property
    def differences(self) -> Mapping[str, tuple[str, str] | None]:
        """What is not the same, and both values where they are short."""
        one, two = self.before, self.after
        if one is None or two is None:
            return {}
        values = {
            "kind": (one.kind, two.kind),
            "mode": (f"{one.mode:04o}", f"{two.mode:04o}"),
            "owner": (f"{one.uid}:{one.gid}", f"{two.uid}:{two.gid}"),
            "size": (str(one.size), str(two.size)),
        }
        return {name: values.get(name) for name in self.what}


def changes(before: StackedTree, after: StackedTree) -> Iterator[PathChange]:
    """In the order of paths, a directory before what it holds. Times do not count.

    What lies in the same directories of the store is not looked at.
    """
    pending = [""]
    while pending:
        path = pending.pop()
        if before.directories(path) == after.directories(path):
            continue
        sides = [{entry.path: entry for entry in tree.children(path)} for tree in (before, after)]
        below = []
        for name in sorted({**sides[0], **sides[1]}, key=os.fsencode):
            one, two = sides[0].get(name), sides[1].get(name)
            if one is None or two is None:
                yield PathChange("added" if one is None else "removed", one, two)
            else:
                what = _differing(one, two)
                if what:
                    yield PathChange("changed", one, two, what)
            if "dir" in (one.kind if one else "", two.kind if two else ""):
                below.append(name)
        pending += reversed(below)


def _differing(one: Entry, two: Entry) -> tuple[str, ...]:
    facts = {"mode": one.mode != two.mode, "owner": (one.uid, one.gid) != (two.uid, two.gid)}
    if one.kind != two.kind:
        facts["kind"] = True
    elif one.kind == "file":
        is_same = (one.dev, one.ino) == (two.dev, two.ino)
        facts["size"] = one.size != two.size
        facts["content"] = one.size != two.size or not (is_same or _are_equal(one.real, two.real))
        facts["capability"] = not is_same and _capability(one.real) != _capability(two.real)
    elif one.kind == "symlink":
        facts["link"] = os.readlink(one.real) != os.readlink(two.real)
    elif one.kind in ("char", "block"):
        facts["device"] = one.rdev != two.rdev
    return tuple(name for name, differs in facts.items() if differs)


def _are_equal(one: str, two: str) -> bool:
    with open(one, "rb") as left, open(two, "rb") as right:
        while data := left.read(_PIECE):
            if data != right.read(_PIECE):
                return False
        return True


def _capability(path: str) -> bytes:
    try:
        return os.getxattr(path, CAPABILITY, follow_symlinks=False)
    except OSError:
        return b""
