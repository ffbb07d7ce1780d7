"""Ends a step that takes too long, or is silent for too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from builder.core.durations import format_duration
from builder.core.errors import Kind, PybuildError
from builder.core.limits import TimeLimits

_NANO = 1_000_000_000


class StepTimedOut(PybuildError):
    """A step ran, or was silent, for longer than the command line allows."""

    kind = Kind.FAILED
    code = "step-timed-out"

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message, hint=f"raise {option}, or see what it waits for: steps have no input")


class Watchdog:
    """Calls ``kill`` once a limit is passed; ``heard`` says that the step printed something.

    Without limits it is no thread, and costs nothing.
    """

    def __init__(
        self, limits: TimeLimits, kill: Callable[[], None], *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._limits = limits
        self._kill = kill
        self._clock = clock
        self._began = self._last = clock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: StepTimedOut | None = None

    def __enter__(self) -> Self:
        if self._limits != TimeLimits():
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def heard(self) -> None:
        """Now."""
        self._last = self._clock()

    def look(self) -> int | None:
        """Nanoseconds until it has to be looked at again; None: its time is over, and ``error`` says why."""
        now, (total, silence) = self._clock(), self._limits
        left = []
        if total:
            left.append(self._began + total - now)
            if left[-1] <= 0:
                message = f"the step took longer than {format_duration(total)}"
                self.error = StepTimedOut(message, "--step-timeout")
                return None
        if silence:
            left.append(self._last + silence - now)
            if left[-1] <= 0:
                message = f"the step printed nothing for {format_duration(silence)}"
                self.error = StepTimedOut(message, "--silence-timeout")
                return None
        return min(left)

    def _watch(self) -> None:
        while (left := self.look()) is not None:
            if self._over.wait(left / _NANO):
                return
        self._kill()
