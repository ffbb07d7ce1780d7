"""Threads that wait for steps: as many as there is work, of which only so many run steps at once."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType


class Workers:
    """A pool that grows with its work.

    Slotted work is bounded by ``parallelism``, the rest by its own limit.
    """

    # Key work (hashing of contexts) is bound by the processors, not by waiting.
    _UNSLOTTED = 4

    def __init__(self, parallelism: int) -> None:
        self._lock = threading.Lock()
        self._free = {True: parallelism, False: self._UNSLOTTED}
        self._waiting: dict[bool, collections.deque[Callable[[], None]]] = {
            True: collections.deque(),
            False: collections.deque(),
        }
        self._threads: set[threading.Thread] = set()
        self._is_closed = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_closed = True
            for waiting in self._waiting.values():
                waiting.clear()
            threads = list(self._threads)
        for thread in threads:
            # A signal may have come between its registration and its start: then it never ran.
            with contextlib.suppress(RuntimeError):
                thread.join()

    def submit(self, work: Callable[[], None], *, is_slotted: bool) -> None:
        """``work`` must not raise. In order of submission."""
        with self._lock:
            if self._is_closed:
                return
            if self._free[is_slotted] <= 0:
                self._waiting[is_slotted].append(work)
                return
            self._free[is_slotted] -= 1
            thread = threading.Thread(target=self._loop, args=(work, is_slotted), daemon=True)
            self._threads.add(thread)
        thread.start()

    def _loop(self, work: Callable[[], None] | None, is_slotted: bool) -> None:
        while work is not None:
            work()
            with self._lock:
                if self._waiting[is_slotted]:
                    work = self._waiting[is_slotted].popleft()
                else:
                    work = None
                    self._free[is_slotted] += 1
                    self._threads.discard(threading.current_thread())
