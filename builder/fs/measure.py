"""How much a directory of the store holds."""

from __future__ import annotations

import os
import stat


def stored_bytes(directory: str) -> int:
    """Of the regular files below it, each of several names once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                    continue
                st = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(st.st_mode) or (st.st_dev, st.st_ino) in seen:
                    continue
                if st.st_nlink > 1:
                    seen.add((st.st_dev, st.st_ino))
                total += st.st_size
    return total
