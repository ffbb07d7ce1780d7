"""Credential helpers: programs that keep logins, by the protocol of docker-credential-helpers."""

from __future__ import annotations

import re
from typing import NamedTuple

from builder.registry.interface import CredentialHelperFailed, InvalidRegistryConfig

# It becomes part of a program's name.
_NAME = re.compile(r"[a-z0-9-]+")
_TIMEOUT_S = 30.0
_NOT_FOUND = "credentials not found in native keychain"  # docker-credential-helpers, errors.go


class HelperLogin(NamedTuple):
    """What a helper keeps; a name of ``<token>`` says that the secret is an identity token."""

    username: str
    secret: str

    def __repr__(self) -> str:
        return "HelperLogin(…)"


class CredentialHelper:
    """One program, ``docker-credential-NAME``; it runs when asked."""

    def __init__(self, name: str) -> None:
        """Raises InvalidRegistryConfig."""
        if _NAME.fullmatch(name) is None:
            raise InvalidRegistryConfig(
                f'"{name[:100]}" is not the name of a credential helper',
                hint="such a name has lowercase letters, digits and - only",
            )
        self.program = f"docker-credential-{name}"

    def get(self, server: str) -> HelperLogin | None:
        """None: it has no such login. Raises CredentialHelperFailed."""
        import json

        out = self._run("get", server.encode())
        if out is None:
            return None
        try:
            answer = json.loads(out)
            return HelperLogin(str(answer["Username"]), str(answer["Secret"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CredentialHelperFailed(self.program, "gave an unreadable answer") from error

    def store(self, server: str, login: HelperLogin) -> None:
        """Keep it in place of what there was. Raises CredentialHelperFailed."""
        import json

        document = {"ServerURL": server, "Username": login.username, "Secret": login.secret}
        self._run("store", json.dumps(document).encode())

    def erase(self, server: str) -> None:
        """Idempotent. Raises CredentialHelperFailed."""
        self._run("erase", server.encode())

    def _run(self, verb: str, given: bytes) -> bytes | None:
        """What it printed; None: no such login."""
        import subprocess

        try:
            done = subprocess.run(
                [self.program, verb], input=given, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            raise CredentialHelperFailed(self.program, "is not installed") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CredentialHelperFailed(self.program, "did not run") from error
        if done.returncode == 0:
            return done.stdout
        if _NOT_FOUND.encode() in done.stdout + done.stderr:
            return None
        # Its own words stay untold: some helpers repeat what they were given.
        raise CredentialHelperFailed(self.program, "failed")
