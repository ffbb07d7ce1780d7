"""From a step's output pipes to events."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from builder.core.events import Progress, StepLog

_CHUNK = 1 << 16


def pump(
    step: str,
    out: int,
    err: int,
    progress: Progress,
    is_over: Callable[[], bool],
    heard: Callable[[], None],
) -> None:
    """Read both pipes to their end; ``is_over`` is asked now and then: a pipe may outlive its process."""
    streams = {out: 1, err: 2}
    poll = select.poll()
    for descriptor in streams:
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    while streams:
        ready = poll.poll(1000)
        if not ready and is_over():
            return
        for descriptor, _ in ready:
            data = os.read(descriptor, _CHUNK)
            if data:
                heard()
                progress.emit(StepLog(step, streams[descriptor], data, time.time()))
            else:
                poll.unregister(descriptor)
                del streams[descriptor]
