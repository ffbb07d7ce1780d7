"""Descriptors, manifests and indexes as the bytes that their digests are of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from builder.core.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from builder.core.platform import Platform

Pairs = Sequence[tuple[str, str]]


def manifest_document(
    config: Descriptor, layers: Sequence[Descriptor], annotations: Pairs, *, is_oci: bool
) -> bytes:
    """An image's manifest; Docker's has no place for annotations."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST if is_oci else DOCKER_MANIFEST,
        "config": descriptor_document(config),
        "layers": [descriptor_document(layer) for layer in layers],
    }
    assert is_oci or not annotations
    return encode(_annotated(document, annotations))


def index_document(manifests: Iterable[Descriptor], annotations: Pairs, *, is_oci: bool) -> bytes:
    """An OCI index, or Docker's manifest list."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX if is_oci else DOCKER_INDEX,
        "manifests": [descriptor_document(entry) for entry in manifests],
    }
    assert is_oci or not annotations
    return encode(_annotated(document, annotations))


def descriptor_document(value: Descriptor) -> dict[str, Any]:
    """As a member of other documents."""
    document: dict[str, Any] = {
        "mediaType": value.media_type,
        "digest": str(value.digest),
        "size": value.size,
    }
    _annotated(document, value.annotations)
    if value.platform is not None:
        document["platform"] = _platform(value.platform)
    return document


def encode(document: object) -> bytes:
    """Compact, in the order given: equal documents give equal bytes."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _platform(value: Platform) -> dict[str, str]:
    document = {"architecture": value.architecture, "os": value.os}
    if value.variant:
        document["variant"] = value.variant
    return document


def _annotated(document: dict[str, Any], annotations: Pairs) -> dict[str, Any]:
    if annotations:
        document["annotations"] = dict(sorted(annotations))
    return document
