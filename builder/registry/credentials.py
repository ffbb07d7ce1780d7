"""Logins from Docker's ``config.json`` and its credential helpers; read when a registry asks for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

from builder.registry.interface import InvalidRegistryConfig

# The name under which ``docker login`` files Docker Hub.
HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
# It becomes part of a program's name.
_HELPER = re.compile(r"[a-z0-9-]+")
_HELPER_TIMEOUT_S = 30.0
_NOT_FOUND = "credentials not found in native keychain"  # docker-credential-helpers, errors.go


class Credential(NamedTuple):
    """A login: name and password, or a ``refresh_token``, or a ready ``bearer`` token."""

    username: str = ""
    password: str = ""
    refresh_token: str = ""
    bearer: str = ""

    def __repr__(self) -> str:
        return "Credential(…)"


class CredentialStore:
    """Finds the login for a host. A helper that fails means "anonymous"; ``problems`` keeps why, by host."""

    def __init__(self, document: Mapping[str, object] | None = None) -> None:
        """``document`` is a decoded ``config.json``."""
        document = document or {}
        self._auths = _table(document, "auths")
        self._helpers = _table(document, "credHelpers")
        self._default_helper = document.get("credsStore") or ""
        self._found: dict[str, Credential | None] = {}
        self.problems: dict[str, str] = {}

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """From ``config.json``; no file, no logins. Raises InvalidRegistryConfig."""
        if path is None:
            return cls()
        import json

        try:
            document = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except (OSError, ValueError) as error:
            # Not the error's own text: json's may quote the file.
            why = (
                error.strerror.lower() if isinstance(error, OSError) and error.strerror else "not valid JSON"
            )
            raise InvalidRegistryConfig(f'the logins in "{path}" cannot be read: {why}') from error
        if not isinstance(document, dict):
            raise InvalidRegistryConfig(f'the logins in "{path}" cannot be read: not a JSON object')
        return cls(document)

    def lookup(self, host: str) -> Credential | None:
        """For ``host[:port]``; asks a helper once. Raises InvalidRegistryConfig for a bad helper name."""
        if host not in self._found:
            self._found[host] = self._lookup(host)
        return self._found[host]

    def _lookup(self, host: str) -> Credential | None:
        is_hub = host in _HUB_HOSTS
        names = [HUB_KEY, *sorted(_HUB_HOSTS)] if is_hub else [host]
        helper = next((self._helpers[n] for n in names if n in self._helpers), self._default_helper)
        if helper:
            found = self._ask_helper(str(helper), HUB_KEY if is_hub else host, host)
            if found is not None:
                return found
        entries = {_host_of(key): entry for key, entry in self._auths.items()}
        for name in names:
            entry = self._auths.get(name, entries.get(name))
            if isinstance(entry, dict):
                return _from_entry(entry, host)
        return None

    def _ask_helper(self, name: str, server: str, host: str) -> Credential | None:
        import json
        import subprocess

        if _HELPER.fullmatch(name) is None:
            raise InvalidRegistryConfig(
                f'"{name[:100]}" is not the name of a credential helper',
                hint="such a name has lowercase letters, digits and - only",
            )
        program = f"docker-credential-{name}"
        try:
            done = subprocess.run(
                [program, "get"],
                input=server.encode(),
                capture_output=True,
                timeout=_HELPER_TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            self.problems[host] = f'the credential helper "{program}" is not installed'
            return None
        except (OSError, subprocess.TimeoutExpired):
            self.problems[host] = f'the credential helper "{program}" did not run'
            return None
        if done.returncode != 0:
            if _NOT_FOUND.encode() not in done.stdout + done.stderr:
                self.problems[host] = f'the credential helper "{program}" failed'
            return None
        try:
            answer = json.loads(done.stdout)
            username, secret = str(answer["Username"]), str(answer["Secret"])
        except (ValueError, KeyError, TypeError):
            self.problems[host] = f'the credential helper "{program}" gave an unreadable answer'
            return None
        if username == "<token>":
            return Credential(refresh_token=secret)
        return Credential(username, secret) if username or secret else None


def _table(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = document.get(name) or {}
    if not isinstance(value, dict):
        raise InvalidRegistryConfig(f'"{name}" in Docker\'s config.json is not an object')
    return value


def _host_of(key: str) -> str:
    """``https://host/v1/`` → ``host``: older entries are filed under URLs."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


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
