"""What a registry client promises, the values it hands out, and what can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.job import Cancel
from builder.core.reference import Reference
from builder.registry.manifest import (
    Index,
    InvalidManifest,
    Manifest,
    NoMatchingPlatform,
    UnsupportedManifest,
    choose,
    parse_manifest,
)

__all__ = [
    "BlobNotFound",
    "FetchedManifest",
    "Index",
    "InvalidManifest",
    "InvalidRegistryConfig",
    "Manifest",
    "ManifestNotFound",
    "NoMatchingPlatform",
    "RegistryClient",
    "RegistryDenied",
    "RegistryError",
    "RegistryUnavailable",
    "UnsupportedManifest",
    "WebAnswer",
    "WebClient",
    "WebDenied",
    "WebFailed",
    "WebNotFound",
    "WebTooLarge",
    "choose",
    "parse_manifest",
]


class RegistryError(PybuildError):
    """A registry could not give what was asked for; the message lists every place that was tried."""

    kind = Kind.UNAVAILABLE
    code = "registry-failed"


class ManifestNotFound(RegistryError):
    """The registry answers, and has no such image."""

    kind = Kind.NOT_FOUND
    code = "manifest-not-found"


class BlobNotFound(RegistryError):
    """The registry answers, and lacks a blob that a manifest names."""

    kind = Kind.NOT_FOUND
    code = "blob-not-in-registry"


class RegistryDenied(RegistryError):
    """The registry wants other credentials, or none will do. Never worth trying again."""

    kind = Kind.DENIED
    code = "registry-denied"


class RegistryUnavailable(RegistryError):
    """No answer, or a broken one, after several tries."""

    kind = Kind.UNAVAILABLE
    code = "registry-unavailable"


class InvalidRegistryConfig(PybuildError):
    """The registry configuration or Docker's config.json cannot be used."""

    kind = Kind.INVALID
    code = "invalid-registry-config"


class WebFailed(PybuildError):
    """A file of the web could not be fetched."""

    kind = Kind.UNAVAILABLE
    code = "url-failed"

    def __init__(self, url: str, reason: str, *, hint: str | None = None) -> None:
        """``url`` as people may see it."""
        super().__init__(f'cannot fetch "{url}": {reason}', hint=hint)


class WebNotFound(WebFailed):
    """The server answers, and has no such file."""

    kind = Kind.NOT_FOUND
    code = "url-not-found"


class WebDenied(WebFailed):
    """The server wants a login, or another one."""

    kind = Kind.DENIED
    code = "url-denied"


class WebTooLarge(WebFailed):
    """The file is larger than is taken."""

    kind = Kind.INVALID
    code = "url-too-large"


class FetchedManifest(NamedTuple):
    """A manifest or an index with the very bytes that ``digest`` is of; they are never encoded again."""

    media_type: str
    digest: Digest
    raw: bytes

    def parse(self) -> Index | Manifest:
        """The value; a fetched manifest was checked, so this cannot fail."""
        return parse_manifest(self.raw, self.media_type)


class RegistryClient(Protocol):
    """Reads from registries. Thread-safe: layers of one image may be fetched side by side."""

    def fetch_manifest(
        self, reference: Reference, *, descriptor: Descriptor | None = None, cancel: Cancel | None = None
    ) -> FetchedManifest:
        """By digest if ``reference`` has one, else by tag (``latest`` if there is none).

        Index or manifest, OCI or Docker, as the registry has it; checked against the digest asked for and
        the one announced. ``descriptor`` is an index entry: then it is fetched by that digest, and size and
        media type must be the ones it names. Raises ManifestNotFound, RegistryDenied, RegistryUnavailable,
        DigestMismatch, InvalidManifest, UnsupportedManifest.
        """

    def head_digest(self, reference: Reference, *, cancel: Cancel | None = None) -> Digest | None:
        """What ``reference`` leads to now; None if the registry has no such image. One round trip, no body.

        Counts as no pull for Docker Hub's rate limit. The digest is the registry's word, not verified.
        Raises RegistryDenied, RegistryUnavailable.
        """

    def fetch_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        sink: Callable[[bytes], object],
        *,
        progress: Callable[[int, int], object] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Stream a blob of the repository of ``reference`` into ``sink``, in order, each byte once.

        A transfer that breaks goes on where it stopped. Size and digest are checked on the way, so the bytes
        are good only if this returns: throw them away on any error. ``progress`` gets (bytes so far, size).
        Raises BlobNotFound, RegistryDenied, RegistryUnavailable, DigestMismatch, and what ``sink`` raises.
        """


class WebAnswer(NamedTuple):
    """``status`` is 200, or 304 where the request had a condition."""

    status: int
    headers: Mapping[str, str]  # names in any case


class WebClient(Protocol):
    """Fetches single files by their addresses. Thread-safe."""

    def head(self, url: str, headers: Mapping[str, str], *, cancel: Cancel | None = None) -> WebAnswer | None:
        """What the server says of a file; None where it says so of no file this way. Raises WebFailed."""

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
        """The file, in pieces. ``begin`` is called for each try, and gives what takes that try's bytes.

        Follows redirects, to http and https only, never from https to http, and without an Authorization
        header to another host. Refuses more than ``limit`` bytes. ``progress`` gets (bytes so far, size; 0:
        unknown).
        Raises WebFailed and its kinds, and what the sink raises.
        """
