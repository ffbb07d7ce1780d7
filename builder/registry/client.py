"""Reads manifests and blobs: mirrors first, logins when asked, each byte checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from builder.core.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest, DigestMismatch, InvalidDigest
from builder.core.job import Cancel
from builder.core.patience import Patience
from builder.core.reference import DEFAULT_TAG, Reference
from builder.registry.answer import Answer, finish, read_capped
from builder.registry.config import Endpoint, RegistryConfig
from builder.registry.exchange import Call, Exchange, check_reference, repository_url, scope_of
from builder.registry.interface import (
    BlobNotFound,
    FetchedManifest,
    InvalidManifest,
    ManifestNotFound,
    RegistryDenied,
    RegistryError,
    RegistryUnavailable,
    UnsupportedManifest,
)
from builder.registry.manifest import parse_manifest
from builder.registry.receive import BlobReceiver
from builder.registry.retry import TRANSIENT_LIMIT, EndpointFailed, again
from builder.registry.tags import tags_at
from builder.registry.words import printable

# What the distribution specification lets a registry refuse to store.
MAX_MANIFEST = 4 << 20
_ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))

_FOUND = frozenset({200, 206})

T = TypeVar("T")


class HttpRegistryClient:
    """The RegistryClient of the distribution specification."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @classmethod
    def open(
        cls,
        *,
        config: RegistryConfig | None = None,
        docker_config: Path | None = None,
        proxies: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> HttpRegistryClient:
        """``docker_config`` is the path of a ``config.json``; ``proxies`` as the environment names them.

        Opens no connection. Raises InvalidRegistryConfig.
        """
        return cls(
            Exchange.open(config=config, docker_config=docker_config, proxies=proxies, patience=patience)
        )

    def close(self) -> None:
        """Drop idle connections; the client may be used again."""
        self._exchange.close()

    def fetch_manifest(
        self, reference: Reference, *, descriptor: Descriptor | None = None, cancel: Cancel | None = None
    ) -> FetchedManifest:
        if descriptor is not None:
            reference = reference.with_digest(descriptor.digest)
        check_reference(reference)

        def attempt(endpoint: Endpoint) -> FetchedManifest:
            answer = self._ask_manifest(endpoint, reference, "GET", cancel)
            raw = read_capped(answer, endpoint, MAX_MANIFEST, cancel)
            if not raw:
                # As of a connection that ends within the head: to the parser the head ends there.
                raise EndpointFailed(endpoint, "the answer is empty", limit=TRANSIENT_LIMIT)
            return _checked_manifest(reference, answer.response.headers, raw)

        fetched = self._anywhere(reference, attempt, cancel=cancel)
        if descriptor is not None:
            _compare(fetched, descriptor)
        return fetched

    def head_digest(self, reference: Reference, *, cancel: Cancel | None = None) -> Digest | None:
        check_reference(reference)

        def attempt(endpoint: Endpoint) -> Digest | None:
            try:
                answer = self._ask_manifest(endpoint, reference, "HEAD", cancel)
            except EndpointFailed as error:
                if error.status in (405, 501):
                    return None
                raise
            answer.response.release_conn()
            return _announced(answer.response.headers)

        try:
            found = self._anywhere(reference, attempt, cancel=cancel)
            # The header is optional in the specification, and some servers do not know HEAD.
            return found or self.fetch_manifest(reference, cancel=cancel).digest
        except ManifestNotFound:
            return None

    def tags(self, reference: Reference, *, cancel: Cancel | None = None) -> list[str]:
        check_reference(reference)

        def attempt(endpoint: Endpoint) -> list[str]:
            return tags_at(self._exchange, endpoint, reference, cancel)

        return self._anywhere(reference, attempt, cancel=cancel)

    def has_blob(self, reference: Reference, descriptor: Descriptor, *, cancel: Cancel | None = None) -> bool:
        check_reference(reference)
        path = f"blobs/{descriptor.digest}"

        def attempt(endpoint: Endpoint) -> bool:
            try:
                answer = self._ask(endpoint, reference, path, "HEAD", {}, is_verified=True, cancel=cancel)
            except EndpointFailed as error:
                # Storage whose addresses are signed for GET, and servers that do not know HEAD.
                if error.is_foreign or error.status in (405, 501):
                    return True
                raise
            finish(answer.response)
            return answer.response.headers.get("Content-Length", "") in ("", str(descriptor.size))

        try:
            return self._anywhere(reference, attempt, blob=descriptor.digest, cancel=cancel)
        except BlobNotFound:
            return False

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
        check_reference(reference)
        Digest.parse(str(descriptor.digest))
        receiver = BlobReceiver(descriptor, sink, progress)
        if receiver.take_known(known):
            receiver.verify()
            return
        path = f"blobs/{descriptor.digest}"

        def attempt(endpoint: Endpoint) -> None:
            headers = receiver.request_headers()
            try:
                answer = self._ask(endpoint, reference, path, "GET", headers, is_verified=True, cancel=cancel)
            except EndpointFailed as error:
                if error.status == 416 and headers:
                    receiver.refuse_parts()
                    raise again(error) from error
                raise
            receiver.receive(endpoint, answer, cancel)

        self._anywhere(reference, attempt, blob=descriptor.digest, cancel=cancel)
        receiver.verify()

    def _ask_manifest(
        self, endpoint: Endpoint, reference: Reference, method: str, cancel: Cancel | None
    ) -> Answer:
        is_verified = reference.digest is not None
        path, accept = _manifest_path(reference), {"Accept": _ACCEPT}
        return self._ask(endpoint, reference, path, method, accept, is_verified=is_verified, cancel=cancel)

    def _anywhere(
        self,
        reference: Reference,
        attempt: Callable[[Endpoint], T],
        *,
        blob: Digest | None = None,
        cancel: Cancel | None,
    ) -> T:
        explain = partial(_summary, reference, blob)
        return self._exchange.anywhere(reference.domain, attempt, explain, uses_mirrors=True, cancel=cancel)

    def _ask(
        self,
        endpoint: Endpoint,
        reference: Reference,
        path: str,
        method: str,
        headers: Mapping[str, str],
        *,
        is_verified: bool,
        cancel: Cancel | None,
    ) -> Answer:
        url, scope = repository_url(endpoint, reference, path), scope_of(endpoint, reference.path, "pull")
        call = Call(method, url, scope, _FOUND, headers, is_verified=is_verified)
        return self._exchange.send(endpoint, call, cancel)


def _manifest_path(reference: Reference) -> str:
    return f"manifests/{reference.digest or reference.tag or DEFAULT_TAG}"


def _digest(algorithm: str, raw: bytes) -> Digest:
    return Digest(algorithm, hashlib.new(algorithm, raw).hexdigest())


def _announced(headers: Mapping[str, str]) -> Digest | None:
    """What the registry says the digest is. Raises InvalidManifest."""
    text = headers.get("Docker-Content-Digest")
    if text is None:
        return None
    try:
        return Digest.parse(text.strip())
    except InvalidDigest as error:
        raise InvalidManifest(f"the registry announces a bad digest: {printable(error.message)}") from error


def _checked_manifest(reference: Reference, headers: Mapping[str, str], raw: bytes) -> FetchedManifest:
    name = f'the manifest of "{reference.familiar()}"'
    actual = _digest("sha256" if reference.digest is None else reference.digest.algorithm, raw)
    if reference.digest is not None and actual != reference.digest:
        raise DigestMismatch(reference.digest, actual, what=name)
    announced = _announced(headers)
    if announced is not None and _digest(announced.algorithm, raw) != announced:
        raise DigestMismatch(announced, _digest(announced.algorithm, raw), what=name)
    try:
        value = parse_manifest(raw, headers.get("Content-Type", ""))
    except (InvalidManifest, UnsupportedManifest) as error:
        raise type(error)(f'"{reference.familiar()}": {error.message}', hint=error.hint) from error
    return FetchedManifest(value.media_type, actual, raw)


def _compare(fetched: FetchedManifest, descriptor: Descriptor) -> None:
    """An index entry and what it leads to must agree (CVE-2021-41190)."""
    if len(fetched.raw) != descriptor.size:
        what = f"manifest {descriptor.digest}"
        raise DigestMismatch(f"{descriptor.size} bytes", f"{len(fetched.raw)} bytes", what=what)
    if fetched.media_type != descriptor.media_type:
        raise InvalidManifest(
            f'manifest {descriptor.digest} is announced as "{printable(descriptor.media_type, 100)}" '
            f'and is "{fetched.media_type}"'
        )


def _summary(reference: Reference, blob: Digest | None, failures: list[EndpointFailed]) -> RegistryError:
    """The error for people. What the registry itself answered decides; every place that was tried is told."""
    own = [f for f in failures if not f.endpoint.is_mirror and f.status is not None]
    decisive = own[0] if own else failures[-1]
    tried = "; ".join(f.message for f in failures)
    name = f'"{reference.familiar()}"' if blob is None else f'blob {blob} of "{reference.familiar()}"'
    match decisive.status:
        case 404 if blob is None:
            return ManifestNotFound(f"{name} was not found: {tried}", hint="check the name and the tag")
        case 404:
            return BlobNotFound(
                f"{name} was not found: {tried}", hint="the image is incomplete; push it again"
            )
        case 401 | 403:
            return RegistryDenied(f"access to {name} is denied: {tried}", hint=decisive.hint)
        case _:
            return RegistryUnavailable(f"cannot get {name}: {tried}", hint=decisive.hint)
