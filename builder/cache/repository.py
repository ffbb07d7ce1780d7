"""Caches in a registry: manifests and blobs of one repository."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from builder.cache.interface import RemoteManifest
from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.job import Cancel
from builder.core.reference import Reference
from builder.registry.interface import BlobPlaced, ManifestNotFound, RegistryClient, RegistryPusher


class RegistryRemote:
    """See CacheRemote; names are tags or digests of the reference's repository."""

    def __init__(self, reference: Reference, client: RegistryClient, pusher: RegistryPusher) -> None:
        self._reference = reference
        self._client = client
        self._pusher = pusher

    @property
    def place(self) -> str:
        """See CacheRemote."""
        return self._reference.familiar()

    @property
    def origin(self) -> str:
        """See CacheRemote."""
        return self._reference.repository

    def manifest(self, name: str, cancel: Cancel) -> RemoteManifest | None:
        """See CacheRemote."""
        try:
            fetched = self._client.fetch_manifest(self._named(name), cancel=cancel)
        except ManifestNotFound:
            return None
        return RemoteManifest(fetched.raw, fetched.media_type, fetched.digest)

    def put_manifest(self, name: str, raw: bytes, media_type: str, cancel: Cancel) -> None:
        """See CacheRemote."""
        self._pusher.push_manifest(self._named(name), raw, media_type, cancel=cancel)

    def has_blob(self, blob: Descriptor, cancel: Cancel) -> bool:
        """See CacheRemote."""
        return self._client.has_blob(self._reference, blob, cancel=cancel)

    def read_blob(self, blob: Descriptor, sink: Callable[[bytes], object], cancel: Cancel) -> None:
        """See CacheRemote."""
        self._client.fetch_blob(self._reference, blob, sink, cancel=cancel)

    def put_blob(
        self, blob: Descriptor, open_at: Callable[[int], BinaryIO], cancel: Cancel, *, mount_from: str = ""
    ) -> bool:
        """See CacheRemote."""
        placed = self._pusher.push_blob(self._reference, blob, open_at, mount_from=mount_from, cancel=cancel)
        return placed is BlobPlaced.UPLOADED

    def _named(self, name: str) -> Reference:
        bare = self._reference.with_tag(None).with_digest(None)
        return bare.with_digest(Digest.parse(name)) if ":" in name else bare.with_tag(name)
