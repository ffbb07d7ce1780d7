"""Answers of registries: their bodies, their error messages, and what a broken connection means."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from builder.core.job import Cancel
from builder.core.patience import SLOWEST, Patience
from builder.registry.config import Endpoint
from builder.registry.retry import TRANSIENT_LIMIT, EndpointFailed, is_transient, retry_after_s
from builder.registry.words import printable, registry_words, without

if TYPE_CHECKING:
    import urllib3

# The error bodies of registries are far smaller.
MAX_ERROR_BODY = 16 << 10
CHUNK = 256 << 10  # at most so much at a time, and whatever is there
# Tries in all, after no answer at all.
NO_ANSWER_LIMIT = 2


class Answer(NamedTuple):
    """A response whose body was not read yet; ``is_foreign``: another host gave it than the endpoint's."""

    response: urllib3.BaseHTTPResponse
    host: str
    is_foreign: bool
    patience: Patience
    url: str = ""  # after redirects
    secrets: tuple[str, ...] = ()  # that were sent for it


def read_chunks(
    answer: Answer, endpoint: Endpoint, cancel: Cancel | None, *, within_s: float = math.inf
) -> Generator[bytes]:
    """The body in pieces, as they come. Cancelling ends a read that waits.

    Raises EndpointFailed when it breaks, when it trickles, and when it takes longer than ``within_s``.
    """
    import urllib3

    response = answer.response
    pace = _Pace(answer.patience, endpoint, within_s)
    forget = cancel.on_cancel(lambda: _shut(response)) if cancel is not None else None
    is_complete = False
    try:
        while True:
            chunk = pace.timed(lambda: response.read1(CHUNK, decode_content=False))
            if cancel is not None:
                cancel.check()
            if not chunk:
                break
            yield chunk
        is_complete = True
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if cancel is not None:
            cancel.check()
        raise translate(endpoint, error, host=answer.host) from error
    except ValueError:
        # What ssl says when the socket was shut under a reading thread.
        if cancel is not None:
            cancel.check()
        raise
    finally:
        if forget is not None:
            forget()
        if is_complete:
            response.release_conn()
        else:
            response.close()


def read_capped(answer: Answer, endpoint: Endpoint, limit: int, cancel: Cancel | None = None) -> bytes:
    """The whole body. Raises EndpointFailed when it is longer than ``limit`` bytes."""
    parts: list[bytes] = []
    size = 0
    for chunk in read_chunks(answer, endpoint, cancel, within_s=answer.patience.document_s):
        size += len(chunk)
        if size > limit:
            answer.response.close()
            raise EndpointFailed(endpoint, f"the answer is longer than {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)


def finish(response: urllib3.BaseHTTPResponse) -> None:
    """Be done with a body that nobody wants: a short one is read, to keep the connection."""
    import urllib3

    length = response.headers.get("Content-Length", "")
    try:
        is_short = length.isascii() and length.isdigit() and len(length) < 6
        # Once: what does not come with the head is not waited for.
        if is_short and len(response.read1(MAX_ERROR_BODY, decode_content=False)) == int(length):
            response.release_conn()
            return
    except (urllib3.exceptions.HTTPError, OSError):
        pass
    response.close()


def failure(answer: Answer, endpoint: Endpoint) -> EndpointFailed:
    """The error for a status that was not hoped for, with the registry's own words."""
    response = answer.response
    body = b"" if response.status == 401 and answer.is_foreign else _error_body(answer, endpoint)
    response.close()
    words = registry_words(body, response.headers.get("Content-Type", ""), secrets=answer.secrets)
    phrase = without(response.reason or "", answer.secrets)
    reason = f"{response.status} {phrase}".strip() + (f" ({words})" if words else "")
    if answer.is_foreign:
        reason = f"{answer.host} answered {reason}"
    return EndpointFailed(
        endpoint,
        reason,
        status=response.status,
        limit=TRANSIENT_LIMIT if is_transient(response.status) else 1,
        retry_after_s=retry_after_s(response.headers),
        is_foreign=answer.is_foreign,
    )


def _error_body(answer: Answer, endpoint: Endpoint) -> bytes:
    """What there is of it."""
    body = bytearray()
    with (
        contextlib.suppress(EndpointFailed),
        contextlib.closing(
            read_chunks(answer, endpoint, None, within_s=answer.patience.document_s)
        ) as chunks,
    ):
        for chunk in chunks:
            body += chunk
            if len(body) >= MAX_ERROR_BODY:
                break
    return bytes(body[:MAX_ERROR_BODY])


class _Pace:
    """Counts what a server sends against the time that it is waited for, without the time that we take."""

    def __init__(self, patience: Patience, endpoint: Endpoint, within_s: float) -> None:
        self._patience = patience
        self._endpoint = endpoint
        self._within_s = within_s
        self._total_s = 0.0
        self._window_s = 0.0
        self._window_size = 0

    def timed(self, read: Callable[[], bytes]) -> bytes:
        """What ``read`` gives. Raises EndpointFailed."""
        before = self._patience.clock()
        data = read()
        took_s = self._patience.clock() - before
        self._total_s += took_s
        self._window_s += took_s
        self._window_size += len(data)
        if data and self._total_s > self._within_s:
            raise self._failed(f"the answer is not complete after {self._within_s:g} seconds")
        if self._window_s > self._patience.silence_s:
            if data and self._window_size < SLOWEST:
                raise self._failed(f"it sent {self._window_size} bytes in {self._window_s:.0f} seconds")
            self._window_s, self._window_size = 0.0, 0
        return data

    def _failed(self, reason: str) -> EndpointFailed:
        return EndpointFailed(self._endpoint, reason, limit=TRANSIENT_LIMIT)


def translate(endpoint: Endpoint, error: Exception, *, host: str) -> EndpointFailed:
    """urllib3's errors in our words, and whether it may help to try again."""
    from urllib3 import exceptions

    cause: BaseException = error
    while isinstance(cause, exceptions.ProxyError) or not str(cause):
        inner = cause.__cause__ or cause.__context__
        if inner is None:
            break
        cause = inner
    at = "" if host == endpoint.host else f"{host}: "
    silent = partial(EndpointFailed, endpoint, limit=NO_ANSWER_LIMIT, is_silent=True)
    match error:
        case exceptions.NameResolutionError():
            return silent(f"{at}the host name cannot be resolved")
        case exceptions.NewConnectionError():  # a ConnectTimeoutError, by inheritance
            return silent(f"{at}{_os_reason(cause)}")
        case exceptions.ConnectTimeoutError():
            return silent(f"{at}no connection in time")
        case exceptions.ReadTimeoutError():
            return EndpointFailed(endpoint, f"{at}silent for too long", limit=TRANSIENT_LIMIT)
        case exceptions.SSLError():
            hint = "a registry without TLS must be listed with insecure = true, one with its own CA with ca"
            reason = f"{at}TLS failed: {printable(str(cause))}"
            return EndpointFailed(endpoint, reason, is_silent=True, hint=hint)
        case exceptions.ProxyError():
            return silent(f"{at}the proxy does not connect: {_os_reason(cause)}")
        case exceptions.ProtocolError() | OSError():
            return EndpointFailed(endpoint, f"{at}{_os_reason(cause)}", limit=TRANSIENT_LIMIT)
        case _:
            return EndpointFailed(endpoint, f"{at}{printable(str(cause)) or type(cause).__name__}")


def _os_reason(error: BaseException) -> str:
    """The operating system's word, out of an exception that wraps another one that holds an errno."""
    found: BaseException | None = error
    while found is not None:
        for candidate in (found, *found.args):
            if isinstance(candidate, OSError) and candidate.strerror:
                return candidate.strerror.lower()
        found = found.__cause__ or found.__context__
    return "the connection broke"


def _shut(response: urllib3.BaseHTTPResponse) -> None:
    """Wake a thread that waits for bytes; only sockets that are still open mind."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        response.shutdown()
