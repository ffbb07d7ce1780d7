"""What running commands hold, so that collection can work beside them.

::

    tmp/OWNER.lock    flock: exclusive, by the command; its first line says when it began, the others name the
                      snapshots and blobs that it has come across since: its lease
    lock              flock: shared, for the moment in which a command puts a name down and looks whether it
                      is still there; exclusive by collection, from reading all leases until what nobody
                      holds is out of everybody's sight

A lease only grows, and it ends with its process, however that ends: there is nothing to renew or to repair.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Held(NamedTuple):
    """The lease of another command that runs now."""

    pid: int
    started_at: float  # epoch seconds
    names: frozenset[str]  # of snapshots; of blobs with their algorithm


class Lease:
    """The own one of a command. Thread-safe."""

    def __init__(self, guard: Path, lock: Path, descriptor: int) -> None:
        self._guard = guard
        self._lock = lock
        self._descriptor = descriptor
        self._mutex = threading.Lock()
        self._names: set[str] = set()
        self._shared = -1  # the guard, while any thread is touching something
        self._touching = 0
        # On a full disk whoever makes room must be able to begin; then it began when somebody looks.
        with contextlib.suppress(OSError):
            os.write(descriptor, f"{time.time()}\n".encode())

    @property
    def names(self) -> frozenset[str]:
        """All that it holds."""
        with self._mutex:
            return frozenset(self._names)

    def hold(self, name: str) -> None:
        """Keep it until this command ends. Whoever may not be the first to know it: see ``touching``."""
        with self._mutex:
            if name not in self._names:
                self._names.add(name)
                os.write(self._descriptor, f"{name}\n".encode())

    @contextlib.contextmanager
    def touching(self, *names: str) -> Iterator[None]:
        """Hold these; what the block finds, holds or publishes of them stays. For short blocks."""
        if names and self._names.issuperset(names):
            yield
            return
        with self._mutex:
            if not self._touching:
                self._shared = _flocked(self._guard, fcntl.LOCK_SH)
            self._touching += 1
        try:
            for name in names:
                self.hold(name)
            yield
        finally:
            with self._mutex:
                self._touching -= 1
                if not self._touching:
                    os.close(self._shared)

    def try_alone(self) -> int | None:
        """A descriptor while which is open nobody touches anything; None while somebody does."""
        try:
            return _flocked(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None

    def others(self) -> list[Held]:
        """Of all other commands that run on this state directory."""
        locks = [lock for lock in sorted(self._lock.parent.glob("*.lock")) if lock != self._lock]
        return [held for held in map(_read, locks) if held is not None]


def _read(lock: Path) -> Held | None:
    with contextlib.suppress(FileNotFoundError, ValueError), lock.open("rb") as file:
        try:
            # Shared: two that look must not look alive to each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            first, *rest = file.read().decode().split("\n")
            began = re.fullmatch(r"[0-9]+\.[0-9]+", first)
            names = frozenset(filter(None, rest if began else [first, *rest]))
            return Held(int(lock.name.partition("-")[0]), float(first) if began else time.time(), names)
    return None


def _flocked(path: Path, operation: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
