"""What a directory holds, as a list, and what changed since an earlier list, as a layer."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.fs.diff import write_layer
from builder.fs.flatten import copy_directory, link
from builder.fs.layer import WHITEOUT_PREFIX
from builder.fs.tree import Entry, entry_of, scan

# A new time alone does not send a larger file again: programs that look at times look at small ones.
_TIMELY = 64 << 10
_MOST_VALUES = 2_000_000
_PIECE = 1 << 20


class BadListing(PybuildError):
    """A list of a directory's content is none."""

    kind = Kind.CORRUPT
    code = "bad-listing"


class Item(NamedTuple):
    """One path of a directory."""

    kind: str  # file dir symlink char block fifo
    mode: int
    uid: int
    gid: int
    mtime_s: int
    size: int
    content: str  # the sha256 of a file, the target of a link, the number of a device


Listing = Mapping[str, Item]  # by path; parents before what they hold


def list_directory(directory: str) -> dict[str, Item]:
    """All but its top, sockets, and names that no layer can have. Files are read."""
    found: dict[str, Item] = {}
    pending = [("", directory)]
    while pending:
        prefix, real = pending.pop()
        for entry in scan(real, prefix):
            is_mark = entry.kind == "char" and entry.rdev == 0
            if is_mark or entry.kind == "socket" or entry.path[len(prefix) :].startswith(WHITEOUT_PREFIX):
                continue
            found[entry.path] = _item(entry)
            if entry.kind == "dir":
                pending.append((f"{entry.path}/", entry.real))
    return found


def settled(old: Listing, new: Listing) -> dict[str, Item]:
    """``new`` as it will be known: what counts as unchanged keeps what ``old`` says of it."""
    return {
        path: before if (before := old.get(path)) is not None and _is_same(before, item) else item
        for path, item in new.items()
    }


def has_changes(old: Listing, new: Listing) -> bool:
    """Whether a layer from one to the other would hold anything."""
    return old.keys() != new.keys() or any(old[path] != item for path, item in new.items())


def write_changes(
    directory: str, old: Listing, new: Listing, scratch: str, sink: Callable[[bytes], object]
) -> None:
    """The layer that makes the directory of ``old`` that of ``new``, of which ``directory`` has the files.

    ``scratch`` is a fresh, empty directory of the same file system, for hard links. Raises ChangedWhileRead,
    and OSError where something is gone by now.
    """
    changed = {path for path, item in new.items() if old.get(path) != item}
    entries = {path: entry_of(path, real := f"{directory}/{path}", os.lstat(real)) for path in new}
    # Names of one inode stay together, or a reader has two files.
    inodes = {(e.dev, e.ino) for path, e in entries.items() if path in changed and e.kind != "dir"}
    changed |= {path for path, e in entries.items() if e.nlink > 1 and (e.dev, e.ino) in inodes}
    for path in sorted(changed):
        _stage(entries[path], entries, scratch)
    for path in sorted(old.keys() - new.keys()):
        above = path.rpartition("/")[0]
        # Of a directory that is gone the topmost name is enough.
        if not above or (above in new and new[above].kind == "dir"):
            _parents(path, entries, scratch)
            os.mknod(f"{scratch}/{path}", stat.S_IFCHR, 0)
    _date_directories(entries, scratch)
    write_layer(scratch, sink)


def encode(listing: Listing) -> bytes:
    """As JSON; names may be no UTF-8."""
    rows = [[path, *item] for path, item in sorted(listing.items())]
    return json.dumps(rows, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Item]:
    """Raises BadListing."""
    if data.count(b"[") > _MOST_VALUES:
        raise BadListing("the list of a cache mount is too long to be one")
    try:
        rows = json.loads(data)
        listing = {path: Item(*rest) for path, *rest in rows}
    except (ValueError, TypeError, RecursionError) as error:
        raise BadListing("the list of a cache mount cannot be read") from error
    if not all(isinstance(path, str) and _is_clean(path) for path in listing):
        raise BadListing("the list of a cache mount names what cannot be in it")
    types = (str, int, int, int, int, int, str)
    if not all(
        isinstance(value, kind) for item in listing.values() for value, kind in zip(item, types, strict=True)
    ):
        raise BadListing("the list of a cache mount has something else in it")
    return listing


def _is_clean(path: str) -> bool:
    parts = path.split("/")
    return "\0" not in path and not any(
        part in ("", ".", "..") or part.startswith(WHITEOUT_PREFIX) for part in parts
    )


def _item(entry: Entry) -> Item:
    match entry.kind:
        case "file":
            content = _digest(entry.real)
        case "symlink":
            content = os.readlink(entry.real)
        case "char" | "block":
            content = f"{os.major(entry.rdev)}:{os.minor(entry.rdev)}"
        case _:
            content = ""
    size = entry.size if entry.kind == "file" else 0
    return Item(entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns // 10**9, size, content)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        while data := file.read(_PIECE):
            digest.update(data)
    return digest.hexdigest()


def _is_same(old: Item, new: Item) -> bool:
    is_timeless = new.kind == "dir" or (new.kind == "file" and new.size > _TIMELY)
    return old == (new._replace(mtime_s=old.mtime_s) if is_timeless else new)


def _stage(entry: Entry, entries: Mapping[str, Entry], scratch: str) -> None:
    target = f"{scratch}/{entry.path}"
    _parents(entry.path, entries, scratch)
    if entry.kind == "dir":
        if not os.path.isdir(target):
            os.mkdir(target, 0o700)
            copy_directory(entry, target)
    else:
        link(entry, target, {})


def _parents(path: str, entries: Mapping[str, Entry], scratch: str) -> None:
    parts = path.split("/")[:-1]
    for number in range(1, len(parts) + 1):
        above = "/".join(parts[:number])
        target = f"{scratch}/{above}"
        if not os.path.isdir(target):
            os.mkdir(target, 0o700)
            copy_directory(entries[above], target)


def _date_directories(entries: Mapping[str, Entry], scratch: str) -> None:
    for path, entry in entries.items():
        if entry.kind == "dir" and os.path.isdir(target := f"{scratch}/{path}"):
            os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns))
