"""What COPY does: selected paths of one tree into another, with Docker's rules for names and metadata.

- A directory's contents are copied, never the directory itself. A file goes into the destination if that
  ends in "/" or "/." or is a directory, else it becomes the destination.
- The destination directory keeps its mode and owner if it was there; if not, it and its parents get 0755 and
  root, or the given owner and octal mode. It takes the mtime of a directory that is copied onto it.
- Directories below take mode, owner and mtime of the source, whether or not they were there; those that a
  filter lets through only for what they hold leave owner and mtime to a directory that was there.
- Links inside a copied directory stay links, hard ones too; nothing is hard-linked across sources.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from builder.fs.clone import copy_bytes
from builder.fs.contenthash import (
    ContentRecord,
    FileStamp,
    UnreadableSource,
    capability_of,
    stamp_of,
)
from builder.fs.editor import Attributes, CopyConflict, TreeEditor
from builder.fs.filters import CopyFilter, FilteredTree
from builder.fs.gitmode import git_mode
from builder.fs.mode import ModeChange
from builder.fs.select import Match
from builder.fs.tree import Entry, Tree, entry_of


class CopyReport(NamedTuple):
    """What a copy did; ``size`` in bytes of file content."""

    files: int
    size: int
    # Paths of the source tree that are no longer what was hashed, or changed while they were copied.
    changed: tuple[str, ...]


def copy(
    editor: TreeEditor,
    tree: Tree,
    matches: Sequence[Match],
    destination: str,
    *,
    owner: tuple[int, int] | None = None,
    mode: ModeChange | None = None,
    keeps_owner: bool = False,
    unpacks: bool = False,
    record: ContentRecord | None = None,
    filter: CopyFilter | None = None,
    has_git_modes: bool = False,
) -> CopyReport:
    """Copy what ``select`` found in ``tree`` to a path of the edited tree; without matches, do nothing.

    ``owner`` wins over ``keeps_owner`` (the source's ids); with neither, files belong to 0:0. With
    ``unpacks``, files that are tar archives are extracted into the destination directory instead; ``mode``
    does not apply to what they hold. ``record`` holds the stamps of just these matches as they were hashed,
    and ``filter`` says what of their directories is meant; ``has_git_modes`` as for ContentReader.
    Raises CopyConflict, DeviceDenied, OwnerDenied, UnreadableSource, TooManySymlinks, and BadArchive for an
    archive that begins well; the edited tree is then half done.
    """
    copier = _Copier(
        editor,
        tree,
        owner=owner,
        mode=mode,
        keeps_owner=keeps_owner,
        record=record,
        filter=filter,
        has_git_modes=has_git_modes,
    )
    for match in matches:
        if not (unpacks and match.entry.kind == "file" and copier.unpack(match.entry, destination)):
            copier.copy(match, destination)
    return copier.report()


def names_directory(destination: str) -> bool:
    """Whether a destination can only be a directory, by its text."""
    return destination.rpartition("/")[2] in ("", ".")


class _Copier:
    def __init__(
        self,
        editor: TreeEditor,
        tree: Tree,
        *,
        owner: tuple[int, int] | None,
        mode: ModeChange | None,
        keeps_owner: bool,
        record: ContentRecord | None,
        filter: CopyFilter | None,
        has_git_modes: bool,
    ) -> None:
        self._editor = editor
        self._whole = self._tree = tree
        self._filter = filter
        self._filtered: FilteredTree | None = None  # the directory that is being copied, if it is filtered
        self._owner = owner
        self._mode = mode
        self._keeps_owner = keeps_owner
        self._has_git_modes = has_git_modes
        self._record = record
        self._seen: set[str] = set()
        self._linked: dict[tuple[int, int], tuple[str, int]] = {}
        self._changed: dict[str, None] = {}
        self._files = 0
        self._size = 0

    def report(self) -> CopyReport:
        vanished = [path for path in self._record or () if path not in self._seen]
        return CopyReport(self._files, self._size, tuple(dict.fromkeys([*self._changed, *vanished])))

    def copy(self, match: Match, destination: str) -> None:
        self._linked = {}
        entry = match.entry
        target = self._editor.resolve(destination)
        if entry.kind == "dir":
            if self._filter is not None:
                self._tree = self._filtered = self._filter.below(self._whole, entry.path)
            self._make_parents(target)
            self._check(entry, stamp_of(entry))
            self._directory(entry, target)
            self._editor.set_mtime(target, entry.mtime_ns)
            return
        if names_directory(destination):
            self._make_parents(target)
        else:
            self._make_parents(target.rpartition("/")[0])
        existing = self._editor.lookup(target)
        if existing is not None and existing.kind == "dir":
            target = f"{target}/{match.name}" if target else match.name
        self._leaf(entry, target)

    def unpack(self, entry: Entry, destination: str) -> bool:
        """Extract an archive; False if it is none."""
        # Only ADD comes here: decompression and tar would be loaded for every COPY.
        from builder.fs.extract import extract, open_archive

        source = self._open(entry)
        if source is None:
            return False
        with open(source, "rb", buffering=0) as stream:
            before = entry_of(entry.path, entry.real, os.fstat(source))
            archive = open_archive(stream)
            if archive is None:
                return False
            target = self._editor.resolve(destination)
            self._make_parents(target)
            files, size = extract(self._editor, archive, target, owner=self._owner)
            after = entry_of(entry.path, entry.real, os.fstat(source))
        self._check(entry, stamp_of(before))
        if stamp_of(after) != stamp_of(before):
            self._changed[entry.path] = None
        self._files += files
        self._size += size
        return True

    def _make_parents(self, path: str) -> None:
        """The destination directory and what is missing above it."""
        mode = 0o755
        if self._mode is not None and self._mode.octal is not None:
            mode = self._mode.octal & 0o777
        existing = self._editor.lookup(path)
        if existing is not None and existing.kind != "dir":
            raise _non_directory(path)
        self._editor.make_directories(path, mode, self._owner or (0, 0))

    def _directory(self, source: Entry, target: str) -> None:
        start = len(source.path) + 1 if source.path else 0
        prefix = f"{target}/" if target else ""
        for child in self._tree.children(source.path):
            path = prefix + child.path[start:]
            if child.kind != "dir":
                self._leaf(child, path)
                continue
            self._check(child, stamp_of(child))
            existing = self._editor.lookup(path)
            if existing is None:
                self._editor.make_directory(path)
            elif existing.kind != "dir":
                raise _non_directory(path)
            self._directory(child, path)
            attributes = self._attributes(child)
            if existing is not None and self._filtered is not None and self._filtered.is_implied(child.path):
                attributes = Attributes(attributes.mode, existing.uid, existing.gid)
            self._editor.set_attributes(path, attributes)

    def _leaf(self, entry: Entry, target: str) -> None:
        match entry.kind:
            case "file":
                self._file(entry, target)
                return
            case "symlink":
                if not self._symlink(entry, target):
                    return
            case "socket":
                fd = self._editor.create_file(target)
                try:
                    self._editor.seal(fd, target, self._attributes(entry))
                finally:
                    os.close(fd)
            case _:
                self._editor.put_node(target, entry.kind, entry.rdev, self._attributes(entry))
        self._files += 1
        self._check(entry, stamp_of(entry))

    def _symlink(self, entry: Entry, target: str) -> bool:
        try:
            link = os.readlink(entry.real)
        except OSError:  # no longer there, or no longer a link
            self._changed[entry.path] = None
            return False
        self._editor.put_symlink(target, link, self._attributes(entry))
        return True

    def _file(self, entry: Entry, target: str) -> None:
        if entry.nlink > 1 and self._link(entry, target):
            return
        source = self._open(entry)
        if source is None:
            return
        try:
            before = os.fstat(source)
            now = entry_of(entry.path, entry.real, before)
            inode = self._write(source, now, before, target)
            after = entry_of(entry.path, entry.real, os.fstat(source))
        finally:
            os.close(source)
        self._check(entry, stamp_of(now))
        if stamp_of(after) != stamp_of(now):
            self._changed[entry.path] = None
        if entry.nlink > 1:
            self._linked[entry.dev, entry.ino] = (target, inode)
        self._files += 1
        self._size += before.st_size

    def _open(self, entry: Entry) -> int | None:
        """A descriptor to read a file from; None, and a note, if it is no file any more."""
        try:
            # O_NONBLOCK: should a FIFO have taken the file's place, opening it must not wait for a writer.
            fd = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError as error:
            raise UnreadableSource(entry.path, error.strerror or "permission denied") from error
        except OSError:
            self._changed[entry.path] = None
            return None
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        self._changed[entry.path] = None
        return None

    def _write(self, source: int, entry: Entry, st: os.stat_result, target: str) -> int:
        """The target's inode."""
        fd = self._editor.create_file(target)
        try:
            copy_bytes(source, fd, st)
            self._editor.seal(fd, target, self._attributes(entry)._replace(capability=capability_of(source)))
            return os.fstat(fd).st_ino
        finally:
            os.close(fd)

    def _link(self, entry: Entry, target: str) -> bool:
        """Make another name of a file that was copied already, if it still is where it was copied to."""
        copied = self._linked.get((entry.dev, entry.ino))
        if copied is None:
            return False
        path, inode = copied
        existing = self._editor.lookup(path)
        if existing is None or existing.ino != inode:
            return False
        self._editor.link(target, path)
        self._check(entry, stamp_of(entry))
        self._files += 1
        return True

    def _check(self, entry: Entry, stamp: FileStamp) -> None:
        """Compare what is copied with what was hashed; the root itself is not part of a digest."""
        if self._record is not None and entry.path:
            self._seen.add(entry.path)
            if self._record.get(entry.path) != stamp:
                self._changed[entry.path] = None

    def _attributes(self, entry: Entry) -> Attributes:
        mode = git_mode(entry) if self._has_git_modes else entry.mode
        if self._mode is not None:
            mode = self._mode.apply(mode, is_directory=entry.kind == "dir")
        if self._owner is not None:
            uid, gid = self._owner
        else:
            uid, gid = (entry.uid, entry.gid) if self._keeps_owner else (0, 0)
        return Attributes(mode, uid, gid, entry.mtime_ns)


def _non_directory(path: str) -> CopyConflict:
    return CopyConflict(
        f'cannot copy to non-directory "/{path}"', hint="a file is there already; choose another destination"
    )
