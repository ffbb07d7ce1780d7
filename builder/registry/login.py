"""Logging in and out: a login is tried at the registry, then kept where Docker would keep it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from builder.core.job import Cancel
from builder.core.patience import Patience
from builder.core.reference import DEFAULT_DOMAIN, InvalidReference, Reference
from builder.registry.answer import finish
from builder.registry.auth import Authenticator
from builder.registry.config import Endpoint, RegistryConfig
from builder.registry.credentials import (
    HUB_HOSTS,
    TOKEN_USER,
    Credential,
    names_of,
    read_logins,
    server_key,
    table_of,
)
from builder.registry.exchange import Call, Exchange
from builder.registry.helper import CredentialHelper, HelperLogin
from builder.registry.interface import (
    InvalidRegistryConfig,
    LoginRefused,
    RegistryError,
    RegistryUnavailable,
)
from builder.registry.retry import EndpointFailed
from builder.registry.transport import transport_and_retry

_HUB_SERVER = "registry-1.docker.io"


def server_name(text: str) -> str:
    """``host[:port]`` of what a person wrote, "" for Docker Hub. Raises InvalidReference."""
    bare = text.partition("://")[2] if "://" in text else text
    host = bare.partition("/")[0]
    if not bare or host in HUB_HOSTS:
        return _HUB_SERVER
    try:
        # A name without a dot is a registry here: there is no image that could be meant.
        candidate = host if any(c in host for c in ".:") or host == "localhost" else f"{host}:443"
        if Reference.parse(f"{candidate}/x").domain == candidate:
            return host
    except InvalidReference:
        pass
    raise InvalidReference(host, "it is not the name of a registry", hint="write host or host:port")


def verify_login(
    config: RegistryConfig,
    host: str,
    credential: Credential,
    *,
    proxies: Mapping[str, str],
    cancel: Cancel | None = None,
    patience: Patience | None = None,
    ca_bundle: str = "",
) -> Credential:
    """What to keep: the same, or an identity token that the registry gave for it.

    Raises LoginRefused, RegistryUnavailable.
    """
    transport, retry = transport_and_retry(proxies, patience, ca_bundle)
    authenticator = Authenticator(transport, _One(host, credential), retry, is_login=True)
    exchange = Exchange(config, transport, authenticator, retry)

    def attempt(endpoint: Endpoint) -> None:
        url = f"{endpoint.scheme}://{endpoint.host}/v2/"
        call = Call("GET", url, "", frozenset({200}))
        finish(exchange.send(endpoint, call, cancel).response)

    domain = DEFAULT_DOMAIN if host in HUB_HOSTS else host
    try:
        exchange.anywhere(domain, attempt, partial(_summary, host), uses_mirrors=False, cancel=cancel)
    finally:
        exchange.close()
    return (
        Credential(credential.username, refresh_token=authenticator.refresh_token)
        if (authenticator.refresh_token)
        else credential
    )


class LoginFile:
    """Docker's ``config.json``, as a place to keep logins; what else it holds stays as it is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, host: str, credential: Credential) -> bool:
        """Whether a helper took it, else it is in the file. Raises CredentialHelperFailed."""
        document = dict(read_logins(self._path))
        auths = dict(table_of(document, "auths"))
        helper = self._helper(document, host)
        if helper is not None:
            secret = credential.refresh_token or credential.password
            name = TOKEN_USER if credential.refresh_token else credential.username
            helper.store(server_key(host), HelperLogin(name, secret))
            auths[server_key(host)] = {}
        else:
            login = f"{credential.username}:{credential.password}".encode()
            entry = {"auth": base64.b64encode(login).decode()}
            if credential.refresh_token:
                entry["identitytoken"] = credential.refresh_token
            auths[server_key(host)] = entry
        self._write({**document, "auths": auths})
        return helper is not None

    def forget(self, host: str) -> bool:
        """Whether there was a login in the file. Raises CredentialHelperFailed."""
        document = dict(read_logins(self._path))
        auths = dict(table_of(document, "auths"))
        helper = self._helper(document, host)
        if helper is not None:
            helper.erase(server_key(host))
        names = [name for name in (*names_of(host), f"https://{host}", f"http://{host}") if name in auths]
        for name in names:
            del auths[name]
        if names:
            self._write({**document, "auths": auths})
        return bool(names)

    def _helper(self, document: Mapping[str, object], host: str) -> CredentialHelper | None:
        helpers = table_of(document, "credHelpers")
        named = (helpers[name] for name in names_of(host) if name in helpers)
        name = next(named, document.get("credsStore") or "")
        return CredentialHelper(str(name)) if name else None

    def _write(self, document: Mapping[str, object]) -> None:
        """All of it or nothing, for its owner's eyes only; a link stays a link."""
        path = Path(os.path.realpath(self._path))
        data = json.dumps(document, indent="\t").encode()
        # Not by the number of the process: in a container that is the same each time.
        partial_path = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(partial_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(partial_path, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(partial_path)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise InvalidRegistryConfig(f'the login cannot be kept in "{path}": {why}') from error


class _One:
    """The login that is tried, for its host alone."""

    def __init__(self, host: str, credential: Credential) -> None:
        self._host = host
        self._credential = credential
        self.problems: dict[str, str] = {}

    def lookup(self, host: str, repository: str = "") -> Credential | None:
        """See Credentials."""
        return self._credential if host == self._host else None


def _summary(host: str, failures: list[EndpointFailed]) -> RegistryError:
    answered = [failure for failure in failures if failure.status is not None]
    decisive = answered[-1] if answered else failures[-1]
    tried = "; ".join(failure.message for failure in failures)
    if decisive.status in (401, 403):
        return LoginRefused(
            f'the login at "{host}" is refused: {tried}', hint="check the name and the password, or the token"
        )
    return RegistryUnavailable(f'cannot log in at "{host}": {tried}', hint=decisive.hint)
