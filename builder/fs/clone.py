"""The bytes of one file into another: shared where the file system can, holes kept, memory flat."""

from __future__ import annotations

import errno
import fcntl
import os

from builder.fs.tar import write_all

# linux/fs.h: _IOW(0x94, 9, int)
_FICLONE = 0x40049409
# Below this a read and a write cost less than asking for anything clever.
_SMALL = 64 << 10
_BUFFER_SIZE = 1 << 20
_UNABLE = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF, errno.EPERM}
)

# Pairs of devices between which the kernel refused to share blocks; it always will.
_unshared: set[tuple[int, int]] = set()


def copy_bytes(source: int, target: int, st: os.stat_result) -> None:
    """Copy a regular file from an open descriptor into an empty one; ``st`` is the source's stat.

    Copies as many bytes as ``st`` has, or fewer if the file shrank meanwhile.
    """
    size = st.st_size
    if size <= _SMALL:
        _copy_small(source, target, size)
        return
    if _share(source, target, st.st_dev):
        return
    if st.st_blocks * 512 >= size:
        _copy_range(source, target, 0, size)
        return
    for start, end in _data(source, size):
        _copy_range(source, target, start, end)
    os.ftruncate(target, size)


def _copy_small(source: int, target: int, size: int) -> None:
    left = size
    while left and (data := os.read(source, left)):
        left -= len(data)
        write_all(target, data)


def _share(source: int, target: int, device: int) -> bool:
    pair = (device, os.fstat(target).st_dev)
    if pair in _unshared:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        _unshared.add(pair)
        return False
    return True


def _data(source: int, size: int) -> list[tuple[int, int]]:
    """The ranges of a file that are no holes."""
    ranges = []
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
            at = os.lseek(source, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                break
            return [(0, size)]
        ranges.append((start, min(at, size)))
    return ranges


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    try:
        while start < end:
            count = os.copy_file_range(source, target, end - start, start, start)
            if not count:
                break  # the end, or a file system that cannot say so
            start += count
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
    buffer = memoryview(bytearray(min(_BUFFER_SIZE, max(end - start, 1))))
    while start < end:
        count = os.preadv(source, [buffer[: end - start]], start)
        if not count:
            return
        written = 0
        while written < count:
            written += os.pwrite(target, buffer[written:count], start + written)
        start += count
