"""How much of the disk everything in the state directory takes: blocks, hard links once, as `du` counts.

What never changes is measured once, and its size kept in the database.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from builder.store.cachemounts import unused
from builder.store.database import CACHE_MOUNTS_TABLE, Database, text
from builder.store.state import StateDir

_BLOCK = 512  # of st_blocks, whatever the file system has (stat(2))


class Sizes:
    """Bytes by path below the root; of buckets those of their entries."""

    def __init__(self, state: StateDir, database: Database) -> None:
        self._root = state.root
        self._database = database
        self._lasting = [path.name for path in (state.snapshots, state.flat, state.failed)]
        self._logs = state.logs.name
        self._caches = state.caches
        self._changing = [path.name for path in (state.containers, state.partial)]
        self._blobs = str(state.blobs.relative_to(state.root))
        self._seen: set[tuple[int, int]] = set()

    def measure(self, *, is_anew: bool = False) -> dict[str, int]:
        """Of everything; what was measured before and has not changed is believed, unless ``is_anew``."""
        self._seen = set()
        before = self._known()
        known = {} if is_anew else before
        lasting = self._last()
        memos = {memo: known.get(memo, -1) for memo in lasting}
        for memo, path in lasting.items():
            if memos[memo] < 0:
                memos[memo] = self._tree(self._root / path)
        if memos != before:
            self._remember(before, memos)
        found = {path: memos[memo] for memo, path in lasting.items()}
        buckets = [*self._lasting, self._logs, self._caches.name, *self._changing, self._blobs]
        for bucket in buckets:
            for name in self._names(bucket):
                path = f"{bucket}/{name}"
                if path not in found:
                    found[path] = self._tree(self._root / path)
        return found | self._rest(buckets)

    def _last(self) -> dict[str, str]:
        """What keeps its size: under which name that is remembered, and its path."""
        found = [f"{bucket}/{name}" for bucket in self._lasting for name in self._names(bucket)]
        over = {text(row[0]) for row in self._database.rows("SELECT id FROM builds")}
        found += [f"{self._logs}/{name}" for name in self._names(self._logs) if name in over]
        last = {path: path for path in found}
        self._database.run(CACHE_MOUNTS_TABLE)  # a store may be older than cache mounts
        used = {text(r[0]): r[1] for r in self._database.rows("SELECT identity, used_at FROM cache_mounts")}
        for name in self._names(self._caches.name):
            with unused(self._caches / name) as is_free:
                if is_free:  # and so it has been since it was last used
                    last[f"{self._caches.name}/{name}@{used.get(name)!r}"] = f"{self._caches.name}/{name}"
        return last

    def _rest(self, buckets: Sequence[str]) -> dict[str, int]:
        """What is in no bucket, and the directories above what is."""
        found = {".": self._one(self._root)}
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

    def _remember(self, before: dict[str, int], memos: dict[str, int]) -> None:
        with self._database.transaction():
            for memo in before.keys() - memos.keys():
                self._database.run("DELETE FROM sizes WHERE path = ?", (memo,))
            for memo, size in memos.items():
                if before.get(memo) != size:
                    self._database.run("INSERT OR REPLACE INTO sizes VALUES (?, ?)", (memo, size))

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
