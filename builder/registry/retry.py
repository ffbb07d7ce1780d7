"""Trying again: what is worth it, how often, and after how long."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from builder.core.job import Cancel
from builder.registry.config import Endpoint
from builder.registry.interface import RegistryError
from builder.registry.words import printable

T = TypeVar("T")

# A server that asks for more patience than this gets none: Docker Hub's limit lifts after hours.
LONGEST_WAIT_S = 60.0
_FIRST_WAIT_S = 0.5
# Tries in all, after a transient status or a broken connection.
TRANSIENT_LIMIT = 5


class EndpointFailed(RegistryError):
    """One endpoint did not do it; the client turns the last of these into what people see."""

    code = "registry-endpoint-failed"

    def __init__(
        self,
        endpoint: Endpoint,
        reason: str,
        *,
        status: int | None = None,
        limit: int = 1,
        retry_after_s: float | None = None,
        is_silent: bool = False,
        is_foreign: bool = False,
        hint: str | None = None,
    ) -> None:
        """``limit`` is how often to try in all, 1: never again.

        ``is_silent``: it does not talk to us; ``is_foreign``: another host answered, after a redirect.
        """
        super().__init__(f"{endpoint.url}: {printable(reason, 600)}", hint=hint)
        self.endpoint = endpoint
        self.reason = reason
        self.status = status
        self.limit = limit
        self.retry_after_s = retry_after_s
        self.is_silent = is_silent
        self.is_foreign = is_foreign
        self.made_progress = False


def again(error: EndpointFailed) -> EndpointFailed:
    """The same, worth another try at once: what was wrong is known."""
    again = EndpointFailed(
        error.endpoint, error.reason, status=error.status, limit=TRANSIENT_LIMIT, retry_after_s=0.0
    )
    again.hint = error.hint
    return again


def is_transient(status: int) -> bool:
    """Timeout, too many requests and every server error; never 401, 403 or 404."""
    return status in (408, 429) or status >= 500


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from either form of ``Retry-After``; None: it does not say."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    import time
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


class Retry:
    """Runs an operation until it works or has failed for good; holds no state between runs."""

    def __init__(
        self, *, sleep: Callable[[float], object] | None = None, jitter: Callable[[], float] = random.random
    ) -> None:
        """``sleep`` replaces the waiting, which otherwise ends early when the job is cancelled."""
        self._sleep = sleep
        self._jitter = jitter

    def run(self, operation: Callable[[], T], *, has_alternative: bool, cancel: Cancel | None) -> T:
        """Raises the last EndpointFailed. With an alternative at hand, one second try is enough."""
        failures = 0
        while True:
            if cancel is not None:
                cancel.check()
            try:
                return operation()
            except EndpointFailed as error:
                failures = 1 if error.made_progress else failures + 1
                limit = min(error.limit, 2) if has_alternative else error.limit
                wait_s = self._wait_s(failures, error.retry_after_s)
                if failures >= limit or wait_s > LONGEST_WAIT_S:
                    raise
            self._pause(wait_s, cancel)

    def _wait_s(self, failures: int, asked_s: float | None) -> float:
        if asked_s is not None:
            # Never all at the same moment, and never sooner than the server said.
            return asked_s + self._jitter() * min(1.0, asked_s / 10)
        return float(min(_FIRST_WAIT_S * 2 ** (failures - 1), 30.0) * (0.5 + self._jitter() / 2))

    def _pause(self, seconds: float, cancel: Cancel | None) -> None:
        if self._sleep is not None:
            self._sleep(seconds)
            return
        wake = threading.Event()
        forget = cancel.on_cancel(wake.set) if cancel is not None else None
        try:
            wake.wait(seconds)
        finally:
            if forget is not None:
                forget()
