"""A place for shared caches that is a dictionary, and a registry made of the real clients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from builder.cache.interface import RemoteManifest
from builder.core.descriptor import OCI_LAYER, Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import Kind, PybuildError
from builder.core.job import Cancel


class Lost(PybuildError):
    """What the dictionary does not have."""

    kind = Kind.NOT_FOUND
    code = "lost"


class MemoryRemote:
    """See CacheRemote; what it says of ``origin`` is up to the test."""

    def __init__(self, origin: str = "") -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.sent: list[Digest] = []
        self._origin = origin

    @property
    def place(self) -> str:
        """See CacheRemote."""
        return "memory"

    @property
    def origin(self) -> str:
        """See CacheRemote."""
        return self._origin

    def manifest(self, name: str, cancel: Cancel) -> RemoteManifest | None:
        """See CacheRemote."""
        found = self.manifests.get(name)
        return RemoteManifest(*found, Digest.of(found[0])) if found else None

    def put_manifest(self, name: str, raw: bytes, media_type: str, cancel: Cancel) -> None:
        """See CacheRemote."""
        self.manifests[name] = self.manifests[str(Digest.of(raw))] = raw, media_type

    def has_blob(self, blob: Descriptor, cancel: Cancel) -> bool:
        """See CacheRemote."""
        return len(self.blobs.get(blob.digest, b"")) == blob.size and blob.digest in self.blobs

    def read_blob(self, blob: Descriptor, sink: Callable[[bytes], object], cancel: Cancel) -> None:
        """See CacheRemote."""
        if blob.digest not in self.blobs:
            raise Lost(f"no blob {blob.digest}")
        data = self.blobs[blob.digest]
        sink(data)
        actual = hashlib.sha256(data).hexdigest()
        if actual != blob.digest.hex or len(data) != blob.size:
            raise DigestMismatch(blob.digest, f"sha256:{actual}", what="a blob of the cache")

    def put_blob(
        self, blob: Descriptor, open_at: Callable[[int], BinaryIO], cancel: Cancel, *, mount_from: str = ""
    ) -> bool:
        """See CacheRemote."""
        if self.has_blob(blob, cancel):
            return False
        with open_at(0) as file:
            data = file.read()
        if Digest.of(data) != blob.digest:
            raise DigestMismatch(blob.digest, Digest.of(data), what="a blob for the cache")
        self.blobs[blob.digest] = data
        self.sent.append(blob.digest)
        return True


def layer_of(data: bytes) -> Descriptor:
    """As a manifest names it."""
    return Descriptor(media_type=OCI_LAYER, digest=Digest.of(data), size=len(data))
