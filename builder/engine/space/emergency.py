"""The first room on a disk that is so full that not even the database can be opened."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from builder.store.state import is_locked, remove_tree

# The database opens two files and writes to them before a row can go.
_NEEDED = 1 << 20


def make_first_room(root: Path) -> None:
    """Take what no row speaks of and no build is faster for, if the disk has no room to begin with."""
    try:
        disk = os.statvfs(root)
    except FileNotFoundError:
        return
    if disk.f_bavail * disk.f_frsize >= _NEEDED:
        return
    for bucket in ("failed-v1", "partial-v1", "logs-v1"):
        with contextlib.suppress(FileNotFoundError):
            for path in sorted((root / bucket).iterdir()):
                if bucket != "partial-v1" or not is_locked(path):
                    remove_tree(path)
