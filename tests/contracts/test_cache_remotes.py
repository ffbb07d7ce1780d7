"""What every place promises that caches are shared at."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from builder.cache.folder import FolderRemote
from builder.cache.interface import CacheRemote
from builder.cache.repository import RegistryRemote
from builder.core.descriptor import OCI_CONFIG, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest
from builder.core.errors import PybuildError
from builder.core.job import Cancel
from builder.core.reference import Reference
from builder.exporter.documents import manifest_document
from builder.registry.client import HttpRegistryClient
from builder.registry.exchange import Exchange
from builder.registry.pusher import HttpRegistryPusher
from tests.support.cache_remotes import MemoryRemote, layer_of
from tests.support.registry import FakeRegistry

DATA = b"a layer of the cache\n" * 1000


@pytest.fixture(params=["memory", "folder", "registry"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CacheRemote]:
    match request.param:
        case "memory":
            yield MemoryRemote()
        case "folder":
            yield FolderRemote(tmp_path / "made/when/needed")
        case _:
            with FakeRegistry() as registry, contextlib.closing(Exchange.open()) as exchange:
                reference = Reference.parse(f"{registry.host}/team/cache:main")
                yield RegistryRemote(reference, HttpRegistryClient(exchange), HttpRegistryPusher(exchange))


def opener(data: bytes) -> Callable[[int], BinaryIO]:
    return lambda offset: io.BytesIO(data[offset:])


def put(remote: CacheRemote, data: bytes) -> bool:
    return remote.put_blob(layer_of(data), opener(data), Cancel())


def manifest_of(data: bytes) -> bytes:
    config = Descriptor(media_type=OCI_CONFIG, digest=Digest.of(b"{}"), size=2)
    return manifest_document(config, [layer_of(data)], (), is_oci=True)


def test_blob_that_was_put_is_there(remote: CacheRemote) -> None:
    """Its bytes come back, whole; a second time nothing is sent."""
    blob, cancel, read = layer_of(DATA), Cancel(), bytearray()

    assert not remote.has_blob(blob, cancel)
    assert put(remote, DATA)
    assert remote.has_blob(blob, cancel)
    assert not put(remote, DATA)
    remote.read_blob(blob, read.extend, cancel)
    assert bytes(read) == DATA


def test_empty_blob(remote: CacheRemote) -> None:
    """Nothing is something that can be stored."""
    read = bytearray()
    put(remote, b"")
    remote.read_blob(layer_of(b""), read.extend, Cancel())

    assert bytes(read) == b""


def test_blob_that_is_not_there_is_an_error(remote: CacheRemote) -> None:
    """Reading what nobody put fails; it gives no empty bytes."""
    put(remote, b"other")

    with pytest.raises((PybuildError, OSError)):
        remote.read_blob(layer_of(DATA), lambda data: None, Cancel())


def test_bytes_that_are_not_what_they_are_called_are_not_taken(remote: CacheRemote) -> None:
    """Whoever puts other bytes than the digest's hears of it, and nobody gets them."""
    with pytest.raises(PybuildError):
        remote.put_blob(layer_of(DATA), opener(bytes(len(DATA))), Cancel())

    assert not remote.has_blob(layer_of(DATA), Cancel())


def test_manifests_have_names(remote: CacheRemote) -> None:
    """A name stands for the last manifest that it was given; each is known by its digest as well."""
    cancel = Cancel()
    remote.put_blob(Descriptor(media_type=OCI_CONFIG, digest=Digest.of(b"{}"), size=2), opener(b"{}"), cancel)
    manifests = []
    for data in (DATA, b"second"):
        put(remote, data)
        manifests.append(manifest_of(data))
        remote.put_manifest("main", manifests[-1], OCI_MANIFEST, cancel)
    remote.put_manifest("other", manifests[0], OCI_MANIFEST, cancel)
    found = remote.manifest("main", cancel)
    other = remote.manifest("other", cancel)
    by_digest = remote.manifest(str(Digest.of(manifests[1])), cancel)

    assert found is not None
    assert other is not None
    assert by_digest is not None
    assert (found.raw, found.media_type, found.digest) == (
        manifests[1],
        OCI_MANIFEST,
        Digest.of(manifests[1]),
    )
    assert other.raw == manifests[0]
    assert by_digest.raw == manifests[1]
    assert remote.manifest("nobody", cancel) is None


def test_cancelled_transfers_stop(remote: CacheRemote) -> None:
    """A job that is over does not go on reading."""
    if isinstance(remote, MemoryRemote):
        return
    put(remote, DATA)
    cancel = Cancel()
    cancel.cancel()

    with pytest.raises(PybuildError):
        remote.read_blob(layer_of(DATA), lambda data: None, cancel)
