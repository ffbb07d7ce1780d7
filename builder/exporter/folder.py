"""An image's files in a folder of the user: nothing outside is touched, nothing half-written is seen."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence

from builder.core.errors import Kind, PybuildError
from builder.fs.clone import copy_bytes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


class OutputInTheWay(PybuildError):
    """A folder lies where a file is to be written."""

    kind = Kind.CONFLICT
    code = "output-in-the-way"

    def __init__(self, path: str) -> None:
        super().__init__(
            f'"{path}" is a folder, and is to become a file', hint="remove it, or name another dest"
        )


def write_folder(source: str, target: str, *, is_mirror: bool = False) -> None:
    """Copy what the directory ``source`` holds into ``target``, which may hold something already.

    Files belong to the caller, and have the modes and times of the image; set-id bits stay only where the
    owner does. What is there and equal is not written; other names of the folder are left alone, or with
    ``is_mirror`` removed. Raises OutputInTheWay.
    """
    os.makedirs(target, exist_ok=True)
    source_fd = os.open(source, _DIRECTORY)
    try:
        # The folder itself is the user's, who may have named it through a link.
        target_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _FolderWriter(target_fd, is_mirror=is_mirror).directory(source_fd, target_fd, ())
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


class _FolderWriter:
    def __init__(self, root: int, *, is_mirror: bool) -> None:
        self._root = root
        self._is_mirror = is_mirror
        self._links: dict[tuple[int, int], str] = {}
        self._user, self._group = os.geteuid(), os.getegid()
        self._scratch = f".pybuild-{os.getpid()}.partial"

    def directory(self, source: int, target: int, path: Sequence[str]) -> None:
        with os.scandir(source) as found:
            names = sorted(entry.name for entry in found)
        if self._is_mirror:
            self._remove_others(target, set(names))
        for name in names:
            st = os.stat(name, dir_fd=source, follow_symlinks=False)
            here = (*path, name)
            if stat.S_ISDIR(st.st_mode):
                self._enter(source, target, st, here)
            elif not stat.S_ISSOCK(st.st_mode):
                self._leaf(source, target, st, here)

    def _enter(self, source: int, target: int, st: os.stat_result, path: Sequence[str]) -> None:
        name = path[-1]
        there = _lstat(name, target)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            os.unlink(name, dir_fd=target)
            there = None
        if there is None:
            os.mkdir(name, 0o700, dir_fd=target)
        below_source = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            below_target = os.open(name, _DIRECTORY, dir_fd=target)
            try:
                self.directory(below_source, below_target, path)
                os.fchmod(below_target, self._mode(st))
                os.utime(below_target, ns=(st.st_mtime_ns, st.st_mtime_ns))
            finally:
                os.close(below_target)
        finally:
            os.close(below_source)

    def _leaf(self, source: int, target: int, st: os.stat_result, path: Sequence[str]) -> None:
        name = path[-1]
        there = _lstat(name, target)
        if there is not None and stat.S_ISDIR(there.st_mode):
            if not self._is_mirror:
                raise OutputInTheWay("/".join(path))
            shutil.rmtree(name, dir_fd=target)
            there = None
        inode, first = (st.st_dev, st.st_ino), None
        if stat.S_ISREG(st.st_mode) and st.st_nlink > 1:
            first = self._links.setdefault(inode, "/".join(path))
        if first is not None and first != "/".join(path):
            linked = _lstat(first, self._root)
            if there is not None and linked is not None and os.path.samestat(there, linked):
                return
            os.link(first, self._scratch, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)
        elif there is not None and self._is_same(name, source, target, st, there):
            return
        else:
            self._make(name, source, target, st)
        os.replace(self._scratch, name, src_dir_fd=target, dst_dir_fd=target)

    def _remove_others(self, target: int, wanted: set[str]) -> None:
        with os.scandir(target) as found:
            others = [(e.name, e.is_dir(follow_symlinks=False)) for e in found if e.name not in wanted]
        for name, is_directory in others:
            if is_directory:
                shutil.rmtree(name, dir_fd=target)
            else:
                os.unlink(name, dir_fd=target)

    def _make(self, name: str, source: int, target: int, st: os.stat_result) -> None:
        """The new file under a name that nothing else has."""
        if _lstat(self._scratch, target) is not None:
            os.unlink(self._scratch, dir_fd=target)
        if stat.S_ISREG(st.st_mode):
            from_fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                into = os.open(self._scratch, flags, 0o600, dir_fd=target)
                try:
                    copy_bytes(from_fd, into, st)
                    os.fchmod(into, self._mode(st))
                    os.utime(into, ns=(st.st_mtime_ns, st.st_mtime_ns))
                finally:
                    os.close(into)
            except BaseException:
                os.unlink(self._scratch, dir_fd=target)
                raise
            finally:
                os.close(from_fd)
            return
        if stat.S_ISLNK(st.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), self._scratch, dir_fd=target)
        else:
            # The scratch name is new, so that this is the node just made.
            os.mknod(self._scratch, stat.S_IFMT(st.st_mode) | 0o600, st.st_rdev, dir_fd=target)
            os.chmod(self._scratch, self._mode(st), dir_fd=target)
        times = (st.st_mtime_ns, st.st_mtime_ns)
        os.utime(self._scratch, ns=times, dir_fd=target, follow_symlinks=False)

    def _is_same(
        self, name: str, source: int, target: int, st: os.stat_result, there: os.stat_result
    ) -> bool:
        if stat.S_IFMT(st.st_mode) != stat.S_IFMT(there.st_mode) or st.st_mtime_ns != there.st_mtime_ns:
            return False
        if stat.S_ISLNK(st.st_mode):
            return os.readlink(name, dir_fd=source) == os.readlink(name, dir_fd=target)
        if self._mode(st) != stat.S_IMODE(there.st_mode):
            return False
        if not stat.S_ISREG(st.st_mode):
            return st.st_rdev == there.st_rdev
        # With equal times, as SOURCE_DATE_EPOCH gives them, only the bytes tell.
        return st.st_size == there.st_size and there.st_uid == self._user and _are_equal(name, source, target)

    def _mode(self, st: os.stat_result) -> int:
        mode = stat.S_IMODE(st.st_mode)
        if (st.st_uid, st.st_gid) != (self._user, self._group):
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
        return mode


def _lstat(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _are_equal(name: str, source: int, target: int) -> bool:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        open(os.open(name, flags, dir_fd=source), "rb", buffering=0) as one,
        open(os.open(name, flags, dir_fd=target), "rb", buffering=0) as other,
    ):
        while data := one.read(_PIECE):
            if data != other.read(len(data)):
                return False
        return not other.read(1)
