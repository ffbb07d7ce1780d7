"""Answers of registries: their bodies, their error messages, and what a broken connection means."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from builder.core.job import Cancel
from builder.registry.config import Endpoint
from builder.registry.retry import EndpointFailed, is_transient, retry_after_s
from builder.registry.words import printable, registry_words

if TYPE_CHECKING:
    import urllib3

CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 60.0  # without a single byte
# The error bodies of registries are far smaller.
MAX_ERROR_BODY = 16 << 10
CHUNK = 1 << 20  # urllib3's stream() is fastest with large pieces
# Tries in all: after a transient status or a broken connection; after no answer at all.
TRANSIENT_LIMIT = 5
NO_ANSWER_LIMIT = 2


class Answer(NamedTuple):
    """A response whose body was not read yet; ``is_foreign``: another host gave it than the endpoint's."""

    response: urllib3.BaseHTTPResponse
    host: str
    is_foreign: bool
    url: str = ""  # after redirects


def read_chunks(answer: Answer, endpoint: Endpoint, cancel: Cancel | None) -> Generator[bytes]:
    """The body in pieces. Cancelling ends a read that waits. Raises EndpointFailed when it breaks."""
    import urllib3

    response = answer.response
    forget = cancel.on_cancel(lambda: _shut(response)) if cancel is not None else None
    is_complete = False
    try:
        for chunk in response.stream(CHUNK, decode_content=False):
            if cancel is not None:
                cancel.check()
            yield chunk
        if cancel is not None:
            cancel.check()
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
    for chunk in read_chunks(answer, endpoint, cancel):
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
        if length.isascii() and length.isdigit() and len(length) < 6 and int(length) <= MAX_ERROR_BODY:
            response.read(MAX_ERROR_BODY + 1)
            response.release_conn()
            return
    except (urllib3.exceptions.HTTPError, OSError):
        pass
    response.close()


def failure(answer: Answer, endpoint: Endpoint) -> EndpointFailed:
    """The error for a status that was not hoped for, with the registry's own words."""
    import urllib3

    response = answer.response
    try:
        body = b"" if response.status == 401 and answer.is_foreign else response.read(MAX_ERROR_BODY)
    except (urllib3.exceptions.HTTPError, OSError):
        body = b""
    response.close()
    words = registry_words(body)
    reason = f"{response.status} {response.reason or ''}".strip() + (f" ({words})" if words else "")
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
            return silent(f"{at}no connection within {CONNECT_TIMEOUT_S:.0f} seconds")
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
    import contextlib

    with contextlib.suppress(OSError, RuntimeError, ValueError):
        response.shutdown()
