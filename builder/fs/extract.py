"""ADD of a local tar archive: ``tar -x`` into a directory that counts as the root for all its names.

As Docker does it, which unpacks in a chroot: ``..``, absolute names and symbolic links, whether from the
archive or there before, lead no further than the destination. Files replace whatever is in their place,
directories everything but directories; missing parents are made 0755 and root's. Whiteouts mean nothing here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from io import BufferedReader
from typing import BinaryIO, NamedTuple

from builder.fs.compression import open_decompressed
from builder.fs.editor import Attributes, TreeEditor
from builder.fs.layer import CAPABILITY
from builder.fs.limits import BadArchive
from builder.fs.tar import TarMember, TarReader
from builder.fs.tree import Entry, resolve

# What names that an archive makes up can get from the kernel.
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EMLINK, errno.ENOENT)


class Archive(NamedTuple):
    """An archive that was recognised by its first member."""

    reader: TarReader
    first: TarMember

    def members(self) -> Iterator[TarMember]:
        """All of them, once."""
        yield self.first
        yield from self.reader


def open_archive(stream: BinaryIO) -> Archive | None:
    """Recognise a tar archive, plain or compressed, by its content; None for an empty one and all else."""
    try:
        reader = TarReader(_Pieces(open_decompressed(stream)))
        first = next(reader, None)
    except BadArchive:
        return None
    return None if first is None else Archive(reader, first)


def extract(
    editor: TreeEditor, archive: Archive, directory: str, *, owner: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Unpack into an existing directory of the edited tree; the number of members, and bytes of files.

    ``owner`` is given to everything that the archive names, instead of the owner it names. Raises
    BadArchive, CopyConflict, DeviceDenied, OwnerDenied, TooManySymlinks; what was unpacked before stays.
    """
    unpacker = _Unpacker(editor, archive.reader, directory, owner)
    count = size = 0
    for member in archive.members():
        count += 1
        size += member.size
        try:
            unpacker.unpack(member)
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise
            raise BadArchive(f'cannot unpack "{member.name}": {error.strerror}') from error
        except OverflowError as error:  # an owner or device number that no kernel has
            raise BadArchive(f'cannot unpack "{member.name}": {error}') from error
    unpacker.finish()
    return count, size


class _Pieces:
    """What is there before it waits for more: an archive that is cut off is one as far as it goes."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream

    def read(self, n: int, /) -> bytes:
        return self._stream.read1(n)


class _Unpacker:
    def __init__(
        self, editor: TreeEditor, reader: TarReader, directory: str, owner: tuple[int, int] | None
    ) -> None:
        self._editor = editor
        self._reader = reader
        self._root = _Below(editor, directory)
        self._owner = owner
        self._mtimes: dict[str, int] = {}

    def finish(self) -> None:
        """Give the directories their times, which filling them changed."""
        for path, mtime_ns in self._mtimes.items():
            entry = self._editor.lookup(path)
            if entry is not None and entry.kind == "dir":
                self._editor.set_mtime(path, mtime_ns)

    def unpack(self, member: TarMember) -> None:
        name = _clamp(member.name)
        if not name:
            if member.kind == "dir":
                return  # the destination directory keeps what it has
            raise BadArchive(f'the archive names a {member.kind} "{member.name}"')
        path = self._place(name)
        self._make_parents(name, path.rpartition("/")[0])
        attributes = self._attributes(member)
        match member.kind:
            case "dir":
                self._directory(path, attributes)
            case "file":
                self._file(path, attributes)
            case "symlink":
                self._editor.put_symlink(path, member.link, attributes, replaces_directory=True)
            case "hardlink":
                self._hardlink(path, self._place(_clamp(member.link)), attributes)
            case _:
                device = os.makedev(*member.device) if member.kind != "fifo" else 0
                self._editor.put_node(path, member.kind, device, attributes, replaces_directory=True)

    def _make_parents(self, name: str, directory: str) -> None:
        """Parents that the archive does not name belong to root, whoever owns the rest."""
        if self._editor.lookup(directory) is None:
            parts = name.split("/")
            for depth in range(1, len(parts)):
                above = "/".join(parts[:depth])
                link = self._editor.lookup(self._place(above))
                if link is None or link.kind != "symlink":
                    continue
                if self._root.lookup(resolve(self._root, above)) is None:
                    raise BadArchive(
                        f'"{name}" in the archive lies behind "{above}", a link that leads nowhere'
                    )
        self._editor.make_directories(directory)

    def _place(self, name: str) -> str:
        """Where a name of the archive lies: links in its parents are followed, the last part is not."""
        return self._root.join(resolve(self._root, name, follow_last=False))

    def _directory(self, path: str, attributes: Attributes) -> None:
        entry = self._editor.lookup(path)
        if entry is None or entry.kind != "dir":
            self._editor.make_directory(path)
        self._editor.set_attributes(path, attributes)
        if attributes.mtime_ns is not None:
            self._mtimes.pop(path, None)
            self._mtimes[path] = attributes.mtime_ns

    def _file(self, path: str, attributes: Attributes) -> None:
        fd = self._editor.create_file(path, replaces_directory=True)
        try:
            self._reader.copy_to(fd)
            self._editor.seal(fd, path, attributes)
        finally:
            os.close(fd)

    def _hardlink(self, path: str, existing: str, attributes: Attributes) -> None:
        self._editor.link(path, existing, replaces_directory=True)
        entry = self._editor.lookup(path)
        if entry is None or (entry.mode, entry.uid, entry.gid) == attributes[:3]:
            return  # the usual case; a change of owner would take the file's capabilities away
        self._editor.set_file_attributes(path, attributes, is_link=entry.kind == "symlink")

    def _attributes(self, member: TarMember) -> Attributes:
        uid, gid = self._owner or (member.uid, member.gid)
        return Attributes(member.mode, uid, gid, member.mtime_ns, member.xattrs.get(CAPABILITY, b""))


class _Below:
    """The edited tree below one of its directories, as a tree of its own."""

    def __init__(self, editor: TreeEditor, directory: str) -> None:
        self._editor = editor
        self._directory = directory

    def join(self, path: str) -> str:
        return f"{self._directory}/{path}" if self._directory and path else path or self._directory

    def lookup(self, path: str) -> Entry | None:
        return self._editor.lookup(self.join(path))

    def children(self, path: str) -> list[Entry]:
        return self._editor.children(self.join(path))


def _clamp(name: str) -> str:
    """A clean relative path; ``..`` stops at the root and is taken by its text, as Go's ``Clean`` does."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
