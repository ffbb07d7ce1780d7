"""Looks for the bytes of secrets in files, as they are and in base64."""

from __future__ import annotations

import base64
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# Fewer bytes occur by chance, and whoever has such a secret has none.
SHORTEST = 6


class Found(NamedTuple):
    """A secret by its name, and where and how it is written."""

    secret: str
    path: str  # below the directory that was searched
    form: str  # "as it is", "in base64"


class Needles:
    """``secrets`` are values by name; the shortest could be any bytes, and are passed over."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._needles: list[tuple[str, str, bytes]] = []
        for name, value in secrets.items():
            bare = value.strip()
            if len(bare) < SHORTEST:
                continue
            self._needles.append((name, "as it is", bare))
            self._needles += ((name, "in base64", needle) for needle in sorted(_encoded(bare)))

    def __bool__(self) -> bool:
        return bool(self._needles)

    def find_in_tree(self, directory: str) -> Iterator[Found]:
        """Regular files and targets of links below it, by name; links are not followed."""
        for above, names, files in os.walk(directory):
            names.sort()
            for name in sorted(files):
                path = os.path.join(above, name)
                yield from self._find_in_file(path, os.path.relpath(path, directory))

    def find_in_bytes(self, data: bytes, path: str) -> Iterator[Found]:
        """One for each secret."""
        told: set[str] = set()
        for name, form, needle in self._needles:
            if name not in told and needle in data:
                told.add(name)
                yield Found(name, path, form)

    def _find_in_file(self, path: str, shown: str) -> Iterator[Found]:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            yield from self.find_in_bytes(os.fsencode(os.readlink(path)), shown)
        elif stat.S_ISREG(status.st_mode) and status.st_size:
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                told: set[str] = set()
                for name, form, needle in self._needles:
                    if name not in told and data.find(needle) >= 0:
                        told.add(name)
                        yield Found(name, shown, form)


def _encoded(value: bytes) -> set[bytes]:
    """What all of ``value`` looks like inside of something that was encoded, wherever it began there.

    Characters that hold bits of what is around it are left off; both alphabets of RFC 4648.
    """
    found = set()
    for before in range(3):
        padded = bytes(before) + value
        whole = len(padded) - len(padded) % 3
        first = 4 if before else 0
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            needle = encode(padded[:whole])[first:]
            if len(needle) >= SHORTEST:
                found.add(needle)
    return found
