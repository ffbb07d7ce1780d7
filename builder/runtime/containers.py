"""Containers on disk: their rows, their writable layers, and which of them are running."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from builder.core.errors import Kind, PybuildError
from builder.store.interface import Rows, StateDirectory

_ADJECTIVES = (
    "brave calm clever eager fair fond gentle happy jolly keen kind lively merry neat proud quick sunny tidy"
).split()
_NOUNS = (
    "badger beaver crane dolphin falcon finch heron ibex lark lynx marten otter owl puffin raven robin seal"
    " swift"
).split()


class ContainerNotFound(PybuildError):
    """No container of that name or id."""

    kind = Kind.NOT_FOUND
    code = "container-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(f'no such container: "{name}"', hint="`pybuild ps -a` lists them")


class ContainerConflict(PybuildError):
    """The name is taken, or the container is in the wrong state for what was asked."""

    kind = Kind.CONFLICT
    code = "container-conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container. ``status``: created, running, exited; times in epoch seconds, 0: not yet."""

    id: str
    name: str
    image: str  # its id
    image_name: str  # as the user wrote it
    snapshot: str
    args: tuple[str, ...]
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int | None = None
    status: str = "created"

    @property
    def short_id(self) -> str:
        """The first 12 digits, as Docker shows them."""
        return self.id[:12]


class ContainerStore:
    """See the module. A running container's process holds a lock file: a killed one is known to be over."""

    def __init__(self, state: StateDirectory, rows: Rows) -> None:
        self._root = state.containers
        self._rows = rows

    def create(
        self, *, name: str | None, image: str, image_name: str, snapshot: str, args: tuple[str, ...]
    ) -> Container:
        """A row and a directory. Raises ContainerConflict if the name is taken."""
        container = Container(
            id=os.urandom(32).hex(), name=name or self._free_name(), image=image, image_name=image_name,
            snapshot=snapshot, args=args, created_at=time.time(),
        )  # fmt: skip
        changed = self._rows.run(
            "INSERT OR IGNORE INTO containers (id, name, image, snapshot, description, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (container.id, container.name, image, snapshot, _encode(container), container.created_at),
        )
        if not changed:
            raise ContainerConflict(
                f'the container name "{container.name}" is taken',
                hint="remove the other with `pybuild rm`, or choose another",
            )
        os.mkdir(self.directory(container), 0o700)
        return container

    def directory(self, container: Container) -> Path:
        """Where its writable layer and its lock are."""
        return self._root / container.id

    @contextlib.contextmanager
    def running(self, container: Container) -> Iterator[None]:
        """Mark it as running inside the block."""
        descriptor = os.open(self.directory(container) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.update(replace(container, status="running", started_at=time.time()))
            yield
        finally:
            os.close(descriptor)

    def update(self, container: Container) -> None:
        """Store what changed."""
        self._rows.run(
            "UPDATE containers SET description = ? WHERE id = ?", (_encode(container), container.id)
        )

    def all(self) -> list[Container]:
        """Newest first."""
        rows = self._rows.rows("SELECT description FROM containers ORDER BY created_at DESC")
        return [self._current(_decode(row[0])) for row in rows]

    def find(self, name: str) -> Container:
        """By name, id, or an unambiguous beginning of an id. Raises ContainerNotFound, ContainerConflict."""
        everything = self.all()
        found = [c for c in everything if name in (c.name, c.id)]
        found = found or [c for c in everything if name and c.id.startswith(name)]
        if len(found) > 1:
            raise ContainerConflict(f'"{name}" is the beginning of several container ids')
        if not found:
            raise ContainerNotFound(name)
        return found[0]

    def delete(self, container: Container) -> None:
        """The row; the directory is the caller's to remove, afterwards.

        Raises ContainerConflict if it runs.
        """
        if container.status == "running":
            raise ContainerConflict(
                f'container "{container.name}" is running',
                hint="stop the `pybuild run` that it belongs to first",
            )
        self._rows.run("DELETE FROM containers WHERE id = ?", (container.id,))

    def _current(self, container: Container) -> Container:
        if container.status != "running" or self._is_locked(container):
            return container
        # Its `pybuild run` was killed, and the kernel killed the container with it.
        return replace(container, status="exited", exit_code=137)

    def _is_locked(self, container: Container) -> bool:
        try:
            descriptor = os.open(self.directory(container) / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _free_name(self) -> str:
        taken = {c.name for c in self.all()}
        while True:
            first, second = os.urandom(2)
            name = f"{_ADJECTIVES[first % len(_ADJECTIVES)]}_{_NOUNS[second % len(_NOUNS)]}"
            if name not in taken:
                return name
            taken.discard(name)
            name = f"{name}{int.from_bytes(os.urandom(2))}"
            if name not in taken:
                return name


def _encode(container: Container) -> bytes:
    return json.dumps(asdict(container)).encode()


def _decode(value: object) -> Container:
    assert isinstance(value, bytes)
    fields = json.loads(value)
    return Container(**{**fields, "args": tuple(fields["args"])})
