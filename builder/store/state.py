"""The state directory: versioned buckets, locks, and scratch space on the same file system.

::

    ROOT/
      lock                     flock: by who takes hold of something, or collects (store/leases.py)
      content-v1/blobs/sha256  blobs, under OCI layout paths; written to scratch, renamed into place
      partial-v1/DIGEST        the beginning of a blob that is being fetched; flock: by whom
      snapshots-v1/NAME        the upper directory of one committed snapshot; never written again
      flat-v1/NAME             the whole merged tree of a deep snapshot chain
      mountpoints-v1           the lowest lower directory of every sandbox: what Docker mounts over
      containers-v1/ID         a container's writable layer and description
      caches-v1/IDENTITY       cache mounts of RUN (store/cachemounts.py)
      failed-v1/BUILD-STEP     the upper directory of a failed step
      logs-v1/BUILD/STEP       what steps printed
      turns-v1/KEY             flock: by whoever runs the step of that key (store/turns.py)
      cgroups-v1/OWNER         where one process made control groups, see builder/sandbox/cgroup.py
      pybuild-v1.sqlite        records, references, images, snapshots: one database, one transaction
      stat-v1.sqlite           the stat cache: may be deleted at any time
      tmp/OWNER, tmp/OWNER.lock   scratch of one process, and its lease, a file that it holds a flock on

A new format gets a new name; old and new never meet. Everything becomes visible by a rename, or by a commit
of the database that follows the rename. Scratch of a dead process (its flock is free) is removed by the next
process that opens the store, and with it a snapshot directory that the database never heard of.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from builder.core.errors import Kind, PybuildError
from builder.store.leases import Lease

_BUCKETS = (
    "content-v1/blobs/sha256",
    "partial-v1",
    "snapshots-v1",
    "flat-v1",
    "containers-v1",
    "caches-v1",
    "failed-v1",
    "logs-v1",
    "turns-v1",
    "tmp",
)


class StoreUnusable(PybuildError):
    """The state directory cannot be used."""

    kind = Kind.DENIED
    code = "store-unusable"


class StateDir:
    """Paths and locks below one root. ``open`` it; the fields are for the store package."""

    def __init__(self, root: Path, scratch: Path, lease: Lease) -> None:
        self.root = root
        self.lease = lease  # what this process holds against collection
        self.scratch = scratch  # this process's own; gone after ``open``
        self.blobs = root / "content-v1/blobs/sha256"
        self.partial = root / "partial-v1"
        self.snapshots = root / "snapshots-v1"
        self.flat = root / "flat-v1"
        self.mountpoints = root / "mountpoints-v1"
        self.containers = root / "containers-v1"
        self.caches = root / "caches-v1"
        self.failed = root / "failed-v1"
        self.logs = root / "logs-v1"
        self.turns = root / "turns-v1"
        self.cgroups = root / "cgroups-v1"
        self.database = root / "pybuild-v1.sqlite"
        self.stat_cache = root / "stat-v1.sqlite"

    @classmethod
    @contextlib.contextmanager
    def open(cls, root: Path) -> Iterator[StateDir]:
        """Make what is missing, begin a lease and a scratch directory; both end with the block.

        Raises StoreUnusable.
        """
        root = root.absolute()
        try:
            if not root.exists():
                root.mkdir(parents=True, exist_ok=True, mode=0o700)  # what is built here may be secret
            for bucket in _BUCKETS:
                (root / bucket).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreUnusable(
                f'cannot use "{root}": {error.strerror}', hint="name another with --root or PYBUILD_ROOT"
            ) from error
        with _scratch(root / "tmp") as (scratch, lock, descriptor):
            yield cls(root, scratch, Lease(root / "lock", lock, descriptor))

    @property
    def has_cgroup_records(self) -> bool:
        """Whether some process, of now or killed, has limited others."""
        try:
            with os.scandir(self.cgroups) as found:
                return next(found, None) is not None
        except FileNotFoundError:
            return False

    def new_name(self) -> str:
        """A short name for a snapshot: overlayfs is given hundreds of them at once."""
        return os.urandom(6).hex()

    def sweep(self, forget: Callable[[str], bool]) -> None:
        """Remove what dead processes left in scratch.

        ``forget(name)`` says whether a snapshot that was being committed then is unknown to the database:
        its directory goes too.
        """
        for lock in sorted((self.root / "tmp").glob("*.lock")):
            owner = lock.with_suffix("")
            if owner == self.scratch:
                continue
            with _dead_lock(lock) as is_dead:
                if is_dead:
                    for name in os.listdir(owner) if owner.is_dir() else ():
                        if forget(name):
                            remove_tree(self.snapshots / name)
                    remove_tree(owner)
                    lock.unlink(missing_ok=True)


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[BinaryIO | None]:
    """The file, made if need be, for this one alone; None while somebody else has it."""
    while True:
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
            if not try_lock(file.fileno()):
                yield None
                return
            if is_still(file.fileno(), path):  # whoever had it may have taken it away since
                yield file
                return


def remove_tree(path: Path) -> None:
    """Delete a tree of any depth, however its modes are set; one that is gone is fine."""
    top = str(path)
    try:
        if not stat.S_ISDIR(os.lstat(top).st_mode):
            os.unlink(top)
            return
        # Every directory is moved to the top before it is emptied, so that no path gets longer than the
        # kernel takes and no recursion deeper than Python does, whatever a step has made.
        mark = f"{top}/{os.urandom(8).hex()}."
        os.chmod(top, 0o700)
        pending, count = [top], 0
        while pending:
            directory = pending.pop()
            with os.scandir(directory) as found:
                entries = list(found)
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                if directory == top:
                    pending.append(entry.path)
                else:
                    count += 1
                    os.rename(entry.path, f"{mark}{count}")
                    pending.append(f"{mark}{count}")
            if directory != top:
                os.rmdir(directory)
        os.rmdir(top)
    except FileNotFoundError:
        return


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[tuple[Path, Path, int]]:
    """The directory, its lock file, and the descriptor that has it locked."""
    while True:
        owner = parent / f"{os.getpid()}-{os.urandom(4).hex()}"
        lock = parent / f"{owner.name}.lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_still(descriptor, lock):  # a sweep may have taken it between open and flock
            break
        os.close(descriptor)
    owner.mkdir(mode=0o700)
    try:
        yield owner, lock, descriptor
    finally:
        remove_tree(owner)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def _dead_lock(lock: Path) -> Iterator[bool]:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield try_lock(descriptor) and is_still(descriptor, lock)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the exclusive flock if nobody has one; whether that went well."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether somebody has a flock on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def is_still(descriptor: int, path: Path) -> bool:
    """Whether a path leads to the file that was opened: it may be gone, or another one by now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
