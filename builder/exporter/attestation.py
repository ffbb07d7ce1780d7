"""Attestations as registries keep them: a manifest beside the image's in the index, that nothing can run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from builder.core.descriptor import OCI_CONFIG, OCI_MANIFEST, Descriptor
from builder.exporter.documents import encode, manifest_document
from builder.exporter.packed import UNKNOWN_PLATFORM, PackedImage, PackedLayer
from builder.store.interface import ContentStore

# Names and types of BuildKit's docs/attestations/attestation-storage.md.
_IN_TOTO = "application/vnd.in-toto+json"
_PREDICATE_TYPE = "in-toto.io/predicate-type"
_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE_DIGEST = "vnd.docker.reference.digest"


class Attestation(NamedTuple):
    """A statement, and what its predicate is."""

    predicate_type: str
    statement: bytes


def attestation_manifest(
    attestations: Sequence[Attestation], image: PackedImage, content: ContentStore
) -> PackedImage:
    """The manifest that says these of an image; all of it is put into the content store."""
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
    config = encode(
        {
            "architecture": UNKNOWN_PLATFORM.architecture,
            "os": UNKNOWN_PLATFORM.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(layer.plain) for layer in layers]},
        }
    )
    configured = Descriptor(media_type=OCI_CONFIG, digest=content.put(config), size=len(config))
    manifest = manifest_document(configured, [layer.descriptor for layer in layers], (), is_oci=True)
    described = Descriptor(
        media_type=OCI_MANIFEST,
        digest=content.put(manifest),
        size=len(manifest),
        platform=UNKNOWN_PLATFORM,
        annotations=(
            (_REFERENCE_DIGEST, str(image.descriptor.digest)),
            (_REFERENCE_TYPE, "attestation-manifest"),
        ),
    )
    return PackedImage(manifest, described, configured, tuple(layers))
