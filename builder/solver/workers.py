"""Threads that wait for steps: as many as there is work, of which only so many run steps at once."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal

Pool = Literal["steps", "keys", "waits"]


class Workers:
    """A pool that grows with its work: "steps" are bounded by ``parallelism``, the rest by its own limit."""

    # Key work (hashing of contexts) is bound by the processors.
    _KEYS = 4
    # Who waits for another build does no work, and must keep nobody from any.
    _WAITS = 1 << 20

    def __init__(self, parallelism: int) -> None:
        self._lock = threading.Lock()
        self._free: dict[Pool, int] = {"steps": parallelism, "keys": self._KEYS, "waits": self._WAITS}
        self._waiting: dict[Pool, collections.deque[Callable[[], None]]] = {
            pool: collections.deque() for pool in self._free
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

    def submit(self, work: Callable[[], None], *, pool: Pool) -> None:
        """``work`` must not raise. In order of submission."""
        with self._lock:
            if self._is_closed:
                return
            if self._free[pool] <= 0:
                self._waiting[pool].append(work)
                return
            self._free[pool] -= 1
            thread = threading.Thread(target=self._loop, args=(work, pool), daemon=True)
            self._threads.add(thread)
        thread.start()

    def _loop(self, work: Callable[[], None] | None, pool: Pool) -> None:
        while work is not None:
            work()
            with self._lock:
                if self._waiting[pool]:
                    work = self._waiting[pool].popleft()
                else:
                    work = None
                    self._free[pool] += 1
                    self._threads.discard(threading.current_thread())
