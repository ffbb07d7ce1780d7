"""Read-only file trees: one directory, or overlay lowers seen as one, without mounting anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from builder.core.errors import Kind, PybuildError

# The kernel's own limit (include/linux/namei.h MAXSYMLINKS).
_MAX_SYMLINKS = 40
_MAX_REMEMBERED = 8192

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}

# Inside a user namespace trusted.* cannot be written, so overlayfs keeps its marks in user.overlay.*
# (userxattr, Linux 5.11, Documentation/filesystems/overlayfs.rst).
OPAQUE_XATTRS = ("trusted.overlay.opaque", "user.overlay.opaque")


class TooManySymlinks(PybuildError):
    """A path goes through more symbolic links than the kernel would follow."""

    kind = Kind.INVALID
    code = "too-many-symlinks"

    def __init__(self, path: str) -> None:
        super().__init__(
            f'too many levels of symbolic links in "{path}"', hint="look for a link that leads to itself"
        )


class Entry(NamedTuple):
    """One path of a tree. Names are str with surrogateescape, relative to the root; "" is the root itself."""

    path: str
    kind: str  # file dir symlink char block fifo socket
    mode: int  # permission bits, 0 to 0o7777
    uid: int
    gid: int
    size: int  # bytes, of a regular file
    mtime_ns: int
    ctime_ns: int
    rdev: int
    dev: int
    ino: int
    nlink: int
    real: str  # where its bytes lie on the host


def entry_of(path: str, real: str, st: os.stat_result) -> Entry:
    """The entry for what ``lstat(real)`` answered."""
    mode = st.st_mode
    return Entry(
        path, _KINDS[stat.S_IFMT(mode)], stat.S_IMODE(mode), st.st_uid, st.st_gid, st.st_size,
        st.st_mtime_ns, st.st_ctime_ns, st.st_rdev, st.st_dev, st.st_ino, st.st_nlink, real,
    )  # fmt: skip


def is_whiteout(st: os.stat_result) -> bool:
    """Whether overlayfs takes this for the mark of a deleted name: a character device 0:0."""
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def is_opaque(directory: str) -> bool:
    """Whether overlayfs hides what lower directories hold below this one."""
    for name in OPAQUE_XATTRS:
        try:
            if os.getxattr(directory, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False


class Tree(Protocol):
    """A tree that does not change while it is read (a build context may; its readers check)."""

    def lookup(self, path: str) -> Entry | None:
        """The entry at a clean relative path, None if absent; follows no symbolic link at all."""

    def children(self, path: str) -> list[Entry]:
        """What a directory holds, sorted by name in byte order; [] for anything else."""


class DirectoryTree:
    """The tree below one directory of the host."""

    def __init__(self, root: str) -> None:
        self.root = root

    def lookup(self, path: str) -> Entry | None:
        """See Tree; a parent that is a symbolic link makes the path absent."""
        real = self.root
        parts = path.split("/") if path else []
        try:
            st = os.lstat(real)
            for part in parts:
                if not stat.S_ISDIR(st.st_mode):
                    return None
                real = f"{real}/{part}"
                st = os.lstat(real)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return entry_of(path, real, st)

    def children(self, path: str) -> list[Entry]:
        """See Tree."""
        entry = self.lookup(path)
        if entry is None or entry.kind != "dir":
            return []
        return scan(entry.real, f"{path}/" if path else "")


def scan(directory: str, prefix: str) -> list[Entry]:
    """The entries of one real directory, sorted in byte order; names that vanish meanwhile are left out."""
    found = []
    with os.scandir(directory) as items:
        for item in items:
            try:
                st = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            found.append(entry_of(prefix + item.name, item.path, st))
    found.sort(key=_by_bytes)
    return found


def _by_bytes(entry: Entry) -> bytes:
    return os.fsencode(entry.path)


class StackedTree:
    """Overlay lowers, top first, merged as overlayfs would: whiteouts and opaque directories included.

    The directories must not change while the tree is in use (committed snapshots never do); an upper
    that is being written may be the first one if ``forget`` is called after changes.
    """

    def __init__(self, lowers: Sequence[str]) -> None:
        self.lowers = list(lowers)
        self._stacks: dict[str, list[str]] = {"": self.lowers}

    def forget(self) -> None:
        """Drop what is remembered of directories, after the top one was written to."""
        self._stacks = {"": self.lowers}

    def lookup(self, path: str) -> Entry | None:
        """See Tree."""
        if not path:
            return entry_of("", self.lowers[0], os.lstat(self.lowers[0])) if self.lowers else None
        parent, _, name = path.rpartition("/")
        found = self._find(self._stack(parent), name)
        if found is None:
            return None
        real, st, _ = found
        return entry_of(path, real, st)

    def children(self, path: str) -> list[Entry]:
        """See Tree."""
        stack = self._stack(path)
        prefix = f"{path}/" if path else ""
        if len(stack) == 1:
            return [e for e in scan(stack[0], prefix) if not (e.kind == "char" and e.rdev == 0)]
        seen: dict[str, Entry | None] = {}
        for directory in stack:
            for entry in scan(directory, prefix):
                if entry.path not in seen:
                    seen[entry.path] = None if entry.kind == "char" and entry.rdev == 0 else entry
        return sorted((e for e in seen.values() if e is not None), key=_by_bytes)

    def directories(self, path: str) -> list[str]:
        """The real directories that make up a merged directory, top first; [] if it is none."""
        return list(self._stack(path))

    def _stack(self, path: str) -> list[str]:
        """The real directories that make up a merged directory, top first; [] if it is none."""
        known = self._stacks.get(path)
        if known is not None:
            return known
        parent, _, name = path.rpartition("/")
        found = self._find(self._stack(parent), name)
        stack: list[str] = []
        if found is not None and stat.S_ISDIR(found[1].st_mode):
            real, _, rest = found
            stack = [real]
            while rest and not is_opaque(stack[-1]):
                below = self._find_in(rest, name)
                if below is None or not stat.S_ISDIR(below[1].st_mode) or is_whiteout(below[1]):
                    break
                stack.append(below[0])
                rest = below[2]
        if len(self._stacks) >= _MAX_REMEMBERED:
            self._stacks = {"": self.lowers}
        self._stacks[path] = stack
        return stack

    def _find(self, stack: list[str], name: str) -> tuple[str, os.stat_result, list[str]] | None:
        found = self._find_in(stack, name)
        return None if found is None or is_whiteout(found[1]) else found

    @staticmethod
    def _find_in(stack: list[str], name: str) -> tuple[str, os.stat_result, list[str]] | None:
        """The topmost directory of ``stack`` that holds ``name``: path, stat, directories below."""
        for index, directory in enumerate(stack):
            real = f"{directory}/{name}"
            try:
                return real, os.lstat(real), stack[index + 1 :]
            except (FileNotFoundError, NotADirectoryError):
                continue
        return None


def resolve(tree: Tree, path: str, *, follow_last: bool = True) -> str:
    """A path with its symbolic links followed inside the tree, clean and relative to the root.

    ``..`` and absolute links stop at the root. What does not exist is kept as written, so that the
    answer can be created. Raises TooManySymlinks.
    """
    pending = [p for p in reversed(path.split("/")) if p not in ("", ".")]
    done: list[str] = []
    hops = 0
    while pending:
        part = pending.pop()
        if part == "..":
            if done:
                done.pop()
            continue
        here = "/".join([*done, part])
        entry = tree.lookup(here) if follow_last or pending else None
        if entry is None or entry.kind != "symlink":
            done.append(part)
            continue
        hops += 1
        if hops > _MAX_SYMLINKS:
            raise TooManySymlinks(path)
        target = os.readlink(entry.real)
        if target.startswith("/"):
            done = []
        pending.extend(p for p in reversed(target.split("/")) if p not in ("", "."))
    return "/".join(done)
