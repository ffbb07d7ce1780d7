"""Logins of Docker's ``config.json``, podman's ``auth.json`` and credential helpers; read when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from builder.registry.helper import CredentialHelper, HelperLogin
from builder.registry.interface import CredentialHelperFailed, InvalidRegistryConfig

# The name under which ``docker login`` files Docker Hub.
HUB_KEY = "https://index.docker.io/v1/"
HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
# What a helper calls the user whose secret is an identity token.
TOKEN_USER = "<token>"  # noqa: S105 (a name)


class Credential(NamedTuple):
    """A login: name and password, or a ``refresh_token``, or a ready ``bearer`` token."""

    username: str = ""
    password: str = ""
    refresh_token: str = ""
    bearer: str = ""

    def __repr__(self) -> str:
        return "Credential(…)"


class Credentials(Protocol):
    """Where logins come from."""

    problems: dict[str, str]  # by host: why a login could not be read

    def lookup(self, host: str, repository: str = "") -> Credential | None:
        """For ``host[:port]``, and for what it has under ``repository``."""


class CredentialStore:
    """Finds the login for a host. A helper that fails means "anonymous"; ``problems`` keeps why, by host."""

    def __init__(self, *documents: Mapping[str, object]) -> None:
        """Decoded files, the one that decides first."""
        self._documents = [_Document(document) for document in documents]
        self._found: dict[tuple[str, str], Credential | None] = {}
        self.problems: dict[str, str] = {}

    @classmethod
    def load(cls, *paths: Path | None) -> Self:
        """From ``config.json`` and the like; no file, no logins. Raises InvalidRegistryConfig."""
        return cls(*(read_logins(path) for path in paths if path is not None))

    def lookup(self, host: str, repository: str = "") -> Credential | None:
        """See Credentials; asks a helper once. Raises InvalidRegistryConfig for a bad helper name."""
        key = host, repository
        if key not in self._found:
            found = (self._lookup(document, host, repository) for document in self._documents)
            self._found[key] = next((credential for credential in found if credential is not None), None)
        return self._found[key]

    def _lookup(self, document: _Document, host: str, repository: str) -> Credential | None:
        name = document.helper(host)
        if name:
            try:
                login = CredentialHelper(name).get(server_key(host))
            except CredentialHelperFailed as error:
                self.problems[host] = error.message
                login = None
            if login is not None and login != HelperLogin("", ""):
                if login.username == TOKEN_USER:
                    return Credential(refresh_token=login.secret)
                return Credential(login.username, login.secret)
        entry = document.entry(host, repository)
        return None if entry is None else _from_entry(entry, host)


class _Document:
    """One file of logins."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._auths = table_of(document, "auths")
        self._helpers = table_of(document, "credHelpers")
        self._default_helper = document.get("credsStore") or ""

    def helper(self, host: str) -> str:
        """The name of the helper for a host; "" if there is none."""
        named = (self._helpers[name] for name in names_of(host) if name in self._helpers)
        return str(next(named, self._default_helper))

    def entry(self, host: str, repository: str) -> Mapping[str, object] | None:
        entries = {_place_of(key): entry for key, entry in self._auths.items()}
        for name in names_of(host):
            # podman files logins under parts of a registry too: the longest part that fits.
            parts = repository.split("/") if repository else []
            places = ["/".join([name, *parts[:count]]) for count in range(len(parts), -1, -1)]
            for entry in (self._auths.get(name) if name == HUB_KEY else None, *map(entries.get, places)):
                if isinstance(entry, dict):
                    return entry
        return None


def read_logins(path: Path) -> Mapping[str, object]:
    """A file of logins, decoded; no file, no logins. Raises InvalidRegistryConfig."""
    import json

    try:
        data = path.read_bytes()
        document = json.loads(data) if data.strip() else {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        # Not the error's own text: json's may quote the file.
        why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "not valid JSON"
        raise InvalidRegistryConfig(f'the logins in "{path}" cannot be read: {why}') from error
    if not isinstance(document, dict):
        raise InvalidRegistryConfig(f'the logins in "{path}" cannot be read: not a JSON object')
    return document


def table_of(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A member that is an object, or nothing. Raises InvalidRegistryConfig."""
    value = document.get(name) or {}
    if not isinstance(value, dict):
        raise InvalidRegistryConfig(f'"{name}" in Docker\'s config.json is not an object')
    return value


def names_of(host: str) -> list[str]:
    """The names under which a host's login may be filed, the usual one first."""
    return [HUB_KEY, *sorted(HUB_HOSTS)] if host in HUB_HOSTS else [host]


def server_key(host: str) -> str:
    """The name under which a login is filed."""
    return names_of(host)[0]


def _place_of(key: str) -> str:
    """``https://host/v1/`` → ``host``: older entries are filed under URLs; ``host/name`` stays."""
    bare = key.partition("://")[2] if "://" in key else key
    host, _, path = bare.rstrip("/").partition("/")
    return host if path in ("", "v1", "v2") or "://" in key else f"{host}/{path}"


def _from_entry(entry: Mapping[str, object], host: str) -> Credential | None:
    import base64
    import binascii

    token, bearer = entry.get("identitytoken"), entry.get("registrytoken")
    if isinstance(bearer, str) and bearer:
        return Credential(bearer=bearer)
    if isinstance(token, str) and token:
        return Credential(refresh_token=token)
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            login = base64.b64decode(auth, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidRegistryConfig(f'the login for "{host}" is not valid base64') from error
        username, _, password = login.partition(":")
        password = password.strip("\0")
    return Credential(username, password) if username or password else None
