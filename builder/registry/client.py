"""Reads manifests and blobs: mirrors first, logins when asked, each byte checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from builder.core.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest, DigestMismatch, InvalidDigest
from builder.core.job import Cancel
from builder.core.reference import DEFAULT_TAG, InvalidReference, Reference
from builder.registry.answer import Answer, failure, finish, read_capped
from builder.registry.auth import Authenticator
from builder.registry.config import Endpoint, RegistryConfig
from builder.registry.credentials import CredentialStore
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
from builder.registry.retry import EndpointFailed, Retry
from builder.registry.transport import Request, Transport
from builder.registry.words import printable

# What the distribution specification lets a registry refuse to store.
MAX_MANIFEST = 4 << 20
_ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))

_NO_HEADERS: Mapping[str, str] = {}

T = TypeVar("T")


class HttpRegistryClient:
    """The RegistryClient of the distribution specification."""

    def __init__(
        self, config: RegistryConfig, transport: Transport, authenticator: Authenticator, retry: Retry
    ) -> None:
        self._config = config
        self._transport = transport
        self._authenticator = authenticator
        self._retry = retry
        # Mirrors that gave no answer once are passed over afterwards: each blob would wait for them again.
        self._silent: dict[Endpoint, EndpointFailed] = {}

    @classmethod
    def open(
        cls,
        *,
        config: RegistryConfig | None = None,
        docker_config: Path | None = None,
        proxies: Mapping[str, str] | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> HttpRegistryClient:
        """``docker_config`` is the path of a ``config.json``; ``proxies`` as the environment names them.

        Opens no connection. ``sleep`` replaces the waiting between tries. Raises InvalidRegistryConfig.
        """
        transport, retry = Transport(proxies=proxies), Retry(sleep=sleep)
        authenticator = Authenticator(transport, CredentialStore.load(docker_config), retry)
        return cls(config or RegistryConfig(), transport, authenticator, retry)

    def close(self) -> None:
        """Drop idle connections; the client may be used again."""
        self._transport.close()

    def fetch_manifest(
        self, reference: Reference, *, descriptor: Descriptor | None = None, cancel: Cancel | None = None
    ) -> FetchedManifest:
        if descriptor is not None:
            reference = reference.with_digest(descriptor.digest)
        _check(reference)

        def attempt(endpoint: Endpoint) -> FetchedManifest:
            answer = self._ask_manifest(endpoint, reference, "GET", cancel)
            raw = read_capped(answer, endpoint, MAX_MANIFEST, cancel)
            return _checked_manifest(reference, answer.response.headers, raw)

        fetched = self._anywhere(reference, attempt, cancel=cancel)
        if descriptor is not None:
            _compare(fetched, descriptor)
        return fetched

    def head_digest(self, reference: Reference, *, cancel: Cancel | None = None) -> Digest | None:
        _check(reference)

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

    def fetch_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        sink: Callable[[bytes], object],
        *,
        progress: Callable[[int, int], object] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        _check(reference)
        Digest.parse(str(descriptor.digest))
        receiver = BlobReceiver(descriptor, sink, progress)
        path = f"blobs/{descriptor.digest}"

        def attempt(endpoint: Endpoint) -> None:
            headers = receiver.request_headers()
            answer = self._exchange(
                endpoint, reference, path, "GET", headers, is_verified=True, cancel=cancel
            )
            receiver.receive(endpoint, answer, cancel)

        self._anywhere(reference, attempt, blob=descriptor.digest, cancel=cancel)
        receiver.verify()

    def _ask_manifest(
        self, endpoint: Endpoint, reference: Reference, method: str, cancel: Cancel | None
    ) -> Answer:
        is_verified = reference.digest is not None
        path, accept = _manifest_path(reference), {"Accept": _ACCEPT}
        return self._exchange(
            endpoint, reference, path, method, accept, is_verified=is_verified, cancel=cancel
        )

    def _anywhere(
        self,
        reference: Reference,
        attempt: Callable[[Endpoint], T],
        *,
        blob: Digest | None = None,
        cancel: Cancel | None,
    ) -> T:
        """The first answer that is one; whatever a mirror lacks or fails at, the next may have."""
        failures: list[EndpointFailed] = []
        endpoints = self._config.endpoints(reference.domain)
        for endpoint in endpoints:
            is_last = endpoint is endpoints[-1]
            if endpoint in self._silent and not is_last:
                failures.append(self._silent[endpoint])
                continue
            try:
                return self._retry.run(partial(attempt, endpoint), has_alternative=not is_last, cancel=cancel)
            except EndpointFailed as error:
                failures.append(error)
                if error.is_silent:
                    self._silent[endpoint] = error
                if error.status is not None and not endpoint.is_mirror:
                    break
        raise _summary(reference, blob, failures) from failures[-1]

    def _exchange(
        self,
        endpoint: Endpoint,
        reference: Reference,
        path: str,
        method: str,
        headers: Mapping[str, str] = _NO_HEADERS,
        *,
        is_verified: bool,
        cancel: Cancel | None,
    ) -> Answer:
        """One request, with a login if it turns out to need one. Raises EndpointFailed unless 200 or 206."""
        repository = f"{endpoint.prefix}/{reference.path}"
        scope = f"repository:{repository[1:]}:pull"
        url = f"{endpoint.scheme}://{endpoint.host}/v2{repository}/{path}"
        authorization = self._authenticator.header(endpoint, scope)
        is_second = False
        while True:
            login = {} if authorization is None else {"Authorization": authorization}
            sent = {"Accept-Encoding": "identity", **headers, **login}
            answer = self._transport.open(Request(endpoint, method, url, sent, is_verified=is_verified))
            status = answer.response.status
            if status in (200, 206):
                return answer
            if status != 401 or answer.is_foreign or is_second:
                raise self._refusal(answer, endpoint)
            challenges = answer.response.headers.getlist("WWW-Authenticate")
            finish(answer.response)
            authorization = self._authenticator.answer(endpoint, scope, challenges, authorization, cancel)
            is_second = True

    def _refusal(self, answer: Answer, endpoint: Endpoint) -> EndpointFailed:
        error = failure(answer, endpoint)
        if error.status in (401, 403):
            error.hint = self._authenticator.hint(endpoint)
        if error.status == 429:
            error.hint = "the registry limits how often one may pull: wait, log in, or configure a mirror"
        return error


def _check(reference: Reference) -> None:
    """A reference that nobody parsed must not become a URL. Raises InvalidReference."""
    if Reference.parse(str(reference)) != reference:
        raise InvalidReference(str(reference), "it is not in its full form")


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
