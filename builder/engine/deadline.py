"""A build that must be over by a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from builder.core.durations import format_duration
from builder.core.errors import Cancelled, Kind, PybuildError
from builder.core.job import Cancel

_NANO = 1_000_000_000


class BuildTimedOut(PybuildError):
    """A build took longer than --timeout allows."""

    kind = Kind.FAILED
    code = "build-timed-out"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the build took longer than {format_duration(limit)}",
            hint="raise --timeout; what was done is cached, and the next build goes on from there",
        )


@contextlib.contextmanager
def deadline(limit: int, cancel: Cancel) -> Iterator[None]:
    """The block is cancelled after ``limit`` nanoseconds (0: never). Raises BuildTimedOut then."""
    if not limit:
        yield
        return
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        cancel.cancel()

    timer = threading.Timer(limit / _NANO, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Cancelled:
        if is_late.is_set():
            raise BuildTimedOut(limit) from None
        raise
    finally:
        timer.cancel()
