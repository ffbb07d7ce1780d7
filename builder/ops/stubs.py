"""Takes the mount points that a sandbox had to make out of what its step leaves.

What was mounted covered them, so that the step could not touch them, but it can have moved a directory above
them or put a link in its place: every name is looked at through its parent, no link is followed, and nothing
goes that is not empty (CVE-2024-23652 of BuildKit).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_stubs(upper: Path, stubs: Iterable[tuple[bytes, int, int]]) -> None:
    """``stubs`` are RunningProcess's; a parent that nobody else changed gets its old mtime back."""
    for path, before, after in reversed(list(stubs)):
        *above, name = path.strip(b"/").split(b"/")
        parent = _open(upper, above)
        if parent is None:
            continue
        try:
            status = os.fstat(parent)
            if _remove(parent, name):
                mtime = before if status.st_mtime_ns == after else status.st_mtime_ns
                os.utime(parent, ns=(status.st_atime_ns, mtime))
        finally:
            os.close(parent)


def _open(upper: Path, names: Iterable[bytes]) -> int | None:
    descriptor = os.open(upper, _DIRECTORY)
    for name in names:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=descriptor)
        except OSError:  # gone, or no directory any more
            return None
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _remove(parent: int, name: bytes) -> bool:
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent)
        elif stat.S_ISREG(status.st_mode) and status.st_size == 0 and status.st_nlink == 1:
            os.unlink(name, dir_fd=parent)
        else:
            return False
    except OSError:  # gone, or not empty
        return False
    return True
