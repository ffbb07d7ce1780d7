"""Several overlay upper directories, made one that changes what they change together."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from builder.fs.editor import mark_opaque
from builder.fs.flatten import copy_directory, link
from builder.fs.tree import entry_of, is_opaque, is_whiteout

_Found = tuple[str, os.stat_result]


def squash(uppers: Sequence[str], directory: str) -> None:
    """Fill ``directory``, fresh and empty, from ``uppers`` (top first); files are hard links.

    Whiteouts and opaque marks stay, for what lies below all of them.
    """
    copies: dict[tuple[int, int], str] = {}
    made: list[tuple[str, int]] = []
    pending = [("", list(uppers), directory)]
    while pending:
        path, stack, target = pending.pop()
        top = entry_of(path, stack[0], os.lstat(stack[0]))
        copy_directory(top, target)
        made.append((target, top.mtime_ns))
        for name, found in sorted(_names(stack).items()):
            real, st = found[0]
            below, here = f"{path}/{name}" if path else name, f"{target}/{name}"
            if is_whiteout(st):
                os.mknod(here, stat.S_IFCHR, 0)
            elif not stat.S_ISDIR(st.st_mode):
                link(entry_of(below, real, st), here, copies)
            else:
                directories, hides_base = _directories(found)
                os.mkdir(here, 0o700)
                if hides_base:
                    mark_opaque(here)
                pending.append((below, directories, here))
    for target, mtime_ns in made:
        os.utime(target, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def _names(stack: Sequence[str]) -> dict[str, list[_Found]]:
    """What each name is in the directories that have it, top first."""
    names: dict[str, list[_Found]] = {}
    for directory in stack:
        with os.scandir(directory) as items:
            for item in items:
                names.setdefault(item.name, []).append((item.path, item.stat(follow_symlinks=False)))
    return names


def _directories(found: Sequence[_Found]) -> tuple[list[str], bool]:
    """The directories that make up one, top first, and whether they hide what lies below all layers."""
    directories: list[str] = []
    for real, st in found:
        if not stat.S_ISDIR(st.st_mode):
            return directories, True
        directories.append(real)
        if is_opaque(real):
            return directories, True
    return directories, False
