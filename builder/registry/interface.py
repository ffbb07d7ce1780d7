"""What a registry client promises, the values it hands out, and what can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import BinaryIO, NamedTuple, Protocol

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
    "BlobPlaced",
    "CredentialHelperFailed",
    "FetchedManifest",
    "Index",
    "InvalidManifest",
    "InvalidRegistryConfig",
    "LoginRefused",
    "Manifest",
    "ManifestNotFound",
    "NoMatchingPlatform",
    "OpenAt",
    "PushRefused",
    "RegistryClient",
    "RegistryDenied",
    "RegistryError",
    "RegistryPusher",
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


class CredentialHelperFailed(PybuildError):
    """The program that keeps logins did not do what it was asked."""

    kind = Kind.UNAVAILABLE
    code = "credential-helper-failed"

    def __init__(self, program: str, what: str) -> None:
        super().__init__(
            f'the credential helper "{program}" {what}',
            hint="Docker's config.json names it, in credsStore or credHelpers",
        )


class LoginRefused(RegistryError):
    """The registry does not take this name with this password."""

    kind = Kind.DENIED
    code = "login-refused"


class PushRefused(RegistryError):
    """The registry answers, and does not take what was sent. Never worth trying again."""

    kind = Kind.INVALID
    code = "push-refused"


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

    def tags(self, reference: Reference, *, cancel: Cancel | None = None) -> list[str]:
        """Every tag of the repository of ``reference``, in the registry's order.

        Raises ManifestNotFound if there is no such repository, RegistryDenied, RegistryUnavailable.
        """

    def has_blob(self, reference: Reference, descriptor: Descriptor, *, cancel: Cancel | None = None) -> bool:
        """Whether the repository of ``reference`` has it; also where it cannot be asked without fetching it.

        Raises RegistryDenied, RegistryUnavailable.
        """

    def fetch_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        sink: Callable[[bytes], object],
        *,
        known: Iterable[bytes] = (),
        progress: Callable[[int, int], object] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Stream a blob of the repository of ``reference`` into ``sink``, in order, each byte once.

        ``known`` is its beginning, if that is there already; it does not go through ``sink``.
        A transfer that breaks goes on where it stopped. Size and digest are checked on the way, so the bytes
        are good only if this returns: throw them away on any error. ``progress`` gets (bytes so far, size).
        Raises BlobNotFound, RegistryDenied, RegistryUnavailable, DigestMismatch, and what ``sink`` raises.
        """


# Opens the bytes of a blob at an offset, to be read to their end and closed.
OpenAt = Callable[[int], BinaryIO]


class BlobPlaced(Enum):
    """How a blob came to be in a repository."""

    EXISTS = "exists"  # it was there
    MOUNTED = "mounted"  # from another repository of the registry
    UPLOADED = "uploaded"


class RegistryPusher(Protocol):
    """Writes to registries, never to mirrors. Thread-safe: blobs of one image may be pushed side by side."""

    def has_blob(self, reference: Reference, descriptor: Descriptor, *, cancel: Cancel | None = None) -> bool:
        """Whether the repository of ``reference`` has it. Raises RegistryDenied, RegistryUnavailable."""

    def push_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        open_at: OpenAt,
        *,
        mount_from: str = "",
        progress: Callable[[int, int], object] | None = None,
        cancel: Cancel | None = None,
    ) -> BlobPlaced:
        """Have the blob in the repository of ``reference``; sent only if it is not there.

        ``mount_from`` is the path of another repository of that registry that may have it. ``open_at`` is
        called for each try, and gives at least ``descriptor.size`` bytes in all; what the registry got of
        them has the digest, or it is refused. ``progress`` gets (bytes there so far, size), and goes back
        where some were lost. Raises RegistryDenied, RegistryUnavailable, PushRefused, and what ``open_at``
        raises.
        """

    def push_manifest(
        self, reference: Reference, raw: bytes, media_type: str, *, cancel: Cancel | None = None
    ) -> Digest:
        """Let ``reference`` stand for these bytes: its digest, else its tag, ``latest`` if it has neither.

        What it names must be there. Raises RegistryDenied, RegistryUnavailable, PushRefused, DigestMismatch.
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
