"""One xxh3 per directory of what a build read of it: whether anything may have changed, never an identity."""

from __future__ import annotations

from builder.fs.contenthash import ContentRecord, FileStamp


def fingerprints(record: ContentRecord) -> dict[str, str]:
    """Directory → xxh3 over the names below it that were read, with size, times and inode, in byte order.

    A replay walks the same directories, stats the same names and compares: a stat more than the paths that a
    step named is never needed, and a file of the same size with its old mtime still has another ctime.
    """
    import xxhash

    by_directory: dict[str, list[tuple[str, FileStamp]]] = {}
    for path, stamp in record.items():
        directory, _, name = path.rpartition("/")
        by_directory.setdefault(directory, []).append((name, stamp))
    found = {}
    for directory, names in by_directory.items():
        h = xxhash.xxh3_64()
        for name, stamp in sorted(names):
            text = f"{name}\0{stamp.size} {stamp.mtime_ns} {stamp.ctime_ns} {stamp.ino}\0"
            h.update(text.encode("utf-8", "surrogateescape"))
        found[directory] = h.hexdigest()
    return found
