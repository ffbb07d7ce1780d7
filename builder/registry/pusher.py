"""Writes blobs and manifests to registries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.job import Cancel
from builder.core.reference import DEFAULT_TAG, Reference
from builder.registry.answer import finish
from builder.registry.config import Endpoint
from builder.registry.exchange import Call, Exchange, check_reference, repository_url, scope_of
from builder.registry.interface import (
    BlobPlaced,
    OpenAt,
    PushRefused,
    RegistryDenied,
    RegistryError,
    RegistryUnavailable,
)
from builder.registry.retry import EndpointFailed, is_transient
from builder.registry.upload import BlobUpload, Sizes, has_blob


class HttpRegistryPusher:
    """The RegistryPusher of the distribution specification."""

    def __init__(self, exchange: Exchange, *, sizes: Sizes | None = None) -> None:
        self._exchange = exchange
        self._sizes = sizes or Sizes()

    def has_blob(self, reference: Reference, descriptor: Descriptor, *, cancel: Cancel | None = None) -> bool:
        """See RegistryPusher."""
        check_reference(reference)

        def attempt(endpoint: Endpoint) -> bool:
            return has_blob(self._exchange, endpoint, reference, descriptor, cancel)

        what = f"blob {descriptor.digest.short} of"
        explain = partial(_summary, what, reference)
        return self._exchange.anywhere(reference.domain, attempt, explain, uses_mirrors=False, cancel=cancel)

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
        """See RegistryPusher."""
        check_reference(reference)
        Digest.parse(str(descriptor.digest))
        if mount_from:
            check_reference(Reference(reference.domain, mount_from))
        upload = BlobUpload(
            self._exchange,
            reference,
            descriptor,
            open_at,
            mount_from=mount_from,
            progress=progress,
            sizes=self._sizes,
        )
        explain = partial(_summary, f"blob {descriptor.digest.short} of", reference)
        return self._exchange.anywhere(
            reference.domain,
            partial(upload.attempt, cancel=cancel),
            explain,
            uses_mirrors=False,
            cancel=cancel,
        )

    def push_manifest(
        self, reference: Reference, raw: bytes, media_type: str, *, cancel: Cancel | None = None
    ) -> Digest:
        """See RegistryPusher."""
        check_reference(reference)
        digest = Digest.of(raw)
        if reference.digest not in (None, digest):
            raise DigestMismatch(reference.digest, digest, what="the manifest")
        target = reference.digest or reference.tag or DEFAULT_TAG

        def attempt(endpoint: Endpoint) -> None:
            url = repository_url(endpoint, reference, f"manifests/{target}")
            scope = scope_of(endpoint, reference.path, "pull,push")
            headers = {"Content-Type": media_type}
            accepted = frozenset({200, 201, 202})
            call = Call("PUT", url, scope, accepted, headers, raw, is_stored=True)
            answer = self._exchange.send(endpoint, call, cancel)
            finish(answer.response)
            announced = answer.response.headers.get("Docker-Content-Digest", "").strip()
            if announced.startswith("sha256:") and announced != str(digest):
                raise DigestMismatch(digest, announced[:80], what="the manifest at the registry")

        explain = partial(_summary, "the manifest of", reference)
        self._exchange.anywhere(reference.domain, attempt, explain, uses_mirrors=False, cancel=cancel)
        return digest


def _summary(what: str, reference: Reference, failures: list[EndpointFailed]) -> RegistryError:
    """The error for people: what was sent, and what each place said."""
    answered = [failure for failure in failures if failure.status is not None]
    decisive = answered[-1] if answered else failures[-1]
    tried = "; ".join(failure.message for failure in failures)
    name = f'"{reference.familiar()}"'
    status = decisive.status
    if status in (401, 403):
        return RegistryDenied(f"pushing to {name} is denied: {tried}", hint=decisive.hint)
    if status is None or is_transient(status):
        return RegistryUnavailable(f"cannot push {what} {name}: {tried}", hint=decisive.hint)
    return PushRefused(f"the registry does not take {what} {name}: {tried}", hint=decisive.hint)
