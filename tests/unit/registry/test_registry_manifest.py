"""Manifests and indexes: decoding, type confusion, platform choice."""

from __future__ import annotations

import json

import pytest

from builder.core.descriptor import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
)
from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.registry.interface import (
    Index,
    InvalidManifest,
    Manifest,
    NoMatchingPlatform,
    UnsupportedManifest,
    choose,
    parse_manifest,
)

DIGEST = "sha256:" + "1" * 64
CONFIG = {"mediaType": OCI_CONFIG, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": OCI_LAYER_GZIP, "digest": DIGEST, "size": 3}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
ENTRY = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 4}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [ENTRY]}


def parse(document: object, media_type: str = "") -> Index | Manifest:
    return parse_manifest(json.dumps(document).encode(), media_type)


def without(document: dict[str, object], key: str) -> dict[str, object]:
    return {k: v for k, v in document.items() if k != key}


def test_manifest_is_decoded() -> None:
    """Config and layers become descriptors; members that nobody knows are no error."""
    entry = {**LAYER, "annotations": {"b": "2", "a": "1"}, "data": "eA=="}
    value = parse({**MANIFEST, "layers": [entry], "annotations": {"x": "y"}, "subject": ENTRY}, OCI_MANIFEST)

    layer = Descriptor(
        media_type=OCI_LAYER_GZIP,
        digest=Digest.parse(DIGEST),
        size=3,
        annotations=(("a", "1"), ("b", "2")),
    )
    config = Descriptor(media_type=OCI_CONFIG, digest=Digest.parse(DIGEST), size=2)
    assert Manifest(OCI_MANIFEST, config, (layer,), (("x", "y"),)) == value


def test_index_is_decoded_with_platforms() -> None:
    """arm64's v8 goes without saying; an empty platform is none."""
    platforms = [
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
        {"os": "", "architecture": ""},
        None,
    ]
    value = parse({**INDEX, "manifests": [{**ENTRY, "platform": p} for p in platforms]}, OCI_INDEX)

    assert isinstance(value, Index)
    assert [Platform("linux", "arm64"), None, None] == [d.platform for d in value.manifests]


@pytest.mark.parametrize(
    ("document", "announced", "kind"),
    [
        (MANIFEST, "", OCI_MANIFEST),
        (MANIFEST, f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
        (MANIFEST, "application/json", OCI_MANIFEST),
        ({**MANIFEST, "mediaType": DOCKER_MANIFEST}, "text/plain", DOCKER_MANIFEST),
        (without(MANIFEST, "mediaType"), DOCKER_MANIFEST, DOCKER_MANIFEST),
        (without(MANIFEST, "mediaType"), "", OCI_MANIFEST),
        (without(INDEX, "mediaType"), "", OCI_INDEX),
        (without(INDEX, "mediaType"), DOCKER_INDEX, DOCKER_INDEX),
        ({**INDEX, "layers": None, "config": None}, OCI_INDEX, OCI_INDEX),
        ({**MANIFEST, "layers": None}, OCI_MANIFEST, OCI_MANIFEST),
    ],
)
def test_media_type_is_settled(document: object, announced: str, kind: str) -> None:
    """The announced type, else the document's own, else what it looks like."""
    assert kind == parse(document, announced).media_type


@pytest.mark.parametrize(
    ("document", "announced"),
    [
        ({**MANIFEST, "manifests": [ENTRY]}, OCI_MANIFEST),
        ({**MANIFEST, "manifests": []}, OCI_MANIFEST),
        ({**INDEX, "layers": []}, OCI_INDEX),
        ({**INDEX, "config": CONFIG}, ""),
        (MANIFEST, OCI_INDEX),
        (MANIFEST, DOCKER_MANIFEST),
        (INDEX, OCI_MANIFEST),
        (without(MANIFEST, "mediaType"), OCI_INDEX),
        (without(INDEX, "mediaType"), DOCKER_MANIFEST),
        ({**MANIFEST, "mediaType": OCI_INDEX}, ""),
    ],
)
def test_confusable_documents_are_refused(document: object, announced: str) -> None:
    """What one tool takes for a manifest and another for an index is neither (CVE-2021-41190)."""
    with pytest.raises(InvalidManifest):
        parse(document, announced)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"schemaVersion": 2},
        {"schemaVersion": "2"},
        without(MANIFEST, "schemaVersion"),
        {**MANIFEST, "schemaVersion": 3},
        without(MANIFEST, "config"),
        {**MANIFEST, "layers": {}},
        {**MANIFEST, "layers": [{**LAYER, "digest": "sha256:../../etc/passwd"}]},
        {**MANIFEST, "layers": [{**LAYER, "digest": "sha256:" + "A" * 64}]},
        {**MANIFEST, "layers": [{**LAYER, "size": -1}]},
        {**MANIFEST, "layers": [{**LAYER, "size": "3"}]},
        {**MANIFEST, "config": {**CONFIG, "digest": "x"}},
        {**INDEX, "manifests": [{**ENTRY, "digest": "md5:" + "1" * 32}]},
    ],
)
def test_malformed_documents_are_refused(document: object) -> None:
    """Every digest and size is checked before anyone may use it."""
    with pytest.raises(InvalidManifest):
        parse(document)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schemaVersion": 2, "config": \xff}']
)
def test_garbage_is_refused(raw: bytes) -> None:
    """No input ends in another error."""
    with pytest.raises(InvalidManifest):
        parse_manifest(raw)


@pytest.mark.parametrize(
    ("document", "announced"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ({"schemaVersion": 1, "name": "x", "fsLayers": [{"blobSum": DIGEST}]}, "application/json"),
        (MANIFEST, "application/vnd.docker.distribution.manifest.v1+json"),
    ],
)
def test_schema_1_is_refused_in_its_own_words(document: object, announced: str) -> None:
    """Docker's first manifests are told from broken ones."""
    with pytest.raises(UnsupportedManifest, match="schema 1"):
        parse(document, announced)


@pytest.mark.parametrize(
    ("document", "announced"),
    [
        (without(MANIFEST, "mediaType"), "text/html"),
        ({**MANIFEST, "mediaType": "application/vnd.oci.artifact.manifest.v1+json"}, ""),
    ],
)
def test_other_kinds_are_unsupported(document: object, announced: str) -> None:
    """What is no image is named by its media type."""
    with pytest.raises(UnsupportedManifest, match="media type of a container image"):
        parse(document, announced)


def entry(platform: str | None, number: int = 1, media_type: str = OCI_MANIFEST) -> Descriptor:
    parsed = None if platform is None else Platform(*platform.split("/"))
    return Descriptor(
        media_type=media_type, digest=Digest("sha256", f"{number:064x}"), size=1, platform=parsed
    )


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"),
    [
        ("linux/amd64", "linux/arm64 linux/amd64 linux/386", 1),
        ("linux/amd64", "linux/amd64/v3 linux/amd64", 1),
        ("linux/amd64/v3", "linux/amd64 linux/amd64/v2", 1),
        ("linux/amd64/v3", "linux/amd64 linux/386", 0),
        ("linux/amd64", "linux/arm64 linux/386", 1),
        ("linux/arm64", "linux/amd64 linux/arm/v7 linux/arm64", 2),
        ("linux/arm64", "linux/arm/v5 linux/arm/v7 linux/arm/v6", 1),
        ("linux/arm/v7", "linux/arm/v5 linux/arm/v6 linux/arm64", 1),
        ("linux/arm/v7", "linux/arm/v6 linux/arm", 1),
        ("linux/arm/v6", "linux/arm/v7 linux/arm/v5", 1),
        ("linux/riscv64", "linux/amd64 linux/riscv64", 1),
        ("linux/amd64", "windows/amd64 linux/amd64 linux/amd64", 1),
    ],
)
def test_choose_prefers_the_platform_then_what_it_also_runs(wanted: str, available: str, chosen: int) -> None:
    """containerd's order: exact, lower variants, then the 32-bit sibling; the first of equals."""
    entries = tuple(entry(p, number) for number, p in enumerate(available.split()))

    assert entries[chosen] == choose(Index(OCI_INDEX, entries), Platform(*wanted.split("/")))


def test_choose_passes_over_attestations_and_artifacts() -> None:
    """What BuildKit attaches is for no platform, and a signature is no image."""
    entries = (
        entry("unknown/unknown", 1),
        entry("linux/amd64", 2, "application/vnd.dev.cosign.simplesigning.v1+json"),
        entry("linux/amd64", 3),
    )

    assert entries[2] == choose(Index(OCI_INDEX, entries), Platform("linux", "amd64"))


def test_choose_takes_an_entry_without_platform_last() -> None:
    """Such an entry may be for any platform: its config tells."""
    bare = entry(None, 1)
    right = entry("linux/amd64", 2)

    assert right == choose(Index(OCI_INDEX, (bare, right)), Platform("linux", "amd64"))
    assert bare == choose(Index(OCI_INDEX, (bare, right)), Platform("linux", "s390x"))


def test_choose_lists_the_platforms_there_are() -> None:
    """The error answers the next question."""
    entries = (entry("linux/arm64"), entry("unknown/unknown"), entry("linux/s390x"), entry("linux/s390x"))
    with pytest.raises(NoMatchingPlatform) as caught:
        choose(Index(OCI_INDEX, entries), Platform("linux", "amd64"))

    assert (
        caught.value.message
    ) == 'there is no image for "linux/amd64"; it is published for linux/arm64, linux/s390x'
