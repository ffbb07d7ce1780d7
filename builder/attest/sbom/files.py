"""The files of an image as cataloguers may read them: inside its tree, and no more than fits.

An image can hold anything. Links are followed inside the tree alone, only regular files are opened, each up
to a limit, and what cannot be read is left out and said.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from builder.core.errors import PybuildError
from builder.fs.tree import Entry, Tree, resolve

# What a Debian with everything installed has is a tenth of either.
READ_LIMIT = 64 << 20  # bytes of one file
_TOTAL_LIMIT = 4 << 30  # bytes of all files
_ENTRY_LIMIT = 4_000_000
DEPTH_LIMIT = 200
_WARNING_LIMIT = 20


class ImageFiles:
    """A tree that does not change, and what was wrong with it."""

    def __init__(self, tree: Tree, check: Callable[[], object] = lambda: None) -> None:
        """``check`` is called often, and may raise to end it."""
        self._tree = tree
        self._check = check
        self._left = _TOTAL_LIMIT
        self._warnings: dict[str, None] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the list of packages may be incomplete; each once, the first few of them."""
        shown = list(self._warnings)[:_WARNING_LIMIT]
        if len(self._warnings) > _WARNING_LIMIT:
            shown.append(f"and {len(self._warnings) - _WARNING_LIMIT} more files that could not be read")
        return tuple(shown)

    def warn(self, path: str, why: str) -> None:
        """Something of ``path`` is missing from the list."""
        self._warnings[f'"/{path}" {why}'] = None

    def lookup(self, path: str) -> Entry | None:
        """The entry that a path leads to, links followed; None if it leads nowhere."""
        try:
            return self._tree.lookup(resolve(self._tree, path))
        except (PybuildError, OSError, ValueError):
            self.warn(path, "cannot be reached")
            return None

    def children(self, path: str) -> list[Entry]:
        """What a directory, or a link to one, holds."""
        entry = self.lookup(path)
        return [] if entry is None or entry.kind != "dir" else self._children(entry.path)

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes | None:
        """A file, links followed; None if there is none, or it is not one that can be read whole."""
        entry = self.lookup(path)
        if entry is None:
            return None
        if entry.size > limit:
            self.warn(path, f"has {entry.size} bytes and is not read")
            return None
        return self.beginning(entry, limit)

    def beginning(self, entry: Entry, limit: int) -> bytes | None:
        """The first bytes of a file."""
        self._check()
        limit = min(limit, self._left)
        if not limit:
            self.warn(entry.path, "and what follows is not read: it is too much in all")
            return None
        with self.opened(entry) as descriptor:
            if descriptor is None:
                return None
            data = bytearray()
            while len(data) < limit and (piece := os.read(descriptor, min(limit - len(data), 1 << 20))):
                data += piece
            self._left -= len(data)
            return bytes(data)

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[int | None]:
        """A descriptor to read a regular file by; None, and a warning, for anything else."""
        descriptor: int | None = None
        if entry.kind == "file":
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(entry.real, flags)
            except OSError as error:
                self.warn(entry.path, f"cannot be read: {(error.strerror or 'error').lower()}")
        else:
            self.warn(entry.path, f"is a {entry.kind} and not a file")
        try:
            if descriptor is not None:
                assert stat.S_ISREG(os.fstat(descriptor).st_mode), "a committed tree was changed"
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def walk(self) -> Iterator[Entry]:
        """Every entry below the root, no link followed, directories before what they hold."""
        pending = [iter(self._children(""))]
        count = 0
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
                continue
            count += 1
            if not count % 1024:
                self._check()
            if count > _ENTRY_LIMIT:
                self.warn(entry.path, f"and what follows is not looked at: more than {_ENTRY_LIMIT} files")
                return
            yield entry
            if entry.kind == "dir" and not is_kernel_directory(entry.path):
                if len(pending) < DEPTH_LIMIT:
                    pending.append(iter(self._children(entry.path)))
                else:
                    self.warn(entry.path, "lies too deep and is not looked at")

    def _children(self, path: str) -> list[Entry]:
        try:
            return self._tree.children(path)
        except OSError as error:
            self.warn(path, f"cannot be listed: {(error.strerror or 'error').lower()}")
            return []


def is_kernel_directory(path: str) -> bool:
    """What is mounted over in every container: an image may hold it, nothing installs there."""
    return path in ("proc", "sys", "dev")
