"""Waiting for other processes: whoever waits for a flock cannot be told to stop, so one looks again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from builder.core.job import Cancel

# Soon, for most steps are short.
_FIRST_S = 0.005
_LAST_S = 0.1


def poll_until(condition: Callable[[], bool], cancel: Cancel) -> None:
    """Look again and again until it holds. Raises Cancelled."""
    over = threading.Event()
    forget = cancel.on_cancel(over.set)
    pause_s = _FIRST_S
    try:
        while not condition():
            over.wait(pause_s)
            cancel.check()
            pause_s = min(_LAST_S, pause_s * 1.5)
    finally:
        forget()
