"""Signals by the C half of ``signal``: the other half brings ``enum``, which takes longer than a step."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # typeshed has no stub for the C half

SIGKILL: int = int(_signal.SIGKILL)


def unblock() -> None:
    """Empty the signal mask."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def send(pidfd: int, number: int) -> None:
    """Nothing happens if the process is gone."""
    try:
        _signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return
