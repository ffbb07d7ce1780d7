"""Tasks that run side by side; the first one that fails ends the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from builder.core.errors import Cancelled
from builder.core.job import Cancel


def side_by_side(tasks: Sequence[Callable[[Cancel], object]], at_most: int, cancel: Cancel) -> None:
    """Each gets a Cancel that is also set when another one failed. Raises what the first failure was."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    if not tasks:
        return
    own = Cancel()
    forget = cancel.on_cancel(own.cancel)
    failure: BaseException | None = None
    try:
        with ThreadPoolExecutor(min(at_most, len(tasks))) as pool:
            for done in as_completed([pool.submit(_unless_cancelled, task, own) for task in tasks]):
                error = done.exception()
                if error is not None and (failure is None or isinstance(failure, Cancelled)):
                    failure = error
                    own.cancel()
    finally:
        forget()
    if failure is not None:
        raise failure


def _unless_cancelled(task: Callable[[Cancel], object], cancel: Cancel) -> None:
    cancel.check()
    task(cancel)
