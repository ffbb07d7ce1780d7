"""A fresh directory in overlay format, filled under untrusted names without ever leaving it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping

from builder.core.errors import Kind, PybuildError
from builder.fs.layer import CAPABILITY
from builder.fs.limits import BadArchive
from builder.fs.tar import write_all
from builder.fs.tree import OPAQUE_XATTRS

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OPEN = 64
_COPY_SIZE = 1 << 20
_USER = "user."
_OVERLAY_USER = "user.overlay."
# Attributes of the user namespace are a courtesy: where the file system has none, or no room, they are lost.
_NO_USER_XATTRS = (errno.ENOTSUP, errno.EPERM, errno.E2BIG, errno.ERANGE, errno.ENOSPC)
# Times outside of what a signed 64-bit count of nanoseconds can say, or before 1970, become 0 (containerd).
_MAX_TIME_NS = (1 << 63) - 1


class OwnerDenied(PybuildError):
    """The host does not let us give a file to the owner that an archive names."""

    kind = Kind.DENIED
    code = "owner-denied"

    def __init__(self, path: str, uid: int, gid: int) -> None:
        super().__init__(
            f'cannot give "{path}" to user {uid} and group {gid}',
            hint="run as root, or have more ids: the package uidmap, lines in /etc/subuid and /etc/subgid",
        )


class DeviceDenied(PybuildError):
    """The host does not let us make a device node, or the mark of a deleted file."""

    kind = Kind.DENIED
    code = "device-denied"

    def __init__(self, path: str) -> None:
        super().__init__(
            f'cannot make the device node "{path}"',
            hint="run as root, or on Linux 5.8 or newer where a user namespace may mark deleted files",
        )


class Upper:
    """Creates names below ``directory``, which nobody else writes to while this is open.

    Paths are clean, relative, and of real directories only: every directory is opened through its
    parent with O_NOFOLLOW, and every leaf is created exclusively, so no name leads outside whatever
    was made before. What was there is replaced, except a directory by a directory.
    """

    def __init__(self, directory: str) -> None:
        self._root = os.open(directory, _OPEN_DIRECTORY)
        self._open: dict[str, int] = {}
        self.mtimes: dict[str, int] = {}  # of every directory made; written last, as filling one changes it

    def close(self) -> None:
        """Close every descriptor."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        os.close(self._root)

    def lookup(self, path: str) -> os.stat_result | None:
        """What lies at ``path``; its parent must be a directory here."""
        parent, _, name = path.rpartition("/")
        try:
            return os.stat(name, dir_fd=self.fd(parent), follow_symlinks=False)
        except FileNotFoundError:
            return None

    def readlink(self, path: str) -> str:
        """The target of a symbolic link."""
        parent, _, name = path.rpartition("/")
        return os.readlink(name, dir_fd=self.fd(parent))

    def file(self, path: str, fill: Callable[[int], None]) -> int:
        """Make a regular file, have it filled, and give its descriptor, which the caller closes."""
        parent, _, name = path.rpartition("/")
        dir_fd = self.fd(parent)
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=dir_fd)
        except FileExistsError:
            self.remove(path)
            fd = os.open(name, _CREATE, 0o600, dir_fd=dir_fd)
        try:
            fill(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def directory(self, path: str, mtime_ns: int) -> tuple[int, bool]:
        """Make a directory or keep the one that is there; tells whether it took the place of something else.

        The descriptor is ours and stays open for a while.
        """
        replaced = False
        if path and path not in self.mtimes:
            parent, _, name = path.rpartition("/")
            try:
                os.mkdir(name, 0o700, dir_fd=self.fd(parent))
            except FileExistsError:
                self.remove(path)
                os.mkdir(name, 0o700, dir_fd=self.fd(parent))
                replaced = True
        self.mtimes[path] = mtime_ns
        return self.fd(path), replaced

    def other(self, path: str, make: Callable[[str, int], None]) -> int:
        """Make what is neither file nor directory with ``make(name, dir_fd)``; gives that ``dir_fd``."""
        parent, _, name = path.rpartition("/")
        dir_fd = self.fd(parent)
        try:
            make(name, dir_fd)
        except FileExistsError:
            self.remove(path)
            make(name, dir_fd)
        return dir_fd

    def link(self, target: str, path: str) -> None:
        """Make ``path`` another name of ``target``, be that a symbolic link itself."""
        source_parent, _, source = target.rpartition("/")
        source_fd = os.dup(self.fd(source_parent))
        try:
            self.other(
                path,
                lambda name, dir_fd: os.link(
                    source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd, follow_symlinks=False
                ),
            )
        finally:
            os.close(source_fd)

    def whiteout(self, path: str) -> None:
        """Mark a name of the lower directories as deleted."""
        parent, _, name = path.rpartition("/")
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=self.fd(parent))
        except PermissionError as error:
            raise DeviceDenied(path) from error

    def opaque(self, path: str) -> None:
        """Hide what lower directories hold below this one."""
        fd = self.fd(path)
        try:
            os.setxattr(fd, OPAQUE_XATTRS[0], b"y")
        except PermissionError:
            # Inside a user namespace; overlayfs is mounted with userxattr there.
            os.setxattr(fd, OPAQUE_XATTRS[1], b"y")

    def finish(self) -> None:
        """Give every directory its time."""
        for path, mtime_ns in self.mtimes.items():
            bounded = bound_time(mtime_ns)
            if path:
                parent, _, name = path.rpartition("/")
                os.utime(name, ns=(bounded, bounded), dir_fd=self.fd(parent), follow_symlinks=False)
            else:
                os.utime(self._root, ns=(bounded, bounded))

    def remove(self, path: str) -> None:
        """Remove a name and, if it is a directory, what it holds."""
        parent, _, name = path.rpartition("/")
        dir_fd = self.fd(parent)
        if path not in self.mtimes:
            os.unlink(name, dir_fd=dir_fd)
            return
        for inner in self._empty(path):
            del self.mtimes[inner]
            inner_parent, _, inner_name = inner.rpartition("/")
            inner_fd = self.fd(inner_parent)
            self._forget(inner)
            os.rmdir(inner_name, dir_fd=inner_fd)

    def _empty(self, top: str) -> list[str]:
        """Remove all that is not a directory below ``top``; the directories follow, children first."""
        found = [top]
        for path in found:
            fd = self.fd(path)
            for name in os.listdir(fd):
                inner = f"{path}/{name}"
                if inner in self.mtimes:
                    found.append(inner)
                else:
                    os.unlink(name, dir_fd=fd)
        found.reverse()
        return found

    def fd(self, path: str) -> int:
        """The descriptor of a directory that exists here; valid until many others were asked for."""
        if not path:
            return self._root
        fd = self._open.pop(path, -1)
        if fd < 0:
            fd = self._walk(path)
            if len(self._open) >= _MAX_OPEN:
                self._forget(next(iter(self._open)))
        self._open[path] = fd
        return fd

    def _walk(self, path: str) -> int:
        """Open a directory from the nearest open one above it, one name at a time."""
        above = path.rpartition("/")[0]
        while above and above not in self._open:
            above = above.rpartition("/")[0]
        fd = os.dup(self._open[above] if above else self._root)
        try:
            for name in path[len(above) :].strip("/").split("/"):
                inner = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = inner
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _forget(self, path: str) -> None:
        fd = self._open.pop(path, -1)
        if fd >= 0:
            os.close(fd)


def bound_time(mtime_ns: int) -> int:
    """A time that every file system here takes."""
    return mtime_ns if 0 <= mtime_ns <= _MAX_TIME_NS else 0


def set_metadata(
    fd: int, path: str, uid: int, gid: int, mode: int, xattrs: Mapping[str, bytes], *, is_file: bool
) -> None:
    """Owner, then mode and capabilities, both of which a change of owner takes away."""
    try:
        os.fchown(fd, uid, gid)
    except OSError as error:
        raise owner_error(error, path, uid, gid) from error
    os.fchmod(fd, mode)
    for name, value in xattrs.items():
        if name == CAPABILITY:
            if is_file:
                _set_capability(fd, path, value)
        elif name.startswith(_USER) and not name.startswith(_OVERLAY_USER):
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno not in _NO_USER_XATTRS:
                    raise


def owner_error(error: OSError, path: str, uid: int, gid: int) -> Exception:
    """What a failed chown means: ids that are not mapped here (EINVAL) or no right to (EPERM)."""
    if error.errno in (errno.EINVAL, errno.EPERM):
        return OwnerDenied(path, uid, gid)
    return error


def _set_capability(fd: int, path: str, value: bytes) -> None:
    try:
        os.setxattr(fd, CAPABILITY, value)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise BadArchive(f'the file capabilities of "{path}" are not valid') from error
        raise


def xattrs_of(fd: int) -> dict[str, bytes]:
    """The attributes of a file that a copy of it gets (see set_metadata)."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    wanted = (name for name in names if name == CAPABILITY or name.startswith(_USER))
    return {name: os.getxattr(fd, name) for name in wanted}


def copy_bytes(source: int, target: int) -> None:
    """Copy what is left of one open file to another."""
    while data := os.read(source, _COPY_SIZE):
        write_all(target, data)
