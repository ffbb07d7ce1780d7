"""What each layer of a stack adds to the tree below it, hides of it, and so wastes."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple

from builder.fs.tree import is_opaque, scan


class TalliedFile(NamedTuple):
    """A file that a layer holds."""

    path: str  # absolute
    size: int
    is_new: bool  # nothing was there before


@dataclass(frozen=True, slots=True)
class LayerTally:
    """One layer in bytes and numbers of files; of several names of one file only the first has bytes."""

    added: int
    added_count: int
    overwritten: int  # bytes of its files that took the place of others
    overwritten_count: int
    deleted: int  # bytes below that it hides without another in their place
    deleted_count: int
    wasted: int  # all bytes below that nobody sees because of it
    top: tuple[TalliedFile, ...]  # its largest files

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return self.added + self.overwritten


@dataclass(slots=True)
class _Node:
    size: int = 0
    children: dict[str, _Node] | None = None  # None: it is no directory


@dataclass(slots=True)
class _Count:
    size: int = 0
    number: int = 0

    def add(self, size: int, number: int = 1) -> None:
        self.size += size
        self.number += number


@dataclass(slots=True)
class _Work:
    added: _Count = field(default_factory=_Count)
    overwritten: _Count = field(default_factory=_Count)
    deleted: _Count = field(default_factory=_Count)
    replaced: int = 0  # bytes below that ``overwritten`` took the place of
    files: list[TalliedFile] = field(default_factory=list)


class Tally:
    """Takes the layers of one tree, lowest first, as overlay directories."""

    def __init__(self, *, top: int) -> None:
        """``top`` files of each layer are told by name."""
        self._top = top
        self._root: dict[str, _Node] = {}

    @property
    def size(self) -> int:
        """Bytes of the files that the tree shows."""
        return _whole(_Node(children=self._root)).size

    def add(self, directory: str) -> LayerTally:
        """The next layer."""
        work = _Work()
        seen: set[tuple[int, int]] = set()
        pending = [(directory, self._root, "")]
        while pending:
            real, below, prefix = pending.pop()
            if below and is_opaque(real):
                hidden = _whole(_Node(children=below))
                work.deleted.add(hidden.size, hidden.number)
                below.clear()
            for entry in scan(real, prefix):
                name = entry.path.rpartition("/")[2]
                old = below.get(name)
                if entry.kind == "char" and entry.rdev == 0:
                    if old is not None:
                        hidden = _whole(below.pop(name))
                        work.deleted.add(hidden.size, hidden.number)
                    continue
                if entry.kind == "dir":
                    if old is None or old.children is None:
                        work.replaced += old.size if old is not None else 0
                        old = below[name] = _Node(children={})
                    assert old.children is not None
                    pending.append((entry.real, old.children, f"{entry.path}/"))
                    continue
                is_first = entry.kind == "file" and (entry.nlink == 1 or (entry.dev, entry.ino) not in seen)
                seen.add((entry.dev, entry.ino))
                size = entry.size if is_first else 0
                work.files.append(TalliedFile(f"/{entry.path}", size, old is None))
                if old is None:
                    work.added.add(size)
                else:
                    work.overwritten.add(size)
                    work.replaced += _whole(old).size
                below[name] = _Node(size)
        return LayerTally(
            added=work.added.size,
            added_count=work.added.number,
            overwritten=work.overwritten.size,
            overwritten_count=work.overwritten.number,
            deleted=work.deleted.size,
            deleted_count=work.deleted.number,
            wasted=work.deleted.size + work.replaced,
            top=tuple(heapq.nlargest(self._top, work.files, key=lambda file: file.size)),
        )


def _whole(node: _Node) -> _Count:
    """Of a file, or of all files below a directory."""
    count = _Count()
    pending = [node]
    while pending:
        found = pending.pop()
        if found.children is None:
            count.add(found.size)
        else:
            pending += found.children.values()
    return count
