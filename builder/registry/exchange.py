"""Requests in the name of a reference: to the endpoints that may answer, with a login if one is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from builder.core.job import Cancel
from builder.core.patience import Patience
from builder.core.reference import InvalidReference, Reference
from builder.registry.answer import Answer, failure, finish
from builder.registry.auth import Authenticator
from builder.registry.config import Endpoint, RegistryConfig
from builder.registry.credentials import CredentialStore
from builder.registry.interface import RegistryError
from builder.registry.retry import EndpointFailed, Retry
from builder.registry.transport import Body, Request, Transport, is_at, transport_and_retry

_NO_HEADERS: Mapping[str, str] = {}

T = TypeVar("T")


class Call(NamedTuple):
    """One request to an endpoint, before it is known which login it needs."""

    method: str
    url: str
    scope: str  # of the token, if it takes one: "repository:NAME:ACTIONS", several with blanks between
    accepted: frozenset[int]
    headers: Mapping[str, str] = _NO_HEADERS
    body: Body = None
    is_verified: bool = False
    is_stored: bool = False  # what is sent must be kept before there is an answer


class Exchange:
    """Thread-safe. Remembers which endpoints do not talk to us."""

    def __init__(
        self, config: RegistryConfig, transport: Transport, authenticator: Authenticator, retry: Retry
    ) -> None:
        self._config = config
        self._transport = transport
        self._authenticator = authenticator
        self._retry = retry
        # Endpoints that gave no answer once are passed over afterwards: each blob would wait for them again.
        self._silent: dict[Endpoint, EndpointFailed] = {}
        self._answered: set[Endpoint] = set()

    @classmethod
    def open(
        cls,
        *,
        config: RegistryConfig | None = None,
        docker_config: Path | None = None,
        more_logins: tuple[Path, ...] = (),
        proxies: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        ca_bundle: str = "",
    ) -> Self:
        """``docker_config`` is the path of a ``config.json``; ``proxies`` as the environment names them.

        ``more_logins`` are files of the same form, asked for what it lacks. Opens no connection.
        Raises InvalidRegistryConfig.
        """
        transport, retry = transport_and_retry(proxies, patience, ca_bundle)
        credentials = CredentialStore.load(docker_config, *more_logins)
        return cls(config or RegistryConfig(), transport, Authenticator(transport, credentials, retry), retry)

    def close(self) -> None:
        """Drop idle connections; it may be used again."""
        self._transport.close()

    def anywhere(
        self,
        domain: str,
        attempt: Callable[[Endpoint], T],
        explain: Callable[[list[EndpointFailed]], RegistryError],
        *,
        uses_mirrors: bool,
        cancel: Cancel | None,
    ) -> T:
        """The first answer that is one; whatever a mirror lacks or fails at, the next may have."""
        failures: list[EndpointFailed] = []
        endpoints = [
            e
            for e in self._config.endpoints(domain)
            if (uses_mirrors or not e.is_mirror) and not self._speaks_tls(e)
        ]
        for endpoint in endpoints:
            is_last = endpoint is endpoints[-1]
            if self._speaks_tls(endpoint):
                continue
            if endpoint in self._silent and not is_last:
                failures.append(self._silent[endpoint])
                continue
            try:
                return self._retry.run(partial(attempt, endpoint), has_alternative=not is_last, cancel=cancel)
            except EndpointFailed as error:
                failures.append(error)
                if error.is_silent:
                    self._silent[endpoint] = error
                if error.status is not None and not endpoint.is_mirror:
                    break
        raise explain(failures) from failures[-1]

    def _speaks_tls(self, endpoint: Endpoint) -> bool:
        """Whether a server that may be asked in the clear has answered otherwise.

        Whoever can break a connection must not get the login in the clear.
        """
        return endpoint.scheme == "http" and any(
            (other.scheme, other.host, other.prefix, other.is_mirror)
            == ("https", endpoint.host, endpoint.prefix, endpoint.is_mirror)
            for other in list(self._answered)
        )

    def send(self, endpoint: Endpoint, call: Call, cancel: Cancel | None) -> Answer:
        """One request, with a login if it turns out to need one, and if it goes to the endpoint itself.

        Raises EndpointFailed for a status that is not accepted.
        """
        # A registry may have its uploads sent elsewhere: the login is not for that place.
        is_own = is_at(call.url, endpoint)
        authorization = self._authenticator.header(endpoint, call.scope) if is_own else None
        is_second = False
        while True:
            login = {} if authorization is None else {"Authorization": authorization}
            sent = {"Accept-Encoding": "identity", **call.headers, **login}
            request = Request(
                endpoint,
                call.method,
                call.url,
                sent,
                call.body,
                is_verified=call.is_verified,
                is_stored=call.is_stored,
            )
            answer = self._transport.open(request)
            self._answered.add(endpoint)
            status = answer.response.status
            if status in call.accepted:
                return answer
            if status != 401 or answer.is_foreign or is_second:
                raise self._refusal(answer, endpoint)
            challenges = answer.response.headers.getlist("WWW-Authenticate")
            finish(answer.response)
            authorization = self._authenticator.answer(
                endpoint, call.scope, challenges, authorization, cancel
            )
            is_second = True

    def _refusal(self, answer: Answer, endpoint: Endpoint) -> EndpointFailed:
        error = failure(answer, endpoint)
        if error.status in (401, 403):
            error.hint = self._authenticator.hint(endpoint)
        if error.status == 429:
            error.hint = "the registry limits how often one may ask: wait, log in, or configure a mirror"
        return error


def check_reference(reference: Reference) -> None:
    """A reference that nobody parsed must not become a URL. Raises InvalidReference."""
    if Reference.parse(str(reference)) != reference:
        raise InvalidReference(str(reference), "it is not in its full form")


def repository_url(endpoint: Endpoint, reference: Reference, path: str) -> str:
    """Of something in a repository."""
    return f"{endpoint.scheme}://{endpoint.host}/v2{endpoint.prefix}/{reference.path}/{path}"


def scope_of(endpoint: Endpoint, path: str, actions: str) -> str:
    """What a token must allow, in the words of the token specification."""
    return f"repository:{f'{endpoint.prefix}/{path}'[1:]}:{actions}"
