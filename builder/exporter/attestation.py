"""Attestations as registries keep them: a manifest beside the image's in the index, that nothing can run."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from builder.core.descriptor import OCI_CONFIG, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest
from builder.exporter.documents import descriptor_document, encode, manifest_document
from builder.exporter.packed import UNKNOWN_PLATFORM, PackedImage, PackedLayer
from builder.store.interface import ContentStore

# Names and types of BuildKit's docs/attestations/attestation-storage.md.
_IN_TOTO = "application/vnd.in-toto+json"
_ARTIFACT_TYPE = "application/vnd.docker.attestation.manifest.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_PREDICATE_TYPE = "in-toto.io/predicate-type"
_REFERENCE_TYPE = "vnd.docker.reference.type"
_MANIFEST = "attestation-manifest"
_REFERENCE_DIGEST = "vnd.docker.reference.digest"


class Attestation(NamedTuple):
    """A statement, and what its predicate is."""

    predicate_type: str
    statement: bytes


def stored_attestation(entry: Mapping[str, Any], content: ContentStore) -> PackedImage | None:
    """That of an entry of an index, if it is one and all of it is here."""
    annotations = entry.get("annotations") or {}
    if annotations.get(_REFERENCE_TYPE) != _MANIFEST:
        return None
    described = _descriptor(entry)
    if content.size(described.digest) != described.size:
        return None
    with content.open(described.digest) as blob:
        raw = blob.read()
    document = json.loads(raw)
    parts = [_descriptor(part) for part in (document["config"], *document["layers"])]
    if any(content.size(part.digest) != part.size for part in parts):
        return None
    layers = tuple(PackedLayer(part, "", part.digest) for part in parts[1:])
    return PackedImage(raw, described, parts[0], layers)


def attestation_manifest(
    attestations: Sequence[Attestation], image: PackedImage, content: ContentStore, *, is_artifact: bool
) -> PackedImage:
    """The manifest that says these of an image; all of it is put into the content store.

    ``is_artifact``: as an artifact of OCI 1.1 that names its subject, not as an image without a platform.
    """
    layers = []
    for attestation in attestations:
        digest = content.put(attestation.statement)
        described = Descriptor(
            media_type=_IN_TOTO,
            digest=digest,
            size=len(attestation.statement),
            annotations=((_PREDICATE_TYPE, attestation.predicate_type),),
        )
        layers.append(PackedLayer(described, "", digest))
    described_layers = [layer.descriptor for layer in layers]
    if is_artifact:
        config = _put(content, _EMPTY, b"{}")
        manifest = _artifact(config, described_layers, image)
    else:
        config = _put(content, OCI_CONFIG, _config(layers))
        manifest = manifest_document(config, described_layers, (), is_oci=True)
    described = replace(
        _put(content, OCI_MANIFEST, manifest),
        platform=UNKNOWN_PLATFORM,
        annotations=(
            (_REFERENCE_DIGEST, str(image.descriptor.digest)),
            (_REFERENCE_TYPE, _MANIFEST),
        ),
    )
    return PackedImage(manifest, described, config, tuple(layers))


def _config(layers: Sequence[PackedLayer]) -> bytes:
    return encode(
        {
            "architecture": UNKNOWN_PLATFORM.architecture,
            "os": UNKNOWN_PLATFORM.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(layer.plain) for layer in layers]},
        }
    )


def _artifact(config: Descriptor, layers: Sequence[Descriptor], image: PackedImage) -> bytes:
    subject = replace(image.descriptor, platform=None, annotations=())
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": _ARTIFACT_TYPE,
            "config": {**descriptor_document(config), "data": b64encode(b"{}").decode()},
            "layers": [descriptor_document(layer) for layer in layers],
            "subject": descriptor_document(subject),
        }
    )


def _put(content: ContentStore, media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type=media_type, digest=content.put(data), size=len(data))


def _descriptor(entry: Mapping[str, Any]) -> Descriptor:
    platform = entry.get("platform")
    return Descriptor(
        media_type=entry["mediaType"],
        digest=Digest.parse(entry["digest"]),
        size=entry["size"],
        platform=UNKNOWN_PLATFORM if platform else None,
        annotations=tuple((entry.get("annotations") or {}).items()),
    )
