"""One directory that shows what a deep stack of overlay lowers shows, sharing their files."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from builder.fs.tree import Entry, StackedTree
from builder.fs.upper import copy_bytes, set_metadata, xattrs_of

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Too many names of one inode, another file system, or one that has no hard links.
_NO_LINK = (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP)


def flatten(lowers: Sequence[str], directory: str) -> None:
    """Fill ``directory``, fresh and empty, with the merged view of ``lowers`` (top first).

    The result is the complete bottom of a stack: no whiteouts, no opaque marks. Files are hard links
    to the same path in the lowers, which are only ever linked from; where a link cannot be made, and for
    directories, there is a copy with owner, mode, time and attributes.
    """
    tree = StackedTree(lowers)
    copies: dict[tuple[int, int], str] = {}
    made: list[tuple[str, int]] = []
    root = tree.lookup("")
    pending = [root] if root is not None else []
    while pending:
        entry = pending.pop()
        target = f"{directory}/{entry.path}" if entry.path else directory
        if entry.path:
            os.mkdir(target, 0o700)
        copy_directory(entry, target)
        made.append((target, entry.mtime_ns))
        for child in tree.children(entry.path):
            if child.kind == "dir":
                pending.append(child)
            else:
                link(child, f"{directory}/{child.path}", copies)
    for target, mtime_ns in made:
        os.utime(target, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def copy_directory(entry: Entry, target: str) -> None:
    source_fd = os.open(entry.real, _OPEN_DIRECTORY)
    try:
        target_fd = os.open(target, _OPEN_DIRECTORY)
        try:
            set_metadata(
                target_fd, entry.path, entry.uid, entry.gid, entry.mode, xattrs_of(source_fd), is_file=False
            )
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def link(entry: Entry, target: str, copies: dict[tuple[int, int], str]) -> None:
    """A second name for a committed file; ``copies`` keeps names of one inode together where it is copied."""
    inode = (entry.dev, entry.ino)
    if inode not in copies:
        try:
            os.link(entry.real, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            return
        _copy(entry, target)
        if entry.nlink > 1:
            copies[inode] = target
        return
    os.link(copies[inode], target, follow_symlinks=False)


def _copy(entry: Entry, target: str) -> None:
    if entry.kind == "file":
        _copy_file(entry, target)
    elif entry.kind == "symlink":
        os.symlink(os.readlink(entry.real), target)
    else:
        kinds = {"char": 0o020000, "block": 0o060000, "fifo": 0o010000, "socket": 0o140000}
        os.mknod(target, kinds[entry.kind] | entry.mode, entry.rdev)
    if entry.kind != "file":
        os.chown(target, entry.uid, entry.gid, follow_symlinks=False)
        if entry.kind != "symlink":
            os.chmod(target, entry.mode)
    os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)


def _copy_file(entry: Entry, target: str) -> None:
    source_fd = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy_bytes(source_fd, target_fd)
            set_metadata(
                target_fd, entry.path, entry.uid, entry.gid, entry.mode, xattrs_of(source_fd), is_file=True
            )
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)
