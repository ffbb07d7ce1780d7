"""How much of the disk everything in the state directory takes: blocks, hard links once, as `du` counts.

What never changes is measured once, and its size kept in the database.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from builder.store.database import Database, text
from builder.store.state import StateDir

_BLOCK = 512  # of st_blocks, whatever the file system has (stat(2))


class Sizes:
    """Bytes by path below the root; of buckets those of their entries."""

    def __init__(self, state: StateDir, database: Database) -> None:
        self._root = state.root
        self._scratch = state.scratch
        self._database = database
        self._lasting = [path.name for path in (state.snapshots, state.flat, state.failed)]
        self._buckets = [path.name for path in (state.logs, state.caches, state.containers, state.partial)]
        self._blobs = state.blobs
        self._seen: set[tuple[int, int]] = set()

    def measure(self, *, is_anew: bool = False) -> dict[str, int]:
        """Of everything; what was measured before and does not change is believed, unless ``is_anew``."""
        self._seen = set()
        known = {} if is_anew else self._known()
        found: dict[str, int] = {}
        for bucket in self._lasting:
            for name in self._names(bucket):
                path = f"{bucket}/{name}"
                found[path] = known[path] if path in known else self._tree(self._root / path)
        if found != known:
            self._remember(found)
        for bucket in self._buckets:
            found |= {
                f"{bucket}/{name}": self._tree(self._root / bucket / name) for name in self._names(bucket)
            }
        blobs = str(self._blobs.relative_to(self._root))
        for name in self._names(blobs):
            found[f"{blobs}/{name}"] = self._tree(self._blobs / name)
        return found | self._rest({*self._lasting, *self._buckets, blobs})

    def _rest(self, buckets: set[str]) -> dict[str, int]:
        """What is in no bucket, and the directories above what is."""
        found = {"": self._one(self._root)}
        for bucket in buckets:
            path = self._root
            for part in Path(bucket).parts:
                path /= part
                key = str(path.relative_to(self._root))
                if key not in found:
                    found[key] = self._one(path)
        for name in self._names(""):
            if name not in found:
                found[name] = self._tree(self._root / name)
        return found

    def _known(self) -> dict[str, int]:
        rows = self._database.rows("SELECT path, size FROM sizes")
        return {text(path): size for path, size in rows if isinstance(size, int)}

    def _remember(self, found: dict[str, int]) -> None:
        with self._database.transaction():
            known = self._known()
            for path in known.keys() - found.keys():
                self._database.run("DELETE FROM sizes WHERE path = ?", (path,))
            for path, size in found.items():
                if known.get(path) != size:
                    self._database.run(
                        "INSERT OR REPLACE INTO sizes (path, size) VALUES (?, ?)", (path, size)
                    )

    def _names(self, bucket: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return os.listdir(self._root / bucket)
        return []

    def _tree(self, path: Path) -> int:
        return self._all([os.fspath(path)])

    def _one(self, path: Path) -> int:
        with contextlib.suppress(FileNotFoundError):
            return os.lstat(path).st_blocks * _BLOCK
        return 0

    def _all(self, pending: list[str]) -> int:
        size = 0
        while pending:
            path = pending.pop()
            with contextlib.suppress(OSError):  # it may go meanwhile, and a step may have made any mode
                st = os.lstat(path)
                size += self._counted(st)
                if stat.S_ISDIR(st.st_mode):
                    size += self._entries(path, pending)
        return size

    def _entries(self, path: str, pending: list[str]) -> int:
        size = 0
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        size += self._counted(entry.stat(follow_symlinks=False))
        return size

    def _counted(self, st: os.stat_result) -> int:
        if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
            key = (st.st_dev, st.st_ino)
            if key in self._seen:
                return 0
            self._seen.add(key)
        return st.st_blocks * _BLOCK
