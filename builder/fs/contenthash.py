"""The identity of what a COPY reads: a digest of selected paths that depends on nothing but their content.

Version 1. Every path has a record digest,

    sha256("pybuild-content-1" NUL kind " " mode " " uid " " gid " " size " " major ":" minor NUL
           link target NUL security.capability NUL rest)

mode in octal, sizes in decimal; size counts for regular files, major and minor for devices, the link target
for symbolic links (else 0 and nothing). ``rest`` is the sha256 of a file's bytes, and for a directory the
sha256 of its children in byte order, each as ``length ":" name`` and record digest. The root of a tree, and a
directory whose contents are copied, have a fixed mode and owner: no COPY uses them. Names of selected paths,
times, inodes, link counts and other xattrs are left out; a socket counts as an empty file, which it is copied
as.

One path is its record digest; what a wildcard found, or several sources, is the sha256 of
"pybuild-content-1 list" NUL and, for each, ``length ":" relative path`` and record digest.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.fs.filters import CopyFilter
from builder.fs.gitmode import git_mode, own_mode
from builder.fs.layer import CAPABILITY
from builder.fs.select import Match, select
from builder.fs.statcache import StatCache
from builder.fs.tree import Entry, Tree, entry_of

_VERSION = b"pybuild-content-1"
_BUFFER_SIZE = 1 << 20
_ATTEMPTS = 3


class UnreadableSource(PybuildError):
    """A selected file that this process may not read."""

    kind = Kind.DENIED
    code = "unreadable-source"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f'cannot read "{path}": {reason}', hint="make it readable, or exclude it in .dockerignore"
        )
        self.path = path


class FileStamp(NamedTuple):
    """What a change of a file cannot leave as it is; of a directory, its mode in the place of the size."""

    size: int
    mtime_ns: int
    ctime_ns: int
    ino: int


# Of each selected path, by its path in the tree: the stamp of what was hashed.
ContentRecord = dict[str, FileStamp]
# Recorded of a file that did not hold still; no file has it.
_UNSTABLE = FileStamp(-1, 0, 0, 0)


def content_digest(
    tree: Tree,
    sources: Sequence[str],
    *,
    allows_wildcards: bool = True,
    keeps_owner: bool = False,
    cache: StatCache | None = None,
    record: ContentRecord | None = None,
    place: str = "the build context",
) -> Digest:
    """The content of what COPY sources name; raises what ``select`` raises, and UnreadableSource.

    Without ``keeps_owner`` all owners count as 0:0. ``record`` is filled with what was hashed, so that a
    later copy can tell whether it copies the same.
    """
    reader = ContentReader(tree, keeps_owner=keeps_owner, cache=cache)
    if record is not None:
        reader.record = record
    found = [select(tree, source, allows_wildcards=allows_wildcards, place=place) for source in sources]
    if len(found) == 1:
        return reader.digest(found[0])
    return _list_digest(("", bytes.fromhex(reader.digest(matches).hex)) for matches in found)


class ContentReader:
    """Hashes selected paths of one tree; ``record`` holds the stamps of what it has hashed so far.

    With a filter, what it keeps out of the selected directories does not count; with ``has_git_modes``, no
    more of modes does than Git records. ``counts_top``: a selected directory has a mode and an owner.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        keeps_owner: bool = False,
        cache: StatCache | None = None,
        filter: CopyFilter | None = None,
        has_git_modes: bool = False,
        counts_top: bool = True,
    ) -> None:
        self._counts_top = counts_top
        self.record: ContentRecord = {}
        self._read_so_far: list[tuple[Entry, bytes]] = []
        self._matches: list[tuple[int, Match]] = []  # with how many paths had been read before
        self._mode_of = git_mode if has_git_modes else own_mode
        self._whole = self._tree = tree
        self._filter = filter
        self._keeps_owner = keeps_owner
        self._cache = cache

    def digest(self, matches: Sequence[Match]) -> Digest:
        """The content of what one source stands for. Called once."""
        if len(matches) == 1 and not matches[0].relative:
            return Digest("sha256", self._of_match(matches[0]).hex())
        return _list_digest((match.relative, self._of_match(match)) for match in matches)

    def listing(self, number: int) -> bytes:
        """The paths behind ``digest``, which was of source ``number``, as ``fs.listing`` encodes them."""
        from builder.fs.listing import encode_listing  # only when a step runs

        ends = [start for start, _ in self._matches[1:]] + [len(self._read_so_far)]
        read = (
            (f"{number}:{_relative(entry, match)}", entry, digest)
            for (start, match), end in zip(self._matches, ends, strict=False)  # a wildcard may find nothing
            for entry, digest in self._read_so_far[start:end]
        )
        return encode_listing(read, keeps_owner=self._keeps_owner, mode_of=self._mode_of)

    def _of_match(self, match: Match) -> bytes:
        self._matches.append((len(self._read_so_far), match))
        entry = match.entry
        if self._filter is not None and entry.kind == "dir":
            self._tree = self._filter.below(self._whole, entry.path)
        return (
            self._directory(entry, is_top=True) if entry.kind == "dir" else self._records([entry])[entry.path]
        )

    def _directory(self, entry: Entry, *, is_top: bool = False) -> bytes:
        children = self._tree.children(entry.path)
        digests = self._records([child for child in children if child.kind != "dir"])
        start = len(entry.path) + 1 if entry.path else 0
        content = hashlib.sha256()
        for child in children:
            digest = self._directory(child) if child.kind == "dir" else digests.get(child.path)
            if digest is not None:
                name = os.fsencode(child.path[start:])
                content.update(b"%d:%b%b" % (len(name), name, digest))
        if entry.path:
            self.record[entry.path] = stamp_of(entry)
        if not entry.path or (is_top and not self._counts_top):
            entry = entry._replace(mode=0o755, uid=0, gid=0)
        self._read_so_far.append((entry, b""))
        return self._record(entry, content.digest())

    def _records(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        """Record digests by path; a file that vanished meanwhile has none."""
        known: list[bytes | None] = [None] * len(entries)
        if self._cache is not None and entries:
            known = self._cache.get_many(entries)
        records: dict[str, bytes] = {}
        for entry, found in zip(entries, known, strict=True):
            if entry.kind != "file":
                self.record[entry.path] = stamp_of(entry)
                self._read_so_far.append((entry, b""))
                records[entry.path] = self._record(entry, b"")
            elif found is not None:
                self.record[entry.path] = stamp_of(entry)
                self._read_so_far.append((entry, found))
                records[entry.path] = self._record(entry, found)
            else:
                self._read(entry, records)
        return records

    def _read(self, entry: Entry, records: dict[str, bytes]) -> None:
        """Hash a file that holds still while it is read; after a few attempts, as it is."""
        is_stable = False
        digest = b""
        for _ in range(_ATTEMPTS):
            observed_ns = time.time_ns()
            try:
                digest, after = _hash_file(entry)
            except FileNotFoundError:
                return
            except OSError as error:
                raise UnreadableSource(entry.path, error.strerror or "unknown error") from error
            is_stable = stamp_of(after) == stamp_of(entry)
            entry = after
            if is_stable:
                if self._cache is not None:
                    self._cache.put(entry, digest, observed_ns)
                break
        self.record[entry.path] = stamp_of(entry) if is_stable else _UNSTABLE
        self._read_so_far.append((entry, digest))
        records[entry.path] = self._record(entry, digest)

    def _record(self, entry: Entry, rest: bytes) -> bytes:
        kind, size, rdev, link, capability = entry.kind, 0, 0, b"", b""
        if kind == "file":
            size = entry.size
            capability = capability_of(entry.real)
        elif kind == "symlink":
            link = os.fsencode(os.readlink(entry.real))
        elif kind in ("char", "block"):
            rdev = entry.rdev
        elif kind == "socket":
            kind, rest = "file", hashlib.sha256().digest()
        owner = (entry.uid, entry.gid) if self._keeps_owner else (0, 0)
        mode = self._mode_of(entry)
        facts = f"{kind} {mode:o} {owner[0]} {owner[1]} {size} {os.major(rdev)}:{os.minor(rdev)}".encode()
        return hashlib.sha256(b"\0".join((_VERSION, facts, link, capability, rest))).digest()


def stamp_of(entry: Entry) -> FileStamp:
    """The stamp that ``entry`` was seen with."""
    if entry.kind == "dir":  # its times change with every name in it, ignored ones too
        return FileStamp(entry.mode, 0, 0, entry.ino)
    return FileStamp(entry.size, entry.mtime_ns, entry.ctime_ns, entry.ino)


def capability_of(file: str | int) -> bytes:
    """The file capabilities of a path (links are not followed) or descriptor, b"" if it has none."""
    try:
        names = os.listxattr(file) if isinstance(file, int) else os.listxattr(file, follow_symlinks=False)
        if CAPABILITY not in names:
            return b""
        if isinstance(file, int):
            return os.getxattr(file, CAPABILITY)
        return os.getxattr(file, CAPABILITY, follow_symlinks=False)
    except OSError:  # a file system without xattrs, or a name that vanished
        return b""


def _relative(entry: Entry, match: Match) -> str:
    """Below what the source names, so that it does not matter where that lies."""
    below = entry.path[len(match.entry.path) :].lstrip("/")
    return "/".join(part for part in (match.relative, below) if part)


def _list_digest(items: Iterable[tuple[str, bytes]]) -> Digest:
    content = hashlib.sha256(_VERSION + b" list\0")
    for relative, digest in items:
        name = os.fsencode(relative)
        content.update(b"%d:%b%b" % (len(name), name, digest))
    return Digest.from_hash(content)


def _hash_file(entry: Entry) -> tuple[bytes, Entry]:
    """The sha256 of a file's bytes, and the file as it was after they were read."""
    # O_NONBLOCK: should a FIFO have taken the file's place, opening it must not wait for a writer.
    fd = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        digest = _hash_bytes(fd, entry.size)
        st = os.fstat(fd)
    finally:
        os.close(fd)
    if not stat.S_ISREG(st.st_mode):
        raise FileNotFoundError(entry.real)
    return digest, entry_of(entry.path, entry.real, st)


def _hash_bytes(fd: int, size: int) -> bytes:
    if size < _BUFFER_SIZE:
        data = os.read(fd, size + 1)
        # One byte more was asked for than there should be: a shorter answer is the whole file.
        if len(data) <= size:
            return hashlib.sha256(data).digest()
        content = hashlib.sha256(data)
    else:
        content = hashlib.sha256()
    buffer = memoryview(bytearray(_BUFFER_SIZE))
    while count := os.readv(fd, [buffer]):
        content.update(buffer[:count])
    return content.digest()
