"""Files of the web, over the transport that registries are spoken to with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self, TypeVar
from urllib.parse import urlsplit

from builder.core.job import Cancel
from builder.core.patience import Patience
from builder.core.weburl import check_url, shown, without_login
from builder.registry.answer import Answer, failure, finish, read_chunks
from builder.registry.config import Endpoint
from builder.registry.interface import WebAnswer, WebDenied, WebFailed, WebNotFound, WebTooLarge
from builder.registry.retry import EndpointFailed, Retry
from builder.registry.transport import Request, Transport, transport_and_retry

T = TypeVar("T")


class HttpWebClient:
    """See WebClient."""

    def __init__(self, transport: Transport, retry: Retry) -> None:
        self._transport = transport
        self._retry = retry

    @classmethod
    def open(
        cls,
        *,
        proxies: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        ca_bundle: str = "",
    ) -> Self:
        """Opens no connection."""
        return cls(*transport_and_retry(proxies, patience, ca_bundle))

    def close(self) -> None:
        """Drop idle connections; the client may be used again."""
        self._transport.close()

    def head(self, url: str, headers: Mapping[str, str], *, cancel: Cancel | None = None) -> WebAnswer | None:
        """See WebClient."""

        def attempt(endpoint: Endpoint) -> WebAnswer | None:
            answer = self._ask(endpoint, "HEAD", url, headers)
            finish(answer.response)
            if answer.response.status in (200, 304):
                return WebAnswer(answer.response.status, answer.response.headers)
            return None  # the GET that follows finds out why

        return self._try(url, attempt, cancel)

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        begin: Callable[[], Callable[[bytes], object]],
        *,
        limit: int,
        progress: Callable[[int, int], object] | None = None,
        cancel: Cancel | None = None,
    ) -> WebAnswer:
        """See WebClient."""

        def attempt(endpoint: Endpoint) -> WebAnswer:
            answer = self._ask(endpoint, "GET", url, headers)
            response = answer.response
            if response.status == 304:
                finish(response)
                return WebAnswer(304, response.headers)
            if response.status != 200:
                raise failure(answer, endpoint)
            size = _announced_size(answer)
            if size > limit:
                response.close()
                raise _too_large(url, limit)
            sink, received = begin(), 0
            for chunk in read_chunks(answer, endpoint, cancel):
                received += len(chunk)
                if received > limit:
                    response.close()
                    raise _too_large(url, limit)
                sink(chunk)
                if progress is not None:
                    progress(received, size)
            return WebAnswer(200, response.headers)

        return self._try(url, attempt, cancel)

    def _ask(self, endpoint: Endpoint, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        bare, login = without_login(url)
        sent = {"Accept-Encoding": "identity", **headers}
        if login and "Authorization" not in sent:
            from base64 import b64encode

            sent["Authorization"] = "Basic " + b64encode(login.encode()).decode("ascii")
        address = bare.partition("#")[0]
        return self._transport.open(Request(endpoint, method, address, sent))

    def _try(self, url: str, attempt: Callable[[Endpoint], T], cancel: Cancel | None) -> T:
        check_url(url)
        parts = urlsplit(url)
        endpoint = Endpoint(parts.scheme.lower(), parts.netloc.rpartition("@")[2])
        try:
            return self._retry.run(lambda: attempt(endpoint), has_alternative=False, cancel=cancel)
        except EndpointFailed as error:
            raise _explained(url, error) from error


def _announced_size(answer: Answer) -> int:
    text = answer.response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _too_large(url: str, limit: int) -> WebTooLarge:
    return WebTooLarge(
        shown(url), f"it has more than {limit} bytes", hint="download it in a RUN, if it is really meant"
    )


def _explained(url: str, error: EndpointFailed) -> WebFailed:
    """The transport's error, said of the file and not of a registry."""
    reason = error.message.removeprefix(f"{error.endpoint.url}: ")
    match error.status:
        case 404 | 410:
            return WebNotFound(shown(url), reason, hint="look at the address in a browser")
        case 401 | 403 | 407:
            host = urlsplit(url).netloc.rpartition("@")[2]
            return WebDenied(
                shown(url),
                reason,
                hint=f"give a login with --secret id=HTTP_AUTH_TOKEN_{host} or id=HTTP_AUTH_HEADER_{host}",
            )
        case None if "TLS failed" in reason:
            return WebFailed(shown(url), reason, hint="the system's certificates decide whom to trust")
        case _:
            return WebFailed(
                shown(url), reason, hint="look at the address, at the network and at the proxy settings"
            )
