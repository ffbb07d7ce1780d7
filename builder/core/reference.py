"""Image references: ``[host[:port]/]path[:tag][@digest]``, normalised as Docker does.

The grammar is that of github.com/distribution/reference, by which ``busybox`` is short for
``docker.io/library/busybox``. A parsed reference is safe in URLs and paths: no part of it holds ``..``,
an empty component, white space or ``%``.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Self

from builder.core.digest import Digest, InvalidDigest
from builder.core.errors import Kind, PybuildError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_MAX_PATH = 255  # RepositoryNameTotalLengthMax

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_BARE_ID = re.compile(r"[a-f0-9]{64}")


class InvalidReference(PybuildError):
    """Text that should name an image does not."""

    kind = Kind.INVALID
    code = "invalid-reference"

    def __init__(self, text: str, why: str, *, hint: str | None = None) -> None:
        super().__init__(
            f'"{text[:300]}" is not an image reference: {why}',
            hint=hint or "write it as name, name:tag, host:port/path/name:tag or name@sha256:<64 hex digits>",
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """``tag`` and ``digest`` may both be there; the digest then decides what is meant."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Short and full forms alike. Adds no tag. Raises InvalidReference."""
        if _BARE_ID.fullmatch(text):
            raise InvalidReference(
                text, "64 hex digits are an image ID", hint=f"to name content, write name@sha256:{text}"
            )
        name, tag, digest = _split(text)
        domain, path = _split_domain(name)
        _check_name(text, domain, path)
        return cls(domain, path, tag, digest)

    @property
    def repository(self) -> str:
        """``domain/path``, without tag and digest."""
        return f"{self.domain}/{self.path}"

    def with_default_tag(self) -> Self:
        """``:latest`` when there is neither tag nor digest."""
        if self.tag is None and self.digest is None:
            return dataclasses.replace(self, tag=DEFAULT_TAG)
        return self

    def with_tag(self, tag: str | None) -> Self:
        """The same repository and digest under another tag, or none. Raises InvalidReference."""
        if tag is not None:
            _check_tag(f"{self.repository}:{tag}", tag)
        return dataclasses.replace(self, tag=tag)

    def with_digest(self, digest: Digest | None) -> Self:
        """Pinned to ``digest``; the tag stays, for people to read."""
        return dataclasses.replace(self, digest=digest)

    def familiar(self) -> str:
        """The short form that Docker prints: ``busybox:1.36`` for ``docker.io/library/busybox:1.36``.

        Where the short form would be read as something else (``docker.io/localhost/x``) it stays long.
        """
        if self.domain != DEFAULT_DOMAIN:
            return str(self)
        rest = self.path.removeprefix(_OFFICIAL)
        short = self.path if "/" in rest else rest
        text = short + self._suffix()
        if _BARE_ID.fullmatch(text) or _split_domain(short) != (self.domain, self.path):
            return str(self)
        return text

    def _suffix(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return tag if self.digest is None else f"{tag}@{self.digest}"

    def __str__(self) -> str:
        return self.repository + self._suffix()


def _split(text: str) -> tuple[str, str | None, Digest | None]:
    """Name, tag and digest as written; only the last component can hold the tag's colon."""
    if "://" in text:
        raise InvalidReference(text, "it starts with a scheme", hint="leave out http:// or https://")
    rest, at, digest_text = text.partition("@")
    digest = None
    if at:
        try:
            digest = Digest.parse(digest_text)
        except InvalidDigest as error:
            raise InvalidReference(text, error.message, hint=error.hint) from error
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    if colon < 0:
        return rest, None, digest
    tag = rest[colon + 1 :]
    _check_tag(text, tag)
    return rest[:colon], tag, digest


def _split_domain(name: str) -> tuple[str, str]:
    """``splitDockerDomain``: the first component is a host if it could not be a Docker Hub name."""
    first, slash, rest = name.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, _OFFICIAL + name
    is_host = first == "localhost" or "." in first or ":" in first or first.lower() != first
    if not is_host:
        return DEFAULT_DOMAIN, name
    domain = DEFAULT_DOMAIN if first == _LEGACY_DOMAIN else first
    if domain == DEFAULT_DOMAIN and rest and "/" not in rest:
        rest = _OFFICIAL + rest
    return domain, rest


def _check_name(text: str, domain: str, path: str) -> None:
    if path in ("", _OFFICIAL):
        raise InvalidReference(text, "the name is empty")
    if _DOMAIN.fullmatch(domain) is None:
        raise InvalidReference(text, f'"{domain[:100]}" is not a host name')
    if _PATH.fullmatch(path) is None:
        if _PATH.fullmatch(path.lower()) is not None:
            shown = path.removeprefix(_OFFICIAL)
            raise InvalidReference(
                text, "the repository name must be lowercase", hint=f'did you mean "{shown.lower()}"?'
            )
        raise InvalidReference(
            text,
            f'"{path[:100]}" is not a repository name',
            hint='a name has lowercase letters and digits, with ".", "_", "__" or "-" between them',
        )
    if len(path) > _MAX_PATH:
        raise InvalidReference(text, f"the repository name is longer than {_MAX_PATH} characters")


def _check_tag(text: str, tag: str) -> None:
    if _TAG.fullmatch(tag) is None:
        raise InvalidReference(
            text,
            f'"{tag[:150]}" is not a tag',
            hint='a tag has up to 128 letters, digits, "_", "." and "-"; "." and "-" not first',
        )
