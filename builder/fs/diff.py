"""The upper directory of an overlay, written as a layer tar."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError, Unsupported
from builder.fs.layer import CAPABILITY, OPAQUE_MARKER, WHITEOUT_PREFIX, LayerStats
from builder.fs.tar import ENCODING, TarMember
from builder.fs.tarwrite import ChangedWhileRead, TarWriter
from builder.fs.tree import OPAQUE_XATTRS, Entry, StackedTree, entry_of, is_whiteout

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_SMALL = 1 << 20
_SECOND = 1_000_000_000
# With these mount options a directory or file of the upper is not what it seems to be.
_FOREIGN_XATTRS = {
    "trusted.overlay.redirect": "redirect_dir",
    "user.overlay.redirect": "redirect_dir",
    "trusted.overlay.metacopy": "metacopy",
    "user.overlay.metacopy": "metacopy",
}


class ReservedName(PybuildError):
    """A file that every reader of the layer would take for the deletion of another one."""

    kind = Kind.INVALID
    code = "reserved-name"

    def __init__(self, path: str) -> None:
        super().__init__(
            f'"{path}" cannot be kept in an image layer',
            hint="names that begin with .wh. mean deleted files there; remove or rename it in the same step",
        )
        self.path = path


class _Item(NamedTuple):
    name: str
    st: os.stat_result


class _Frame:
    """A directory that the walk is inside of."""

    __slots__ = ("items", "member", "path", "place", "shows_parent")

    def __init__(
        self,
        path: str,
        items: Iterator[_Item],
        place: tuple[int, int],
        *,
        member: TarMember | None,
        shows_parent: bool,
    ) -> None:
        self.path = path
        self.items = items
        self.place = place  # dev and ino, to know it again on the way back
        self.member = member  # its own entry, while that is not written
        self.shows_parent = shows_parent  # the parent has this directory too, and it is not hidden


def write_layer(
    upper: str,
    sink: Callable[[bytes], object],
    *,
    parent: StackedTree | None = None,
    clamp_mtime_s: int | None = None,
) -> LayerStats:
    """Write what an overlay's upper directory changes, as a tar, to ``sink``.

    Depth first, names in byte order, every directory before what it holds. Sockets are left out, and all
    extended attributes but file capabilities. With ``parent`` (the merged lowers), what is equal there is
    left out as Docker does: files that were copied up and not changed; directories of which only the
    time changed, unless something below them is written; whiteouts and opaque marks that hide nothing.
    Without it everything is written. ``clamp_mtime_s`` takes newer times back to that one.
    """
    tar = TarWriter(sink)
    stats = _LayerWriter(tar, parent, clamp_mtime_s).run(upper)
    return stats._replace(size=tar.finish())


def write_trees(trees: Sequence[tuple[str, str]], sink: Callable[[bytes], object]) -> None:
    """Directories side by side in one tar, each below a name of its own; no link leads into another one."""
    tar = TarWriter(sink)
    for name, directory in trees:
        tar.add(TarMember(name, "dir", 0o755))
        _LayerWriter(tar, None, None, prefix=f"{name}/").run(directory)
    tar.finish()


class _LayerWriter:
    """``prefix`` is that of every name."""

    def __init__(
        self, tar: TarWriter, parent: StackedTree | None, clamp_mtime_s: int | None, prefix: str = ""
    ) -> None:
        self._tar = tar
        self._parent = parent
        self._prefix = prefix
        self._fd = -1
        self._clamp_ns = None if clamp_mtime_s is None else clamp_mtime_s * _SECOND
        self._frames: list[_Frame] = []
        self._unwritten = 0  # frames whose own entry waits for something below it
        self._links: dict[tuple[int, int], str] = {}
        # Unchanged names of an inode: they are written after all once a changed name of it shows up, or
        # the two would no longer be one file.
        self._unchanged_links: dict[tuple[int, int], list[tuple[TarMember, Sequence[_Frame]]]] = {}
        self._entries = self._whiteouts = self._data_size = self._skipped = 0

    def run(self, upper: str) -> LayerStats:
        self._fd = os.open(upper, _OPEN_DIRECTORY)
        try:
            self._walk()
        finally:
            os.close(self._fd)
        return LayerStats(self._entries, self._whiteouts, self._data_size, self._tar.size, self._skipped)

    def _walk(self) -> None:
        """Visit everything below the directory that is open.

        Only one directory is open at any time, so depth costs neither descriptors nor stack, and no
        path is ever longer than one name.
        """
        frames = self._frames
        st = os.fstat(self._fd)
        top = (st.st_dev, st.st_ino)
        frames.append(
            _Frame(self._prefix, _items(self._fd), top, member=None, shows_parent=self._parent is not None)
        )
        while frames:
            frame = frames[-1]
            for item in frame.items:
                if stat.S_ISDIR(item.st.st_mode):
                    self._move(item.name)
                    self._enter(frame, item)
                    break
                self._leaf(frame, item)
            else:
                frames.pop()
                if frame.member is not None:
                    self._unwritten -= 1
                if frames:
                    self._move("..")
                    st = os.fstat(self._fd)
                    if (st.st_dev, st.st_ino) != frames[-1].place:
                        raise ChangedWhileRead(frames[-1].path)

    def _move(self, name: str) -> None:
        fd = os.open(name, _OPEN_DIRECTORY, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = fd

    def _path(self, frame: _Frame, name: str) -> str:
        if name.startswith(WHITEOUT_PREFIX):
            raise ReservedName(frame.path + name)
        return frame.path + name

    def _enter(self, above: _Frame, item: _Item) -> None:
        fd = self._fd
        path = self._path(above, item.name)
        st = item.st
        xattrs = _xattr_names(fd)
        _refuse_foreign(path, xattrs)
        opaque = any(name in xattrs and os.getxattr(fd, name) == b"y" for name in OPAQUE_XATTRS)
        lower = self._lower(above, path)
        over_directory = lower is not None and lower.kind == "dir"
        member = self._member(path, "dir", st)
        frame = _Frame(
            f"{path}/",
            _items(fd),
            (st.st_dev, st.st_ino),
            member=member,
            shows_parent=over_directory and not opaque,
        )
        self._frames.append(frame)
        self._unwritten += 1
        if lower is None or not over_directory or opaque or not _same_owner(lower, st):
            self._write_parents()
        if opaque and (over_directory or self._parent is None):
            self._mark(frame.path + OPAQUE_MARKER)

    def _leaf(self, frame: _Frame, item: _Item) -> None:
        name, st = item
        path = self._path(frame, name)
        if is_whiteout(st):
            if self._parent is None or self._lower(frame, path) is not None:
                self._write_parents()
                self._mark(f"{frame.path}{WHITEOUT_PREFIX}{name}")
            return
        kind = entry_of("", "", st).kind if not stat.S_ISREG(st.st_mode) else "file"
        if kind == "socket":
            self._skipped += 1
            return
        inode = (st.st_dev, st.st_ino) if st.st_nlink > 1 else None
        if inode in self._links:
            self._write_parents()
            self._write(self._link(path, st, self._links[inode]))
            return
        lower = self._lower(frame, path)
        if lower is not None and lower.kind == kind and _same_leaf(lower, self._fd, item):
            if inode is not None:
                waiting = self._unchanged_links.setdefault(inode, [])
                waiting.append((self._link(path, st, ""), tuple(self._frames)))
            return
        self._write_parents()
        if kind == "file":
            self._write_file(path, item)
        else:
            link = os.readlink(name, dir_fd=self._fd) if kind == "symlink" else ""
            device = (os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in ("char", "block") else (0, 0)
            self._write(self._member(path, kind, st)._replace(link=link, device=device))
        if inode is not None:
            self._links[inode] = path
            for member, frames in self._unchanged_links.pop(inode, ()):
                self._write_frames(frames)
                self._write(member._replace(link=path))

    def _write_file(self, path: str, item: _Item) -> None:
        size = item.st.st_size
        fd = os.open(item.name, _OPEN_FILE, dir_fd=self._fd)
        try:
            member = self._member(path, "file", item.st)
            xattrs = _xattr_names(fd)
            if xattrs:
                _refuse_foreign(path, xattrs)
                if CAPABILITY in xattrs:
                    member = member._replace(xattrs={CAPABILITY: os.getxattr(fd, CAPABILITY)})
            if size <= _SMALL:
                self._write(member, os.read(fd, size) if size else b"")
            else:
                self._write(member, fd)
        finally:
            os.close(fd)
        self._data_size += size

    def _lower(self, frame: _Frame, path: str) -> Entry | None:
        if not frame.shows_parent:
            return None
        assert self._parent is not None
        return self._parent.lookup(path)

    def _member(self, path: str, kind: str, st: os.stat_result) -> TarMember:
        mtime_ns = st.st_mtime_ns
        if self._clamp_ns is not None and mtime_ns > self._clamp_ns:
            mtime_ns = self._clamp_ns
        return TarMember(path, kind, st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_size, mtime_ns)

    def _link(self, path: str, st: os.stat_result, target: str) -> TarMember:
        return self._member(path, "hardlink", st)._replace(link=target, size=0)

    def _mark(self, name: str) -> None:
        self._whiteouts += 1
        self._write(TarMember(name, "file", 0))

    def _write(self, member: TarMember, data: bytes | int | None = None) -> None:
        self._entries += 1
        self._tar.add(member, data)

    def _write_parents(self) -> None:
        if self._unwritten:
            self._write_frames(self._frames)
            self._unwritten = 0

    def _write_frames(self, frames: Sequence[_Frame]) -> None:
        for frame in frames:
            if frame.member is not None:
                self._write(frame.member)
                frame.member = None


def _items(fd: int) -> Iterator[_Item]:
    with os.scandir(fd) as found:
        items = [_Item(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
    items.sort(key=_by_bytes)
    return iter(items)


def _by_bytes(item: _Item) -> bytes:
    return item.name.encode(ENCODING, "surrogateescape")


def _xattr_names(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def _refuse_foreign(path: str, xattrs: Sequence[str]) -> None:
    for name in xattrs:
        option = _FOREIGN_XATTRS.get(name)
        if option is not None:
            raise Unsupported(
                f'"{path}" was written by an overlay with {option}',
                hint=f"mount overlays with {option}=off; their upper directories cannot be read otherwise",
            )


def _same_owner(lower: Entry, st: os.stat_result) -> bool:
    return lower.mode == stat.S_IMODE(st.st_mode) and lower.uid == st.st_uid and lower.gid == st.st_gid


def _same_leaf(lower: Entry, dir_fd: int, item: _Item) -> bool:
    """Docker's rule for "copied up and not changed" (containerd, continuity/fs)."""
    name, st = item
    if not _same_owner(lower, st) or lower.rdev != st.st_rdev:
        return False
    if lower.mtime_ns // _SECOND != st.st_mtime_ns // _SECOND:
        return False
    if lower.kind == "file" and lower.size != st.st_size:
        return False
    # A time without a fraction comes from a tar and proves little; then the contents must be equal too.
    whole = lower.mtime_ns % _SECOND == 0 and st.st_mtime_ns % _SECOND == 0
    if not whole and lower.mtime_ns != st.st_mtime_ns:
        return False
    if lower.kind == "symlink":
        return os.readlink(lower.real) == os.readlink(name, dir_fd=dir_fd)
    if lower.kind != "file":
        return True
    return _same_file(lower.real, dir_fd, name, compare_bytes=whole and st.st_size > 0)


def _same_file(lower: str, dir_fd: int, name: str, *, compare_bytes: bool) -> bool:
    first = os.open(lower, _OPEN_FILE)
    try:
        second = os.open(name, _OPEN_FILE, dir_fd=dir_fd)
        try:
            if _capability(first) != _capability(second):
                return False
            while compare_bytes:
                data = os.read(first, _SMALL)
                if data != os.read(second, _SMALL):
                    return False
                compare_bytes = bool(data)
        finally:
            os.close(second)
    finally:
        os.close(first)
    return True


def _capability(fd: int) -> bytes:
    return os.getxattr(fd, CAPABILITY) if CAPABILITY in _xattr_names(fd) else b""
