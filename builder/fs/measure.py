"""How much a directory of the store holds, or the tar that it comes from."""

from __future__ import annotations

import os
import stat

from builder.fs.blocks import Readable


def stored_bytes(directory: str, *, counts_links: bool = False) -> int:
    """Of the regular files below it, each of several names once; also of the texts of symbolic links."""
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
                if counts_links and stat.S_ISLNK(st.st_mode):
                    total += st.st_size
                if not stat.S_ISREG(st.st_mode) or (st.st_dev, st.st_ino) in seen:
                    continue
                if st.st_nlink > 1:
                    seen.add((st.st_dev, st.st_ino))
                total += st.st_size
    return total


def tar_bytes(tar: Readable, *, counts_links: bool = False) -> int:
    """The same of what a tar holds. Raises BadArchive, ArchiveLimit."""
    from builder.fs.tar import ENCODING, TarReader

    total = 0
    for member in TarReader(tar):
        if member.kind == "file":
            total += member.size
        elif counts_links and member.kind == "symlink":
            total += len(member.link.encode(ENCODING, "surrogateescape"))
    return total
