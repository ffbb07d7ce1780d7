"""Cache mounts: directories that outlive builds, who may use one at a time, and which of them is free.

::

    caches-v1/IDENTITY/
      lock             flock: held for a moment, by whoever chooses or makes a directory
      N/data           what steps see; appears by a rename
      N/lock           flock: shared by "shared" holders, exclusive for others; its text names the holder
      N/stale          a build without cache wants a new one: nobody is given this one again

Locks lie outside of what steps see, are the kernel's, and so end with their holder, however that ends. A
directory that the database has no row of is of a killed process, and collection removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.job import Cancel
from builder.store.database import CACHE_MOUNTS_TABLE, Database
from builder.store.interface import CacheMountRequest
from builder.store.state import StateDir, is_still, remove_tree

# BuildKit's; a process that waits for a flock cannot be told to stop.
_POLL_S = 0.1


class _Taken(NamedTuple):
    """A directory and the descriptor of its lock file, which holds the lock until it is closed."""

    lock: int
    directory: Path


class LocalCacheMounts:
    """See CacheMounts."""

    def __init__(self, state: StateDir, database: Database) -> None:
        self._state = state
        self._database = database
        self._renewing = threading.Lock()
        self._renewed: set[Digest] = set()
        self._has_table = False

    @contextlib.contextmanager
    def use(
        self,
        request: CacheMountRequest,
        holder: str,
        cancel: Cancel,
        *,
        fill: Callable[[Path], None],
        waits: Callable[[str], None],
    ) -> Iterator[Path]:
        """See CacheMounts."""
        top = self._state.caches / request.identity.hex
        taken = self._take(top, request, cancel, fill, waits)
        try:
            os.ftruncate(taken.lock, 0)
            os.pwrite(taken.lock, holder.encode("utf-8", "backslashreplace"), 0)
            self._register(request)
            yield taken.directory / "data"
        finally:
            os.close(taken.lock)

    @contextlib.contextmanager
    def reading(self, identity: Digest, cancel: Cancel, *, wait_s: float) -> Iterator[Path | None]:
        """A directory that steps left, for nobody to have alone meanwhile.

        None: there is none, or someone has it alone and goes on so for ``wait_s``.
        """
        top = self._state.caches / identity.hex
        lock = self._lock_to_read(top, cancel, wait_s) if top.is_dir() else None
        if lock is None:
            yield None
            return
        try:
            yield lock.directory / "data"
        finally:
            os.close(lock.lock)

    def used_at(self, identity: Digest) -> float | None:
        """When a step had it last, in epoch seconds; None: no directory of it is left."""
        top = self._state.caches / identity.hex
        if not top.is_dir() or not any(not (path / "stale").exists() for path in _directories(top)):
            return None
        self._make_table()
        row = self._database.row("SELECT used_at FROM cache_mounts WHERE identity = ?", (identity.hex,))
        return float(row[0] or 0) if row else None

    def _lock_to_read(self, top: Path, cancel: Cancel, wait_s: float) -> _Taken | None:
        deadline = time.monotonic() + wait_s
        over = threading.Event()
        forget = cancel.on_cancel(over.set)
        try:
            while True:
                cancel.check()
                with _chosen_by_one(top):
                    for directory in _directories(top):
                        if (directory / "stale").exists():
                            continue
                        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                        if _try(lock, fcntl.LOCK_SH):
                            return _Taken(lock, directory)
                        os.close(lock)
                if time.monotonic() >= deadline:
                    return None
                over.wait(_POLL_S)
        finally:
            forget()

    def _take(
        self,
        top: Path,
        request: CacheMountRequest,
        cancel: Cancel,
        fill: Callable[[Path], None],
        waits: Callable[[str], None],
    ) -> _Taken:
        has_said = False
        over = threading.Event()
        forget = cancel.on_cancel(over.set)
        try:
            while True:
                cancel.check()
                with _chosen_by_one(top):
                    self._renew(top, request)
                    taken, held = _choose(top, request.sharing)
                    if taken is None and (request.sharing != "locked" or held is None):
                        taken = self._make(top, request, fill)
                if taken is not None:
                    return taken
                if not has_said:
                    has_said = True
                    waits(_holder(held) if held is not None else "")
                over.wait(_POLL_S)
        finally:
            forget()

    def _renew(self, top: Path, request: CacheMountRequest) -> None:
        """Once in a build: what is there is not used again; in use or not."""
        with self._renewing:
            if not request.is_new or request.identity in self._renewed:
                return
            self._renewed.add(request.identity)
        for directory in _directories(top):
            with contextlib.suppress(FileExistsError):
                (directory / "stale").touch(exist_ok=False)

    def _make(self, top: Path, request: CacheMountRequest, fill: Callable[[Path], None]) -> _Taken:
        scratch = self._state.scratch / self._state.new_name()
        data = scratch / "data"
        os.mkdir(scratch, 0o700)
        try:
            os.mkdir(data, 0o700)
            os.chmod(data, 0o755)
            fill(data)
            if request.uid is not None or request.gid is not None:
                os.chown(data, request.uid or 0, request.gid or 0)
            if request.mode is not None:
                os.chmod(data, request.mode & 0o7777)
            descriptor = os.open(scratch / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_SH if request.sharing == "shared" else fcntl.LOCK_EX)
            number = max((int(path.name) for path in _directories(top)), default=-1) + 1
            os.rename(scratch, top / str(number))
        except BaseException:
            remove_tree(scratch)
            raise
        return _Taken(descriptor, top / str(number))

    def _make_table(self) -> None:
        if not self._has_table:  # a store may be older than cache mounts
            self._database.run(CACHE_MOUNTS_TABLE)
            self._has_table = True

    def _register(self, request: CacheMountRequest) -> None:
        self._make_table()
        now = time.time()
        self._database.run(
            "INSERT INTO cache_mounts (identity, id, created_at, used_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (identity) DO UPDATE SET used_at = excluded.used_at",
            (request.identity.hex, request.id, now, now),
        )


def _choose(top: Path, sharing: str) -> tuple[_Taken | None, Path | None]:
    """A directory with its lock, and one that somebody holds; for whoever has the lock of ``top``.

    For "shared" one that others share already, then a free one; for the others a free one.
    """
    free: _Taken | None = None
    held: Path | None = None
    for directory in _directories(top):
        if (directory / "stale").exists():
            _remove_if_free(directory)
            continue
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if free is None and _try(lock, fcntl.LOCK_EX):
            free = _Taken(lock, directory)
            continue
        if not _try(lock, fcntl.LOCK_EX):
            held = held or directory
            if sharing == "shared" and _try(lock, fcntl.LOCK_SH):
                if free is not None:
                    os.close(free.lock)
                return _Taken(lock, directory), held
        os.close(lock)
    if free is not None and sharing == "shared":
        fcntl.flock(free.lock, fcntl.LOCK_SH)
    return free, held


def _directories(top: Path) -> list[Path]:
    return sorted((path for path in top.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))


def _remove_if_free(directory: Path) -> None:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if _try(descriptor, fcntl.LOCK_EX):
            remove_tree(directory)
    finally:
        os.close(descriptor)


def _holder(directory: Path) -> str:
    try:
        return (directory / "lock").read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _try(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def unused(top: Path) -> Iterator[bool]:
    """Whether nobody uses any directory of a cache; if so, nobody can begin to inside the block."""
    with contextlib.ExitStack() as stack:
        for lock in (top / "lock", *(directory / "lock" for directory in _directories(top))):
            try:
                descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            stack.callback(os.close, descriptor)
            if not _try(descriptor, fcntl.LOCK_EX):
                yield False
                return
        yield True


@contextlib.contextmanager
def _chosen_by_one(top: Path) -> Iterator[None]:
    """One at a time that chooses; the cache is there inside the block, and stays."""
    while True:
        top.mkdir(mode=0o700, exist_ok=True)
        try:
            descriptor = os.open(top / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # collected since
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_still(descriptor, top / "lock"):
                yield
                return
        finally:
            os.close(descriptor)
