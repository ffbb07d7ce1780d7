"""Walks paths inside the sandbox's root, component by component, and makes what is missing.

Runs after pivot_root, so no path can leave the new root; what is left to guard against is /proc, whose magic
links would lead to whatever the set-up still holds open.
"""

from __future__ import annotations

import errno
import os
import stat

from builder.sandbox import syscalls

_LINKS = 40  # MAXSYMLINKS of the kernel
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_ANY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_PROC_ROOT_INODE = 1  # PROC_ROOT_INO, linux/proc_ns.h

# A made file or directory: its real path, and the mtime of its parent before and after that, in nanoseconds.
Stub = tuple[bytes, int, int]


def open_directory(path: bytes, stubs: list[Stub] | None = None) -> int:
    """An O_PATH descriptor of a directory, made (0755) with its parents when missing."""
    fd = _walk(path, "directory", [] if stubs is None else stubs)
    return _only(fd, path, is_directory=True)


def open_target(path: bytes, stubs: list[Stub], *, is_directory: bool) -> int:
    """An O_PATH descriptor of a mount point of that kind, made when missing and then noted in ``stubs``."""
    fd = _walk(path, "directory" if is_directory else "file", stubs)
    if syscalls.statfs_type(fd) == syscalls.PROC_SUPER_MAGIC:
        os.close(fd)
        raise OSError(errno.EPERM, "nothing can be mounted inside /proc", path)
    return _only(fd, path, is_directory=is_directory)


def open_existing(path: bytes) -> int:
    """An O_PATH descriptor; FileNotFoundError when missing."""
    return _walk(path, "", [])


def read_file(path: bytes, limit: int) -> bytes:
    """The bytes of a regular file, empty if there is none; never blocks on a pipe or device."""
    try:
        place = open_existing(path)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    try:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        fd = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(place)
    try:
        data = b""
        while (piece := os.read(fd, limit)) and len(data) <= limit:
            data += piece
        return data[:limit]
    finally:
        os.close(fd)


def _walk(path: bytes, make: str, stubs: list[Stub]) -> int:
    """``make`` is what the last component becomes when missing: "directory", "file", or "" for an error."""
    root = os.open("/", _DIRECTORY)
    device = os.fstat(root).st_dev
    fd = os.dup(root)
    trail: list[bytes] = []
    todo = _components(path)
    links = 0
    try:
        while todo:
            name = todo.pop()
            if name == b"..":
                fd = _replace(fd, os.open("..", _DIRECTORY, dir_fd=fd))
                del trail[-1:]
                continue
            try:
                child = os.open(name, _ANY, dir_fd=fd)
            except FileNotFoundError:
                if not make:
                    raise
                parent = os.fstat(fd)
                _make(name, fd, is_directory=bool(todo) or make == "directory")
                if parent.st_dev == device:
                    after = os.fstat(fd).st_mtime_ns
                    stubs.append((b"/" + b"/".join([*trail, name]), parent.st_mtime_ns, after))
                child = os.open(name, _ANY, dir_fd=fd)
            if not stat.S_ISLNK(os.fstat(child).st_mode):
                trail.append(name)
                fd = _replace(fd, child)
                continue
            links += 1
            text = _read_link(child, fd, path, is_too_deep=links > _LINKS)
            if text.startswith(b"/"):
                fd = _replace(fd, os.dup(root))
                trail.clear()
            todo += _components(text)
    except OSError:
        os.close(fd)
        raise
    finally:
        os.close(root)
    return fd


def _components(path: bytes) -> list[bytes]:
    return [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def _make(name: bytes, parent: int, *, is_directory: bool) -> None:
    try:
        if is_directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except FileExistsError:
        return  # another sandbox that shares this cache mount was faster


def _read_link(link: int, parent: int, path: bytes, *, is_too_deep: bool) -> bytes:
    try:
        if is_too_deep:
            raise OSError(errno.ELOOP, "too many levels of symbolic links", path)
        # /proc/self, /proc/mounts and /proc/net are plain text; the links below a process are not.
        is_proc = syscalls.statfs_type(link) == syscalls.PROC_SUPER_MAGIC
        if is_proc and os.fstat(parent).st_ino != _PROC_ROOT_INODE:
            raise OSError(errno.ELOOP, "leads through a link of /proc", path)
        return os.readlink(b"", dir_fd=link)
    finally:
        os.close(link)


def _only(fd: int, path: bytes, *, is_directory: bool) -> int:
    if stat.S_ISDIR(os.fstat(fd).st_mode) == is_directory:
        return fd
    os.close(fd)
    number = errno.ENOTDIR if is_directory else errno.EISDIR
    raise OSError(number, "not a directory" if is_directory else "is a directory", path)
