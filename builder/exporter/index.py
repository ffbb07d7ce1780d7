"""Images for several platforms under one digest."""

from __future__ import annotations

from collections.abc import Sequence

from builder.core.descriptor import DOCKER_INDEX, OCI_INDEX, Descriptor
from builder.exporter.annotations import NO_ANNOTATIONS, Annotations
from builder.exporter.documents import index_document
from builder.exporter.packed import NeedsOciTypes, PackedImage, PackedIndex
from builder.store.interface import ContentStore


def assemble_index(
    images: Sequence[PackedImage],
    content: ContentStore,
    annotations: Annotations = NO_ANNOTATIONS,
    *,
    is_oci: bool = True,
) -> PackedIndex:
    """An OCI index of these images in this order, or Docker's manifest list; put into the content store.

    Raises NeedsOciTypes for annotations of a manifest list, and for OCI manifests in one.
    """
    entries = tuple(image.descriptor for image in images)
    pairs = annotations.of("index")
    if not is_oci and (pairs or any(entry.annotations for entry in entries)):
        raise NeedsOciTypes("annotations")
    if not is_oci and any(entry.media_type.startswith("application/vnd.oci.") for entry in entries):
        raise NeedsOciTypes("OCI manifests")
    document = index_document(entries, pairs, is_oci=is_oci)
    described = Descriptor(
        media_type=OCI_INDEX if is_oci else DOCKER_INDEX,
        digest=content.put(document),
        size=len(document),
        annotations=annotations.of("index-descriptor"),
    )
    return PackedIndex(document, described, tuple(images))
