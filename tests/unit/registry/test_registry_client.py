"""Fetching manifests and blobs from a registry in this process."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from builder.core.descriptor import DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import Cancelled
from builder.core.job import Cancel
from builder.core.patience import Patience
from builder.core.platform import Platform
from builder.core.reference import InvalidReference, Reference
from builder.registry.client import MAX_MANIFEST, HttpRegistryClient
from builder.registry.config import RegistryConfig
from builder.registry.interface import (
    BlobNotFound,
    Index,
    InvalidManifest,
    Manifest,
    ManifestNotFound,
    RegistryClient,
    RegistryUnavailable,
    UnsupportedManifest,
    choose,
)
from tests.support.registry import Answer, FakeRegistry

BLOB = bytes(range(256)) * 12_000  # 3 MB: several pieces
LAYER = gzip.compress(b"no tar, and nobody looks", mtime=0)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def client() -> Iterator[HttpRegistryClient]:
    opened = HttpRegistryClient.open(patience=Patience(sleep=lambda _: None))
    yield opened
    opened.close()


def blob(data: bytes, digest: Digest | None = None, size: int | None = None) -> Descriptor:
    return Descriptor(
        media_type=OCI_LAYER_GZIP,
        digest=digest or Digest.of(data),
        size=len(data) if size is None else size,
    )


def fetch(client: RegistryClient, registry: FakeRegistry, descriptor: Descriptor) -> bytes:
    got: list[bytes] = []
    client.fetch_blob(Reference.parse(f"{registry.host}/app"), descriptor, got.append)
    return b"".join(got)


@pytest.mark.parametrize("docker_media_types", [False, True])
def test_image_is_fetched_through_its_index(
    registry: FakeRegistry, client: RegistryClient, docker_media_types: bool
) -> None:
    """Tag → index → manifest → config and layer, in Docker's types and in OCI's."""
    arm = registry.push_image(
        "app", None, [], {"architecture": "arm64"}, docker_media_types=docker_media_types
    )
    amd = registry.push_image("app", None, [LAYER], {}, docker_media_types=docker_media_types)
    digest = registry.push_index(
        "app", "1", [(arm, "linux/arm64"), (amd, "linux/amd64")], docker_media_types=docker_media_types
    )
    reference = Reference.parse(f"{registry.host}/app:1")

    fetched = client.fetch_manifest(reference)
    index = fetched.parse()
    assert isinstance(index, Index)
    entry = choose(index, Platform("linux", "amd64"))
    manifest = client.fetch_manifest(reference, descriptor=entry).parse()
    assert isinstance(manifest, Manifest)

    assert digest == fetched.digest
    assert registry.manifest("app", "1") == fetched.raw
    assert fetch(client, registry, manifest.layers[0]) == LAYER
    assert b'"amd64"' in fetch(client, registry, manifest.config)
    assert f"GET /v2/app/manifests/{amd}" in registry.requests


def test_manifest_without_tag_is_latest(registry: FakeRegistry, client: RegistryClient) -> None:
    """And all four media types are accepted."""
    registry.push_image("a/b", "latest", [], {})
    client.fetch_manifest(Reference.parse(f"{registry.host}/a/b"))

    assert registry.requests == ["GET /v2/a/b/manifests/latest"]
    accepted = registry.log[0].headers["accept"]
    assert all(
        m in accepted for m in ("oci.image.index", "oci.image.manifest", "manifest.list.v2", "manifest.v2")
    )


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_digest_decides_over_the_tag(registry: FakeRegistry, client: RegistryClient, algorithm: str) -> None:
    """A pinned reference is fetched by its digest, in its algorithm."""
    import hashlib

    registry.push_image("app", "1", [], {})
    pin = Digest(algorithm, hashlib.new(algorithm, registry.manifest("app", "1")).hexdigest())
    fetched = client.fetch_manifest(Reference.parse(f"{registry.host}/app:other@{pin}"))

    assert pin == fetched.digest
    assert [f"GET /v2/app/manifests/{pin}"] == registry.requests


def test_missing_manifest_says_what_the_registry_said(registry: FakeRegistry, client: RegistryClient) -> None:
    """404 is final: one request, the address, and the registry's words."""
    with pytest.raises(ManifestNotFound) as caught:
        client.fetch_manifest(Reference.parse(f"{registry.host}/app:1"))

    told = f'"{registry.host}/app:1" was not found: {registry.url}: 404 Not Found (manifest unknown)'
    assert told == caught.value.message
    assert len(registry.log) == 1


def test_manifest_of_other_bytes_is_refused(registry: FakeRegistry, client: RegistryClient) -> None:
    """By digest: the one asked for. By tag: the one announced."""
    digest = registry.push_image("app", "1", [], {})
    registry.corrupt("/manifests/")

    for text in (f"{registry.host}/app@{digest}", f"{registry.host}/app:1"):
        with pytest.raises(DigestMismatch, match=r'the manifest of ".*app'):
            client.fetch_manifest(Reference.parse(text))


def test_announced_digest_is_optional(registry: FakeRegistry, client: RegistryClient) -> None:
    """Without the header the bytes still have a digest; HEAD then becomes GET."""
    registry.sends_digest_header = False
    digest = registry.push_image("app", "1", [], {})
    reference = Reference.parse(f"{registry.host}/app:1")

    assert digest == client.fetch_manifest(reference).digest
    assert digest == client.head_digest(reference)


def test_index_entry_must_agree_with_the_manifest(registry: FakeRegistry, client: RegistryClient) -> None:
    """Size and media type are the ones that the index names."""
    digest = registry.push_image("app", "1", [], {})
    reference = Reference.parse(f"{registry.host}/app")
    size = len(registry.manifest("app", "1"))

    entry = Descriptor(media_type=OCI_MANIFEST, digest=digest, size=size + 1)
    with pytest.raises(DigestMismatch):
        client.fetch_manifest(reference, descriptor=entry)
    for media_type in (OCI_INDEX, DOCKER_MANIFEST):
        entry = Descriptor(media_type=media_type, digest=digest, size=size)
        with pytest.raises(InvalidManifest, match="is announced as"):
            client.fetch_manifest(reference, descriptor=entry)


def test_bad_manifest_is_named(registry: FakeRegistry, client: RegistryClient) -> None:
    """The error of the decoder gets the image's name."""
    registry.push_manifest("app", "1", b"<html>", "application/json")
    registry.push_manifest("app", "old", {"schemaVersion": 1, "fsLayers": []}, "application/json")

    with pytest.raises(InvalidManifest, match=f'"{registry.host}/app:1": the manifest is not valid'):
        client.fetch_manifest(Reference.parse(f"{registry.host}/app:1"))
    with pytest.raises(UnsupportedManifest, match=f'"{registry.host}/app:old": .*schema 1'):
        client.fetch_manifest(Reference.parse(f"{registry.host}/app:old"))


def test_endless_manifest_is_refused(registry: FakeRegistry, client: RegistryClient) -> None:
    """Nobody's memory is filled by a manifest."""
    registry.push_manifest("app", "1", b" " * (MAX_MANIFEST + 1), OCI_MANIFEST)

    with pytest.raises(RegistryUnavailable, match="longer than 4194304 bytes"):
        client.fetch_manifest(Reference.parse(f"{registry.host}/app:1"))


def test_head_digest(registry: FakeRegistry, client: RegistryClient) -> None:
    """One HEAD, and None for what is not there."""
    digest = registry.push_image("app", "1", [], {})

    assert digest == client.head_digest(Reference.parse(f"{registry.host}/app:1"))
    assert client.head_digest(Reference.parse(f"{registry.host}/app:2")) is None
    assert registry.requests == ["HEAD /v2/app/manifests/1", "HEAD /v2/app/manifests/2"]


def test_head_falls_back_to_get(registry: FakeRegistry, client: RegistryClient) -> None:
    """For servers that do not know HEAD."""
    digest = registry.push_image("app", "1", [], {})
    registry.fail("^HEAD", 405)

    assert digest == client.head_digest(Reference.parse(f"{registry.host}/app:1"))


def test_blob_arrives_in_order_with_progress(registry: FakeRegistry, client: RegistryClient) -> None:
    """Each byte once, progress up to the size; and it is told seldom."""
    digest = registry.push_blob("app", BLOB)
    got: list[bytes] = []
    seen: list[tuple[int, int]] = []
    client.fetch_blob(
        Reference.parse(f"{registry.host}/app"),
        blob(BLOB),
        got.append,
        progress=lambda current, total: seen.append((current, total)),
    )

    assert b"".join(got) == BLOB
    assert seen[-1] == (len(BLOB), len(BLOB))
    assert seen == sorted(seen)
    assert len(seen) < 20
    assert [f"GET /v2/app/blobs/{digest}"] == registry.requests


def test_empty_blob(registry: FakeRegistry, client: RegistryClient) -> None:
    """Nothing is also content."""
    registry.push_blob("app", b"")

    assert fetch(client, registry, blob(b"")) == b""


def test_missing_blob(registry: FakeRegistry, client: RegistryClient) -> None:
    """A blob that a manifest names and the registry lacks has its own error."""
    with pytest.raises(BlobNotFound, match=r"blob sha256:.* was not found: .*blob unknown to registry"):
        fetch(client, registry, blob(BLOB))

    assert len(registry.log) == 1


def test_altered_blob_is_refused(registry: FakeRegistry, client: RegistryClient) -> None:
    """The right number of wrong bytes."""
    registry.push_blob("app", BLOB)
    registry.corrupt("/blobs/")

    with pytest.raises(DigestMismatch):
        fetch(client, registry, blob(BLOB))


@pytest.mark.parametrize("is_chunked", [False, True])
def test_oversized_blob_is_refused_before_it_is_swallowed(
    registry: FakeRegistry, client: RegistryClient, is_chunked: bool
) -> None:
    """The sink never gets more bytes than the manifest promised, whether the length is announced or not."""
    registry.push_blob("app", BLOB)
    if is_chunked:
        framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BLOB), BLOB)
        headers = {"Transfer-Encoding": "chunked", "Content-Length": None}
        registry.change("/blobs/", lambda _: Answer(200, headers, framed))
    got: list[bytes] = []

    with pytest.raises(DigestMismatch, match="should be 1000 bytes"):
        client.fetch_blob(
            Reference.parse(f"{registry.host}/app"), blob(BLOB, Digest.of(BLOB), 1000), got.append
        )
    assert sum(map(len, got)) <= 1000


def test_sha512_blob(registry: FakeRegistry, client: RegistryClient) -> None:
    """Foreign content may be named by sha512."""
    import hashlib

    digest = Digest("sha512", hashlib.sha512(BLOB).hexdigest())
    registry.change(str(digest), lambda _: Answer(200, {}, BLOB))

    assert fetch(client, registry, blob(BLOB, digest)) == BLOB


def test_error_of_the_sink_ends_the_transfer(registry: FakeRegistry, client: RegistryClient) -> None:
    """A full disk is not the registry's fault: no second try, no other error."""
    registry.push_blob("app", BLOB)

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        client.fetch_blob(Reference.parse(f"{registry.host}/app"), blob(BLOB), full)
    assert len(registry.log) == 1


def test_cancel_stops_a_transfer(registry: FakeRegistry, client: RegistryClient) -> None:
    """Between two pieces at the latest."""
    registry.push_blob("app", BLOB)
    cancel = Cancel()

    with pytest.raises(Cancelled):
        client.fetch_blob(
            Reference.parse(f"{registry.host}/app"), blob(BLOB), lambda _: cancel.cancel(), cancel=cancel
        )
    with pytest.raises(Cancelled):
        client.fetch_manifest(Reference.parse(f"{registry.host}/app"), cancel=cancel)
    assert len(registry.log) == 1


def test_layers_are_fetched_side_by_side(registry: FakeRegistry, client: RegistryClient) -> None:
    """One client, several threads."""
    layers = [bytes([number]) * 500_000 for number in range(8)]
    for layer in layers:
        registry.push_blob("app", layer)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda layer: fetch(client, registry, blob(layer)), layers))

    assert layers == got


def test_mirror_is_asked_first_and_the_registry_for_what_it_lacks(registry: FakeRegistry) -> None:
    """A mirror's 404 is no answer; what it has, it gives."""
    registry.push_image("app", "1", [LAYER], {})
    with FakeRegistry() as mirror:
        mirror.push_blob("proxy/app", LAYER)
        client = mirrored(registry, f"{mirror.url}/proxy")
        client.fetch_manifest(Reference.parse(f"{registry.host}/app:1"))

        assert fetch(client, registry, blob(LAYER)) == LAYER
        blobs = f"GET /v2/proxy/app/blobs/{Digest.of(LAYER)}"
        assert ["GET /v2/proxy/app/manifests/1", blobs] == mirror.requests
        assert registry.requests == ["GET /v2/app/manifests/1"]


def test_silent_mirror_is_given_up(registry: FakeRegistry) -> None:
    """No connection: the next endpoint, and later requests do not wait for it again."""
    with FakeRegistry() as gone:
        address = gone.url
    naps: list[float] = []
    client = mirrored(registry, address, naps)
    digest = registry.push_image("app", "1", [], {})
    reference = Reference.parse(f"{registry.host}/app:1")

    assert digest == client.head_digest(reference)
    assert len(naps) == 1
    assert digest == client.head_digest(reference)
    assert len(naps) == 1


def test_errors_list_everything_that_was_tried(registry: FakeRegistry) -> None:
    """The registry's own answer decides about the error, the mirrors are told as well."""
    with FakeRegistry() as gone:
        address = gone.url
    client = mirrored(registry, address)
    for _ in range(2):
        with pytest.raises(ManifestNotFound) as caught:
            client.fetch_manifest(Reference.parse(f"{registry.host}/app:1"))

        assert f"{address}: connection refused; {registry.url}: 404" in caught.value.message


def test_blob_goes_on_at_the_next_endpoint(registry: FakeRegistry) -> None:
    """Content is the same everywhere: what a broken mirror gave is kept."""
    registry.push_blob("app", BLOB)
    with FakeRegistry() as mirror:
        mirror.push_blob("app", BLOB)
        mirror.truncate("/blobs/", 1_200_000, times=1)
        mirror.fail("/blobs/", 500)

        assert fetch(mirrored(registry, mirror.url), registry, blob(BLOB)) == BLOB
    assert registry.log[0].headers["range"] == "bytes=1200000-"


def mirrored(registry: FakeRegistry, mirror: str, naps: list[float] | None = None) -> HttpRegistryClient:
    config = RegistryConfig.parse(f'[registry."{registry.host}"]\nmirrors = ["{mirror}"]'.encode())
    return HttpRegistryClient.open(
        config=config, patience=Patience(sleep=(naps if naps is not None else []).append)
    )


def test_unparsed_references_and_digests_become_no_url(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Values made by hand are checked like text before they are used."""
    with pytest.raises(InvalidReference):
        client.fetch_manifest(Reference(registry.host, "app/../../admin", "1"))
    with pytest.raises(InvalidReference):
        client.fetch_manifest(Reference("docker.io", "busybox", "1"))
    with pytest.raises(Exception, match="is not a digest"):
        fetch(client, registry, blob(b"", Digest("sha256", "../../admin"), 1))
    assert registry.log == []


def test_tags_come_page_by_page(client: HttpRegistryClient, registry: FakeRegistry) -> None:
    """All of a repository, however many a page has; none of another one, and no digests."""
    for tag in ("1", "2", "3", "v4", "v5"):
        registry.push_image("app", tag, [LAYER], {})
    registry.push_image("app2", "6", [LAYER], {})
    registry.tags_on_a_page = 2

    assert client.tags(Reference.parse(f"{registry.host}/app")) == ["1", "2", "3", "v4", "v5"]
    assert sum("tags/list" in line for line in registry.requests) == 3
    with pytest.raises(ManifestNotFound, match="not known to registry"):
        client.tags(Reference.parse(f"{registry.host}/none"))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"no json"),
        ({}, b"[1]"),
        ({}, b'{"tags": ["a", 5]}'),
        ({}, b'{"tags": ["../../../v2/other/blobs/x"]}'),
        ({"Link": '<http://127.0.0.2:1/v2/app/tags/list?last=a>; rel="next"'}, b'{"tags": ["a"]}'),
    ],
)
def test_tags_that_are_none(
    client: HttpRegistryClient, registry: FakeRegistry, headers: dict[str, str], body: bytes
) -> None:
    """A list that is no list, or leads elsewhere, is an error, and nobody else is asked."""
    registry.change("tags/list", lambda _: Answer(200, headers, body))

    with pytest.raises(RegistryUnavailable, match="the list of tags"):
        client.tags(Reference.parse(f"{registry.host}/app"))
    assert len(registry.log) == 1


def test_pages_of_tags_in_a_circle_end(client: HttpRegistryClient, registry: FakeRegistry) -> None:
    """The page that was read is not read again."""
    circle = {"Link": '</v2/app/tags/list?last=a>; rel="next"'}
    registry.change("tags/list", lambda _: Answer(200, circle, b'{"tags": ["a"]}'))

    assert client.tags(Reference.parse(f"{registry.host}/app")) == ["a"]
    assert len(registry.log) == 2
