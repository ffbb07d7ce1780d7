"""What one request carries down the stack, explicitly; there is no global context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from builder.core.errors import Cancelled
from builder.core.events import NoProgress, Progress

if TYPE_CHECKING:
    from socket import socket


class Cancel:
    """A flag that stops work. Thread-safe; callbacks run once, in the thread that cancels."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            callbacks, self._callbacks = list(self._callbacks.values()), {}
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raises Cancelled once ``cancel`` was called."""
        if self._cancelled:
            raise Cancelled

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called on cancel (at once if that was before); returns what takes it back."""
        with self._lock:
            if not self._cancelled:
                key = self._next
                self._next += 1
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        callback()
        return lambda: None

    def _forget(self, key: int) -> None:
        with self._lock:
            self._callbacks.pop(key, None)


class SshAgent(Protocol):
    """An agent of the client that holds keys."""

    def connect(self) -> socket:
        """A connection of one's own. Raises PybuildError."""


@dataclass(frozen=True, slots=True)
class Session:
    """Things that only the client has, by the ids that mounts name.

    A secret is read when a step first needs it: its function may raise PybuildError, and gives None for one
    that is not there after all.
    """

    secrets: Mapping[str, Callable[[], bytes | None]] = field(default_factory=dict)
    ssh: Mapping[str, SshAgent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One request: its session, where its events go, and what stops it."""

    id: str
    session: Session = field(default_factory=Session)
    progress: Progress = field(default_factory=NoProgress)
    cancel: Cancel = field(default_factory=Cancel)
