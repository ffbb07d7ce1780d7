"""Answers to ``401``: Basic, and the Bearer token flow of the distribution specification.

What leaves the machine, and to whom: a login goes only to the host it was stored for, or to the token server
which that host names, and then only if that server is reached over https (or is that very host, or is on
this machine as the registry is). Redirects lose it, see ``transport.py``.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from builder.core.job import Cancel
from builder.registry.answer import failure, read_capped
from builder.registry.config import Endpoint, is_loopback
from builder.registry.credentials import Credential, Credentials
from builder.registry.retry import EndpointFailed, Retry, is_transient
from builder.registry.transport import Request, Transport

_MAX_CHALLENGE = 8 << 10
_MAX_TOKEN_ANSWER = 256 << 10
# One word, one word with "=", or one with a value (RFC 9110 section 11.2).
_PARAMETER = re.compile(r"""[\s,]*([!#$%&'*+.^`|~\w-]+)(?:\s*(=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""")
_TOKEN = re.compile(r"[\x21-\x7e]+")
# The token specification: without expires_in a token lives for 60 seconds.
_DEFAULT_LIFETIME_S = 60.0
_CLIENT = "pybuild"
_MARGIN_S = 10.0


class Challenge(NamedTuple):
    """One scheme of ``WWW-Authenticate``, names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


class _Held(NamedTuple):
    header: str
    expires_at: float  # of the clock


class Authenticator:
    """Authorization headers, cached per endpoint and scope. Thread-safe; one token request at a time."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        retry: Retry,
        *,
        clock: Callable[[], float] = time.monotonic,
        is_login: bool = False,
    ) -> None:
        """``is_login``: asks token servers for a ``refresh_token`` to keep in place of the password."""
        self.refresh_token = ""  # that the last token server gave
        self._is_login = is_login
        self._transport = transport
        self._credentials = credentials
        self._retry = retry
        self._clock = clock
        self._held: dict[tuple[str, str, str], _Held] = {}
        self._lock = threading.Lock()

    def header(self, endpoint: Endpoint, scope: str) -> str | None:
        """What is known to work for ``scope`` at ``endpoint``; None: ask without, and see."""
        held = self._held.get((endpoint.scheme, endpoint.host, scope))
        return held.header if held is not None and held.expires_at > self._clock() else None

    def answer(
        self,
        endpoint: Endpoint,
        scope: str,
        challenges: Iterable[str],
        rejected: str | None,
        cancel: Cancel | None,
    ) -> str:
        """A new header after a 401, which ``rejected`` got if it was sent. Raises EndpointFailed."""
        key = (endpoint.scheme, endpoint.host, scope)
        with self._lock:
            known = self.header(endpoint, scope)
            if known is not None and known != rejected:
                return known
            held = self._acquire(endpoint, scope, list(parse_challenges(challenges)), cancel)
            if held.header == rejected:
                raise self._denied(endpoint, "the login was refused")
            self._held[key] = held
            return held.header

    def hint(self, endpoint: Endpoint) -> str:
        """What to do about a refusal."""
        problem = self._credentials.problems.get(endpoint.host)
        host = "" if endpoint.host == "registry-1.docker.io" else f" {endpoint.host}"
        advice = f"check the name; if the image is private, log in with: pybuild login{host}"
        return f"{problem}; {advice}" if problem else advice

    def _acquire(
        self, endpoint: Endpoint, scope: str, challenges: list[Challenge], cancel: Cancel | None
    ) -> _Held:
        credential = self._credentials.lookup(endpoint.host, _repository_of(scope))
        if credential is not None and credential.bearer:
            return _Held(f"Bearer {_checked(endpoint, credential.bearer)}", float("inf"))
        for challenge in challenges:
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                scopes = merged_scopes(challenge.parameters.get("scope", ""), scope)
                return self._fetch_token(endpoint, challenge.parameters, scopes, credential, cancel)
        for challenge in challenges:
            if challenge.scheme == "basic":
                if credential is None or credential.refresh_token:
                    raise self._denied(endpoint, "it wants a user name and password")
                return _Held(_basic(credential), float("inf"))
        raise self._denied(endpoint, "it asks for no kind of login that is known here")

    def _fetch_token(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, str],
        scopes: list[str],
        credential: Credential | None,
        cancel: Cancel | None,
    ) -> _Held:
        realm = check_realm(endpoint, parameters["realm"])
        service = parameters.get("service", "")
        server = _token_endpoint(endpoint, realm)
        if credential is not None and credential.refresh_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "service": service}
            form["scope"] = " ".join(scopes)
            body = urlencode({**form, "refresh_token": credential.refresh_token}).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            request = Request(server, "POST", realm, headers, body, may_redirect=False)
        else:
            separator = "&" if urlsplit(realm).query else "?"
            query = [("service", service)] if service else []
            query += [("scope", one) for one in scopes]
            if self._is_login and credential is not None:
                query += [("offline_token", "true"), ("client_id", _CLIENT), ("account", credential.username)]
            url = f"{realm}{separator}{urlencode(query)}" if query else realm
            headers = {} if credential is None else {"Authorization": _basic(credential)}
            request = Request(server, "GET", url, headers)
        asked_at = self._clock()
        try:
            body = self._retry.run(lambda: self._ask(request, cancel), has_alternative=False, cancel=cancel)
        except EndpointFailed as error:
            raise self._token_failed(endpoint, realm, error) from error
        held, self.refresh_token = _read_token(endpoint, body, asked_at)
        return held

    def _ask(self, request: Request, cancel: Cancel | None) -> bytes:
        answer = self._transport.open(request)
        if answer.response.status != 200:
            raise failure(answer, request.endpoint)
        return read_capped(answer, request.endpoint, _MAX_TOKEN_ANSWER, cancel)

    def _token_failed(self, endpoint: Endpoint, realm: str, error: EndpointFailed) -> EndpointFailed:
        reason = error.message.removeprefix(f"{error.endpoint.url}: ")
        told = f"no token from {urlsplit(realm).netloc}: {reason}"
        if error.status in (400, 401, 403):
            return EndpointFailed(endpoint, told, status=401, hint=self.hint(endpoint))
        # A 404 of the token server says nothing of the image.
        status = error.status if error.status is not None and is_transient(error.status) else None
        return EndpointFailed(endpoint, told, status=status, hint=error.hint)

    def _denied(self, endpoint: Endpoint, reason: str) -> EndpointFailed:
        return EndpointFailed(endpoint, reason, status=401, hint=self.hint(endpoint))


def parse_challenges(headers: Iterable[str]) -> Iterator[Challenge]:
    """Several challenges may share one header, separated by the same commas as their parameters."""
    for header in headers:
        scheme, parameters = "", dict[str, str]()
        for word, equals, quoted, plain in _PARAMETER.findall(header[:_MAX_CHALLENGE]):
            if equals:
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
                parameters.setdefault(word.lower(), value)
                continue
            if scheme:
                yield Challenge(scheme, parameters)
            scheme, parameters = word.lower(), {}
        if scheme:
            yield Challenge(scheme, parameters)


def merged_scopes(asked: str, wanted: str) -> list[str]:
    """What a challenge asks for, and what is wanted besides: the one token is for all that follows.

    A mirror may call the repository otherwise, so who only reads asks for what he is told.
    """
    if asked and wanted.endswith(":pull") and " " not in wanted:
        return asked.split()
    found: dict[str, list[str]] = {}
    for scope in f"{asked} {wanted}".split():
        resource, _, actions = scope.rpartition(":")
        known = found.setdefault(resource, [])
        known += [action for action in actions.split(",") if action not in known]
    return [f"{resource}:{','.join(actions)}" for resource, actions in found.items()]


def _repository_of(scope: str) -> str:
    return scope.partition(" ")[0].removeprefix("repository:").rpartition(":")[0]


def check_realm(endpoint: Endpoint, realm: str) -> str:
    """The address of the token server, if a login may be sent there. Raises EndpointFailed."""
    try:
        parts = urlsplit(realm)
        _ = parts.port
    except ValueError as error:
        raise EndpointFailed(endpoint, "its token server has an address that is none") from error
    host = parts.netloc.lower()
    is_plain_for_both = endpoint.scheme == "http" and parts.scheme == "http"
    is_near = host == endpoint.host.lower() or (is_loopback(host) and is_loopback(endpoint.host))
    is_clean = bool(parts.hostname) and "@" not in host and not parts.fragment and realm.isprintable()
    if is_clean and (parts.scheme == "https" or (is_plain_for_both and is_near)):
        return realm
    raise EndpointFailed(
        endpoint,
        f'it sends logins to "{parts.scheme[:20]}://{host.rpartition("@")[2][:100]}", which is not safe',
        hint="a token server must use https; tell the operator of the registry",
    )


def _token_endpoint(endpoint: Endpoint, realm: str) -> Endpoint:
    """The registry's certificate rules apply to its token server only on the same host."""
    parts = urlsplit(realm)
    if parts.netloc.lower() == endpoint.host.lower():
        return endpoint._replace(scheme=parts.scheme)
    return Endpoint(parts.scheme, parts.netloc)


def _read_token(endpoint: Endpoint, body: bytes, asked_at: float) -> tuple[_Held, str]:
    import json

    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
        lifetime_s = float(document.get("expires_in") or _DEFAULT_LIFETIME_S)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise EndpointFailed(endpoint, "its token server gave an unreadable answer") from error
    if not isinstance(token, str) or not token:
        raise EndpointFailed(endpoint, "its token server gave no token")
    margin_s = min(_MARGIN_S, lifetime_s / 2)
    held = _Held(f"Bearer {_checked(endpoint, token)}", asked_at + lifetime_s - margin_s)
    refresh_token = document.get("refresh_token")
    return held, refresh_token if isinstance(refresh_token, str) else ""


def _checked(endpoint: Endpoint, token: str) -> str:
    if _TOKEN.fullmatch(token) is None:
        raise EndpointFailed(endpoint, "the token has characters that no header may have")
    return token


def _basic(credential: Credential) -> str:
    import base64

    login = f"{credential.username}:{credential.password}".encode()
    return "Basic " + base64.b64encode(login).decode()
