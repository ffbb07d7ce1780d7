"""The paths behind a content digest: what to compare when it is another one.

As bytes: zlib over path, kind, mode, owner and content of each path in the order of hashing, every one ended
by NUL; mode in octal, owner ``uid:gid``, 0:0 where it does not count, content the first 16 hex digits
of a digest, what a link leads to, or the number of a device.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from builder.fs.tree import Entry

_LEVEL = 1


class Listed(NamedTuple):
    """What counts of one path."""

    kind: str
    mode: int
    owner: str
    content: str


Listing = Mapping[str, Listed]


class Difference(NamedTuple):
    """How one path differs; None: it is not there."""

    path: str
    old: Listed | None
    new: Listed | None


def encode_listing(
    read: Iterable[tuple[str, Entry, bytes]], *, keeps_owner: bool, mode_of: Callable[[Entry], int]
) -> bytes:
    """``read`` gives paths, and entries with the sha256 of what regular files hold, b"" for others.

    A path is ``NUMBER:RELATIVE``: a content digest does not know where the sources lie that it is of.
    """
    fields: list[str] = []
    for path, entry, digest in read:
        owner = f"{entry.uid}:{entry.gid}" if keeps_owner else "0:0"
        fields += (path, entry.kind, f"{mode_of(entry):o}", owner, _content(entry, digest))
    return _compressed("".join(f"{field}\0" for field in fields))


def join_listings(listings: Sequence[bytes]) -> bytes:
    """One for content that is made up of several."""
    if len(listings) == 1:
        return listings[0]
    return _compressed("".join(_text(each) for each in listings))


def decode_listing(data: bytes) -> Listing:
    fields = iter(_text(data).split("\0"))
    return {
        path: Listed(kind, int(mode, 8), owner, content)
        for path, kind, mode, owner, content in zip(*[fields] * 5, strict=False)
    }


def differences(old: Listing, new: Listing) -> list[Difference]:
    """The paths that are not the same, those that both have first, then new ones, then removed ones.

    What is below a directory that is new, or gone, is not told of: the directory is.
    """
    changed = [Difference(path, old[path], listed) for path, listed in new.items() if path in old]
    changed = [each for each in changed if each.old != each.new]
    added = _tops([path for path in new if path not in old])
    removed = _tops([path for path in old if path not in new])
    return [
        *sorted(changed),
        *(Difference(path, None, new[path]) for path in added),
        *(Difference(path, old[path], None) for path in removed),
    ]


def _tops(paths: Iterable[str]) -> list[str]:
    known = set(paths)
    return sorted(path for path in known if _directory(path) not in known or _directory(path) == path)


def _directory(path: str) -> str:
    number, _, below = path.partition(":")
    return f"{number}:{below.rpartition('/')[0]}"


def _content(entry: Entry, digest: bytes) -> str:
    match entry.kind:
        case "file":
            return digest.hex()[:16]
        case "symlink":
            try:
                return os.readlink(entry.real)
            except OSError:  # gone meanwhile: whoever copies it notices
                return ""
        case "char" | "block":
            return f"{os.major(entry.rdev)}:{os.minor(entry.rdev)}"
        case _:
            return ""


def _compressed(text: str) -> bytes:
    return zlib.compress(text.encode("utf-8", "surrogateescape"), _LEVEL)


def _text(data: bytes) -> str:
    return zlib.decompress(data).decode("utf-8", "surrogateescape")
