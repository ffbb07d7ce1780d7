"""Addresses on the web: what may be fetched, the file's name, and the form that people may see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.core.errors import Kind, PybuildError

if TYPE_CHECKING:  # every build imports this module, few have an address in them
    from urllib.parse import SplitResult

UNNAMED = "__unnamed__"  # as BuildKit calls a file whose address has no name in it
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"',]+", re.IGNORECASE)
_HIDDEN = "xxxxx"  # as Go's url.Redacted writes a password
# Parameters that hold a key to the file rather than name it: signed links of object stores, API tokens.
_SECRET = re.compile(
    r"token|sig|secret|passw|auth|credential|api.?key|access.?key|(?:^|[-_.])key$", re.IGNORECASE
)
_MAX_NAME = 255  # bytes; NAME_MAX of Linux (include/uapi/linux/limits.h)


class InvalidUrl(PybuildError):
    """An address that nothing can be fetched from."""

    kind = Kind.INVALID
    code = "invalid-url"

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f'"{shown(url)}" {why}', hint="an address looks like https://host/path/file")


def is_http(text: str) -> bool:
    """Whether this is meant as an http or https address."""
    return _HTTP.match(text) is not None


def check_url(url: str) -> None:
    """Raises InvalidUrl for an address without a host, or with characters that no address has."""
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidUrl(url, "is no address") from error
    if not parts.hostname or port == 0:
        raise InvalidUrl(url, "names no host")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in url + unquote(parts.path)):
        raise InvalidUrl(url, "has control characters in it")
    if len(file_name(url).encode("utf-8", "surrogateescape")) > _MAX_NAME:
        raise InvalidUrl(url, "names a file whose name is too long")


def file_name(url: str) -> str:
    """The last part of the path; UNNAMED where there is none that a file could have."""
    from urllib.parse import unquote, urlsplit

    try:
        path = unquote(urlsplit(url).path, errors="surrogateescape")
    except ValueError:
        return UNNAMED
    name = path.rstrip("/").rpartition("/")[2]
    return UNNAMED if name in ("", ".", "..") else name


def without_login(url: str) -> tuple[str, str]:
    """The address without the part before ``@``, and that part, decoded: ``name:password`` or ""."""
    from urllib.parse import unquote, urlsplit, urlunsplit

    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    return (urlunsplit(parts._replace(netloc=host)), unquote(login)) if at else (url, "")


def shown(url: str) -> str:
    """For messages, records and histories: without login, and without the values of secret parameters."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        bare = _bare(parts)
    except ValueError:
        return re.sub(r"//[^/@]*@", "//", url)
    return bare


def all_shown(text: str) -> str:
    """The same for every address in a longer text."""
    return _ADDRESS.sub(lambda found: shown(found[0]), text) if "://" in text else text


def _bare(parts: SplitResult) -> str:
    from urllib.parse import parse_qsl, urlencode, urlunsplit

    host = parts.netloc.rpartition("@")[2]
    query = parts.query
    if any(_SECRET.search(name) for name, _ in parse_qsl(query, keep_blank_values=True)):
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode([(name, _HIDDEN if _SECRET.search(name) else value) for name, value in pairs])
    if host == parts.netloc and query == parts.query:
        return parts.geturl()
    return urlunsplit(parts._replace(netloc=host, query=query))
